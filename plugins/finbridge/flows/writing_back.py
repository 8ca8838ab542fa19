"""Write back: voucher number, posting date or error text onto the OA form, read back before it counts as done.

A batch can take minutes at the few calls a second that an OA allows: its leases are kept alive meanwhile, and a form
whose lease was lost is not touched any more. Else an old number could be written over the one that another worker has
written and verified since.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from finbridge.core.crashpoints import crash_point
from finbridge.core.documents import SourceDocument
from finbridge.core.errors import RetryLater
from finbridge.core.flow import Flow, WriteBackRule
from finbridge.core.ports import Hub, Lease, Source, Stage, WriteBackItem, WriteBackRecord, WriteBackResult
from finbridge.core.stopping import MaySend, allowed, always, guarded
from finbridge.flows.collecting import read_documents
from finbridge.flows.reports import WriteBackReport

_LOG = logging.getLogger("finbridge.flows")
LEASE_SECONDS = 60.0
RENEW_AFTER_SECONDS = 15.0
#: Nothing leaves in the last twelfth of a lease that could not be prolonged.
TRUSTED = 11 / 12
RETRY_SECONDS = 5.0
#: Forms written at the same time; the connection's rate budget still rules.
PARALLEL = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What one run of the verb works with."""

    flow: Flow
    rule: WriteBackRule
    hub: Hub
    source: Source
    counts: Counter[str]
    may_send: MaySend = always

    async def stopped(self) -> bool:
        """Whether a person paused the flow; asked before each claim and before each form is touched."""
        if await allowed(self.may_send):
            return False
        self.counts["paused"] = 1
        return True


@dataclass(slots=True)
class _Batch:
    """Claimed documents, as long as they are ours. ``until``: of the monotonic clock."""

    leases: Sequence[Lease]
    until: float
    lost: set[str] = field(default_factory=set)
    limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL))

    def holds(self, item: WriteBackItem) -> bool:
        """Whether a form may be touched; asked in the moment before something leaves."""
        return item.lease.document_id not in self.lost and time.monotonic() < self.until

    def asking(self, item: WriteBackItem, may_send: MaySend) -> MaySend:
        """What the transport asks about calls for one form."""
        return lambda: self.holds(item) and may_send()


async def write_back(
    *,
    flow: Flow,
    hub: Hub,
    source: Source,
    worker: str,
    may_send: MaySend = always,
    only: Sequence[str] | None = None,
) -> WriteBackReport:
    """Write what is due (with ``only``: of these documents alone), read it back, move the forms on where asked to.

    Ends early, with everything given back, where a person stops it (``may_send``).

    Raises:
        RetryLater: the OA is away; what was not verified is given back.
        GiveUp: credentials or schema.
    """
    if flow.write_back is None:
        return WriteBackReport()
    room = _Room(flow=flow, rule=flow.write_back, hub=hub, source=source, counts=Counter(), may_send=may_send)
    with guarded(may_send):
        while not await room.stopped():
            until = time.monotonic() + LEASE_SECONDS * TRUSTED
            works = await asyncio.to_thread(
                hub.claim, flow.flow_id, Stage.WRITE_BACK, worker, flow.batch_size, LEASE_SECONDS, only=only
            )
            if not works:
                break
            await _claimed(room, _Batch([work.lease for work in works], until))
    return WriteBackReport(**room.counts)


async def _claimed(room: _Room, batch: _Batch) -> None:
    """Write one claimed batch; what failed is put off, everything else given back at once."""
    flow_id, hub, leases = room.flow.flow_id, room.hub, batch.leases
    retry: set[str] = set()
    beat = asyncio.create_task(_keep_alive(room, batch))
    try:
        items = await asyncio.to_thread(hub.write_backs, flow_id, leases)
        retry = {item.lease.document_id for item in items}
        retry -= await _write_batch(room, batch, items)
    finally:
        beat.cancel()
        later = [lease for lease in leases if lease.document_id in retry]
        await asyncio.to_thread(hub.release, flow_id, [ls for ls in leases if ls not in later])
        if later:
            room.counts["retry"] += len(later)
            await asyncio.to_thread(hub.release, flow_id, later, retry_after_seconds=RETRY_SECONDS)


async def _keep_alive(room: _Room, batch: _Batch) -> None:
    while True:
        await asyncio.sleep(RENEW_AFTER_SECONDS)
        until = time.monotonic() + LEASE_SECONDS * TRUSTED
        with contextlib.suppress(RetryLater):  # the hub is away: nothing leaves when the leases have run out
            ours = set(await asyncio.to_thread(room.hub.renew, batch.leases, LEASE_SECONDS))
            lost = {lease.document_id for lease in batch.leases if lease not in ours} - batch.lost
            batch.until = until
            batch.lost |= lost
            if lost:
                _LOG.warning("leases lost while writing back: %d documents are somebody else's now", len(lost))


async def _write_batch(room: _Room, batch: _Batch, items: Sequence[WriteBackItem]) -> set[str]:
    """Save, then read back, then move on. Returns the documents with a stored result or stopped by a pause."""
    room.counts["documents"] += len(items)
    crash_point("C9")
    crash_point("C11")
    saves = await asyncio.gather(*(_save(room, batch, item) for item in items))
    crash_point("C10")
    saved = [
        WriteBackRecord(lease=item.lease, keys=item.keys, result=WriteBackResult.SAVED, verified=False)
        for item, result in zip(items, saves, strict=True)
        if result is WriteBackResult.SAVED and not item.done
    ]
    if saved:
        room.counts["saved"] += len(saved)
        await asyncio.to_thread(room.hub.record_write_backs, room.flow.flow_id, saved)
    tried = [(item, result) for item, result in zip(items, saves, strict=True) if result is not None]
    if not tried:
        return {item.lease.document_id for item in items}
    found, unreadable = await read_documents(room.source, [item.lease.document_id for item, _ in tried])
    settled = await asyncio.gather(
        *(
            _settle(room, batch, item, result, form)
            if (form := found.get(item.lease.document_id)) is not None
            else _not_there(room, item, shown=item.lease.document_id in unreadable)
            for item, result in tried
        )
    )
    results = [record for record in settled if record is not None]
    await asyncio.to_thread(room.hub.record_write_backs, room.flow.flow_id, results)
    return {item.lease.document_id for item in items}


def _fields(room: _Room, item: WriteBackItem) -> dict[str, str]:
    return {
        room.rule.voucher_number: item.voucher_number,
        room.rule.posting_date: item.posting_date,
        room.rule.error: item.error,
    }


async def _save(room: _Room, batch: _Batch, item: WriteBackItem) -> WriteBackResult | None:
    """None: paused, nothing was done."""
    if item.done:
        return WriteBackResult.SAVED
    async with batch.limit:
        if await room.stopped():
            return None
        if not batch.holds(item):
            return WriteBackResult.RETRY
        try:
            with guarded(batch.asking(item, room.may_send)):
                result = await room.source.write_back(item.lease.document_id, room.rule.node, _fields(room, item))
        except RetryLater:
            result = WriteBackResult.RETRY
        return None if result is WriteBackResult.RETRY and await room.stopped() else result


async def _not_there(room: _Room, item: WriteBackItem, *, shown: bool) -> WriteBackRecord:
    """No form to look at: tried again later and later. Gone it is only where it stays away, and the hub counts that.

    ``shown``: the OA has it and nobody can read it now.
    """
    room.counts["retry"] += 1
    return WriteBackRecord(
        lease=item.lease,
        keys=item.keys,
        result=WriteBackResult.UNKNOWN if shown else WriteBackResult.NOT_SHOWN,
        verified=False,
        detail="" if shown else "OA 不显示该单据 / the OA does not show the document",
    )


async def _settle(
    room: _Room,
    batch: _Batch,
    item: WriteBackItem,
    saved: WriteBackResult,
    form: SourceDocument,
) -> WriteBackRecord | None:
    """What the form itself shows decides, whatever the save answered. Not moved on yet: later and later again.

    None: the number stands on the form, and a pause came before it was moved on.
    """
    if all(form.main.get(name, "") == text for name, text in _fields(room, item).items()):
        moved = await _moved_on(room, batch, item, form)
        if moved is None:
            return None
        if not moved:
            room.counts["retry"] += 1
            return WriteBackRecord(lease=item.lease, keys=item.keys, result=WriteBackResult.RETRY, verified=False)
        room.counts["verified"] += 1
        return WriteBackRecord(lease=item.lease, keys=item.keys, result=WriteBackResult.SAVED, verified=True)
    if saved is WriteBackResult.NOT_ALLOWED or form.node != room.rule.node:
        room.counts["not_possible"] += 1
        rule = room.rule.node
        where = f"单据停在「{form.node}」，不在「{rule}」 / the document stands at {form.node}, not at {rule}"
        return WriteBackRecord(
            lease=item.lease,
            keys=item.keys,
            result=WriteBackResult.NOT_ALLOWED,
            verified=False,
            detail=where,
        )
    room.counts["retry"] += 1
    result = WriteBackResult.UNKNOWN if saved is WriteBackResult.SAVED else saved
    return WriteBackRecord(lease=item.lease, keys=item.keys, result=result, verified=False)


async def _moved_on(room: _Room, batch: _Batch, item: WriteBackItem, form: SourceDocument) -> bool | None:
    """Submit a posted document onwards; None: paused. An error text stays at the posting node: a person must see it."""
    if not room.rule.advance or item.error or form.node != room.rule.node:
        return True
    async with batch.limit:
        if await room.stopped():
            return None
        if not batch.holds(item):
            return False
        try:
            with guarded(batch.asking(item, room.may_send)):
                result = await room.source.advance(item.lease.document_id, room.rule.node)
        except RetryLater:
            result = WriteBackResult.RETRY
        if result is WriteBackResult.RETRY and await room.stopped():
            return None  # it waited for its turn when the pause came, and did not leave
    if result is WriteBackResult.SAVED:
        room.counts["advanced"] += 1
        return True
    return False  # unknown or refused: the next look at the form tells whether it left the node
