"""The past month: what the OA held before the suite came, loaded and reconciled by the monthly DAG for each company.

As a company begins to use the suite: every DAG is paused at first, so that the watcher does not take a month of old
documents for news; somebody starts the monthly DAG for the month, looks at both sides, and then lets all DAGs go.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finbridge.hub import PostgresHub

from tools.demo import report
from tools.demo.airflow_api import AirflowApi
from tools.demo.clock import Clock
from tools.demo.history import Month, Totals
from tools.demo.stack import FLOW_ID, Stack

DAG_ID = f"{FLOW_ID}__monthly"
LIMIT_SECONDS = 600.0
_GREEN = "success"
Row = Mapping[str, Any]


@dataclass(kw_only=True)
class CompanyMonth:
    """What one run of the monthly DAG said."""

    company: str
    state: str
    seconds: float
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
    failures: list[str] = field(default_factory=list)


async def past_month(stack: Stack, clock: Clock, month: Month) -> MonthShown:
    """Run the monthly DAG for each company, hold what it says against the truth, and unpause all DAGs."""
    shown = MonthShown(month=month)
    companies = ", ".join(month.companies)
    title = f"past month {month.period}: {len(month.documents)} documents by {DAG_ID}, companies {companies}"
    async with clock.phase("past month", title):
        await asyncio.to_thread(_play, stack, clock, shown)
    shown.failures.extend(failures(shown))
    return shown


def _play(stack: Stack, clock: Clock, shown: MonthShown) -> None:
    api = engineer_of(stack)
    paused = api.dags()
    clock.say(f"all {len(paused)} DAGs are paused: {all(paused.values())}; the watcher has taken no document yet")
    if not all(paused.values()):
        shown.failures.append("not every DAG was paused before the month")
    api.pause(DAG_ID, False)
    begin = time.monotonic()
    runs = {
        company: api.trigger(DAG_ID, {"company": company, "period": shown.month.period})
        for company in shown.month.companies
    }
    with stack.open_hub() as hub:
        for company, run_id in runs.items():
            run = api.ended(DAG_ID, run_id, LIMIT_SECONDS)
            said = _said(hub, company, shown.month.period)
            one = CompanyMonth(company=company, state=str(run["state"]), seconds=time.monotonic() - begin, **said)
            shown.companies.append(one)
            shown.tasks += [
                (f"{company} {task['task_id']}", float(task["duration"] or 0.0)) for task in api.tasks(DAG_ID, run_id)
            ]
            clock.say(
                f"company {company} · period {shown.month.period}: {one.state}, {one.unexplained} unexplained, "
                f"{len(one.differences)} differences"
            )
    shown.ledger = in_ledger(stack, shown.month.period)
    freed = api.pause("%", False)
    clock.say(f"{len(freed)} DAGs unpaused: from now on the watcher follows the OA")


def engineer_of(stack: Stack) -> AirflowApi:
    """Airflow as the data engineer sees it."""
    airflow = stack.airflow_up
    return AirflowApi(airflow.url, "engineer", airflow.passwords()["engineer"])


def _said(hub: PostgresHub, company: str, period: str) -> dict[str, Any]:
    """What the hub keeps of the latest reconciliation of the company's month."""
    runs = [run for run in hub.months.runs(FLOW_ID, 20) if (run["company"], run["period"]) == (company, period)]
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
    path = Path(stack.state) / "past-month.jsonl"
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
    truth = shown.month.totals()
    for key in sorted(truth.keys() | shown.ledger.keys()):
        if truth.get(key) != shown.ledger.get(key):
            found.append(
                f"month {shown.month.period} {' '.join(key)}: ledger {shown.ledger.get(key)}, not {truth.get(key)}"
            )
    return found


def _some(names: set[str]) -> str:
    return " ".join(sorted(names)[:10])
