"""The callback of all tasks: what a failure is called, whose it is, and that it says something whatever is away."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.notify import Alarm
from finbridge.tasks import alarms, notifier
from finbridge.tasks.alarm_texts import CAUSES, text_of

from tests.hub_fixtures import SECRET, HubDatabase

FLOW_ID = "weaver_tryton__expense_claim"
KEY = "0123456789abcdef-the-key"


def context(error: object, *, dag: str = "wake", task_id: str = "check", **params: str) -> Any:
    dag_id = f"{FLOW_ID}__{dag}" if not dag.startswith("finbridge") else dag
    ti = SimpleNamespace(dag_id=dag_id, run_id="r1", task_id=task_id)
    return {"ti": ti, "task": SimpleNamespace(hub_conn_id="hub_default"), "exception": error, "params": params}


def chained(code: str, *companies: str) -> Exception:
    """As an operator raises it."""
    from airflow.sdk.exceptions import AirflowFailException

    error = AirflowFailException("shown in the log")
    error.__cause__ = GiveUp(code, "处理", companies=companies)
    return error


class AirflowTaskTimeout(Exception):
    """Airflow's own is no Exception; only its name counts here."""


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (chained("broken_batch_rule", "1000", "2000"), [("broken_batch_rule", "1000"), ("broken_batch_rule", "2000")]),
        (chained("ledger_credentials"), [("ledger_credentials", "")]),
        (RetryLater("oa_away", "稍后"), [("oa_away", "")]),
        (KeyError("张三 6222 0000"), [("unexpected_error", "")]),
        (AirflowTaskTimeout(), [("task_timed_out", "")]),
        ("killed", [("task_died", "")]),
        (None, [("task_died", "")]),
    ],
)
def test_the_cause_is_the_code_that_the_suite_raised(error: object, found: list[tuple[str, str]]) -> None:
    seen = alarms.sightings(context(error))
    assert [(s.cause, s.company) for s in seen] == found
    assert {(s.flow_id, s.dag_id, s.task_id) for s in seen} == {(FLOW_ID, f"{FLOW_ID}__wake", "check")}
    assert "6222" not in repr(seen), "a value of a document stands in an alarm"


def test_a_dag_of_operations_belongs_to_no_flow() -> None:
    (seen,) = alarms.sightings(context(RetryLater("hub_away", "稍后"), dag="finbridge__housekeeping", task_id="hub"))
    assert (seen.flow_id, seen.cause) == ("", "hub_away")


def test_a_run_about_one_company_is_that_companys_alarm() -> None:
    (seen,) = alarms.sightings(context(RetryLater("oa_away", "稍后"), dag="monthly", company="2000"))
    assert (seen.company, seen.dag_id) == ("2000", f"{FLOW_ID}__monthly")


# ---------------------------------------------------------------------- with a hub and a robot


class Robot(HTTPServer):
    """A chat robot; ``code`` 0 takes messages."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.code = 0
        self.got: list[tuple[str, dict[str, Any]]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        robot: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        robot.got.append((self.path, body))
        answer = json.dumps({"errcode": robot.code, "errmsg": "x"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch, hub_database: HubDatabase) -> Iterator[Robot]:
    """A robot as the connection names it, and the hub."""
    hub_database.server.execute(hub_database.name, "TRUNCATE hub.alarm")
    server = hub_database.server
    connection = {
        **{"conn_type": "postgres", "host": "127.0.0.1", "port": server.port, "schema": hub_database.name},
        **{"login": "hub_app", "password": "suite of the tests", "extra": {"token_secret": SECRET}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_HUB_DEFAULT", json.dumps(connection))
    with Robot() as made:
        thread = Thread(target=made.serve_forever, daemon=True)
        thread.start()
        url = {"conn_type": "http", "host": "127.0.0.1", "port": made.server_port, "password": KEY}
        monkeypatch.setenv("AIRFLOW_CONN_FINBRIDGE_ALERTS", json.dumps({**url, "extra": {"robot": "wecom"}}))
        yield made
        made.shutdown()
        thread.join()


def test_fifty_failures_and_one_green_run_are_two_messages(robot: Robot) -> None:
    for _ in range(50):
        alarms.on_failure(context(chained("broken_batch_rule", "1000")))
    alarms.on_success(context(None, task_id="check"))  # one green task of five proves nothing yet
    assert len(robot.got) == 1
    alarms.on_success(context(None, dag="sweep", task_id="account"))
    alarms.on_success(context(None, dag="sweep", task_id="account"))
    (opened, closed) = [body["text"]["content"] for _, body in robot.got]
    assert "告警 / ALARM" in opened
    assert "公司 company 1000" in opened
    assert "批次规则不通过" in opened
    assert "a batch rule is broken" in opened
    assert f"/dags/{FLOW_ID}__wake/runs/r1/tasks/check" in opened
    assert "docs/runbooks/broken-batch-rule.md" in opened
    assert "告警解除 / alarm closed" in closed
    assert "50×" in closed


def test_a_monthly_alarm_is_closed_by_the_same_company_alone(robot: Robot) -> None:
    for company in ("1000", "2000"):
        alarms.on_failure(context(chained("month_unexplained"), dag="monthly", task_id="compare", company=company))
    alarms.on_success(context(None, dag="sweep", task_id="account"))
    alarms.on_success(context(None, dag="monthly", task_id="compare", company="2000"))
    texts = [body["text"]["content"] for _, body in robot.got]
    assert [("解除" in text, "2000" in text) for text in texts] == [(False, False), (False, True), (True, True)]


def test_a_robot_that_refuses_is_told_again_at_the_next_occasion(
    robot: Robot, caplog: pytest.LogCaptureFixture
) -> None:
    robot.code = 45009
    alarms.on_failure(context(chained("hub_away")))
    assert "45009" in caplog.text
    assert KEY not in caplog.text
    robot.code = 0
    alarms.on_failure(context(chained("hub_away")))
    alarms.on_failure(context(chained("hub_away")))
    assert len(robot.got) == 2


def test_a_hub_that_is_away_leaves_a_line_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = {"conn_type": "postgres", "host": "127.0.0.1", "port": 9, "schema": "hub", "login": "a", "password": "pass1"}
    monkeypatch.setenv("AIRFLOW_CONN_HUB_DEFAULT", json.dumps(away))
    alarms.on_failure(context(chained("broken_batch_rule", "1000")))
    alarms.on_success(context(None, dag="sweep", task_id="account"))
    assert "broken_batch_rule" in caplog.text
    assert "pass1" not in caplog.text


def test_without_a_robot_an_alarm_is_a_log_line(
    robot: Robot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_FINBRIDGE_ALERTS")
    with caplog.at_level(logging.INFO):
        alarms.on_failure(context(chained("clock_skew")))
    assert "系统时钟不一致" in caplog.text
    assert robot.got == []


# ---------------------------------------------------------------------- what each robot wants


def alarm(**changes: Any) -> Alarm:
    from datetime import UTC, datetime

    at = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    values: dict[str, Any] = {name: "" for name in ("company", "detail", "dag_id", "run_id", "task_id")}
    values |= {"alarm_id": 1, "flow_id": "f", "cause": "hub_away", "opened_at": at, "last_seen_at": at, "times": 1}
    return Alarm(**{**values, "told_open_at": None, "closed_at": None, "told_close_at": None, **changes})


@pytest.mark.parametrize(
    ("robot_kind", "path", "query", "text_at"),
    [
        ("wecom", "/cgi-bin/webhook/send", {"key"}, ("text", "content")),
        ("dingtalk", "/robot/send", {"access_token", "timestamp", "sign"}, ("text", "content")),
        ("feishu", f"/open-apis/bot/v2/hook/{KEY}", set(), ("content", "text")),
        ("plain", "/alerts", {"key"}, ("text",)),
    ],
)
def test_each_robot_gets_its_form(robot_kind: str, path: str, query: set[str], text_at: tuple[str, ...]) -> None:
    extra = {"robot": robot_kind, "secret": "SEC1", "path": "/alerts"}
    settings = ConnectionSettings(conn_id="finbridge_alerts", host="h", password=KEY, extra=extra)
    call = notifier.call_of(settings, "文本", 1_700_000_000.0)
    assert (call.path, set(call.query)) == (path, query)
    found: Any = call.body
    for name in text_at:
        found = found[name]
    assert found == "文本"
    assert KEY not in repr(call)
    if robot_kind == "feishu":
        assert call.body["sign"]
        assert call.body["timestamp"] == "1700000000"


def test_a_robot_that_nobody_knows_is_named() -> None:
    settings = ConnectionSettings(conn_id="finbridge_alerts", host="h", extra={"robot": "fax"})
    with pytest.raises(GiveUp, match="fax"):
        notifier.call_of(settings, "x", 0)


def test_every_cause_has_its_page() -> None:
    pages = {page for *_, page in CAUSES.values()}
    assert len(CAUSES) >= 10
    folder = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
    assert sorted(page for page in pages if not (folder / page).exists()) == []
    linked = (folder / "README.md").read_text(encoding="utf-8")
    assert sorted(page for page in pages if f"({page})" not in linked) == []


def test_an_alarm_without_a_task_leads_to_the_page_of_the_day() -> None:
    link = urlsplit(text_of(alarm(), "http://airflow:8080/").splitlines()[-1])
    assert (link.path, parse_qs(link.query)) == ("/finbridge/today", {})
