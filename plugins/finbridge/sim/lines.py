"""The lines of one process to hub, OA and finance: each call is a step, meets what is armed, and ends with a kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from finbridge.core.crashpoints import crash_point
from finbridge.core.documents import DocumentRef, SourceDocument
from finbridge.core.errors import NeedsHuman, RetryLater, TransportError
from finbridge.core.outcomes import LedgerEntry, Outcome, Unknown
from finbridge.core.ports import WriteBackResult
from finbridge.core.vouchers import Voucher
from finbridge.sim.books import LATEST_COMMIT
from finbridge.sim.kernel import Killed, Process

if TYPE_CHECKING:
    from finbridge.sim.world import World

_PAGE = 2
#: Longer than any lease.
_STALL = 75.0


def _away(place: str) -> RetryLater:
    return TransportError("away", f"{place} 无应答 / {place} does not answer")


class HubLine:
    """`finbridge.core.ports.Hub` for one process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            return self._transaction(name, args, named)

        return call

    def _transaction(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        world, process = self._world, self._process
        self._let_others_move()
        fault = world.trouble.take(f"hub.{name}")
        if fault == "away":
            raise RetryLater("hub_away", "台账数据库暂时不可用 / the hub's database is away", after_seconds=2.0)
        if fault == "killed_before":
            self._killed(name, "before")
        if fault == "stalled" and process.verb == "check":
            self._stalled()
        result = getattr(world.hub, name)(*args, **named)
        process.sending = process.sending or (name == "mark_sending" and bool(result))
        if fault == "killed_after":
            self._killed(name, "after")
        if fault == "away_after_commit":
            raise RetryLater("hub_away", "台账数据库暂时不可用 / the commit's answer was lost", after_seconds=2.0)
        self._let_others_move()
        return result

    def _killed(self, name: str, where: str) -> None:
        self._world.trouble.crashes[f"{where} hub.{name}"] += 1
        self._world.kernel.kill(self._process)
        raise Killed

    def _stalled(self) -> None:
        """The process stands still for longer than its lease; the others go on, and nobody is left in mid-send."""
        kernel = self._world.kernel
        until = kernel.clock.seconds + _STALL
        while kernel.clock.seconds < until or any(other.sending for other in kernel.processes.values()):
            if not kernel.turn():
                break
        kernel.clock.seconds = max(kernel.clock.seconds, until)
        self._process.check_alive()

    def _let_others_move(self) -> None:
        """A verb that runs in one piece waits here while others move."""
        self._process.check_alive()
        if self._process.verb == "check":
            for _ in range(int(self._world.random.random() ** 6 * 60)):
                self._world.kernel.turn()
            self._process.check_alive()


class OfficeLine:
    """`finbridge.core.ports.Source` for one process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def now(self) -> datetime:
        """See the port."""
        await self._world.pause(self._process)
        return self._world.office.local().replace(microsecond=0)

    async def changed(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        """See the port."""
        del templates
        world, process = self._world, self._process
        await world.pause(process)
        fault = world.trouble.take("oa.list")
        if fault == "away":
            raise _away("OA")
        names = [ref.document_id for ref in world.office.listed(since, until)]
        if fault == "doubled_rows":
            names = [name for name in names for _ in range(2)]
        if fault == "reordered_rows":
            names.reverse()
        for start in range(0, len(names), _PAGE):
            now = {ref.document_id: ref for ref in world.office.listed(since, until)}
            yield [now[name] for name in names[start : start + _PAGE] if name in now]
            await world.pause(process)
            if fault == "away_in_mid_page":
                raise _away("OA")

    async def read(self, document_ids: Sequence[str]) -> dict[str, SourceDocument | None]:
        """See the port."""
        world, process = self._world, self._process
        found: dict[str, SourceDocument | None] = {}
        for name in document_ids:
            await world.pause(process)
            fault = world.trouble.take("oa.read")
            if fault == "away":
                raise _away("OA")
            if fault == "unreadable":
                raise NeedsHuman("wire_shape", f"document {name} has another shape")
            found[name] = None if fault == "missing" else world.office.shown(name)
            process.reads[name] = found[name]
        return found

    async def write_back(self, document_id: str, node: str, fields: Mapping[str, str]) -> WriteBackResult:
        """See the port."""
        world, process = self._world, self._process
        await world.pause(process)
        fault = world.trouble.take("oa.write")
        if fault == "away":
            raise _away("OA")
        if fault == "retry":
            return WriteBackResult.RETRY
        if fault == "lost_before":
            return WriteBackResult.UNKNOWN
        result = world.office.write(document_id, node, dict(fields))
        world.oracle.written(document_id)
        await world.pause(process)
        return WriteBackResult.UNKNOWN if fault == "lost_after" else result

    async def advance(self, document_id: str, node: str) -> WriteBackResult:
        """See the port."""
        world, process = self._world, self._process
        await world.pause(process)
        fault = world.trouble.take("oa.advance")
        if fault == "away":
            raise _away("OA")
        if fault == "retry":
            return WriteBackResult.RETRY
        result = world.office.advance(document_id, node)
        await world.pause(process)
        return WriteBackResult.UNKNOWN if fault == "lost_after" else result

    async def close(self) -> None:
        """See the port."""


class BooksLine:
    """`finbridge.core.ports.Ledger` for one process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def post(self, vouchers: Sequence[Voucher]) -> list[Outcome]:
        """See the port. Each voucher arrives by itself: a kill between two of them sends the first alone."""
        world, process = self._world, self._process
        outcomes: list[Outcome] = []
        await world.pause(process)
        for voucher in vouchers:
            process.check_alive()
            outcomes.append(self._arrive(voucher))
            if world.random.random() < 0.3:  # how often the next one takes a moment
                await world.pause(process)
        process.sending = False
        crash_point("C6")
        if any(isinstance(outcome, Unknown) for outcome in outcomes):
            await asyncio.sleep(3.0)
        await world.pause(process)
        return outcomes

    def _arrive(self, voucher: Voucher) -> Outcome:
        world = self._world
        world.oracle.sent(self._process, voucher)
        fate = world.trouble.take("finance.post")
        try:
            return world.books.receive(voucher, fate, 1.0 + world.random.random() * LATEST_COMMIT)
        finally:
            world.oracle.look(voucher.identity.document_id)

    async def find(self, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        """See the port."""
        del company
        world, process = self._world, self._process
        await world.pause(process)
        if world.trouble.take("finance.find") == "away":
            raise _away("finance")
        found = world.books.find(list(keys))
        await world.pause(process)
        return found

    async def period_entries(self, company: str, period: str) -> AsyncIterator[list[LedgerEntry]]:
        """See the port; no verb of the simulation asks for it."""
        del company, period
        nothing: tuple[list[LedgerEntry], ...] = ()
        for page in nothing:
            yield page

    async def close(self) -> None:
        """See the port."""
