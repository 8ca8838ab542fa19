"""Payment status from finance back to the OA, month by month.

Finance is asked, by the keys in the register, what became of each voucher; its answer is stored in the hub before
anything is sent; only what the OA does not show already is sent; and what the OA then shows decides, whatever it
answered. A write in doubt is looked for before anything is sent again. Memory is bounded by the size of a chunk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from finbridge.core.errors import RetryLater
from finbridge.core.flow import Flow
from finbridge.core.outcomes import LedgerEntry
from finbridge.core.payment_status import (
    DOUBLED,
    IN_DOUBT,
    NOT_IN_FINANCE,
    NOT_SHOWN,
    OF_ANOTHER,
    REFUSED,
    WAITS,
    KeepsPaymentStatuses,
    PaymentState,
    PaymentStatus,
    PaymentStatusStore,
    PaymentWork,
    Showed,
    ShownStatus,
    StatusBoard,
    StatusChange,
    StatusOutcome,
    StoredStatus,
    Unclear,
)
from finbridge.core.ports import Ledger, WriteBackResult
from finbridge.core.stopping import MaySend, allowed, always, guarded
from finbridge.flows.reports import PaymentStatusReport

_LOG = logging.getLogger(__name__)
#: Documents in memory at a time.
CHUNK = 10_000
#: Documents sent between two looks at whether a person paused the flow.
SLICE = 500
#: All in batches; those refused one by one; and a last look.
_ROUNDS = 3
_LISTED = 50
_REASONS = {
    WriteBackResult.SAVED: NOT_SHOWN,
    WriteBackResult.NOT_ALLOWED: REFUSED,
    WriteBackResult.RETRY: WAITS,
    WriteBackResult.UNKNOWN: IN_DOUBT,
}
#: After these something of ours may still be on its way.
_IN_FLIGHT = frozenset({WriteBackResult.SAVED, WriteBackResult.UNKNOWN})


@dataclass(slots=True)
class _Item:
    """A document on its way to the OA: what it must show, the stored row's version, what became of our write."""

    status: PaymentStatus
    version: int
    verified: bool
    in_doubt: bool
    showed: Showed | None = None
    shown: ShownStatus | None = None

    @property
    def fits(self) -> bool:
        return self.shown is not None and self.shown.status == self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What one run of the verb works with."""

    flow: Flow
    company: str
    store: PaymentStatusStore
    board: StatusBoard
    ledger: Ledger
    may_send: MaySend
    counts: Counter[str] = field(default_factory=Counter)
    listed: list[tuple[str, str]] = field(default_factory=list)

    async def stopped(self) -> bool:
        """Whether a person paused the flow; asked before anything is sent."""
        if await allowed(self.may_send):
            return False
        self.counts["paused"] = 1
        return True


async def write_payment_status(
    *,
    flow: Flow,
    hub: KeepsPaymentStatuses,
    source: StatusBoard,
    ledger: Ledger,
    company: str,
    period: str,
    may_send: MaySend = always,
    chunk: int = CHUNK,
) -> PaymentStatusReport:
    """Bring the OA up to date for all documents with an expense voucher in a company's month.

    What was sent without an answer is looked for once more after the time in which it may still arrive.

    Args:
        company: our code.
        period: ``YYYY-MM`` of the expense vouchers; a payment may stand in a later one.

    Raises:
        RetryLater: OA or finance is away; what was not verified is due at the next run.
        GiveUp: credentials or configuration.
    """
    if flow.payment_status is None:
        return PaymentStatusReport()
    room = _Room(flow=flow, company=company, store=hub.payment_statuses, board=source, ledger=ledger, may_send=may_send)
    with guarded(may_send):
        await _walk(room, period, chunk, again=False)
        if room.counts["in_doubt"] + room.counts["put_off"] and not await room.stopped():
            await asyncio.sleep(source.late_seconds)
            for name in ("in_doubt", "put_off"):
                room.counts[name] = 0
            room.listed[:] = [row for row in room.listed if row[1] not in (IN_DOUBT, WAITS)]
            await _walk(room, period, chunk, again=True)
    return PaymentStatusReport(**room.counts, listed=tuple(room.listed))


def require_settled(report: PaymentStatusReport) -> None:
    """Log the first of the named list; a task that left something in doubt is tried again.

    Raises:
        RetryLater: something may still be on its way, or the OA did not take it now.
    """
    for name, code in report.listed:
        _LOG.warning("%s: %s", name, code)
    open_ones = report.in_doubt + report.put_off
    if open_ones and not report.paused:
        raise RetryLater(
            "payment_status_open",
            f"{open_ones} 张单据的付款状态尚未确认，自动重试 / payment status of {open_ones} documents: tried again",
            after_seconds=60.0,
        )


async def _walk(room: _Room, period: str, chunk: int, *, again: bool) -> None:
    after = ""
    while not room.counts["paused"]:
        works = await asyncio.to_thread(
            room.store.work,
            flow_id=room.flow.flow_id,
            company=room.company,
            period=period,
            after=after,
            limit=chunk,
            late_seconds=room.board.late_seconds,
            again=again,
        )
        if not works:
            return
        after = works[-1].document_id
        items = await _ask_finance(room, works, count=not again)
        await _bring(room, items, count=not again)


# ---------------------------------------------------------------- finance


async def _ask_finance(room: _Room, works: Sequence[PaymentWork], *, count: bool) -> dict[str, _Item]:
    """What finance says, stored; the documents that can be brought to the OA by id."""
    keys = [key for work in works for key in _keys(work)]
    entries = await room.ledger.find(room.company, keys)
    currency = room.flow.companies[room.company].currency
    said = [(work, says(work, entries, currency)) for work in works]
    news = [
        StoredStatus(
            document_id=work.document_id, business_number=work.business_number, says=answer, version=work.version
        )
        for work, answer in said
        if _is_news(work, answer)
    ]
    stored = await asyncio.to_thread(room.store.put, room.flow.flow_id, room.company, news) if news else {}
    changed = {row.document_id for row in news}
    items: dict[str, _Item] = {}
    for work, answer in said:
        name = work.document_id
        if count:
            room.counts["documents"] += 1
            room.counts["unclear" if isinstance(answer, Unclear) else answer.state.value] += 1
        if isinstance(answer, Unclear):
            _list(room, name, answer.reason)
        elif name in changed and name not in stored:
            room.counts["put_off"] += 1  # another worker has just stored something else: it brings that
        else:
            news_of_verified = name in changed and work.verified
            items[name] = _Item(
                answer,
                stored.get(name, work.version),
                verified=work.verified and name not in changed,
                in_doubt=work.in_doubt and not news_of_verified,
            )
    return items


def _keys(work: PaymentWork) -> list[str]:
    return [*work.expenses, *work.payments, *(key for keys in work.reversals.values() for key in keys)]


def _is_news(work: PaymentWork, answer: PaymentStatus | Unclear) -> bool:
    if isinstance(answer, Unclear):
        return work.stored is not None or work.reason != answer.reason
    return work.stored != answer


def says(work: PaymentWork, entries: Mapping[str, LedgerEntry], currency: str) -> PaymentStatus | Unclear:
    """A document's payment by what finance shows under its keys: a payment counts, also of a reversed voucher.

    Args:
        currency: of the company, where finance names none.
    """
    held = {key: entries[key] for key in _keys(work) if key in entries and entries[key].posted}
    missing = [key for key in work.expenses if key not in held]
    if missing:
        return Unclear(NOT_IN_FINANCE, ", ".join(missing))
    foreign = [key for key, entry in held.items() if entry.document_id not in ("", work.document_id)]
    if foreign:
        return Unclear(OF_ANOTHER, ", ".join(foreign))
    paid = sorted(
        (held[key] for key in work.payments if key in held), key=lambda entry: (entry.posting_date, entry.key)
    )
    live = [key for key in work.expenses if not any(red in held for red in work.reversals.get(key, ()))]
    state = PaymentState.PAID if paid else PaymentState.OPEN if live else PaymentState.REVERSED
    return PaymentStatus(
        document_id=work.document_id,
        business_number=work.business_number,
        state=state,
        number=", ".join(entry.number for entry in paid),
        paid_on=paid[-1].posting_date if paid else None,
        amount_minor=sum(entry.debit_minor for entry in paid),
        currency=(paid[0].currency if paid else "") or currency,
    )


# ---------------------------------------------------------------- the OA


async def _bring(room: _Room, items: dict[str, _Item], *, count: bool) -> None:
    """Look, send what is not shown, look again; then keep how each ended."""
    open_ones = dict(items)
    for number in range(_ROUNDS):
        await _look(room, open_ones)
        fitting = {name: item for name, item in open_ones.items() if item.fits and not _surplus(item)}
        await _verified(room, fitting)
        if count and number == 0:
            room.counts["unchanged"] += len(fitting)
        for name in fitting:
            del open_ones[name]
        if not open_ones or number == _ROUNDS - 1 or await room.stopped():
            break
        if not await _send(room, open_ones, alone=number > 0):
            break
    await _keep_the_rest(room, open_ones)


async def _look(room: _Room, items: Mapping[str, _Item]) -> None:
    shown = await room.board.shown(list(items)) if items else {}
    for name, item in items.items():
        item.shown = shown.get(name)


def _surplus(item: _Item) -> tuple[str, ...]:
    return item.shown.surplus if item.shown else ()


async def _verified(room: _Room, items: Mapping[str, _Item]) -> None:
    room.counts["verified"] += sum(item.showed is not None for item in items.values())
    outcomes = [
        StatusOutcome(document_id=name, version=item.version, verified=True)
        for name, item in items.items()
        if not item.verified
    ]
    await asyncio.to_thread(room.store.settle, room.flow.flow_id, outcomes)


async def _send(room: _Room, items: Mapping[str, _Item], *, alone: bool) -> bool:
    """Take surplus rows away, and send what is not shown and not in doubt. Whether anything was sent."""
    surplus = [row_id for item in items.values() for row_id in _surplus(item)]
    if surplus:
        await room.board.void(surplus)
        room.counts["healed"] += len(surplus)
    due = [item for item in items.values() if _is_due(item)]
    for start in range(0, len(due), SLICE):
        if await room.stopped():
            break
        await _send_slice(room, due[start : start + SLICE], alone=alone)
    return bool(due or surplus)


async def _send_slice(room: _Room, due: Sequence[_Item], *, alone: bool) -> None:
    """Mark, send; what the OA answered is not on its way any more and may be sent again.

    A pause that comes while the slice is sent stops it at the next call; those that did not leave are as before.
    """
    flow_id = room.flow.flow_id
    versions = {item.status.document_id: item.version for item in due}
    marked = await asyncio.to_thread(room.store.mark_sending, flow_id, versions, room.board.late_seconds)
    sent = [item for item in due if item.status.document_id in marked]
    changes = [StatusChange(status=item.status, row_id=item.shown.row_id if item.shown else "") for item in sent]
    answered = []
    for item, showed in zip(sent, await room.board.show(changes, alone=alone), strict=True):
        item.showed, item.version = showed, marked[item.status.document_id]
        if showed.result not in _IN_FLIGHT:
            answered.append(_outcome(item, _REASONS[showed.result], showed.detail))
    if any(item.showed and item.showed.result is WriteBackResult.RETRY for item in sent):
        await room.stopped()
    room.counts["sent"] += len(sent)
    versions = await asyncio.to_thread(room.store.settle, flow_id, answered)
    for item in sent:
        item.version = versions.get(item.status.document_id, item.version)


def _is_due(item: _Item) -> bool:
    """Not shown yet, and either not sent by us or refused among others."""
    if item.fits:
        return False
    if item.showed is None:
        return not item.in_doubt
    return item.showed.result is WriteBackResult.NOT_ALLOWED


def _outcome(item: _Item, reason: str, detail: str, *, in_flight: bool = False) -> StatusOutcome:
    return StatusOutcome(
        document_id=item.status.document_id,
        version=item.version,
        verified=False,
        reason=reason,
        detail=detail,
        in_flight=in_flight,
    )


async def _keep_the_rest(room: _Room, items: Mapping[str, _Item]) -> None:
    """Into the named list, with the reason; a paused run names nobody: what it left is due at the next."""
    if room.counts["paused"]:
        return
    outcomes = []
    for name, item in items.items():
        result = item.showed.result if item.showed else WriteBackResult.UNKNOWN
        reason = DOUBLED if item.fits else _REASONS[result]
        detail = item.showed.detail if item.showed else ""
        outcomes.append(_outcome(item, reason, detail, in_flight=result in _IN_FLIGHT))
        room.counts[{IN_DOUBT: "in_doubt", WAITS: "put_off"}.get(reason, "not_written")] += 1
        _list(room, name, reason)
    await asyncio.to_thread(room.store.settle, room.flow.flow_id, outcomes)


def _list(room: _Room, name: str, reason: str) -> None:
    """The first of the named list, for the log; the whole list is the hub's."""
    if len(room.listed) < _LISTED:
        room.listed.append((name, reason))
