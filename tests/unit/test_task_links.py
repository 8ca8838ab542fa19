"""Links from tasks to pages: addresses that any run id survives, under the path of this Airflow."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from finbridge.systems.links import (
    CHECK_LINKS,
    FLOW_LINKS,
    HELD,
    MANUAL_LINKS,
    MONTH,
    MONTH_LINKS,
    PREVIEW,
    QUALITY,
    TODAY,
    PageLink,
    address,
)

FLOW = "weaver_tryton__expense_claim"
RUN = "manual__2026-11-22T18:00:00.123456+00:00_a/b?c#d&e=f 1000"
TASK = SimpleNamespace(flow_id=FLOW, company="1000", period="2026-10")
TI = SimpleNamespace(dag_id=f"{FLOW}__manual", run_id=RUN, start_date=datetime(2026, 11, 22, 17, 30, tzinfo=UTC))


def told(link: PageLink) -> str:
    return link.get_link(TASK, ti_key=TI)  # type: ignore[arg-type]  # what a task and its instance have of both


def test_every_link_has_a_name_and_a_key_of_its_own() -> None:
    links = {link.xcom_key: link for link in (*FLOW_LINKS, *CHECK_LINKS, *MANUAL_LINKS, *MONTH_LINKS)}
    assert len(links) == len({link.name for link in links.values()}) == 5


@pytest.mark.parametrize(("link", "page"), [(PREVIEW, "preview"), (MONTH, "month")])
def test_a_run_id_comes_through_whole(link: PageLink, page: str) -> None:
    path = urlsplit(told(link)).path
    assert path.startswith(f"/finbridge/{page}/")
    assert unquote(path.rpartition("/")[2]) == f"{FLOW}__manual~{RUN}"


def test_the_day_is_the_company_s_own() -> None:
    found = urlsplit(told(TODAY))
    assert found.path == "/finbridge/today"
    assert parse_qs(found.query) == {"date": ["2026-11-23"]}  # 01:30 in Shanghai


def test_values_are_quoted() -> None:
    assert told(QUALITY) == f"/finbridge/quality?flow={FLOW}"
    assert told(HELD) == "/finbridge/held"
    assert parse_qs(urlsplit(told(MONTH)).query) == {"company": ["1000"]}
    assert address("a b", x="1&2", y="") == "/finbridge/a%20b?x=1%262"


def test_an_airflow_below_a_path_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.test/airflow/")
    assert address("held") == "/airflow/finbridge/held"
