"""A small demo on a real Airflow, from the past month to the repair by hand, with kills in it; one start-up for all.

kill -9 of the worker between finance's commit and the acknowledgement (C7), of the scheduler, and of the PostgreSQL
server that holds the hub (and Airflow's own database). Each comes back by itself; two minutes later nothing is open and
the four sets are empty.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from tools.demo.airflow_api import AirflowApi
from tools.demo.clock import Clock
from tools.demo.conductor import OA_ZONE, perform
from tools.demo.examine import Result
from tools.demo.history import past_month, tell
from tools.demo.kills import Kills
from tools.demo.stack import FLOW_ID, PAUSED, PROJECT, Stack, take_folder

DOCUMENTS = 60
MONTH = 60
SETTLED_WITHIN_SECONDS = 120.0
KILLED = ("scheduler", "hub-postgres")

pytestmark = pytest.mark.slow


@dataclass
class Shown:
    """What the module's one demo showed."""

    stack: Stack
    result: Result


def wait_for(what: str, reached: Callable[[], bool], seconds: float) -> None:
    """Poll a condition."""
    until = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Worker:
    """A worker that dies at C7: finance has committed, the answer is lost."""

    def __init__(self, stack: Stack, marker: Path) -> None:
        self.stack = stack
        self.marker = marker
        self.died = False

    def __call__(self) -> None:
        """The marker holds the crash point shut; without it the next post kills its own process and makes it anew."""
        self.marker.unlink()
        wait_for("a worker dies at C7", self.marker.exists, 60)
        self.died = True
        with self.stack.open_hub() as hub:
            before = hub.last_run_started(FLOW_ID)
            wait_for("a run begins after the kill", lambda: hub.last_run_started(FLOW_ID) != before, 60)


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    folder, lock = take_folder(PROJECT / ".run" / "e2e")
    marker = folder / "crashed"
    marker.touch()
    clock = Clock()
    month = past_month(7, datetime.now(OA_ZONE).replace(tzinfo=None), MONTH)
    stack = Stack(
        folder,
        clock.say,
        airflow_environment={**PAUSED, "FINBRIDGE_CRASH_AT": "C7", "FINBRIDGE_CRASH_ONCE": str(marker)},
        oa_ready=partial(tell, month=month),
    )
    worker, kills = Worker(stack, marker), Kills(stack, clock, KILLED)
    try:
        stack.start()
        result = asyncio.run(
            perform(
                stack,
                clock,
                seed=7,
                documents=DOCUMENTS,
                month=month,
                repair=True,
                disturb=worker,
                kills=kills,
                settle_seconds=SETTLED_WITHIN_SECONDS,
            )
        )
        assert worker.died
        yield Shown(stack, result)
    finally:
        stack.stop()
        lock.close()


def test_everything_was_killed_and_came_back(shown: Shown) -> None:
    assert [killed.name for killed in shown.result.kills] == list(KILLED)
    assert len({killed.pid for killed in shown.result.kills} - {0}) == len(KILLED)
    assert shown.stack.airflow_up.restarts["scheduler"] >= 1
    assert sorted(shown.stack.airflow_up.health()) != []


def test_settled_within_two_minutes_of_each_kill_and_at_the_end(shown: Shown) -> None:
    assert shown.result.settled, shown.result.failures
    seconds = [killed.settled_seconds for killed in shown.result.kills]
    assert all(found is not None and found <= SETTLED_WITHIN_SECONDS for found in seconds), seconds


def test_the_past_month_is_in_the_ledger_and_both_sides_agree(shown: Shown) -> None:
    month = shown.result.month
    assert month is not None
    assert month.failures == []
    assert [one.company for one in month.companies] == month.month.companies == ["1000", "2000"]
    assert sum(count for count, _ in month.ledger.values()) > MONTH / 2
    assert sum(len(one.differences) for one in month.companies) >= 4


def test_repairs_by_hand_change_what_was_asked_for_and_nothing_else(shown: Shown) -> None:
    by_hand = shown.result.by_hand
    assert by_hand is not None
    assert by_hand.failures == []
    assert [(run.live, len(run.gained.keys)) for run in by_hand.runs] == [(False, 0), (True, 1), (True, 0)]


def test_the_four_sets_are_empty_and_documents_moved(shown: Shown) -> None:
    assert shown.result.checker_code == 0, shown.result.checker_text
    assert shown.result.happened.written_back >= DOCUMENTS * 3 // 5
    assert shown.result.account["unexplained"] == ()


def test_what_the_killed_worker_had_posted_was_found_by_key_and_not_posted_again(shown: Shown) -> None:
    with shown.stack.open_hub() as hub:
        tried = {row["key"]: row["attempts"] for row in hub.register_rows(FLOW_ID) if row["live"]}
    posted = [row["key"] for row in shown.result.finance]
    assert len(posted) == len(set(posted))
    assert set(tried) <= set(posted)


def test_idle_time_makes_no_runs_although_the_watcher_goes_on_looking(shown: Shown) -> None:
    def lists() -> int:
        with urllib.request.urlopen(f"{shown.stack.control_url}/stats", timeout=10) as answer:
            return sum(count for name, count in json.load(answer)["calls"].items() if name.endswith("List"))

    def runs() -> int:
        return int(shown.stack.suite.execute("airflow", "SELECT count(*) FROM dag_run WHERE dag_id LIKE '%wake'")[0][0])

    looked, ran = lists(), runs()
    wait_for("the watcher looks four times more", lambda: lists() >= looked + 4, 60)
    assert runs() == ran


def test_parsing_again_and_again_makes_no_new_dag_versions(shown: Shown) -> None:
    found = shown.stack.suite.execute("airflow", "SELECT dag_id, count(*) FROM dag_version GROUP BY 1 ORDER BY 1")
    assert {f"{FLOW_ID}__{kind}" for kind in ("wake", "sweep", "monthly", "manual")} <= {dag_id for dag_id, _ in found}
    assert {versions for _, versions in found} == {1}, found


# ---------------------------------------------------------------------- the same Airflow, seen by people


def api_of(stack: Stack, user: str | None) -> AirflowApi:
    airflow = stack.airflow_up
    return AirflowApi(airflow.url, user, airflow.passwords()[user] if user else "")


def test_run_notes_carry_the_counts(shown: Shown) -> None:
    _, found = api_of(shown.stack, "engineer").call(
        "GET", f"/api/v2/dags/{FLOW_ID}__wake/dagRuns?limit=100&state=success"
    )
    notes = [run["note"] for run in found["dag_runs"]]
    assert notes
    assert all(note and "account: documents" in note for note in notes)


def test_airflow_has_no_complaint_about_dags_or_plugins(shown: Shown) -> None:
    api = api_of(shown.stack, "admin")
    assert api.call("GET", "/api/v2/importErrors")[1]["total_entries"] == 0
    assert api.call("GET", "/api/v2/plugins/importErrors")[1]["total_entries"] == 0
    assert "finbridge" in [plugin["name"] for plugin in api.call("GET", "/api/v2/plugins?limit=100")[1]["plugins"]]


def test_the_log_of_a_task_can_be_read_in_the_ui(shown: Shown) -> None:
    api = api_of(shown.stack, "engineer")
    _, found = api.call("GET", f"/api/v2/dags/{FLOW_ID}__wake/dagRuns?limit=1&state=success")
    path = f"/api/v2/dags/{FLOW_ID}__wake/dagRuns/{found['dag_runs'][0]['dag_run_id']}/taskInstances/account/logs/1"
    status, log = api.call("GET", path)
    assert status == 200
    assert f"{FLOW_ID} account: " in json.dumps(log)


def test_xcoms_are_counts_of_at_most_two_kilobytes(shown: Shown) -> None:
    sizes = shown.stack.suite.execute("airflow", "SELECT task_id, max(length(value::text)) FROM xcom GROUP BY 1")
    assert {task for task, _ in sizes} >= {"collect", "check", "deliver", "write_back", "account"}
    assert max(size for _, size in sizes) <= 2048


def test_no_secret_stands_in_a_log_or_an_xcom(shown: Shown) -> None:
    used = [shown.stack.connection(name) for name in ("tryton_default", "hub_default")]
    secrets = [row.password or "" for row in used] + [str(used[-1].extra["token_secret"])]
    with sqlite3.connect(shown.stack.state / "weaver" / "oa.sqlite3") as oa:
        secrets += [token for (token,) in oa.execute("SELECT token FROM token")]
    texts = {path: path.read_text(errors="replace") for path in (shown.stack.state / "airflow" / "logs").rglob("*.log")}
    texts |= {path: path.read_text(errors="replace") for path in (shown.stack.state / "airflow/components").iterdir()}
    assert len(texts) > 20
    assert len(secrets) > 4
    assert min(len(secret) for secret in secrets) > 8
    assert [(path.name, secret) for path, text in texts.items() for secret in secrets if secret in text] == []
    stored = str(shown.stack.suite.execute("airflow", "SELECT value FROM xcom"))
    assert [secret for secret in secrets if secret in stored] == []


def test_people_get_what_their_role_allows(shown: Shown) -> None:
    assert api_of(shown.stack, None).call("GET", "/api/v2/dags")[0] == 401
    engineer, admin = api_of(shown.stack, "engineer"), api_of(shown.stack, "admin")
    assert engineer.call("GET", "/api/v2/dags")[0] == 200
    assert engineer.call("GET", "/api/v2/connections")[0] == 403
    status, found = admin.call("GET", "/api/v2/connections")
    assert status == 200
    assert {c["connection_id"]: c["conn_type"] for c in found["connections"]} == {
        "weaver_default": "weaver",
        "tryton_default": "tryton",
        "journal_default": "journal",
        "hub_default": "postgres",
    }


@pytest.mark.parametrize(("conn_id", "says"), [("weaver_default", "OA time"), ("tryton_default", ": fin")])
def test_the_test_button_answers(shown: Shown, conn_id: str, says: str) -> None:
    row = shown.stack.connection(conn_id)
    body = {
        "connection_id": conn_id,
        "conn_type": row.conn_type,
        "host": row.host,
        "port": row.port,
        "schema": row.schema,
        "login": row.login,
        "password": row.password,
        "extra": json.dumps(dict(row.extra)),
    }
    status, found = api_of(shown.stack, "admin").call("POST", "/api/v2/connections/test", body)
    assert status == 200
    assert found["status"], found["message"]
    assert says in found["message"]
