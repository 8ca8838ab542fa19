"""Vouchers that wait for their accounting period: when they are sent again follows what finance says of the period."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from psycopg import Cursor

from finbridge.core.lifecycle import VoucherState
from finbridge.core.periods import CompanyPeriod
from finbridge.hub.bulk import Columns, update_rows
from finbridge.hub.connections import Connections
from finbridge.hub.documents import DocumentRow, lock_named
from finbridge.hub.register import Register, VoucherRow
from finbridge.hub.scheduling import next_due
from finbridge.hub.timing import Timing

_ACTOR = "deliver"
_WAITS = VoucherState.WAITING_PERIOD.value
#: The hold names the vouchers: a flow has few open ones, and many vouchers.
_WAITING = """
SELECT DISTINCT v.company, v.period FROM hub.hold h JOIN hub.voucher v ON v.key = h.key
WHERE h.flow_id = %(flow)s AND h.closed_at IS NULL AND h.code = 'period_closed' AND v.state = %(waits)s
ORDER BY 1, 2
"""
#: Of an open period those that would wait longer, of a closed one those that would be sent within the next minute.
_CONCERNED = """
SELECT DISTINCT v.document_id
FROM hub.hold h JOIN hub.voucher v ON v.key = h.key
JOIN unnest(%(companies)b::text[], %(periods)b::text[], %(open)b::boolean[]) AS p(company, period, open)
     ON v.company = p.company AND v.period = p.period
WHERE h.flow_id = %(flow)s AND h.closed_at IS NULL AND h.code = 'period_closed' AND v.state = %(waits)s
  AND CASE WHEN p.open THEN v.retry_at > clock_timestamp()
           ELSE coalesce(v.retry_at, clock_timestamp()) < clock_timestamp() + interval '1 minute' END
"""
_KEYS = Columns("flow_id text, document_id text")
_DUE = Columns("stage text, due_at timestamptz")


def waiting_periods(connections: Connections, flow_id: str) -> list[CompanyPeriod]:
    """See `finbridge.core.periods.PeriodHub.waiting_periods`."""
    with connections.session() as connection:
        rows = connection.execute(_WAITING, {"flow": flow_id, "waits": _WAITS}).fetchall()
    return [CompanyPeriod(company, period) for company, period in rows]


def note_periods(connections: Connections, flow_id: str, is_open: Mapping[CompanyPeriod, bool], timing: Timing) -> int:
    """See `finbridge.core.periods.PeriodHub.note_periods`. Whoever holds a document's lease keeps it."""
    if not is_open:
        return 0
    asked = {
        "flow": flow_id,
        "waits": _WAITS,
        "companies": [which.company for which in is_open],
        "periods": [which.period for which in is_open],
        "open": list(is_open.values()),
    }
    with connections.transaction() as cursor:
        ids = [row[0] for row in cursor.execute(_CONCERNED, asked).fetchall()]
        if not ids:
            return 0
        documents = lock_named(cursor, flow_id, ids, _ACTOR)
        register = Register.of_documents(cursor, documents)
        released = sum(_noted(document, register, is_open, timing) for document in documents)
        register.flush()
        _due_again(cursor, documents, register)
    return released


def _noted(document: DocumentRow, register: Register, is_open: Mapping[CompanyPeriod, bool], timing: Timing) -> int:
    """Set the next send of a document's waiting vouchers; how many may go now."""
    released = 0
    for row in register.of_document(document.name):
        answer = _answer(row, is_open)
        if answer is None:
            continue
        if not answer:
            row.retry_at = max(row.retry_at or document.now, document.now + timedelta(seconds=timing.period_seconds))
        elif row.retry_at is not None and row.retry_at > document.now:
            row.retry_at = None
            released += 1
        register.touch(row)
    return released


def _answer(row: VoucherRow, is_open: Mapping[CompanyPeriod, bool]) -> bool | None:
    """What finance said of the voucher's period; None: nothing, or the voucher does not wait any more."""
    if row.state is not VoucherState.WAITING_PERIOD:
        return None
    return is_open.get(CompanyPeriod(row.company, f"{row.posting_date:%Y-%m}"))


def _due_again(cursor: Cursor, documents: list[DocumentRow], register: Register) -> None:
    """Documents that nobody works on get their time; the release of a lease computes it from the same rows."""
    free = [document for document in documents if document.lease_fence == 0]
    update_rows(
        cursor,
        "document",
        _KEYS,
        _DUE,
        [
            (d.flow_id, d.document_id, stage.value if stage else None, due_at)
            for d in free
            for stage, due_at in (next_due(d, register.of_document(d.name)),)
        ],
    )
