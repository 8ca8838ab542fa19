"""Deliver: ask finance about what is in doubt, read the document again, mark, send, record. Never send in doubt."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from finbridge.core.clock import Clock, SystemClock
from finbridge.core.crashpoints import crash_point
from finbridge.core.differences import compared, explained
from finbridge.core.errors import FinbridgeError, GiveUp, RetryLater
from finbridge.core.flow import Flow
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_DOUBT
from finbridge.core.outcomes import (
    AuthFailed,
    LedgerEntry,
    Locked,
    NotSent,
    Outcome,
    RefusedUnprocessed,
    Throttled,
    Unknown,
    outcome_name,
)
from finbridge.core.ports import Deliverable, DocumentWork, Hub, Lease, Ledger, Sent, Source, Stage, Translator
from finbridge.core.stopping import MaySend, allowed, always, guarded
from finbridge.flows.periods import notice_opened
from finbridge.flows.reports import DeliverReport
from finbridge.flows.second_read import read_again

_LOG = logging.getLogger("finbridge.flows")
LEASE_SECONDS = 60.0
#: Leases are prolonged before a send if this has passed since the last time.
RENEW_AFTER_SECONDS = 15.0
#: Vouchers marked, sent and recorded together, at most.
SEND_BATCH = 200
#: The first ones, while nobody knows yet how fast finance is; a slow finance goes on with few at a time.
FIRST_BATCH, SMALLEST_BATCH = 50, 10
#: How long one such send should take: a pause waits for no more than this.
SEND_SECONDS = 2.0
#: The same for those that were sent before: if one of them makes the connector itself fail, few others suffer.
RESEND_BATCH = 20
#: What this run could not go on with is due again after this.
RETRY_SECONDS = 5.0
_CLOCK = SystemClock()
_TURN = {VoucherKind.REVERSAL: 0, VoucherKind.EXPENSE: 1, VoucherKind.PAYMENT: 2}


def _seconds() -> float:
    """Seconds of the event loop's clock, which never goes back; a simulation owns it."""
    return asyncio.get_running_loop().time()


@dataclass(slots=True, kw_only=True)
class _Room:
    """What one run of the verb works with."""

    flow: Flow
    hub: Hub
    source: Source
    ledger: Ledger
    translator: Translator
    clock: Clock
    counts: Counter[str]
    may_send: MaySend = always
    only: Sequence[str] | None = None
    send_batch: int = field(default_factory=lambda: min(FIRST_BATCH, SEND_BATCH))
    failures: list[Exception] = field(default_factory=list)  # of the connector itself

    async def stopped(self) -> bool:
        """Whether a person paused the flow; asked before each claim and each send."""
        if await allowed(self.may_send):
            return False
        self.counts["paused"] = 1
        return True

    def pace(self, vouchers: int, seconds: float) -> None:
        """As many next time as finance takes within the time that one send should last."""
        rate = vouchers / max(seconds, 0.001)
        self.send_batch = max(min(SMALLEST_BATCH, SEND_BATCH), min(SEND_BATCH, int(rate * SEND_SECONDS)))


@dataclass(slots=True)
class _Batch:
    """Claimed documents. ``closed`` are done with in this run: due again after a delay, or (None) when the hub says."""

    works: dict[str, DocumentWork]
    closed: dict[str, float | None] = field(default_factory=dict)
    renewed_at: float = field(default_factory=_seconds)

    def open_leases(self) -> list[Lease]:
        """Leases of documents on which something may still be done now."""
        return [work.lease for name, work in self.works.items() if name not in self.closed]

    def close(self, documents: Iterable[str], delay: float | None = None) -> None:
        """Nothing more for these documents in this run."""
        for name in documents:
            self.closed.setdefault(name, delay)


async def deliver(
    *,
    flow: Flow,
    hub: Hub,
    source: Source,
    ledger: Ledger,
    translator: Translator,
    worker: str,
    clock: Clock = _CLOCK,
    may_send: MaySend = always,
    only: Sequence[str] | None = None,
) -> DeliverReport:
    """Resolve and send what is due (with ``only``: of these documents alone), batch by batch, until nothing is.

    Ends early, with everything given back, where a person stops it (``may_send``).

    Raises:
        GiveUp: finance refuses our credentials; nothing was done with what was sent last.
        RetryLater: the OA cannot be read again; what was not sent is given back.
        Exception: the connector itself failed on some vouchers, which are in doubt now; everything else was done.
    """
    room = _Room(
        flow=flow,
        hub=hub,
        source=source,
        ledger=ledger,
        translator=translator,
        clock=clock,
        counts=Counter(),
        may_send=may_send,
        only=only,
    )
    with guarded(may_send):
        await notice_opened(flow.flow_id, hub, ledger)  # a question: nothing leaves that a pause would hold back
        while True:
            crash_point("C1")
            works = await _claim(room, worker)
            if not works:
                if room.failures:
                    raise room.failures[0]
                return DeliverReport(**room.counts)
            crash_point("C2")
            await _deliver_batch(room, _Batch({work.lease.document_id: work for work in works}))


async def _claim(room: _Room, worker: str) -> list[DocumentWork]:
    """What is due; nothing where the flow is paused."""
    if await room.stopped():
        return []
    name, size = room.flow.flow_id, room.flow.batch_size
    return await asyncio.to_thread(room.hub.claim, name, Stage.DELIVER, worker, size, LEASE_SECONDS, only=room.only)


async def _deliver_batch(room: _Room, batch: _Batch) -> None:
    """Rounds on one claimed batch: each round moves each document's first turn on, or closes the document."""
    room.counts["documents"] += len(batch.works)
    beat = asyncio.create_task(_keep_alive(room, batch))
    try:
        while items := await _due_now(room, batch):
            doubtful = [item for item in items if item.state in IN_DOUBT]
            await _resolve(room, batch, doubtful)
            await _send_ready(room, batch, [item for item in items if item.state not in IN_DOUBT])
    except FinbridgeError as error:
        delay = error.after_seconds if isinstance(error, RetryLater) else RETRY_SECONDS
        batch.close(batch.works, delay)
        raise
    finally:
        beat.cancel()
        await _give_back(room, batch)


async def _due_now(room: _Room, batch: _Batch) -> list[Deliverable]:
    """What can be done now: of each document only the first turn (reversal, then expense, then payment)."""
    leases = batch.open_leases()
    if not leases:
        return []
    items = await asyncio.to_thread(room.hub.deliverables, room.flow.flow_id, leases)
    turn: dict[str, int] = {}
    for item in items:
        mine = _TURN[item.voucher.identity.kind]
        turn[item.lease.document_id] = min(mine, turn.get(item.lease.document_id, mine))
    return [item for item in items if _TURN[item.voucher.identity.kind] == turn[item.lease.document_id]]


# ---------------------------------------------------------------- resolve


async def _resolve(room: _Room, batch: _Batch, items: Sequence[Deliverable]) -> None:
    """Only finance can say what became of a send: ask it by key, company by company."""
    by_company: dict[str, list[Deliverable]] = defaultdict(list)
    for item in items:
        by_company[item.voucher.identity.company].append(item)
    for company, mine in by_company.items():
        try:
            found = await room.ledger.find(company, [item.voucher.key for item in mine])
        except RetryLater as error:
            _LOG.warning("finance cannot say what it holds: %s", error.engineer)
            room.counts["still_in_doubt"] += len(mine)
            batch.close(item.lease.document_id for item in mine)  # the hub says when to ask again
            continue
        results = [result for item in mine if (result := _resolved(room, batch, item, found.get(item.voucher.key)))]
        await asyncio.to_thread(room.hub.record, room.flow.flow_id, results)


def _resolved(room: _Room, batch: _Batch, item: Deliverable, entry: LedgerEntry | None) -> Sent | None:
    """What the look-up says. None: not there yet, and the answer to the send may still be on its way."""
    if entry is not None:
        room.counts["resolved_found"] += 1
        outcome = compared(item.voucher, entry)
        room.counts[outcome_name(outcome)] += 1
        return Sent(lease=item.lease, key=item.voucher.key, attempt_id=None, outcome=outcome)
    waited = room.flow.settle_seconds
    if item.last_sent_at is not None:
        waited = ((item.asked_at or room.clock.now()) - item.last_sent_at).total_seconds()
    if waited >= room.flow.settle_seconds:
        room.counts["resolved_not_found"] += 1
        return Sent(lease=item.lease, key=item.voucher.key, attempt_id=None, outcome=None, not_found=True)
    room.counts["still_in_doubt"] += 1
    batch.close([item.lease.document_id])
    return None


# ---------------------------------------------------------------- send


async def _send_ready(room: _Room, batch: _Batch, items: Sequence[Deliverable]) -> None:
    if not items:
        return
    send, changed = await read_again(room.flow, room.source, room.translator, batch.works, items)
    crash_point("C3")
    if changed:
        room.counts["changed_before_send"] += len(changed)
        await asyncio.to_thread(room.hub.store, room.flow.flow_id, changed)
        # put off: where the store finds no news after all, the next look must not come at once, for ever
        batch.close((document.document_id for document in changed), RETRY_SECONDS)
    for chunk in _sendings(room, send):
        await _renew(room, batch)
        if await room.stopped():
            batch.close(batch.works)  # given back at once: due again when the pause ends
            return
        await _send_chunk(room, batch, [item for item in chunk if item.lease.document_id not in batch.closed])


def _sendings(room: _Room, items: Sequence[Deliverable]) -> Iterator[Sequence[Deliverable]]:
    """New vouchers as finance keeps pace; those sent before in small batches, in other company with each attempt."""
    again = [item for item in items if item.last_sent_at is not None]
    again.sort(key=lambda item: hashlib.sha256(f"{item.voucher.key} {item.last_sent_at}".encode()).digest())
    new = [item for item in items if item.last_sent_at is None]
    few = max(1, min(RESEND_BATCH, len(again) // 4))  # the last ones go one by one
    while new:
        chunk, new = new[: room.send_batch], new[room.send_batch :]
        yield chunk
    yield from (again[start : start + few] for start in range(0, len(again), few))


async def _renew(room: _Room, batch: _Batch) -> None:
    """Prolong the leases of a long batch; documents that somebody else took over are left alone."""
    if _seconds() - batch.renewed_at >= RENEW_AFTER_SECONDS:
        await _prolong(room, batch)


async def _prolong(room: _Room, batch: _Batch) -> None:
    leases = batch.open_leases()
    ours = {lease.document_id for lease in await asyncio.to_thread(room.hub.renew, leases, LEASE_SECONDS)}
    lost = [lease.document_id for lease in batch.open_leases() if lease in leases and lease.document_id not in ours]
    room.counts["leases_lost"] += len(lost)
    batch.close(lost, RETRY_SECONDS)
    batch.renewed_at = _seconds()


async def _send_chunk(room: _Room, batch: _Batch, items: Sequence[Deliverable]) -> None:
    """Mark (which checks the leases), send, record. What happens between mark and record leaves a voucher in doubt."""
    crash_point("C4")
    attempts = await asyncio.to_thread(room.hub.mark_sending, {item.voucher.key: item.lease for item in items})
    lost = [item.lease.document_id for item in items if item.voucher.key not in attempts]
    room.counts["leases_lost"] += len(lost)
    batch.close(lost, RETRY_SECONDS)  # ran out, taken over, or news came in: not again in this run
    marked = [item for item in items if item.voucher.key in attempts]
    if not marked:
        return
    crash_point("C5")
    outcomes = await _post(room, marked)
    crash_point("C7")
    results = [
        Sent(lease=item.lease, key=item.voucher.key, attempt_id=attempts[item.voucher.key], outcome=outcome)
        for item, outcome in zip(marked, outcomes, strict=True)
    ]
    crash_point("C8")
    await asyncio.to_thread(room.hub.record, room.flow.flow_id, results)
    room.counts["sent"] += len(results)
    for item, outcome in zip(marked, outcomes, strict=True):
        _follow(room, batch, item, outcome)
    _stop_if_refused(outcomes)


async def _post(room: _Room, marked: Sequence[Deliverable]) -> list[Outcome]:
    """Send; the leases are kept alive meanwhile: nobody else may ask finance about what is still on its way there.

    A connector answers with outcomes and raises nothing. If one does all the same, nobody knows what was sent: its
    vouchers are in doubt, the others go on, and the run ends red.
    """
    begin = _seconds()
    try:
        outcomes = await room.ledger.post([item.voucher for item in marked])
        room.pace(len(marked), _seconds() - begin)
        return [explained(item.voucher, outcome) for item, outcome in zip(marked, outcomes, strict=True)]
    except Exception as error:
        _LOG.exception("the connector failed on %s", ", ".join(item.voucher.key for item in marked))
        room.failures.append(error)
        return [Unknown(f"the connector failed: {type(error).__name__}")] * len(marked)


async def _keep_alive(room: _Room, batch: _Batch) -> None:
    """From the claim to the end: at a call a second, the second read alone takes longer than a lease."""
    while True:
        await asyncio.sleep(RENEW_AFTER_SECONDS)
        with contextlib.suppress(RetryLater):  # the hub is away: the record after the send will say so
            await _prolong(room, batch)


def _follow(room: _Room, batch: _Batch, item: Deliverable, outcome: Outcome) -> None:
    """Count an outcome; what finance did not take goes again when the hub says so."""
    if isinstance(outcome, Locked | Throttled | NotSent | RefusedUnprocessed | AuthFailed):
        room.counts["put_off"] += 1
        batch.close([item.lease.document_id])
    else:
        room.counts[outcome_name(outcome)] += 1


def _stop_if_refused(outcomes: Sequence[Outcome]) -> None:
    refused = next((outcome for outcome in outcomes if isinstance(outcome, AuthFailed)), None)
    if refused is not None:
        raise GiveUp(
            "ledger_credentials",
            "财务系统拒绝登录，请检查连接的账号密码 / finance refuses our login: check the connection's credentials",
            refused.message,
        )


async def _give_back(room: _Room, batch: _Batch) -> None:
    """Release every document: at once where the next stage follows from its vouchers, else after its delay."""
    by_delay: dict[float | None, list[Lease]] = defaultdict(list)
    for name, work in batch.works.items():
        by_delay[batch.closed.get(name)].append(work.lease)
    for delay, leases in by_delay.items():
        await asyncio.to_thread(room.hub.release, room.flow.flow_id, leases, retry_after_seconds=delay)
