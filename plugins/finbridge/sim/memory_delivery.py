"""What can be sent or resolved, the sending mark, and what finance answered: the hub in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from finbridge.core.crashpoints import crash_point
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, NAMED_LISTS, Effect, IllegalTransition, Signal, VoucherState
from finbridge.core.outcomes import (
    Accepted,
    AuthFailed,
    Conflict,
    Duplicate,
    LedgerEntry,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
    Unknown,
    outcome_name,
)
from finbridge.core.ports import Deliverable, Lease, Sent
from finbridge.sim.memory_rows import TURN, DocumentRow, Hold, Store, VoucherRow, close_holds, waits_for_others


def deliverables(store: Store, leases: Sequence[Lease]) -> list[Deliverable]:
    """A document's reversals first, then expenses, then payments."""
    leased = store.leased(leases)
    now = store.clock.now()
    found: list[Deliverable] = []
    for lease in leases:
        document = leased.get(lease)
        for row in _offered(store, document) if document is not None else ():
            found.append(
                Deliverable(
                    lease=lease,
                    voucher=row.voucher,
                    state=row.state,
                    content=row.content,
                    last_sent_at=row.last_sent_at,
                    asked_at=now,
                )
            )
    return found


def _offered(store: Store, document: DocumentRow) -> list[VoucherRow]:
    rows = document.rows()
    for row in rows:
        if row.state is VoucherState.SENDING and row.send_fence != document.lease_fence:
            row.take(Signal.SENDER_LOST, "the sender's lease ended")
        elif row.state is VoucherState.WAITING_PERIOD and _sendable(store, row, document):
            row.take(Signal.RETRY)
    now = [row for row in rows if _can_be_looked_up(row, document) or _is_ready(store, row, document)]
    return sorted(now, key=lambda row: TURN[row.kind])


def _can_be_looked_up(row: VoucherRow, document: DocumentRow) -> bool:
    return row.state in IN_DOUBT and (row.state is VoucherState.UNKNOWN or row.send_fence != document.lease_fence)


def _is_ready(store: Store, row: VoucherRow, document: DocumentRow) -> bool:
    return row.state is VoucherState.READY and _sendable(store, row, document)


def _sendable(store: Store, row: VoucherRow, document: DocumentRow) -> bool:
    too_early = row.retry_at is not None and row.retry_at > store.clock.now()
    return not document.news and not too_early and not waits_for_others(row, document)


def mark_sending(store: Store, leases: Mapping[str, Lease]) -> dict[str, str]:
    """READY -> SENDING with an attempt each; the leases must be alive."""
    leased = store.leased(leases.values(), alive=True)
    ready = [
        (row, lease)
        for key, lease in leases.items()
        if (document := leased.get(lease)) is not None
        and (row := document.vouchers.get(key)) is not None
        and _is_ready(store, row, document)
    ]
    crash_point("C12")
    attempts: dict[str, str] = {}
    for row, lease in ready:
        row.take(Signal.MARK_SENDING)
        row.last_sent_at, row.send_fence, row.retry_at = store.clock.now(), lease.fence, None
        store.attempts += 1
        attempts[row.key] = f"attempt-{store.attempts}"
    return attempts


def record(store: Store, results: Sequence[Sent]) -> None:
    """Store outcomes; one that a voucher does not take is raised after the others were stored."""
    leased = store.leased(result.lease for result in results)
    crash_point("C12")
    refused: list[IllegalTransition] = []
    desks = {lease: _Desk(store, document) for lease, document in leased.items()}
    for result in results:
        desk = desks.get(result.lease)
        row = desk.document.vouchers.get(result.key) if desk is not None else None
        if desk is None or row is None:
            continue
        try:
            desk.take(row, result)
        except IllegalTransition as error:
            refused.append(error)
    for desk in desks.values():
        desk.store_all()
    if refused:
        raise refused[0]


class _Desk:
    """One document's outcomes."""

    def __init__(self, store: Store, document: DocumentRow) -> None:
        self.store = store
        self.now = store.clock.now()
        self.document = document
        self.settled: list[str] = []
        self.holds: list[Hold] = []

    def take(self, row: VoucherRow, result: Sent) -> None:
        outcome = result.outcome
        if outcome is None:
            if result.not_found and row.state in IN_DOUBT:
                row.take(Signal.NOT_FOUND)
                row.retry_at = None
            return
        if _known_already(row, outcome):
            return
        detail = _said(outcome)
        taken = row.take(outcome, detail)
        self._note(row, outcome)
        if row.state in NAMED_LISTS:
            field = outcome.code if isinstance(outcome, Rejected) else ""
            self.holds.append(("deliver", outcome_name(outcome), row.key, field, detail))
        if Effect.WRITE_BACK in taken.effects and row.kind is VoucherKind.EXPENSE:
            row.write_back, row.write_back_at, row.write_back_tries = "due", None, 0

    def _note(self, row: VoucherRow, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted | Duplicate):
            self._posted(row, outcome.entry)
        elif isinstance(outcome, Unknown):
            row.retry_at = self.store.waits.doubt(self.now, row.last_sent_at)
        elif isinstance(outcome, PeriodClosed):
            row.retry_at = self.now + timedelta(seconds=self.store.waits.period)
        elif isinstance(outcome, Locked | Throttled | NotSent | RefusedUnprocessed | AuthFailed):
            row.tries += 1
            row.retry_at = self.store.waits.put_off(self.now, outcome, row.tries)

    def _posted(self, row: VoucherRow, entry: LedgerEntry) -> None:
        row.number, row.finance_id, row.posted_on = entry.number, entry.finance_id, entry.posting_date
        row.retry_at, row.tries = None, 0
        self.settled.append(row.key)
        original = self.document.vouchers.get(row.voucher.reverses_key or "")
        if original is not None and original.state is VoucherState.REVERSING:
            original.take(Signal.REVERSAL_POSTED)
            original.reversed_by = row.key
            self.settled.append(original.key)

    def store_all(self) -> None:
        document = self.document
        close_holds(document, [*self.settled, *(hold[2] for hold in self.holds)], keep=self.holds)
        document.holds |= set(self.holds)
        if document.waits and not any(row.state in IN_DOUBT for row in document.vouchers.values()):
            document.revision += 1
            document.waits = False


def _known_already(row: VoucherRow, outcome: Outcome) -> bool:
    if not isinstance(outcome, Accepted | Duplicate) or row.state in IN_DOUBT:
        return False
    return row.finance_id is not None and row.finance_id == outcome.entry.finance_id


def _said(outcome: Outcome) -> str:
    if isinstance(outcome, Rejected):
        return f"{outcome.code}: {outcome.message}"
    if isinstance(outcome, Conflict):
        return outcome.difference
    return getattr(outcome, "message", "")
