"""Nobody reads a page without a login and the right to read a flow's DAG: every route, on a real API server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest

from tests.e2e.pages_world import PROJECT, STRANGER, PagesWorld

pytestmark = pytest.mark.slow

#: What stands for the parameters of a path.
FILLED = {"name": "finbridge.css", "document_id": "90001", "flow_id": "weaver_tryton__expense_claim"}
_ROUTES = """
import json
from finbridge.pages.app import build_app
app = build_app()
print(json.dumps([[getattr(r, "path", "?"), sorted(getattr(r, "methods", None) or ["GET"])] for r in app.routes]))
"""


@pytest.fixture(scope="module")
def routes(pages_world: PagesWorld) -> list[tuple[str, str]]:
    """Method and path of every route that the application really has; a new route is in it by itself."""
    done = subprocess.run(
        [sys.executable, "-c", _ROUTES],
        env={**os.environ, **pages_world.airflow.variables()},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return [(method, path) for path, methods in found for method in methods]


def filled(path: str) -> str:
    """A path with its parameters filled in."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: FILLED.get(match.group(1), "x"), path)


def not_refused(routes: Iterable[tuple[str, str]], status_of: Callable[[str], int], wanted: int) -> dict[str, int]:
    """Routes that answer with another status than the wanted one."""
    answers = {path: status_of(filled(path)) for _, path in routes}
    return {path: status for path, status in answers.items() if status != wanted}


def test_the_walk_sees_all_pages(routes: list[tuple[str, str]]) -> None:
    paths = {path for _, path in routes}
    assert {"/", "/static/{name}", "/find", "/held", "/held.csv", "/document/{flow_id}/{document_id}"} <= paths
    assert {method for method, _ in routes} == {"GET"}, "the walk below asks by GET alone"


def test_anonymous_gets_401_on_every_route(pages_world: PagesWorld, routes: list[tuple[str, str]]) -> None:
    assert not_refused(routes, lambda path: pages_world.page(path, None).status, 401) == {}


def test_a_forged_token_gets_no_page(pages_world: PagesWorld, routes: list[tuple[str, str]]) -> None:
    forged = {"Cookie": "_token=eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"}
    statuses = {pages_world.page(filled(path), None, headers=forged).status for _, path in routes}
    assert statuses <= {401, 403}


def test_a_user_without_the_role_gets_403_on_every_route(
    pages_world: PagesWorld, routes: list[tuple[str, str]]
) -> None:
    assert not_refused(routes, lambda path: pages_world.page(path, STRANGER.name).status, 403) == {}


def test_a_user_with_the_role_gets_in(pages_world: PagesWorld, routes: list[tuple[str, str]]) -> None:
    opened = {path: pages_world.page(filled(path)).status for _, path in routes}
    assert {path: status for path, status in opened.items() if status in (401, 403) or status >= 500} == {}
    assert opened["/find"] == opened["/held"] == opened["/static/{name}"] == 200


def test_the_right_to_read_one_dag_is_enough_and_must_be_the_right_one(pages_world: PagesWorld) -> None:
    pages_world.add_person("clerk", f"{pages_world.flow}__wake")
    pages_world.add_person("neighbour", f"{pages_world.flow}__sweep", "another_team__wake")
    assert pages_world.page("/held", "clerk").status == 200
    assert pages_world.page(f"/document/{pages_world.flow}/{pages_world.day.paid}", "clerk").status == 200
    assert pages_world.page("/held", "neighbour").status == 403


def test_no_page_describes_the_interface(pages_world: PagesWorld) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert pages_world.page(path).status == 404


def test_what_anonymous_is_told_shows_nothing_of_the_inside(pages_world: PagesWorld) -> None:
    told = pages_world.page("/document/weaver_tryton__expense_claim/90001", None)
    assert "请先登录" in told.text
    assert "BX2026" not in told.text and "Traceback" not in told.text


def test_every_page_forbids_what_is_from_elsewhere_and_is_kept_nowhere(
    pages_world: PagesWorld, routes: list[tuple[str, str]]
) -> None:
    for _, path in routes:
        headers = pages_world.page(filled(path)).headers
        assert headers["cache-control"] == "no-store", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "frame-ancestors 'self'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path


def test_the_menu_entry_is_there_for_those_who_may_read_dags(pages_world: PagesWorld) -> None:
    plugins = json.loads(pages_world.get("/api/v2/plugins").text)["plugins"]
    (ours,) = [plugin for plugin in plugins if plugin["name"] == "finbridge"]
    (entry,) = [view for view in ours["external_views"] if view["destination"] == "nav"]
    assert entry["url_route"] == "finbridge"
    assert pages_world.get(entry["href"]).status == 200
    assert pages_world.get(entry["icon"]).headers["content-type"].startswith("image/svg+xml")
    assert json.loads(pages_world.get("/api/v2/plugins/importErrors", "admin").text)["total_entries"] == 0
