"""The way back to the form: what must stand there, and what became of writing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from psycopg import Cursor

from finbridge.core.lifecycle import Signal, VoucherState
from finbridge.core.ports import Lease, WriteBackItem, WriteBackRecord, WriteBackResult
from finbridge.hub.bulk import Columns, arrays, copy_rows
from finbridge.hub.connections import Connections
from finbridge.hub.documents import DocumentName, DocumentRow, lock_leased
from finbridge.hub.holds import WRITE_BACK, Hold, close_voucher_holds, open_holds
from finbridge.hub.register import Register, VoucherRow
from finbridge.hub.scheduling import write_back_at, writes_back
from finbridge.hub.timing import Timing

NOT_POSSIBLE = "write_back_not_possible"
_POSTED = frozenset({VoucherState.POSTED, VoucherState.WRITTEN_BACK})
_ROW = Columns(
    "flow_id text, document_id text, keys text[], fence bigint, worker text, voucher_number text, posting_date text, "
    "error text, result text, verified boolean, detail text"
)
_NAMES = Columns("flow_id text, document_id text")
#: Looks in a row that did not find the form. A save that was answered says nothing yet: the look after it does.
_NOT_SHOWN = """
SELECT w.flow_id, w.document_id, count(*)
FROM hub.write_back w JOIN unnest(%b::text[], %b::text[]) AS d(flow_id, document_id) USING (flow_id, document_id)
WHERE w.result = 'not_shown' AND NOT EXISTS (
    SELECT FROM hub.write_back l
    WHERE l.document_id = w.document_id AND l.flow_id = w.flow_id AND l.write_back_id > w.write_back_id
          AND l.result <> 'not_shown' AND (l.result <> 'saved' OR l.verified)
)
GROUP BY w.flow_id, w.document_id
"""


def write_backs(connections: Connections, flow_id: str, leases: Sequence[Lease]) -> list[WriteBackItem]:
    """See `finbridge.core.ports.Hub.write_backs`. A posted expense's number; else why finance refused it."""
    with connections.transaction() as cursor:
        documents = {document.lease: document for document in lock_leased(cursor, leases, flow_id)}
        register = Register.of_documents(cursor, documents.values())
    items = (_item(documents[lease], register) for lease in leases if lease in documents)
    return [item for item in items if item is not None]


def _item(document: DocumentRow, register: Register) -> WriteBackItem | None:
    due = [row for row in register.of_document(document.name) if _due_now(row, document)]
    posted = [row for row in due if row.state in _POSTED]
    mine = posted or due
    if not mine:
        return None
    number, posting_date, error = _texts(mine)
    return WriteBackItem(
        lease=document.lease,
        keys=tuple(row.key for row in mine),
        voucher_number=number,
        posting_date=posting_date,
        error=error,
        done=all(row.write_back == "sent" for row in mine),
    )


def _due_now(row: VoucherRow, document: DocumentRow) -> bool:
    at = write_back_at(row, document)
    return at is not None and at <= document.now


def _texts(rows: Sequence[VoucherRow]) -> tuple[str, str, str]:
    """Number, posting date and error text for the form."""
    if rows[0].state in _POSTED:
        number = ", ".join(row.finance_number or "" for row in rows)
        return number, f"{rows[0].finance_posted_on or rows[0].posting_date:%Y-%m-%d}", ""
    reasons = "; ".join(row.state_reason for row in rows)
    return "", "", f"财务系统退回 / rejected by finance: {reasons}"


def record_write_backs(
    connections: Connections, flow_id: str, results: Sequence[WriteBackRecord], timing: Timing
) -> None:
    """See `finbridge.core.ports.Hub.record_write_backs`."""
    with connections.transaction(effect=True) as cursor:
        documents = {d.lease: d for d in lock_leased(cursor, (result.lease for result in results), flow_id)}
        register = Register.of_documents(cursor, documents.values())
        actors = {document.name: document.lease_owner for document in documents.values()}
        written: list[tuple[object, ...]] = []
        holds: list[Hold] = []
        verified: list[str] = []
        away = _away(cursor, results, documents.values())
        for given in results:
            document = documents.get(given.lease)
            rows = _rows_of(given, document, register)
            if document is None or not rows:
                continue
            result = _judged(given, rows, away.get(document.name, 0), timing)
            written.append(_evidence(result, document, rows))
            for row in rows:
                _take(result, row, document, register, timing)
            if result.result is WriteBackResult.NOT_ALLOWED:
                holds.extend(_refused(document, row, result.detail) for row in rows if row.state in _POSTED)
            elif result.verified:
                verified.extend(row.key for row in rows if row.state is VoucherState.VERIFIED)
        copy_rows(cursor, "write_back", _ROW, written)
        close_voucher_holds(cursor, register, verified, actors)
        open_holds(cursor, register, holds, actors)
        register.flush()


def _away(
    cursor: Cursor, results: Sequence[WriteBackRecord], documents: Iterable[DocumentRow]
) -> dict[DocumentName, int]:
    """How often in a row the forms that are not shown now were not shown before."""
    asked = {result.lease for result in results if result.result is WriteBackResult.NOT_SHOWN}
    names = [document.name for document in documents if document.lease in asked]
    if not names:
        return {}
    cursor.execute(_NOT_SHOWN, arrays(_NAMES, names))
    return {(flow_id, document_id): count for flow_id, document_id, count in cursor.fetchall()}


def _judged(result: WriteBackRecord, rows: Sequence[VoucherRow], away: int, timing: Timing) -> WriteBackRecord:
    """A form that was not shown often enough in a row is gone: nothing can be written any more."""
    looks = min(away, *(row.write_back_tries for row in rows)) + 1
    if result.result is not WriteBackResult.NOT_SHOWN or looks < timing.gone_tries:
        return result
    return replace(result, result=WriteBackResult.NOT_ALLOWED)


def _rows_of(result: WriteBackRecord, document: DocumentRow | None, register: Register) -> list[VoucherRow]:
    if document is None:
        return []
    mine: Mapping[str, VoucherRow] = {row.key: row for row in register.of_document(document.name)}
    return [mine[key] for key in result.keys if key in mine and writes_back(mine[key])]


def _evidence(result: WriteBackRecord, document: DocumentRow, rows: Sequence[VoucherRow]) -> tuple[object, ...]:
    who = (*document.name, [row.key for row in rows], document.lease_fence, document.lease_owner)
    return (*who, *_texts(rows), result.result.value, result.verified, result.detail)


def _take(result: WriteBackRecord, row: VoucherRow, document: DocumentRow, register: Register, timing: Timing) -> None:
    if result.result is WriteBackResult.SAVED:
        _saved(row, document, register, verified=result.verified)
    elif result.result is WriteBackResult.NOT_ALLOWED:
        row.write_back = "refused"
        register.note_document(row.name, document.lease_owner, "write_back_refused", reason=result.detail, key=row.key)
    else:  # nothing was done, or nobody knows: writing the same values once more changes nothing
        row.write_back = "due"
        row.write_back_tries += 1
        row.write_back_at = timing.write_back(document.now, row.write_back_tries)
    register.touch(row)


def _saved(row: VoucherRow, document: DocumentRow, register: Register, *, verified: bool) -> None:
    """Saved, and verified once the values were read back. An error text moves no voucher: it stays rejected."""
    row.write_back = "verified" if verified else "sent"
    row.write_back_at = None
    if row.state in _POSTED:
        if row.state is VoucherState.POSTED or not verified:
            register.take(row, Signal.WRITE_BACK_SENT, document)
        if verified:
            register.take(row, Signal.WRITE_BACK_VERIFIED, document)
    elif verified:
        register.note_document(row.name, document.lease_owner, "error_text_written", key=row.key)


def _refused(document: DocumentRow, row: VoucherRow, detail: str) -> Hold:
    return Hold(name=document.name, origin=WRITE_BACK, code=NOT_POSSIBLE, key=row.key, detail=detail)
