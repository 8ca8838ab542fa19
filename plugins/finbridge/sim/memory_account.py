"""Where each document of the hub in memory stands: in exactly one standing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.ports import Account, Stage
from finbridge.sim.memory_rows import LIVE, DocumentRow, Store

_DONE = LIVE | {VoucherState.REVERSED, VoucherState.WITHDRAWN}
_OVERDUE = timedelta(minutes=15)


def account(store: Store, flow_id: str, due: Mapping[Stage, int]) -> Account:
    """Counts by standing; they add up to the number of documents."""
    documents = list(store.of_flow(flow_id))
    now = store.clock.now()
    standings = {document.document_id: standing(document, now) for document in documents}
    return Account(
        documents=Counter(standings.values()),
        vouchers=Counter(row.state.value for d in documents for row in d.vouchers.values()),
        held=Counter(code for d in documents for code in {hold[1] for hold in d.holds}),
        due={stage: count for stage, count in due.items()},
        unexplained=tuple(sorted(name for name, where in standings.items() if where == "unexplained")),
    )


def standing(document: DocumentRow, now: datetime) -> str:
    """The one standing of a document."""
    rest = _at_rest(document)
    if rest and _live(document, VoucherKind.EXPENSE):
        return "posted"
    if document.holds:
        return "held"
    if not rest:
        return "due" if document.stage is not None and not _overdue(document, now) else "unexplained"
    if any(row.state is VoucherState.REVERSED for row in document.vouchers.values()):
        return "reversed"
    if _live(document, VoucherKind.PAYMENT):
        return "paid_only"
    return "nothing_to_post" if document.approved else "not_approved"


def _live(document: DocumentRow, kind: VoucherKind) -> bool:
    return any(row.kind is kind and row.state in LIVE for row in document.vouchers.values())


def _at_rest(document: DocumentRow) -> bool:
    """Planned, and finance shows what the plan calls for, no more."""
    folded = document.folded
    if document.news or folded is None or any(row.state not in _DONE for row in document.vouchers.values()):
        return False
    expense = folded.approval is not None and VoucherKind.EXPENSE not in document.empty
    payment = folded.payment is None or VoucherKind.PAYMENT in document.empty
    return _live(document, VoucherKind.EXPENSE) == expense and (payment or _live(document, VoucherKind.PAYMENT))


def _overdue(document: DocumentRow, now: datetime) -> bool:
    times = [row.created for row in document.vouchers.values() if row.state not in _DONE]
    times += [document.due_at] if document.due_at is not None else []
    return bool(times) and min(times) < now - _OVERDUE
