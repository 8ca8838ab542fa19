"""The past month: what the OA held before the suite came, loaded and reconciled by the monthly DAG, company by company.

As a company begins to use the suite: every DAG is paused at first, so that the watcher does not take a month of old
documents for news. Somebody unpauses the monthly DAG: where its cut-off for that month is past, Airflow starts the run
that is due by itself, else somebody starts one. They look at both sides, run each company once more to see that nothing
changes, and let all DAGs go.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from finbridge.core.month import EVERY_COMPANY, period_before
from finbridge.core.runs import run_identity
from finbridge.hub import PostgresHub

from tools.demo import report
from tools.demo.acts.journals import Gained, gained, standing
from tools.demo.airflow_api import AirflowApi, ApiRefused
from tools.demo.clock import Clock
from tools.demo.history import Month, Totals
from tools.demo.oa_journal import OaJournal
from tools.demo.stack import FLOW_ID, Stack

DAG_ID = f"{FLOW_ID}__monthly"
LIMIT_SECONDS = 600.0
_BEGINS_WITHIN_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_ZONE = ZoneInfo("Asia/Shanghai")
_GREEN = "success"
Row = Mapping[str, Any]


@dataclass(kw_only=True)
class CompanyMonth:
    """What one run of the monthly DAG said."""

    company: str
    state: str
    unexplained: int | None
    sums: Sequence[Row]
    differences: Sequence[Row]


@dataclass(kw_only=True)
class MonthShown:
    """What the act found; ``failures`` empty means that the month is right."""

    month: Month
    companies: list[CompanyMonth] = field(default_factory=list)
    ledger: Totals = field(default_factory=dict)
    tasks: list[tuple[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    again: list[str] = field(default_factory=list)  # states of the second runs
    changed: Gained | None = None  # by the second runs
    failures: list[str] = field(default_factory=list)


async def past_month(stack: Stack, clock: Clock, month: Month, journal: OaJournal) -> MonthShown:
    """Load the month, hold what it says against the truth, run each company again, and unpause all DAGs."""
    shown = MonthShown(month=month)
    api = await asyncio.to_thread(engineer_of, stack)
    title = f"past month {month.period}: {len(month.documents)} documents by {DAG_ID}"
    async with clock.phase("past month", title):
        await _load(stack, clock, api, shown)
    companies = ", ".join(month.companies)
    async with clock.phase("past month again", f"the same month once more, for each of the companies {companies}"):
        before = await standing(stack, journal)
        shown.again = await _again(api, month)
        shown.changed = await gained(stack, journal, before)
        clock.say(f"second runs: {', '.join(shown.again)}; {shown.changed}")
    freed = await asyncio.to_thread(api.unpause, "%")
    clock.say(f"{len(freed)} DAGs unpaused: from now on the watcher follows the OA")
    shown.failures.extend(failures(shown))
    return shown


async def _load(stack: Stack, clock: Clock, api: AirflowApi, shown: MonthShown) -> None:
    paused = await asyncio.to_thread(api.dags)
    clock.say(f"all {len(paused)} DAGs are paused: {all(paused.values())}; the watcher has taken no document yet")
    if not all(paused.values()):
        shown.failures.append("not every DAG was paused before the month")
    begin = time.monotonic()
    run_id = await _begin(api, clock, shown.month)
    run = await api.ended(DAG_ID, run_id, LIMIT_SECONDS)
    shown.seconds = time.monotonic() - begin
    shown.tasks = [_task(task) for task in await asyncio.to_thread(api.tasks, DAG_ID, run_id)]
    await asyncio.to_thread(_read, stack, clock, shown, run_id, str(run["state"]))


def _read(stack: Stack, clock: Clock, shown: MonthShown, run_id: str, state: str) -> None:
    """What the hub and the ledger say about the month."""
    with stack.open_hub() as hub:
        for company in shown.month.companies:
            one = CompanyMonth(company=company, state=state, **_said(hub, company, run_id))
            shown.companies.append(one)
            clock.say(
                f"company {company} · period {shown.month.period}: {one.state}, {one.unexplained} unexplained, "
                f"{len(one.differences)} differences"
            )
    shown.ledger = in_ledger(stack, shown.month.period)


async def _begin(api: AirflowApi, clock: Clock, month: Month) -> str:
    """Unpause the DAG; the run that Airflow starts for the month, or one of our own where none is due yet."""
    due = (await asyncio.to_thread(api.must, "GET", f"/api/v2/dags/{DAG_ID}"))["next_dagrun_run_after"]
    moment = datetime.fromisoformat(due) if due else None
    await asyncio.to_thread(api.pause, DAG_ID, False)
    if moment is None or moment > datetime.now(UTC) or period_before(moment.astimezone(_ZONE).date()) != month.period:
        conf = {"company": EVERY_COMPANY, "period": month.period}
        run_id = await asyncio.to_thread(api.trigger, DAG_ID, conf)
        clock.say(f"{DAG_ID} unpaused and started by hand: {run_id}")
        return run_id
    until = time.monotonic() + _BEGINS_WITHIN_SECONDS
    while time.monotonic() < until:
        path = f"/api/v2/dags/{DAG_ID}/dagRuns?limit=10"
        runs = (await asyncio.to_thread(api.must, "GET", path))["dag_runs"]
        if runs:
            clock.say(f"{DAG_ID} unpaused; Airflow starts the run that is due: {runs[0]['dag_run_id']}")
            return str(runs[0]["dag_run_id"])
        await asyncio.sleep(_LOOK_SECONDS)
    raise ApiRefused(f"{DAG_ID} was due at {due}, and no run began")


async def _again(api: AirflowApi, month: Month) -> list[str]:
    """One more run for each company, beside each other; how they ended."""
    asked = [{"company": company, "period": month.period} for company in month.companies]
    runs = [await asyncio.to_thread(api.trigger, DAG_ID, conf) for conf in asked]
    return [str((await api.ended(DAG_ID, run_id, LIMIT_SECONDS))["state"]) for run_id in runs]


def _task(task: Mapping[str, Any]) -> tuple[str, float]:
    """Name with the company's label, and seconds."""
    label = task.get("rendered_map_index") or ""
    return f"{task['task_id']} {label}".strip(), float(task["duration"] or 0.0)


def engineer_of(stack: Stack) -> AirflowApi:
    """Airflow as the data engineer sees it."""
    airflow = stack.airflow_up
    return AirflowApi(airflow.url, "engineer", airflow.passwords()["engineer"])


def _said(hub: PostgresHub, company: str, run_id: str) -> dict[str, Any]:
    """What the hub keeps of a run's reconciliation of the company's month."""
    runs = [
        run
        for run in hub.months.runs(FLOW_ID, 20)
        if (run["company"], run["run_id"]) == (company, run_identity(DAG_ID, run_id))
    ]
    if not runs:
        return {"unexplained": None, "sums": (), "differences": ()}
    latest = max(runs, key=lambda run: int(run["month_run_id"]))
    number = int(latest["month_run_id"])
    return {
        "unexplained": latest["unexplained"],
        "sums": hub.months.sums(number),
        "differences": hub.months.differences(number),
    }


def in_ledger(stack: Stack, period: str) -> Totals:
    """Vouchers and turnover of a period by company, kind and currency, from the ledger's own journal."""
    path = stack.state / "past-month.jsonl"
    stack.ledger_up.export_journal(path)
    return totals_of(report.read_journal(path), period)


def totals_of(finance: Sequence[Row], period: str) -> Totals:
    """The same from rows of the journal; amounts are the debit side."""
    vouchers: Counter[tuple[str, str, str]] = Counter()
    amounts: Counter[tuple[str, str, str]] = Counter()
    for row in finance:
        if row["period"] == period:
            key = (str(row["company"]), str(row["kind"]), str(row["currency"]))
            vouchers[key] += 1
            amounts[key] += sum(_fen(line["debit"]) for line in row["lines"])
    return {key: (vouchers[key], amounts[key]) for key in sorted(vouchers)}


def _fen(text: str) -> int:
    whole, _, rest = text.partition(".")
    sign = -1 if whole.startswith("-") else 1
    return int(whole) * 100 + sign * int(rest.ljust(2, "0")[:2] or 0)


def failures(shown: MonthShown) -> list[str]:
    """Where the runs or the ledger are not what the month's stories call for."""
    found = []
    for one in shown.companies:
        where = f"month {shown.month.period} of company {one.company}"
        if one.state != _GREEN:
            found.append(f"{where}: the run is {one.state}")
        if one.unexplained != 0:
            found.append(f"{where}: {one.unexplained} unexplained differences")
        held = {str(row["document_id"]) for row in one.differences if row["what"] == "held"}
        wanted = {d.request_id for d in shown.month.documents if d.held and d.claim.company == one.company}
        if held != wanted:
            found.append(f"{where}: held {len(held)}, not {len(wanted)}: {_some(held ^ wanted)}")
    if shown.again != [_GREEN] * len(shown.month.companies):
        found.append(f"month {shown.month.period}: the second runs are {', '.join(shown.again) or 'missing'}")
    if shown.changed is None or shown.changed:
        found.append(f"month {shown.month.period}: a second run changed something: {shown.changed}")
    truth = shown.month.totals()
    for key in sorted(truth.keys() | shown.ledger.keys()):
        if truth.get(key) != shown.ledger.get(key):
            found.append(
                f"month {shown.month.period} {' '.join(key)}: ledger {shown.ledger.get(key)}, not {truth.get(key)}"
            )
    return found


def _some(names: set[str]) -> str:
    return " ".join(sorted(names)[:10])
