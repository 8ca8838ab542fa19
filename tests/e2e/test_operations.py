"""What operators do to a running Airflow: pause it in the middle of a burst, and let it go on. One start-up for all."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from finbridge.cli.stack.postgres import HOST

from tools.demo import report
from tools.demo.airflow_api import AirflowApi
from tools.demo.claims import Company
from tools.demo.clock import Clock
from tools.demo.oa_journal import OaJournal
from tools.demo.people import People
from tools.demo.settling import look
from tools.demo.stack import FLOW_ID, PROJECT, Stack, take_folder

pytestmark = pytest.mark.slow

WAKE, SWEEP = f"{FLOW_ID}__wake", f"{FLOW_ID}__sweep"
BURST, BURST_SECONDS = 100, 10.0
#: The stated grace (docs/operations.md): this long after the click nothing more is sent.
GRACE_SECONDS = 5.0
#: How long the quiet is watched.
QUIET_SECONDS = 15.0
#: Between two looks at everything: each reads the OA's lists and the whole hub, half a core when made without a rest.
LOOK_SECONDS = 0.7
#: A busy machine takes its time; what is promised within seconds is the quiet, not the rest.
SETTLED_WITHIN_SECONDS = 300.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    folder, lock = take_folder(PROJECT / ".run" / "e2e")
    made = Stack(folder, Clock().say)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        lock.close()


def api_of(stack: Stack, user: str) -> AirflowApi:
    """Airflow as this user sees it."""
    assert stack.airflow is not None
    return AirflowApi(stack.airflow.url, user, stack.airflow.passwords()[user])


async def until(what: str, reached: Callable[[], bool], seconds: float, *, every: float = 0.1) -> None:
    """Poll a condition."""
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(reached):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        await asyncio.sleep(every)


def finance_times(stack: Stack) -> list[datetime]:
    """When finance took each voucher, by its own clock."""
    assert stack.ledger is not None
    stack.ledger.export_journal(stack.state / "finance.jsonl")
    return [datetime.fromisoformat(row["at"]) for row in report.read_journal(stack.state / "finance.jsonl")]


def form_times(journal: OaJournal) -> list[datetime]:
    """When the suite touched a form, by the OA's clock: a number written, a document moved on."""
    return [datetime.fromisoformat(entry["at"]) for entry in journal.entries if entry["integration"]]


def set_paused(api: AirflowApi, dag_id: str, paused: bool) -> datetime:
    """The click; returns when it was answered."""
    status, answer = api.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})
    assert (status, answer["is_paused"]) == (200, paused)
    return datetime.now(UTC)


def settled(stack: Stack) -> bool:
    return not asyncio.run(look(stack))


async def play(stack: Stack, paused: str, seed: int) -> None:
    """Approvals in a burst, a click in the middle of it, a quiet, another click."""
    api = api_of(stack, "engineer")
    company = Company(seed, datetime.now(ZoneInfo("Asia/Shanghai")).date())
    before = len(await asyncio.to_thread(finance_times, stack))
    async with OaJournal(stack.control_url).tailed() as journal, People(stack.oa_url) as people:
        await people.approve(await people.create(company.claim()))  # the first task after a start takes seconds longer
        await until(
            "warm",
            lambda: len(finance_times(stack)) > before and settled(stack),
            SETTLED_WITHIN_SECONDS,
            every=LOOK_SECONDS,
        )
        before += 1
        names = [await people.create(company.claim()) for _ in range(BURST)]

        async def approve_all() -> None:
            for name in names:
                await people.approve(name)
                await asyncio.sleep(BURST_SECONDS / BURST)  # a burst has a length, else one run takes it whole

        approving = asyncio.create_task(approve_all())
        await until("the first of the burst are posted", lambda: len(finance_times(stack)) > before, 60)
        clicked = await asyncio.to_thread(set_paused, api, paused, True)
        await approving
        await asyncio.sleep(GRACE_SECONDS + QUIET_SECONDS)  # a quiet has a length; nothing is waited for here
        await journal.catch_up()
        silent_from = clicked + timedelta(seconds=GRACE_SECONDS)
        posted = await asyncio.to_thread(finance_times, stack)
        assert [str(at) for at in posted if at > silent_from] == []
        assert [str(at) for at in form_times(journal) if at > silent_from] == []
        assert 0 < len(posted) - before < BURST, "everything was sent before the click: this proves nothing"
        await asyncio.to_thread(runs_stand_still, stack)

        await asyncio.to_thread(set_paused, api, paused, False)
        await until("everything arrives by itself", lambda: settled(stack), SETTLED_WITHIN_SECONDS, every=LOOK_SECONDS)
        await journal.catch_up()
        report.write_journal(stack.state / "oa.jsonl", journal.entries)
    assert len(await asyncio.to_thread(finance_times, stack)) - before == BURST


def runs_stand_still(stack: Stack) -> None:
    """At most one run waits in each paused DAG, none is red."""
    found = stack.suite.execute(
        "airflow", "SELECT dag_id, state, count(*) FROM dag_run WHERE dag_id = ANY(%s) GROUP BY 1, 2", [[WAKE, SWEEP]]
    )
    assert {count for _, state, count in found if state == "queued"} <= {1}
    assert [row for row in found if row[1] == "failed"] == []


def check_sets(stack: Stack, minimum: int) -> None:
    """The checker's four sets are empty."""
    with stack.open_hub() as hub:
        held_rows = [row for row in hub.document_rows(FLOW_ID) if row["holds"]]
        lines = [f"{row['document_id']} {row['holds'][0]}\n" for row in held_rows]
        assert hub.account(FLOW_ID).unexplained == ()
    (stack.state / "held.txt").write_text("".join(lines), encoding="utf-8")
    oa, finance, held = (stack.state / name for name in ("oa.jsonl", "finance.jsonl", "held.txt"))
    code, text = report.run_checker(oa, finance, held, minimum)
    assert code == 0, text


@pytest.mark.parametrize(("paused", "seed"), [(WAKE, 31), (SWEEP, 32)])
def test_a_pause_in_a_burst_stops_everything_and_afterwards_everything_arrives(
    stack: Stack, paused: str, seed: int
) -> None:
    asyncio.run(play(stack, paused, seed))
    check_sets(stack, BURST)
    if paused == WAKE:
        return  # a click between two tasks of its run only keeps the next one from starting: nothing is noted
    notes = stack.suite.execute("airflow", "SELECT content FROM dag_run_note WHERE content LIKE '%paused:%'")
    assert any(paused in note for (note,) in notes), "no run says that it was paused"


# ---------------------------------------------------------------------- the two DAGs of operations


def run_dag(stack: Stack, dag_id: str, conf: dict[str, object] | None = None) -> dict[str, str]:
    """Trigger as a person does and wait for the end: state and note."""
    api = api_of(stack, "admin")
    body = {"logical_date": None, "conf": conf or {}}
    status, run = api.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
    assert status == 200, run
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run['dag_run_id']}"

    def ended() -> bool:
        run.update(api.call("GET", path)[1])
        return run["state"] in ("success", "failed")

    asyncio.run(until(f"{dag_id} ends", ended, SETTLED_WITHIN_SECONDS))
    return {"state": run["state"], "note": run["note"] or "", "run_id": run["dag_run_id"]}


def alarms(stack: Stack) -> list[tuple[str, bool, bool]]:
    """Cause, whether it is closed, whether people know as much."""
    with stack.open_hub() as hub:
        rows = hub.alarms.recent_rows()
    told = [row["told_close_at"] if row["closed_at"] else row["told_open_at"] for row in rows]
    return [(row["cause"], row["closed_at"] is not None, at is not None) for row, at in zip(rows, told, strict=True)]


def alarms_become(stack: Stack, known: int, wanted: tuple[str, bool, bool]) -> None:
    """Exactly this one alarm beside those known before: a task's callback runs after its state is known."""
    asyncio.run(until(f"{wanted}", lambda: alarms(stack)[: len(alarms(stack)) - known] == [wanted], 60))


def test_connections_are_checked_and_a_system_that_is_away_is_one_alarm_open_and_closed(stack: Stack) -> None:
    green = run_dag(stack, "finbridge__check_connections")
    assert green["state"] == "success", green
    assert "tryton_default: 正常 ok" in green["note"]
    assert "weaver_default: 正常 ok" in green["note"]
    assert "clock +0 s" in green["note"]
    assert stack.ledger is not None
    for dag_id in (WAKE, SWEEP):
        set_paused(api_of(stack, "admin"), dag_id, True)  # only the check shall meet a ledger that is away
    stack.ledger.stop()
    try:
        for _ in range(2):
            red = run_dag(stack, "finbridge__check_connections")
            assert red["state"] == "failed"
            assert red["note"].startswith("tryton_default: connect_failed")
    finally:
        stack.ledger.start()
    assert alarms(stack) == [("connection_failed", False, True)]
    assert run_dag(stack, "finbridge__check_connections")["state"] == "success"
    assert alarms(stack) == [("connection_failed", True, True)]
    for dag_id in (WAKE, SWEEP):
        set_paused(api_of(stack, "admin"), dag_id, False)


def test_a_red_task_is_one_alarm_and_the_next_green_run_closes_it(stack: Stack) -> None:
    known = len(alarms(stack))
    stack.weaver.stop()
    try:
        for _ in range(2):
            assert run_dag(stack, SWEEP)["state"] == "failed"
        alarms_become(stack, known, ("connect_failed", False, True))
    finally:
        stack.control_url = f"http://{HOST}:{stack.weaver.start().wait_ready(60)['control_port']}"
    assert run_dag(stack, SWEEP)["state"] == "success"
    alarms_become(stack, known, ("connect_failed", True, True))


def test_housekeeping_takes_old_rows_and_logs_and_leaves_new_and_running_ones(stack: Stack) -> None:
    rows = stack.suite.execute(
        "airflow", "SELECT run_id FROM dag_run WHERE dag_id = %s AND state = 'success' ORDER BY start_date", [WAKE]
    )
    old, older, *_, new = (run_id for (run_id,) in rows)
    assert stack.airflow is not None
    logs = stack.airflow.state / "logs" / f"dag_id={WAKE}"
    for run_id, days in ((old, 200), (older, 150)):
        for statement in (
            "UPDATE dag_run SET start_date = start_date - %s * interval '1 day' WHERE run_id = %s",
            "UPDATE task_instance SET start_date = start_date - %s * interval '1 day' WHERE run_id = %s",
        ):
            stack.suite.execute("airflow", statement, [days, run_id])
        for path in (folder := logs / f"run_id={run_id}", *folder.rglob("*")):
            written = time.time() - days * 86400
            os.utime(path, (written, written))
    # a run that began 170 days ago and waits still: nothing that is younger than it goes
    waiting = "UPDATE dag_run SET state = %s, start_date = start_date - %s * interval '1 day' WHERE run_id = %s"
    set_paused(api_of(stack, "admin"), WAKE, True)  # Airflow leaves the run as it is meanwhile
    stack.suite.execute("airflow", waiting, ["running", 170, new])
    left = "SELECT run_id FROM dag_run WHERE run_id = ANY(%s) ORDER BY start_date"
    try:
        done = run_dag(stack, "finbridge__housekeeping")
        assert done["state"] == "success", done
        assert "dag_run" in done["note"]
        names = [old, older, new]
        assert [name for (name,) in stack.suite.execute("airflow", left, [names])] == [new, older]
        assert [(logs / f"run_id={name}").exists() for name in names] == [False, True, True]
        stack.suite.execute("airflow", waiting, ["success", -170, new])
        assert run_dag(stack, "finbridge__housekeeping")["state"] == "success"
        assert [name for (name,) in stack.suite.execute("airflow", left, [names])] == [new]
        assert (logs / f"run_id={new}").exists()
    finally:
        set_paused(api_of(stack, "admin"), WAKE, False)
    with stack.open_hub() as hub:
        assert len(list(hub.document_rows(FLOW_ID))) >= BURST, "evidence is never taken away"
