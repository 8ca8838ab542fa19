"""By hand: a person repairs single documents of the stream with the manual DAG, first dry, then live.

Dry for three numbers: one that is posted, one that was held for a code which has been loaded since, one that nobody
knows; then live, and live again, without the unknown one. The automatic DAGs are paused meanwhile, as somebody does who
wants to look before anything leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from finbridge.core.ports import CodeRow

from tools.demo import report
from tools.demo.acts.past_month import engineer_of
from tools.demo.airflow_api import AirflowApi
from tools.demo.claims import NEW_COST_CENTRE
from tools.demo.clock import Clock
from tools.demo.scenario import Document, Fate, Play
from tools.demo.stack import FLOW_ID, Stack

DAG_ID = f"{FLOW_ID}__manual"
AUTOMATIC = (f"{FLOW_ID}__wake", f"{FLOW_ID}__sweep")
REASON = "成本中心已补录，补记入账 / the cost centre was added, post it now"
UNKNOWN_NUMBER = "BX00000000-00000"
RUNS = (("dry run 试运行", False), ("live run 正式运行", True), ("the same again 再次运行", True))
LIMIT_SECONDS = 180.0
_GREEN = "success"
Journals = tuple[int, frozenset[str]]  # entries of the OA's journal, keys in the ledger


@dataclass(kw_only=True)
class ManualRun:
    """One run of the manual DAG: its verdicts by number, and what both journals gained."""

    title: str
    live: bool
    state: str
    seconds: float
    previews: Sequence[Mapping[str, Any]]
    new_entries: Sequence[Mapping[str, Any]]
    new_keys: frozenset[str]

    def verdict(self, number: str) -> str:
        """Of a business number; empty where the run does not speak of it."""
        return next((str(row["verdict"]) for row in self.previews if row["business_number"] == number), "")


@dataclass(kw_only=True)
class ManualShown:
    """What the act found; ``failures`` empty means that it came out as it must."""

    posted: Document
    mended: Document
    runs: list[ManualRun] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def manual(stack: Stack, clock: Clock, play: Play) -> ManualShown:
    """Pause the automatic way, load the missing code, run dry, live and live again, and let the automatic way go on."""
    shown = ManualShown(posted=play.of(Fate.PACED)[0], mended=play.of(Fate.NEW_CODE)[0])
    api = await asyncio.to_thread(engineer_of, stack)
    title = f"by hand: {DAG_ID} for {', '.join(_numbers(shown, live=False))}: dry, live, live again"
    async with clock.phase("by hand", title):
        for dag_id in AUTOMATIC:
            await asyncio.to_thread(api.pause, dag_id, True)
        loaded = await asyncio.to_thread(_load_code, stack)
        clock.say(f"automatic DAGs paused; cost centre {NEW_COST_CENTRE} loaded into the code table ({loaded} row)")
        try:
            for name, live in RUNS:
                run = await _run(stack, play, api, shown, title=name, live=live)
                shown.runs.append(run)
                clock.say(f"{name}: {run.state} after {run.seconds:.0f} s: {_verdicts(run)}; {_gained(run)}")
        finally:
            for dag_id in AUTOMATIC:
                await asyncio.to_thread(api.pause, dag_id, False)
    shown.failures.extend(failures(shown))
    return shown


def _numbers(shown: ManualShown, *, live: bool) -> list[str]:
    known = [shown.posted.claim.number, shown.mended.claim.number]
    return known if live else [*known, UNKNOWN_NUMBER]


def _load_code(stack: Stack) -> int:
    row = CodeRow(
        table="cost_centre_kind",
        company="",
        code=NEW_COST_CENTRE,
        target="ADM",
        valid_from=date(2020, 1, 1),
        valid_to=None,
    )
    with stack.open_hub() as hub:
        return hub.load_codes(FLOW_ID, [row], maker="demo", checker="demo-checker")


async def _run(stack: Stack, play: Play, api: AirflowApi, shown: ManualShown, *, title: str, live: bool) -> ManualRun:
    before = await _journals(stack, play)
    begin = time.monotonic()
    conf = {"document_numbers": _numbers(shown, live=live), "live": live, "reason": REASON if live else ""}
    run_id = await asyncio.to_thread(api.trigger, DAG_ID, conf)
    found = await asyncio.to_thread(api.ended, DAG_ID, run_id, LIMIT_SECONDS)
    seconds = time.monotonic() - begin
    after = await _journals(stack, play)
    return ManualRun(
        title=title,
        live=live,
        state=str(found["state"]),
        seconds=seconds,
        previews=await asyncio.to_thread(_previews, stack, run_id),
        new_entries=play.journal.entries[before[0] : after[0]],
        new_keys=after[1] - before[1],
    )


async def _journals(stack: Stack, play: Play) -> Journals:
    await play.journal.catch_up()
    return len(play.journal.entries), await asyncio.to_thread(_keys, stack)


def _keys(stack: Stack) -> frozenset[str]:
    path = stack.state / "by-hand.jsonl"
    stack.ledger_up.export_journal(path)
    return frozenset(str(row["key"]) for row in report.read_journal(path))


def _previews(stack: Stack, run_id: str) -> list[dict[str, Any]]:
    with stack.open_hub() as hub:
        return hub.manual_runs.previews(run_id)


def _verdicts(run: ManualRun) -> str:
    return ", ".join(f"{row['business_number']} {row['verdict']}" for row in run.previews)


def _gained(run: ManualRun) -> str:
    return f"journals: OA +{len(run.new_entries)} entries, ledger +{len(run.new_keys)} vouchers"


def failures(shown: ManualShown) -> list[str]:
    """Where a run did something else than it must."""
    posted, mended = shown.posted.claim.number, shown.mended.claim.number
    wanted = [
        {posted: "posted", mended: "would_post", UNKNOWN_NUMBER: "not_found"},
        {posted: "posted", mended: "posted"},
        {posted: "posted", mended: "posted"},
    ]
    found = [] if len(shown.runs) == len(wanted) else [f"by hand: {len(shown.runs)} runs, not {len(wanted)}"]
    for run, verdicts in zip(shown.runs, wanted, strict=False):
        if run.state != _GREEN:
            found.append(f"{run.title}: the run is {run.state}")
        found += [
            f"{run.title}: {number} is {run.verdict(number) or 'not spoken of'}, not {verdict}"
            for number, verdict in verdicts.items()
            if run.verdict(number) != verdict
        ]
    return found + _wrong_changes(shown)


def _wrong_changes(shown: ManualShown) -> list[str]:
    """A dry run and a second live run change nothing; the live run posts one voucher and touches one form."""
    found = []
    for at, run in enumerate(shown.runs):
        touched = {str(entry["request_id"]) for entry in run.new_entries}
        expected = (1, {shown.mended.request_id}) if at == 1 else (0, set())
        if (len(run.new_keys), touched) != expected:
            found.append(f"{run.title}: {_gained(run)}, forms touched: {' '.join(sorted(touched)) or 'none'}")
    return found
