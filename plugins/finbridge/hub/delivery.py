"""Deliver: what can be sent or resolved, the sending mark, and what finance answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from psycopg import Cursor

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
from finbridge.hub.bulk import Columns, arrays, copy_rows
from finbridge.hub.connections import Connections
from finbridge.hub.documents import DocumentName, DocumentRow, lock_leased
from finbridge.hub.holds import DELIVER, Hold, blacked_out, close_voucher_holds, open_holds
from finbridge.hub.register import Register, VoucherRow
from finbridge.hub.scheduling import TURN, WRITTEN_BACK_KINDS, waits_for_others
from finbridge.hub.settings import flows_without_write_back
from finbridge.hub.timing import Timing
from finbridge.hub.vouchers import load_vouchers

_ATTEMPT = Columns("attempt_id text, key text, fence bigint, worker text")
_FINISHED = Columns("key text, outcome text, detail text")
_NOT_FOUND = "not_found"


# ---------------------------------------------------------------- what can be done now


def deliverables(connections: Connections, flow_id: str, leases: Sequence[Lease]) -> list[Deliverable]:
    """See `finbridge.core.ports.Hub.deliverables`.

    A voucher that another lease left SENDING is UNKNOWN from here on; one whose period was closed is READY again when
    its time has come. A document with news that no plan has seen offers nothing new to send.
    """
    with connections.transaction() as cursor:
        documents = {document.lease: document for document in lock_leased(cursor, leases, flow_id)}
        register = Register.of_documents(cursor, documents.values())
        offered: list[tuple[DocumentRow, VoucherRow]] = []
        for lease in leases:
            document = documents.get(lease)
            if document is not None:
                offered.extend((document, row) for row in _offered(document, register))
        register.flush()
        whole = load_vouchers(cursor, (row.key for _, row in offered))
    return [
        Deliverable(
            lease=document.lease,
            voucher=whole[row.key],
            state=row.state,
            content=row.source_content,
            last_sent_at=row.last_sent_at,
            asked_at=document.now,
        )
        for document, row in offered
    ]


def _offered(document: DocumentRow, register: Register) -> list[VoucherRow]:
    rows = register.of_document(document.name)
    for row in rows:
        if row.state is VoucherState.SENDING and row.send_fence != document.lease_fence:
            register.take(row, Signal.SENDER_LOST, document, reason="the sender's lease ended")
        elif row.state is VoucherState.WAITING_PERIOD and _sendable(row, rows, document):
            register.take(row, Signal.RETRY, document)
    now = [row for row in rows if _can_be_looked_up(row, document) or _is_ready(row, rows, document)]
    return sorted(now, key=lambda row: TURN[row.kind])


def _can_be_looked_up(row: VoucherRow, document: DocumentRow) -> bool:
    return row.state in IN_DOUBT and (row.state is VoucherState.UNKNOWN or row.send_fence != document.lease_fence)


def _is_ready(row: VoucherRow, rows: Sequence[VoucherRow], document: DocumentRow) -> bool:
    return row.state is VoucherState.READY and _sendable(row, rows, document)


def _sendable(row: VoucherRow, rows: Sequence[VoucherRow], document: DocumentRow) -> bool:
    too_early = row.retry_at is not None and row.retry_at > document.now
    return not document.news and not too_early and not waits_for_others(row, rows, document)


# ---------------------------------------------------------------- the mark


def mark_sending(connections: Connections, leases: Mapping[str, Lease]) -> dict[str, str]:
    """See `finbridge.core.ports.Hub.mark_sending`. The lease must be alive: bytes leave right after this."""
    attempts: dict[str, str] = {}
    with connections.transaction(effect=True) as cursor:
        documents = {document.lease: document for document in lock_leased(cursor, leases.values(), alive=True)}
        register = Register.of_documents(cursor, documents.values())
        opened: list[tuple[str, str, int, str]] = []
        for key, lease in leases.items():
            document, row = documents.get(lease), register.vouchers.get(key)
            if document is None or row is None or row.name != document.name:
                continue
            if not _is_ready(row, register.of_document(row.name), document):
                continue
            register.take(row, Signal.MARK_SENDING, document)
            row.last_sent_at, row.send_fence, row.retry_at = document.now, lease.fence, None
            attempts[key] = str(uuid4())
            opened.append((attempts[key], key, lease.fence, document.lease_owner))
        copy_rows(cursor, "attempt", _ATTEMPT, opened)
        register.flush()
    return attempts


# ---------------------------------------------------------------- what finance answered


def record(connections: Connections, flow_id: str, results: Sequence[Sent], timing: Timing) -> None:
    """See `finbridge.core.ports.Hub.record`.

    Raises:
        IllegalTransition: a voucher does not take its outcome: a bug of the caller. All other results are stored.
    """
    refused: list[IllegalTransition] = []
    with connections.transaction(effect=True) as cursor:
        documents = {d.lease: d for d in lock_leased(cursor, (result.lease for result in results), flow_id)}
        desk = _Desk(cursor, list(documents.values()), results, timing)
        for result in results:
            document = documents.get(result.lease)
            row = desk.register.vouchers.get(result.key)
            if document is None or row is None or row.name != document.name:
                continue
            try:
                desk.take(document, row, result)
            except IllegalTransition as error:
                refused.append(error)
        desk.store()
    if refused:
        raise refused[0]


class _Desk:
    """One transaction's outcomes."""

    def __init__(
        self, cursor: Cursor, documents: Sequence[DocumentRow], results: Sequence[Sent], timing: Timing
    ) -> None:
        self.cursor = cursor
        self.documents = documents
        self.timing = timing
        self.register = Register.of_documents(cursor, documents)
        self.actors = {document.name: document.lease_owner for document in documents}
        self.silent_flows = flows_without_write_back(cursor, {document.flow_id for document in documents})
        self.settled: list[str] = []
        self.finished: list[tuple[str, str, str]] = []
        self.holds: list[Hold] = []
        # What finance says may carry names: the document's personal values are taken out before anything is kept.
        texts: dict[DocumentName, list[str]] = {}
        for result in results:
            row = self.register.vouchers.get(result.key)
            if row is not None and result.outcome is not None:
                texts.setdefault(row.name, []).append(_said(result.outcome))
        self.clean = blacked_out(cursor, texts)

    def take(self, document: DocumentRow, row: VoucherRow, result: Sent) -> None:
        """One result: the state, what finance calls it, when to try again, which list it stands in."""
        outcome = result.outcome
        if outcome is None:
            if result.not_found and row.state in IN_DOUBT:
                self._not_found(document, row)
            return
        if _known_already(row, outcome):
            return
        detail = self.clean[(row.name, _said(outcome))]
        taken = self.register.take(row, outcome, document, reason=detail)
        self.finished.append((row.key, outcome_name(outcome), detail))
        self._note(document, row, outcome)
        if row.state in NAMED_LISTS:
            self._hold(document, row, outcome, detail)
        writes = row.kind in WRITTEN_BACK_KINDS and row.flow_id not in self.silent_flows
        if Effect.WRITE_BACK in taken.effects and writes:
            row.write_back, row.write_back_at, row.write_back_tries = "due", None, 0

    def _not_found(self, document: DocumentRow, row: VoucherRow) -> None:
        self.register.take(row, Signal.NOT_FOUND, document)
        row.retry_at = None
        self.finished.append((row.key, _NOT_FOUND, ""))

    def _note(self, document: DocumentRow, row: VoucherRow, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted | Duplicate):
            self._posted(document, row, outcome.entry)
        elif isinstance(outcome, Unknown):
            row.retry_at = self.timing.doubt(document.now, row.last_sent_at)
        elif isinstance(outcome, PeriodClosed):
            row.retry_at = self.timing.period(document.now)
        elif isinstance(outcome, Locked | Throttled | NotSent | RefusedUnprocessed | AuthFailed):
            row.tries += 1
            row.retry_at = self.timing.put_off(document.now, outcome, row.tries)

    def _posted(self, document: DocumentRow, row: VoucherRow, entry: LedgerEntry) -> None:
        self.settled += note_posted(self.register, document, row, entry)

    def _hold(self, document: DocumentRow, row: VoucherRow, outcome: Outcome, detail: str) -> None:
        field = outcome.code if isinstance(outcome, Rejected) else ""
        code = outcome_name(outcome)
        self.holds.append(Hold(name=document.name, origin=DELIVER, code=code, key=row.key, field=field, detail=detail))

    def store(self) -> None:
        """Everything that was taken."""
        self._finish_attempts()
        moved = [*self.settled, *(hold.key for hold in self.holds)]
        close_voucher_holds(self.cursor, self.register, moved, self.actors, keep=self.holds)
        open_holds(self.cursor, self.register, self.holds, self.actors)
        self._plan_again()
        self.register.flush()

    def _finish_attempts(self) -> None:
        """An attempt keeps what was known right after it; one that a lost sender left open takes what finance says."""
        if self.finished:
            self.cursor.execute(
                """
                UPDATE hub.attempt t SET finished_at = clock_timestamp(), outcome = u.outcome, detail = u.detail
                FROM unnest(%b::text[], %b::text[], %b::text[]) AS u(key, outcome, detail)
                WHERE t.key = u.key AND t.finished_at IS NULL
                """,
                arrays(_FINISHED, self.finished),
            )

    def _plan_again(self) -> None:
        """Documents whose plan waited for finance's word: it has spoken on all of their vouchers."""
        spoken = [
            document
            for document in self.documents
            if document.waits and not any(r.state in IN_DOUBT for r in self.register.of_document(document.name))
        ]
        if spoken:
            self.cursor.execute(
                """
                UPDATE hub.document SET revision = revision + 1, waits = false WHERE lease_fence = ANY(%b::bigint[])
                """,
                [[document.lease_fence for document in spoken]],
            )


def note_posted(register: Register, document: DocumentRow, row: VoucherRow, entry: LedgerEntry) -> list[str]:
    """Finance's own names for a voucher; a reversal settles its original too. The keys that are settled now."""
    row.finance_number, row.finance_id = entry.number, entry.finance_id
    row.finance_year, row.finance_posted_on = entry.posting_date.year, entry.posting_date
    row.retry_at, row.tries = None, 0
    original = register.vouchers.get(row.reverses_key or "")
    if original is None or original.state is not VoucherState.REVERSING:
        return [row.key]
    register.take(original, Signal.REVERSAL_POSTED, document, reason=f"{row.key} {entry.number}")
    original.reversed_by_key = row.key
    return [row.key, original.key]


def _known_already(row: VoucherRow, outcome: Outcome) -> bool:
    """A success that is stored already, told again."""
    if not isinstance(outcome, Accepted | Duplicate) or row.state in IN_DOUBT:
        return False
    return row.finance_id is not None and row.finance_id == outcome.entry.finance_id


def _said(outcome: Outcome) -> str:
    """What finance said, in one line."""
    if isinstance(outcome, Rejected):
        return f"{outcome.code}: {outcome.message}"
    if isinstance(outcome, Conflict):
        return outcome.difference
    if isinstance(outcome, PeriodClosed | AuthFailed | NotSent | RefusedUnprocessed | Unknown):
        return outcome.message
    return ""
