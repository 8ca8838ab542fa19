"""What a document may do now and when it is due next. Pure: rows and a clock in, a decision out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT, VoucherState
from finbridge.core.ports import Stage
from finbridge.hub.documents import DocumentRow
from finbridge.hub.register import VoucherRow

#: A document's vouchers go in this order: a later kind waits until the earlier ones are settled.
TURN = {VoucherKind.REVERSAL: 0, VoucherKind.EXPENSE: 1, VoucherKind.PAYMENT: 2}
#: Finance holds the voucher and nobody takes it away.
LIVE = IN_BOOKS - {VoucherState.REVERSING}
#: Nothing is open about the voucher that a later kind would have to wait for.
SETTLED = IN_BOOKS | {VoucherState.REVERSED, VoucherState.WITHDRAWN}
_UNCLEAR = IN_DOUBT | {VoucherState.NEEDS_HUMAN}
#: Whose number goes onto the form.
WRITTEN_BACK_KINDS = frozenset({VoucherKind.EXPENSE})
_WRITE_BACK_OPEN = frozenset({"due", "sent"})


def waits_for_others(row: VoucherRow, rows: Sequence[VoucherRow], document: DocumentRow) -> bool:
    """Whether something else must be settled first.

    An earlier kind; or a voucher of the same kind for another log entry, of which finance may hold more than we know:
    else a document that was approved again would be live twice. A payment of an approved document also waits where
    its expense is not in the books and is held or taken back; not where the flow makes no expense voucher at all.
    """
    for other in rows:
        earlier = TURN[other.kind] < TURN[row.kind]
        rival = other.kind is row.kind and other.cause != row.cause
        if (earlier and other.state not in SETTLED) or (rival and other.state in _UNCLEAR):
            return True
    if row.kind is not VoucherKind.PAYMENT or not document.approved:
        return False
    expenses = [other for other in rows if other.kind is VoucherKind.EXPENSE]
    return not any(e.state in LIVE for e in expenses) and (bool(expenses) or document.blocked)


def deliver_at(row: VoucherRow, rows: Sequence[VoucherRow], document: DocumentRow) -> datetime | None:
    """When finance is to be asked or sent to about this voucher; None: not before something else happens."""
    if row.state in IN_DOUBT:
        return row.retry_at or document.now
    if row.state not in (VoucherState.READY, VoucherState.WAITING_PERIOD) or waits_for_others(row, rows, document):
        return None
    return row.retry_at or document.now


def write_back_at(row: VoucherRow, document: DocumentRow) -> datetime | None:
    """When the form is to be written or read back for this voucher."""
    if row.write_back not in _WRITE_BACK_OPEN or not writes_back(row):
        return None
    return row.write_back_at or document.now


def writes_back(row: VoucherRow) -> bool:
    """Whether the voucher has something to say on the form: its number, or why finance refused it."""
    return row.kind in WRITTEN_BACK_KINDS and row.state in (
        VoucherState.POSTED,
        VoucherState.WRITTEN_BACK,
        VoucherState.REJECTED,
    )


def next_due(document: DocumentRow, rows: Sequence[VoucherRow]) -> tuple[Stage | None, datetime | None]:
    """The next stage and its time: news is planned first, then finance, then the form; the earliest otherwise."""
    if document.news:
        return Stage.PLAN, document.now
    times: list[tuple[datetime, int, Stage]] = []
    for row in rows:
        deliver = deliver_at(row, rows, document)
        if deliver is not None:
            times.append((max(deliver, document.now), 0, Stage.DELIVER))
        write = write_back_at(row, document)
        if write is not None:
            times.append((max(write, document.now), 1, Stage.WRITE_BACK))
    if not times:
        return None, None
    due_at, _, stage = min(times)
    return stage, due_at
