"""The application of the pages in this process: the guard finds what is open, flows stay apart, no hub is said."""

from __future__ import annotations

import asyncio
import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from finbridge.cli.stack.postgres import free_port
from finbridge.core.errors import RetryLater
from finbridge.hub import PostgresHub, open_hub
from psycopg import errors
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.hub_fixtures import SECRET, HubDatabase

ROOT = Path(__file__).resolve().parents[2]
FLOW = "weaver_tryton__expense_claim"


@pytest.fixture(scope="module")
def pages() -> Any:
    """The modules, imported once Airflow knows its test database."""
    from finbridge.pages import app, find, guard, held, hubs

    return SimpleNamespace(app=app, find=find, guard=guard, held=held, hubs=hubs)


def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def as_reader(app: FastAPI, pages: Any) -> TestClient:
    """A client that the guard lets in."""
    app.dependency_overrides[pages.guard.reader] = lambda: pages.guard.Reader("x", pages.guard.declared_flows())
    return TestClient(app, raise_server_exceptions=False)


# ---------------------------------------------------------------------- the guard finds what is open


def plant_mount(app: FastAPI) -> None:
    app.mount("/planted", Starlette(routes=[Route("/", hello)]))


def plant_route(app: FastAPI) -> None:
    app.router.routes.append(Route("/planted", hello))


def plant_application(app: FastAPI) -> None:
    other = FastAPI()
    other.get("/")(lambda: "hello")
    app.mount("/planted", other)


@pytest.mark.parametrize(
    ("plant", "path"), [(plant_mount, "/planted/"), (plant_route, "/planted"), (plant_application, "/planted/")]
)
def test_a_planted_open_route_is_found_and_really_is_open(
    pages: Any, plant: Callable[[FastAPI], None], path: str
) -> None:
    app = pages.app.build_app()
    assert pages.guard.unguarded(app) == []
    plant(app)
    assert pages.guard.unguarded(app) == ["/planted"]
    anonymous = TestClient(app)
    assert anonymous.get(path).status_code == 200
    assert anonymous.get("/find").status_code == 401


def test_the_application_does_not_start_with_an_open_route(pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()
    router.add_route("/planted", hello)
    monkeypatch.setattr(pages.app, "ROUTERS", (*pages.app.ROUTERS, router))
    with pytest.raises(pages.app.Unguarded, match="/planted"):
        pages.app.build_app()


def test_a_route_that_is_added_the_usual_way_is_guarded_by_itself(pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()
    router.get("/new")(lambda: "hello")
    monkeypatch.setattr(pages.app, "ROUTERS", (*pages.app.ROUTERS, router))
    app = pages.app.build_app()
    assert TestClient(app).get("/new").status_code == 401
    assert as_reader(app, pages).get("/new").status_code == 200


def test_the_plugin_builds_the_pages_only_when_they_are_asked_for() -> None:
    code = (
        "import sys, finbridge_plugin as p; plugin = p.FinbridgePlugin(); early = 'finbridge.pages.app' in sys.modules;"
        "apps = plugin.fastapi_apps; print(early, apps[0]['url_prefix'], apps is plugin.fastapi_apps)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "plugins", capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[-1] == "False /finbridge True"


# ---------------------------------------------------------------------- flows stay apart


@pytest.fixture
def two_flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An include folder with a second flow; its id."""
    include = tmp_path / "include"
    shutil.copytree(ROOT / "include", include)
    text = (include / "flows" / f"{FLOW}.yaml").read_text(encoding="utf-8")
    (include / "flows" / "second.yaml").write_text(text.replace(f"flow: {FLOW}", "flow: second_flow"), encoding="utf-8")
    monkeypatch.setenv("FINBRIDGE_INCLUDE", str(include))
    yield "second_flow"


class Asked:
    """A hub that only remembers which flows it was asked for."""

    def __init__(self) -> None:
        self.flow_ids: list[list[str]] = []
        self.documents: list[str] = []
        self.views = self

    def find(self, flow_ids: list[str], _words: list[str]) -> Any:
        from finbridge.hub.view_find import Found

        self.flow_ids.append(flow_ids)
        return Found(documents=(), runs=(), missing=("x",), cut=())

    def document(self, flow_id: str, _document_id: str) -> None:
        self.documents.append(flow_id)

    def close(self) -> None:
        """Nothing is open."""


def test_a_reader_of_one_flows_dag_is_answered_about_that_flow_alone(
    pages: Any, two_flows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.core_api.security import get_user

    def requires(_method: str, *, param_dag_id: str) -> Callable[[Request, Any], None]:
        def inner(_request: Request, user: Any) -> None:
            if param_dag_id not in user.dags:
                raise HTTPException(403)

        return inner

    monkeypatch.setattr(pages.guard, "requires_access_dag", requires)
    hub = Asked()
    app = pages.app.build_app(lambda: hub)
    user = SimpleNamespace(dags={f"{two_flows}__wake"}, get_name=lambda: "accountant")
    app.dependency_overrides[get_user] = lambda: user
    client = TestClient(app)
    assert client.get("/find?q=1").status_code == 200
    assert hub.flow_ids == [[two_flows]]
    assert client.get(f"/document/{FLOW}/1").status_code == 404
    assert client.get(f"/document/{two_flows}/1").status_code == 404
    assert hub.documents == [two_flows], "the other flow's document was not even looked for"
    user.dags = {f"{FLOW}__sweep", "something_else"}
    assert client.get("/find?q=1").status_code == 403


# ---------------------------------------------------------------------- the hub is away

PASSWORD = "a-password-that-nobody-may-read"


def test_a_hub_that_is_away_is_said_in_words_and_its_address_is_not(
    pages: Any, hub_database: HubDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    dsns = [f"host=127.0.0.1 port={port} dbname=secretbase user=hub_app password={PASSWORD}", hub_database.app_dsn]
    app = pages.app.build_app(lambda: open_hub(dsns.pop(0), secret=SECRET))
    client = as_reader(app, pages)
    answer = client.get("/find?q=1", headers={"Accept-Language": "en"})
    assert answer.status_code == 503
    assert "The register cannot be read now" in answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["cache-control"] == "no-store"
    assert not any(inside in answer.text for inside in (PASSWORD, str(port), "secretbase", "127.0.0.1", "psycopg"))
    assert "the hub could not be asked: hub_away" in caplog.text
    assert PASSWORD not in caplog.text
    assert client.get("/find?q=1").status_code == 200, "the next question opens the hub anew"


def test_a_page_that_fails_says_nothing_of_the_inside(pages: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> PostgresHub:
        raise LookupError(f"no connection for {PASSWORD}")

    answer = as_reader(pages.app.build_app(broken), pages).get("/held")
    assert answer.status_code == 500
    assert "页面出错" in answer.text and PASSWORD not in answer.text and "LookupError" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "a page failed: /held" in caplog.text


def test_questions_are_short_and_change_nothing(
    pages: Any, hub_database: HubDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = dict(part.split("=", 1) for part in hub_database.app_dsn.replace("'", "").split(" ") if "=" in part)
    connection = SimpleNamespace(
        host=address["host"],
        port=int(address["port"]),
        schema=hub_database.name,
        login="hub_app",
        password="suite of the tests",
        extra_dejson={},
    )
    monkeypatch.setattr(pages.hubs.BaseHook, "get_connection", lambda _conn_id: connection)
    monkeypatch.setattr(
        pages.hubs, "_OPTIONS", pages.hubs._OPTIONS.replace("statement_timeout=8s", "statement_timeout=50ms")
    )
    hubs = pages.hubs.Hubs()

    def sleeps(hub: PostgresHub) -> None:
        with hub._connections.session() as session:
            session.execute("SELECT pg_sleep(5)")

    def writes(hub: PostgresHub) -> None:
        with hub._connections.session() as session:
            session.execute("INSERT INTO hub.watermark (flow_id, through) VALUES ('x', now())")

    with pytest.raises(RetryLater):
        asyncio.run(hubs.ask(sleeps))
    with pytest.raises(errors.ReadOnlySqlTransaction):
        asyncio.run(pages.hubs.Hubs().ask(writes))


# ---------------------------------------------------------------------- what people type


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("  BX2026 ", ["BX2026"]),
        ("９０００１，BX１；记 123、记123", ["90001", "BX1", "记-123", "记123"]),
        ("a\u200bb\tc\nc", ["ab", "c"]),
        ("\u3000,;|", []),
        ("", []),
    ],
)
def test_numbers_are_parted_and_made_plain(pages: Any, typed: str, words: list[str]) -> None:
    assert pages.find.words_of(typed) == words


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("+1", "'+1"),
        ("-12.50", "-12.50"),
        ("-x", "'-x"),
        ("报销", "报销"),
        ("＝1+1", "'＝1+1"),
        (" =1", "' =1"),
        ("-1-1", "'-1-1"),
        ("\n=1", "'\n=1"),
        ("-٣", "'-٣"),
    ],
)
def test_no_cell_of_a_csv_is_a_formula(pages: Any, cell: str, written: str) -> None:
    assert pages.held._harmless(cell) == written


class Lists:
    """A hub whose list holds seven rows; ``away_after`` pages it is gone."""

    def __init__(self, away_after: int = 99) -> None:
        self.views = self
        self.away_after = away_after

    def held(self, _wanted: Any, *, after: Any = None, limit: int) -> Any:
        from finbridge.hub.view_held import HeldPage

        self.away_after -= 1
        if self.away_after < 0:
            raise RetryLater("hub_away", "away")
        rows = [self.row(number) for number in range(1, 8) if after is None or number > after.hold_id]
        return HeldPage(rows[:limit], more_before=after is not None, more_after=len(rows) > limit)

    @staticmethod
    def row(number: int) -> dict[str, Any]:
        texts = {"text_zh": "原因", "text_en": "reason", "field": "", "detail": "=1+1", "turn": "it", "code": "c"}
        place = {"hold_id": number, "opened_at": datetime(2026, 11, 20, tzinfo=UTC), "flow_id": FLOW, "company": "1000"}
        return {
            **texts,
            **place,
            "document_id": f"D{number}",
            "business_number": "B",
            "currency": None,
            "amount_minor": 5,
        }

    def close(self) -> None:
        """Nothing is open."""


def test_a_csv_holds_every_row_once_over_several_questions(pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.held, "_CSV_ROWS", 3)
    answer = as_reader(pages.app.build_app(Lists), pages).get("/held.csv?lang=en")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row["OA number"] for row in rows] == [f"D{number}" for number in range(1, 8)]
    assert {(row["Approved amount"], row["Currency"], row["Detail"]) for row in rows} == {("0.05", "CNY", "'=1+1")}


def test_a_csv_that_cannot_be_finished_is_no_whole_file(pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.held, "_CSV_ROWS", 3)
    assert as_reader(pages.app.build_app(lambda: Lists(away_after=0)), pages).get("/held.csv").status_code == 503
    broken = as_reader(pages.app.build_app(lambda: Lists(away_after=1)), pages)
    broken_client = TestClient(broken.app, raise_server_exceptions=True)
    with pytest.raises(RuntimeError, match="response already started"):  # the server cuts the connection on this
        broken_client.get("/held.csv")
