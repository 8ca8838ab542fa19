"""The conductor: starts everything, lets the company work, waits until it is settled, and tells what became of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from finbridge.core.connections import ConnectionSettings
from finbridge.flows.config import load_flows
from finbridge.hub import PostgresHub
from finbridge.systems import adapter_of
from finbridge.tasks.settings import ConnectionRow
from finbridge.tasks.watch import Lookout

from tools.demo import report
from tools.demo.claims import Company
from tools.demo.oa_journal import OaJournal
from tools.demo.people import People
from tools.demo.scenario import Fate, Play, cast, plan
from tools.demo.stack import FLOW_ID, PROJECT, Stack

WARM_UP = 12
SETTLE_SECONDS = 120.0
#: Settled means that two looks in a row, this far apart, find nothing to do.
_LOOK_SECONDS = 1.5
_SHANGHAI = ZoneInfo("Asia/Shanghai")


class Clock:
    """Says things with the seconds since the start, and measures phases."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self.phases: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line of progress."""
        with self._lock:
            print(f"{self.now:6.1f} s  {text}", flush=True)

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    @asynccontextmanager
    async def phase(self, name: str, title: str) -> AsyncIterator[None]:
        """Say the title, measure the block under the name."""
        self.say(title)
        begin = self.now
        yield
        self.phases[name] = self.now - begin


@dataclass(kw_only=True)
class Result:
    """What the demo found; ``failures`` empty means that everything promised was shown."""

    play: Play
    settled: bool
    oa: Sequence[dict[str, Any]]
    finance: Sequence[dict[str, Any]]
    held: Mapping[str, str]
    account: Mapping[str, Any]
    lag_paced: report.Lag | None
    lag_all: report.Lag | None
    happened: report.Happened
    checker_code: int
    checker_text: str
    runs: Mapping[str, Any]
    failures: list[str] = field(default_factory=list)


async def perform(
    stack: Stack,
    clock: Clock,
    *,
    seed: int,
    documents: int,
    disturb: Callable[[], None] | None = None,
    settle_seconds: float = SETTLE_SECONDS,
) -> Result:
    """Play everything on a started stack.

    Args:
        disturb: called in a thread of its own when the main act begins (tests kill things there).
        settle_seconds: how long the suite may take after the last event.
    """
    company = Company(seed, datetime.now(_SHANGHAI).date())
    people = cast(company, plan(documents))
    async with OaJournal(stack.control_url).tailed() as journal, People(stack.oa_url) as users:
        play = Play(people=users, journal=journal, company=company, documents=people, seed=seed)
        await _acts(play, clock, documents, disturb)
        async with clock.phase("settling", f"all {documents} documents played; waiting until the suite is settled"):
            settled = await _settle(stack, clock, settle_seconds)
        await journal.catch_up()
    return await asyncio.to_thread(_examine, stack, play, settled)


async def _acts(play: Play, clock: Clock, documents: int, disturb: Callable[[], None] | None) -> None:
    async with clock.phase("warm-up", "warm-up: the first claims go through"):
        warmed = await play.warm_up(min(WARM_UP, len(play.of(Fate.CLEAN))))
    burst = len(play.of(Fate.BURST))
    async with clock.phase(
        "burst", f"burst: {burst} claims submitted and approved within one second of the OA's clock"
    ):
        events = await play.burst()
        clock.say(f"{events} events carry the time {play.burst_second}; all of their documents are answered for")
    paced = len(play.of(Fate.PACED))
    title = f"main act: {paced} approvals at one a second, beside them {documents - paced - burst - len(warmed)} others"
    async with clock.phase("main act", title):
        ticker = asyncio.create_task(_tick(play, clock))
        disturbing = asyncio.create_task(asyncio.to_thread(disturb)) if disturb else None
        try:
            await play.main_act(warmed)
            if disturbing is not None:
                await disturbing
        finally:
            ticker.cancel()


async def _tick(play: Play, clock: Clock) -> None:
    """A line of progress every 15 seconds."""
    while True:
        await asyncio.sleep(15)
        nodes = Counter(entry["node"] for entry in play.journal.latest.values())
        clock.say("documents by node: " + ", ".join(f"{node} {count}" for node, count in nodes.most_common()))


# ---------------------------------------------------------------------- settled


async def _settle(stack: Stack, clock: Clock, limit: float) -> bool:
    """Until two looks in a row find nothing unread, nothing due and no active run; False when the time is over."""
    until = time.monotonic() + limit
    quiet, told = 0, 0.0
    while time.monotonic() < until:
        try:
            open_ends = await look(stack)
        except Exception as error:  # a part is just coming back
            open_ends = {type(error).__name__: 1}
        quiet = 0 if open_ends else quiet + 1
        if quiet > 1:
            return True
        if open_ends and time.monotonic() - told > 10:
            told = time.monotonic()
            clock.say("still open: " + ", ".join(f"{name} {count}" for name, count in open_ends.items()))
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def look(stack: Stack) -> dict[str, int]:
    """What is still to be done, by name; empty when nothing is."""
    flow = load_flows(PROJECT / "include" / "flows")[FLOW_ID]
    with stack.open_hub() as hub:
        settings = settings_of(stack.connection(flow.source_connection))
        source = adapter_of(flow.source_system).connect(settings, tokens=hub.tokens, flow=flow)
        try:
            seen = await Lookout(flow=flow, source=source, hub=hub, thorough_seconds=0).look()
        finally:
            await source.close()
        staged = await asyncio.to_thread(lambda: Counter(str(row["stage"]) for row in hub.document_rows(FLOW_ID)))
    active = stack.suite.execute("airflow", "SELECT count(*) FROM dag_run WHERE state IN ('running', 'queued')")[0][0]
    del staged["None"]
    found = {"unread in the OA": len(seen.rows), **staged, "active runs": int(active)}
    return {str(name): count for name, count in found.items() if count}


def settings_of(row: ConnectionRow) -> ConnectionSettings:
    """A connection of the settings file as a client takes it."""
    return ConnectionSettings(
        conn_id=row.conn_id,
        host=row.host or "",
        port=row.port,
        scheme=row.schema or "http",
        login=row.login or "",
        password=row.password or "",
        database=str(row.extra.get("database", "")),
        extra=row.extra,
    )


# ---------------------------------------------------------------------- examine


def _examine(stack: Stack, play: Play, settled: bool) -> Result:
    if stack.ledger is None:
        raise RuntimeError("the ledger was never started")
    oa_file, finance_file, held_file = (stack.state / name for name in ("oa.jsonl", "finance.jsonl", "held.txt"))
    report.write_journal(oa_file, play.journal.entries)
    stack.ledger.export_journal(finance_file)
    finance = report.read_journal(finance_file)
    with stack.open_hub() as hub:
        held = held_documents(hub)
        account = hub.account(FLOW_ID)
    held_file.write_text("".join(f"{name} {reason}\n" for name, reason in held.items()), encoding="utf-8")
    minimum = len(play.documents) * 3 // 5
    code, text = report.run_checker(oa_file, finance_file, held_file, minimum)
    paced = frozenset(document.request_id for document in play.of(Fate.PACED))
    result = Result(
        play=play,
        settled=settled,
        oa=play.journal.entries,
        finance=finance,
        held=held,
        account={"due": dict(account.due), "unexplained": account.unexplained, "vouchers": dict(account.vouchers)},
        lag_paced=report.lag(report.lags(play.journal.entries, paced)),
        lag_all=report.lag(report.lags(play.journal.entries)),
        happened=report.happened(play.journal.entries, finance, held),
        checker_code=code,
        checker_text=text,
        runs=_runs(stack),
    )
    result.failures.extend(_failures(result))
    return result


def held_documents(hub: PostgresHub) -> dict[str, str]:
    """Document id -> first reason, from the hub's open holds."""
    return {str(row["document_id"]): str(row["holds"][0]) for row in hub.document_rows(FLOW_ID) if row["holds"]}


def _runs(stack: Stack) -> dict[str, Any]:
    """How Airflow's runs went: their number by state, and mean seconds by task."""
    states = stack.suite.execute(
        "airflow", "SELECT split_part(dag_id, '__', 3) || ' ' || state, count(*) FROM dag_run GROUP BY 1 ORDER BY 1"
    )
    tasks = stack.suite.execute(
        "airflow",
        "SELECT task_id, avg(duration), max(duration) FROM task_instance WHERE duration > 0 GROUP BY 1 ORDER BY 2 DESC",
    )
    wake = stack.suite.execute(
        "airflow", "SELECT avg(end_date - start_date), max(end_date - start_date) FROM dag_run WHERE state = 'success'"
    )
    return {"states": dict(states), "tasks": tasks, "run": wake[0]}


def _failures(result: Result) -> list[str]:
    failures = []
    if not result.settled:
        failures.append(f"not settled: {result.account['due']}")
    if result.checker_code:
        failures.append(f"the checker ended with {result.checker_code}")
    if result.account["unexplained"]:
        failures.append(f"unexplained in the hub: {' '.join(result.account['unexplained'])}")
    if result.lag_paced is None:
        failures.append("no lag could be measured")
    failures.extend(result.happened.short_of(len(result.play.documents)))
    return failures


def facts(stack: Stack, state: Path) -> dict[str, object]:
    """Where everything answers, for people who look around."""
    airflow = stack.airflow
    return {
        "state": str(state),
        "airflow": airflow.url if airflow else "",
        "users": airflow.passwords() if airflow else {},
        "oa": stack.oa_url,
        "ledger": stack.ledger.url if stack.ledger else "",
    }
