"""What became of everything: the journals of both systems, the checker, the hub's own lists, Airflow's runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finbridge.hub import PostgresHub

from tools.demo import report
from tools.demo.acts.manual import ManualShown
from tools.demo.acts.past_month import MonthShown
from tools.demo.kills import Killed, Kills
from tools.demo.scenario import Fate, Play
from tools.demo.stack import FLOW_ID, Stack


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
    month: MonthShown | None = None
    by_hand: ManualShown | None = None
    kills: Sequence[Killed] = ()
    failures: list[str] = field(default_factory=list)


def examine(
    stack: Stack,
    play: Play,
    *,
    settled: bool,
    month: MonthShown | None = None,
    by_hand: ManualShown | None = None,
    kills: Kills | None = None,
) -> Result:
    """Read both journals, let the checker compare them, and name everything that was promised and not shown."""
    oa_file, finance_file, held_file = (stack.state / name for name in ("oa.jsonl", "finance.jsonl", "held.txt"))
    report.write_journal(oa_file, play.journal.entries)
    stack.ledger_up.export_journal(finance_file)
    finance = report.read_journal(finance_file)
    with stack.open_hub() as hub:
        held = held_documents(hub)
        account = hub.account(FLOW_ID)
    held_file.write_text("".join(f"{name} {reason}\n" for name, reason in held.items()), encoding="utf-8")
    code, text = _check(oa_file, finance_file, held_file, play, month)
    live = frozenset(document.request_id for document in play.documents)
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
        happened=report.happened(
            [entry for entry in play.journal.entries if entry["request_id"] in live],
            [row for row in finance if row["document_id"] in live],
            {name: reason for name, reason in held.items() if name in live},
        ),
        checker_code=code,
        checker_text=text,
        runs=_runs(stack),
        month=month,
        by_hand=by_hand,
        kills=tuple(kills.done) if kills else (),
    )
    result.failures.extend(_failures(result, kills))
    return result


def _check(oa_file: Path, finance_file: Path, held_file: Path, play: Play, month: MonthShown | None) -> tuple[int, str]:
    """The checker, with minimums below which it proves nothing: for the stream, and for the month by its period."""
    minimum = len(play.documents) * 3 // 5
    of_period = {}
    if month is not None:
        moved = len({d.request_id for d in month.month.documents for _ in d.truth()})
        minimum += moved
        of_period[month.month.period] = len(
            {d.request_id for d in month.month.documents for t in d.truth() if f"{t.day:%Y-%m}" == month.month.period}
        )
    return report.run_checker(oa_file, finance_file, held_file, minimum, of_period)


def held_documents(hub: PostgresHub) -> dict[str, str]:
    """Document id -> first reason, from the hub's open holds."""
    return {str(row["document_id"]): str(row["holds"][0]) for row in hub.document_rows(FLOW_ID) if row["holds"]}


def _runs(stack: Stack) -> dict[str, Any]:
    """How Airflow's runs went: their number by state, and mean seconds by task of the automatic way."""
    states = stack.suite.execute(
        "airflow", "SELECT split_part(dag_id, '__', -1) || ' ' || state, count(*) FROM dag_run GROUP BY 1 ORDER BY 1"
    )
    tasks = stack.suite.execute(
        "airflow",
        "SELECT task_id, avg(duration), max(duration) FROM task_instance "
        "WHERE duration > 0 AND dag_id LIKE '%wake' GROUP BY 1 ORDER BY 2 DESC",
    )
    wake = stack.suite.execute(
        "airflow",
        "SELECT avg(end_date - start_date), max(end_date - start_date) FROM dag_run "
        "WHERE state = 'success' AND dag_id LIKE '%wake'",
    )
    return {"states": dict(states), "tasks": tasks, "run": wake[0]}


def _failures(result: Result, kills: Kills | None) -> list[str]:
    failures = []
    if not result.settled:
        failures.append(f"not settled: {result.account['due']}")
    if result.checker_code:
        failures.append(f"the checker ended with {result.checker_code}")
    if result.account["unexplained"]:
        failures.append(f"unexplained in the hub: {' '.join(result.account['unexplained'])}")
    if result.lag_paced is None:
        failures.append("no lag could be measured")
    own = len(result.play.documents) - len(result.play.of(Fate.UNDER_KILL))
    failures.extend(result.happened.short_of(own))
    failures.extend(result.month.failures if result.month else ())
    failures.extend(result.by_hand.failures if result.by_hand else ())
    failures.extend(kills.failures() if kills else ())
    return failures
