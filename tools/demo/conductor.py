"""The conductor: lets the company work on a started stack, act by act, and tells what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from tools.demo.acts.live import live
from tools.demo.acts.manual import manual
from tools.demo.acts.past_month import past_month
from tools.demo.claims import Company
from tools.demo.clock import Clock
from tools.demo.examine import Result, examine
from tools.demo.history import Month
from tools.demo.kills import Kills
from tools.demo.oa_journal import OaJournal
from tools.demo.people import People
from tools.demo.scenario import Play, cast, plan
from tools.demo.settling import settle
from tools.demo.stack import Stack

SETTLE_SECONDS = 120.0
OA_ZONE = ZoneInfo("Asia/Shanghai")


async def perform(
    stack: Stack,
    clock: Clock,
    *,
    seed: int,
    documents: int,
    month: Month | None = None,
    repair: bool = False,
    kills: Kills | None = None,
    disturb: Callable[[], None] | None = None,
    settle_seconds: float = SETTLE_SECONDS,
) -> Result:
    """Play everything on a started stack: the past month, the live stream, the repairs by hand.

    Args:
        month: what the OA was told before (`tools.demo.history.tell`); all DAGs are paused then. None: no such act.
        repair: whether single documents are repaired by hand in the end.
        kills: what is killed in the main act.
        disturb: called in a thread of its own when the main act begins (tests kill things there).
        settle_seconds: how long the suite may take after the last event.
    """
    company = Company(seed, datetime.now(OA_ZONE).date())
    people = cast(company, plan(documents, kills.documents if kills else 0))
    async with OaJournal(stack.control_url).tailed() as journal, People(stack.oa_url) as users:
        shown = await past_month(stack, clock, month, journal) if month is not None else None
        play = Play(people=users, journal=journal, company=company, documents=people, seed=seed)
        await live(play, clock, kills=kills, disturb=disturb)
        title = f"all {len(people)} documents played; waiting until the suite is settled"
        async with clock.phase("settling", title):
            settled = await settle(stack, clock, settle_seconds)
        by_hand = await manual(stack, clock, play) if repair else None
        if repair:
            async with clock.phase("settling", "waiting until the automatic way is settled again"):
                settled = await settle(stack, clock, settle_seconds) and settled
        await journal.catch_up()
    return await asyncio.to_thread(examine, stack, play, settled=settled, month=shown, by_hand=by_hand, kills=kills)


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
