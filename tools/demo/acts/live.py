"""The live stream: a company's people at work in the OA while the watcher and the DAGs follow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from tools.demo.clock import Clock
from tools.demo.kills import Kills
from tools.demo.scenario import Fate, Play

WARM_UP = 12
_TICK_SECONDS = 15.0


async def live(
    play: Play, clock: Clock, *, kills: Kills | None = None, disturb: Callable[[], None] | None = None
) -> None:
    """Warm-up, burst, main act.

    Args:
        kills: what is killed during the main act, one after the other.
        disturb: called in a thread of its own when the main act begins, before the kills.
    """
    async with clock.phase("warm-up", "warm-up: the first claims go through"):
        warmed = await play.warm_up(min(WARM_UP, len(play.of(Fate.CLEAN))))
    burst = len(play.of(Fate.BURST))
    async with clock.phase(
        "burst", f"burst: {burst} claims submitted and approved within one second of the OA's clock"
    ):
        events = await play.burst()
        clock.say(f"{events} events carry the time {play.burst_second}; all of their documents are answered for")
    paced = len(play.of(Fate.PACED))
    others = len(play.documents) - paced - burst - len(warmed) - len(play.of(Fate.UNDER_KILL))
    title = f"main act: {paced} approvals at one a second, beside them {others} others"
    if kills is not None:
        title += f"; killed meanwhile: {', '.join(kills.names)}"
    async with clock.phase("main act", title):
        ticker = asyncio.create_task(_tick(play, clock))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(play.main_act(warmed))
                group.create_task(_trouble(play, kills, disturb))
        finally:
            ticker.cancel()


async def _trouble(play: Play, kills: Kills | None, disturb: Callable[[], None] | None) -> None:
    if disturb is not None:
        await asyncio.to_thread(disturb)
    if kills is not None:
        await kills.all(play)


async def _tick(play: Play, clock: Clock) -> None:
    """A line of progress now and then."""
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        names = {document.request_id for document in play.documents if document.request_id}
        nodes = Counter(entry["node"] for name, entry in play.journal.latest.items() if name in names)
        clock.say("documents by node: " + ", ".join(f"{node} {count}" for node, count in nodes.most_common()))
