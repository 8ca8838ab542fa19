"""When a wake-up is due: the look and the level-triggered decision behind the watcher, without Airflow.

An event is only a wake-up; what is to be done is a question to the hub. So the rule is simple and forgetful: news that
no wake-up was given for wakes at once; anything that stays due for a while wakes again, however it came to stay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Hashable, Mapping, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, cast

from finbridge.core.documents import DocumentRef
from finbridge.core.flow import Flow
from finbridge.core.ports import Source, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look found.

    ``rows`` are (document, stamp) pairs of the OA's list that the hub has not read yet; ``due`` the number of documents
    that wait for a worker; ``last_started`` when a run began last, as the hub knows it (None: never).
    """

    rows: Set[Hashable]
    due: int
    last_started: object


@dataclass(slots=True, kw_only=True)
class Watch:
    """Remembers the last wake-up. Times are seconds of a monotonic clock.

    Args:
        patience_seconds: what was known at the last wake-up and is still due wakes again after this.
        lost_seconds: a wake-up after which no run began counts as lost after this.
    """

    patience_seconds: float
    lost_seconds: float
    _fired_at: float | None = None
    _started_then: object = None
    _signalled: Set[Hashable] = field(default_factory=frozenset)

    def wakes(self, seen: Seen, now: float) -> bool:
        """Whether this look is a reason for a run. A True is remembered as given."""
        if not self.reason(seen, now):
            return False
        self.given(seen, now)
        return True

    def given(self, seen: Seen, now: float) -> None:
        """Remember a wake-up."""
        self._fired_at = now
        self._started_then = seen.last_started
        self._signalled = frozenset(seen.rows)

    def reason(self, seen: Seen, now: float) -> bool:
        """Whether this look is a reason for a run; nothing is remembered."""
        if not seen.rows and not seen.due:
            return False
        if self._fired_at is None:
            return True
        if seen.last_started == self._started_then:
            return now - self._fired_at >= self.lost_seconds
        return bool(seen.rows - self._signalled) or now - self._fired_at >= self.patience_seconds


class WatchedHub(Protocol):
    """The three questions that the watcher asks the hub."""

    def unseen(self, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]: ...
    def due(self, flow_id: str) -> Mapping[Stage, int]: ...
    def last_run_started(self, flow_id: str) -> datetime | None: ...


@dataclass(kw_only=True)
class Lookout:
    """Looks: the OA's list over the wire, the hub in a thread, so that the triggerer's loop never waits.

    A look costs one page where nothing is new: the OA lists what moved last first, so the first page without news ends
    it. Whatever the order really is, a thorough look now and then reads the whole list of the day.

    Args:
        thorough_seconds: between two thorough looks; 0 makes every look thorough.
    """

    flow: Flow
    source: Source
    hub: WatchedHub
    thorough_seconds: float = 30.0
    _thorough_at: float | None = None

    async def look(self) -> Seen:
        """What is there to do now."""
        now = await self.source.now()
        since = (now - timedelta(seconds=self.flow.settle_seconds)).date()
        rows: set[tuple[str, str]] = set()
        thorough = self._thorough()
        pages = cast("AsyncGenerator[list[DocumentRef], None]", self.source.changed(since, now, self.flow.templates))
        async with aclosing(pages):
            async for page in pages:
                unseen = await asyncio.to_thread(self.hub.unseen, self.flow.flow_id, page)
                rows.update((ref.document_id, ref.stamp) for ref in unseen)
                if not unseen and not thorough:
                    break
        due, last_started = await asyncio.to_thread(self._ask_hub)
        return Seen(rows=frozenset(rows), due=due, last_started=last_started)

    def _thorough(self) -> bool:
        now = time.monotonic()
        if self._thorough_at is not None and now - self._thorough_at < self.thorough_seconds:
            return False
        self._thorough_at = now
        return True

    def _ask_hub(self) -> tuple[int, datetime | None]:
        return sum(self.hub.due(self.flow.flow_id).values()), self.hub.last_run_started(self.flow.flow_id)
