"""A small demo on a real Airflow in which everything that can be killed is killed in the middle; one start-up for all.

kill -9 of the worker between finance's commit and the acknowledgement (C7), of the scheduler, and of the PostgreSQL
server that holds the hub (and Airflow's own database). Each comes back by itself; two minutes later nothing is open and
the four sets are empty.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.demo.conductor import Clock, Result, perform
from tools.demo.stack import FLOW_ID, PROJECT, Stack, take_folder

DOCUMENTS = 60
SETTLED_WITHIN_SECONDS = 120.0
OUTAGE_SECONDS = 2.0

pytestmark = pytest.mark.slow


@dataclass
class Shown:
    """What the module's one demo showed."""

    stack: Stack
    result: Result
    killed: dict[str, float]
    settled_at: float


def wait_for(what: str, reached: Callable[[], bool], seconds: float) -> None:
    """Poll a condition."""
    until = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Killer:
    """Kills one thing after the other, each while claims are under way, and waits until it lives again."""

    def __init__(self, stack: Stack, marker: Path) -> None:
        self.stack = stack
        self.marker = marker
        self.killed: dict[str, float] = {}

    def __call__(self) -> None:
        self._worker()
        self._scheduler()
        self._database()

    def _worker(self) -> None:
        """The marker holds the crash point shut; without it the next post kills its own process and makes it anew."""
        self.marker.unlink()
        wait_for("a worker dies at C7", self.marker.exists, 60)
        self.killed["worker"] = time.monotonic()
        self._until_a_run_begins()

    def _scheduler(self) -> None:
        airflow = self.stack.airflow
        assert airflow is not None
        before = airflow.pid("scheduler")
        airflow.kill("scheduler")
        self.killed["scheduler"] = time.monotonic()
        wait_for("the scheduler is started again", lambda: airflow.pid("scheduler") not in (0, before), 30)
        self._until_a_run_begins()

    def _until_a_run_begins(self) -> None:
        with self.stack.open_hub() as hub:
            before = hub.last_run_started(FLOW_ID)
            wait_for("a run begins after the kill", lambda: hub.last_run_started(FLOW_ID) != before, 60)

    def _database(self) -> None:
        self.stack.suite.kill()
        self.killed["database"] = time.monotonic()
        time.sleep(OUTAGE_SECONDS)  # an outage has a length; nothing is waited for here
        self.stack.suite.start()


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    folder, lock = take_folder(PROJECT / ".run" / "e2e")
    marker = folder / "crashed"
    marker.touch()
    clock = Clock()
    stack = Stack(
        folder,
        clock.say,
        airflow_environment={"FINBRIDGE_CRASH_AT": "C7", "FINBRIDGE_CRASH_ONCE": str(marker)},
    )
    killer = Killer(stack, marker)
    try:
        stack.start()
        result = asyncio.run(
            perform(stack, clock, seed=7, documents=DOCUMENTS, disturb=killer, settle_seconds=SETTLED_WITHIN_SECONDS)
        )
        yield Shown(stack, result, killer.killed, time.monotonic())
    finally:
        stack.stop()
        lock.close()


def test_everything_was_killed_and_came_back(shown: Shown) -> None:
    assert sorted(shown.killed) == ["database", "scheduler", "worker"]
    assert shown.stack.airflow is not None
    assert shown.stack.airflow.restarts["scheduler"] >= 1
    assert sorted(shown.stack.airflow.health()) != []


def test_settled_within_two_minutes_of_the_last_kill(shown: Shown) -> None:
    assert shown.result.settled, shown.result.failures
    assert shown.settled_at - max(shown.killed.values()) <= SETTLED_WITHIN_SECONDS


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
    assert found == [(f"{FLOW_ID}__sweep", 1), (f"{FLOW_ID}__wake", 1)]


# ---------------------------------------------------------------------- the same Airflow, seen by people


class Api:
    """Airflow's REST API as one user."""

    def __init__(self, stack: Stack, user: str | None) -> None:
        assert stack.airflow is not None
        self.url = stack.airflow.url
        self.token = ""
        if user is not None:
            body = {"username": user, "password": stack.airflow.passwords()[user]}
            self.token = self("POST", "/auth/token", body)[1]["access_token"]

    def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def test_run_notes_carry_the_counts(shown: Shown) -> None:
    _, found = Api(shown.stack, "engineer")("GET", f"/api/v2/dags/{FLOW_ID}__wake/dagRuns?limit=100&state=success")
    notes = [run["note"] for run in found["dag_runs"]]
    assert notes
    assert all(note and "account: documents" in note for note in notes)


def test_airflow_has_no_complaint_about_dags_or_plugins(shown: Shown) -> None:
    api = Api(shown.stack, "admin")
    assert api("GET", "/api/v2/importErrors")[1]["total_entries"] == 0
    assert api("GET", "/api/v2/plugins/importErrors")[1]["total_entries"] == 0
    assert "finbridge" in [plugin["name"] for plugin in api("GET", "/api/v2/plugins?limit=100")[1]["plugins"]]


def test_the_log_of_a_task_can_be_read_in_the_ui(shown: Shown) -> None:
    api = Api(shown.stack, "engineer")
    _, found = api("GET", f"/api/v2/dags/{FLOW_ID}__wake/dagRuns?limit=1&state=success")
    path = f"/api/v2/dags/{FLOW_ID}__wake/dagRuns/{found['dag_runs'][0]['dag_run_id']}/taskInstances/account/logs/1"
    status, log = api("GET", path)
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
    assert Api(shown.stack, None)("GET", "/api/v2/dags")[0] == 401
    engineer, admin = Api(shown.stack, "engineer"), Api(shown.stack, "admin")
    assert engineer("GET", "/api/v2/dags")[0] == 200
    assert engineer("GET", "/api/v2/connections")[0] == 403
    status, found = admin("GET", "/api/v2/connections")
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
    status, found = Api(shown.stack, "admin")("POST", "/api/v2/connections/test", body)
    assert status == 200
    assert found["status"], found["message"]
    assert says in found["message"]
