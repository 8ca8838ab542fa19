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

from finbridge.core.people import SAMPLE_CHECKER, SAMPLE_MAKER
from finbridge.core.ports import CodeRow
from finbridge.core.runs import run_identity

from tools.demo.acts.journals import Gained, gained, standing
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


@dataclass(kw_only=True)
class ManualRun:
    """One run of the manual DAG: its verdicts by number, and what both journals gained."""

    title: str
    live: bool
    state: str
    seconds: float
    previews: Sequence[Mapping[str, Any]]
    gained: Gained

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
        clock.say(f"automatic DAGs paused; cost centre {NEW_COST_CENTRE} loaded into the code table: {loaded}")
        try:
            for name, live in RUNS:
                run = await _run(stack, play, api, shown, title=name, live=live)
                shown.runs.append(run)
                clock.say(f"{name}: {run.state} after {run.seconds:.0f} s: {_verdicts(run)}; {run.gained}")
        finally:
            for dag_id in AUTOMATIC:
                await asyncio.to_thread(api.unpause, dag_id)
    shown.failures.extend(failures(shown))
    return shown


def _numbers(shown: ManualShown, *, live: bool) -> list[str]:
    known = [shown.posted.claim.number, shown.mended.claim.number]
    return known if live else [*known, UNKNOWN_NUMBER]


def _load_code(stack: Stack) -> str:
    """Load the missing code; what that did, in words."""
    row = CodeRow(
        table="cost_centre_kind",
        company="",
        code=NEW_COST_CENTRE,
        target="ADM",
        valid_from=date(2020, 1, 1),
        valid_to=None,
    )
    with stack.open_hub() as hub:
        rows = hub.load_codes(FLOW_ID, [row], maker=SAMPLE_MAKER, checker=SAMPLE_CHECKER)
        return f"{rows} row, {sum(hub.due(FLOW_ID).values())} held documents are looked at again"


async def _run(stack: Stack, play: Play, api: AirflowApi, shown: ManualShown, *, title: str, live: bool) -> ManualRun:
    before = await standing(stack, play.journal)
    begin = time.monotonic()
    conf = {"document_numbers": "\n".join(_numbers(shown, live=live)), "live": live, "reason": REASON if live else None}
    run_id = await asyncio.to_thread(api.trigger, DAG_ID, conf)
    found = await api.ended(DAG_ID, run_id, LIMIT_SECONDS)
    seconds = time.monotonic() - begin
    changed = await gained(stack, play.journal, before)
    return ManualRun(
        title=title,
        live=live,
        state=str(found["state"]),
        seconds=seconds,
        previews=await asyncio.to_thread(_previews, stack, run_identity(DAG_ID, run_id)),
        gained=changed,
    )


def _previews(stack: Stack, run_id: str) -> list[dict[str, Any]]:
    with stack.open_hub() as hub:
        return hub.manual_runs.previews(run_id)


def _verdicts(run: ManualRun) -> str:
    return ", ".join(f"{row['business_number']} {row['verdict']}" for row in run.previews)


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
        touched = run.gained.forms
        expected = (1, {shown.mended.request_id}) if at == 1 else (0, set())
        if (len(run.gained.keys), touched) != expected:
            found.append(f"{run.title}: {run.gained}, forms touched: {' '.join(sorted(touched)) or 'none'}")
    return found
