"""What finance says about the payment of each document, and whether the OA shows it.

Each change of a row raises its version, and each change names the version that it was decided on: of two workers with
the same document, the one that looked earlier changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, VoucherState
from finbridge.core.payment_status import (
    IN_DOUBT,
    WAITS,
    PaymentState,
    PaymentStatus,
    PaymentWork,
    StatusOutcome,
    StoredStatus,
    Unclear,
)
from finbridge.hub.bulk import Columns, arrays
from finbridge.hub.connections import Connections

#: Vouchers that stand in finance, or stood there: only their documents have a payment to speak of.
_IN_FINANCE = sorted(state.value for state in IN_BOOKS | {VoucherState.REVERSED})
_UNCLEAR = "unclear"
_WORK = """
WITH page AS (
    SELECT DISTINCT v.document_id FROM hub.voucher v
    LEFT JOIN hub.payment_status s ON s.document_id = v.document_id AND s.flow_id = v.flow_id
    WHERE v.flow_id = %(flow_id)s AND v.company = %(company)s AND v.period = %(period)s AND v.kind = %(expense)s
      AND v.state = ANY(%(states)s) AND v.document_id > %(after)s
      AND (NOT %(again)s OR NOT s.verified AND (s.reason = ANY(%(open)s) OR s.reason = '' AND s.sent_at IS NOT NULL))
    ORDER BY v.document_id LIMIT %(limit)s
)
SELECT p.document_id, d.business_number,
       array_agg(v.key ORDER BY v.key) FILTER (WHERE v.kind = %(expense)s AND v.state = ANY(%(states)s)) AS expenses,
       array_agg(v.key ORDER BY v.key) FILTER (WHERE v.kind = %(payment)s) AS payments,
       array_agg(ARRAY[v.reverses_key, v.key] ORDER BY v.key) FILTER (WHERE v.kind = %(reversal)s) AS reversals,
       s.status, s.number, s.paid_on, s.amount_minor, s.currency, s.business_number AS stored_number,
       coalesce(s.version, 0) AS version, coalesce(s.verified, false) AS verified, coalesce(s.reason, '') AS reason,
       coalesce(NOT s.verified AND s.sent_at > now() - %(late)s * interval '1 second', false) AS in_doubt
FROM page p
JOIN hub.document d ON d.document_id = p.document_id AND d.flow_id = %(flow_id)s
JOIN hub.voucher v ON v.document_id = p.document_id AND v.flow_id = %(flow_id)s AND v.company = %(company)s
LEFT JOIN hub.payment_status s ON s.document_id = p.document_id AND s.flow_id = %(flow_id)s
GROUP BY p.document_id, d.business_number, s.document_id, s.flow_id
ORDER BY p.document_id
"""
_ROW = Columns(
    "flow_id text, document_id text, company text, business_number text, status text, number text, paid_on date, "
    "amount_minor bigint, currency text, reason text, detail text"
)
_SAYS = Columns(
    "document_id text, company text, business_number text, status text, number text, paid_on date, "
    "amount_minor bigint, currency text, reason text, detail text, version bigint"
)
_ADD = sql.SQL("""
INSERT INTO hub.payment_status ({}) SELECT {} FROM {}
ON CONFLICT (document_id, flow_id) DO NOTHING RETURNING document_id, version
""").format(_ROW.listed, _ROW.listed, _ROW.unnested)
#: What was verified is not on its way any more; what was not may still be.
_CHANGE = sql.SQL("""
UPDATE hub.payment_status AS t SET
    company = u.company, business_number = u.business_number, status = u.status, number = u.number, paid_on = u.paid_on,
    amount_minor = u.amount_minor, currency = u.currency, reason = u.reason, detail = u.detail,
    sent_at = CASE WHEN t.verified THEN NULL ELSE t.sent_at END, verified = false, changed_at = now(),
    version = t.version + 1
FROM {} WHERE t.flow_id = %s AND t.document_id = u.document_id AND t.version = u.version
RETURNING t.document_id, t.version
""").format(_SAYS.unnested)
_VERSION = Columns("document_id text, version bigint")
_MARK = sql.SQL("""
UPDATE hub.payment_status AS t SET sent_at = now(), verified = false, reason = '', detail = '', version = t.version + 1
FROM {} WHERE t.flow_id = %s AND t.document_id = u.document_id AND t.version = u.version AND t.status <> %s
  AND (t.verified OR t.sent_at IS NULL OR t.sent_at <= now() - %s * interval '1 second')
RETURNING t.document_id, t.version
""").format(_VERSION.unnested)
_OUTCOME = Columns("document_id text, version bigint, verified boolean, reason text, detail text, in_flight boolean")
_SETTLE = sql.SQL("""
UPDATE hub.payment_status AS t SET
    verified = u.verified, reason = u.reason, detail = u.detail,
    sent_at = CASE WHEN u.verified OR u.in_flight THEN t.sent_at END, version = t.version + 1
FROM {} WHERE t.flow_id = %s AND t.document_id = u.document_id AND t.version = u.version
  AND (t.verified, t.reason, t.detail, t.sent_at IS NULL)
      IS DISTINCT FROM (u.verified, u.reason, u.detail, t.sent_at IS NULL OR NOT (u.verified OR u.in_flight))
RETURNING t.document_id, t.version
""").format(_OUTCOME.unnested)
_LOCK = "SELECT 1 FROM hub.payment_status WHERE flow_id = %s AND document_id = ANY(%s) ORDER BY document_id FOR UPDATE"
_LISTED = """
SELECT document_id, business_number, status, number, paid_on, amount_minor, currency, reason, detail, changed_at
FROM hub.payment_status WHERE flow_id = %s AND company = %s AND reason <> '' ORDER BY document_id LIMIT %s
"""
_OF_DOCUMENT = """
SELECT status, number, paid_on, amount_minor, currency, changed_at, sent_at, verified, reason, detail
FROM hub.payment_status WHERE flow_id = %s AND document_id = %s
"""


class PaymentStatuses:
    """`finbridge.core.payment_status.PaymentStatusStore` on PostgreSQL, and what pages show.

    Each method is one transaction and raises RetryLater where the database is away.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # ------------------------------------------------------------ the verb's work

    def work(
        self,
        *,
        flow_id: str,
        company: str,
        period: str,
        after: str,
        limit: int,
        late_seconds: float,
        again: bool = False,
    ) -> list[PaymentWork]:
        """See the port."""
        asked = {
            **{"flow_id": flow_id, "company": company, "period": period, "after": after, "limit": limit},
            **{"late": late_seconds, "again": again, "open": [IN_DOUBT, WAITS], "states": _IN_FINANCE},
            **{kind.value: kind.value for kind in VoucherKind},
        }
        with self._connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return [_work(row) for row in cursor.execute(_WORK, asked)]

    def put(self, flow_id: str, company: str, rows: Sequence[StoredStatus]) -> dict[str, int]:
        """See the port."""
        new = [(flow_id, *_says(row, company)) for row in rows if not row.version]
        changed = [(*_says(row, company), row.version) for row in rows if row.version]
        with self._connections.transaction(effect=True) as cursor:
            _lock(cursor, flow_id, [row.document_id for row in rows])
            stored: dict[str, int] = {}
            if new:
                stored |= dict(cursor.execute(_ADD, arrays(_ROW, new)).fetchall())
            if changed:
                stored |= dict(cursor.execute(_CHANGE, [*arrays(_SAYS, changed), flow_id]).fetchall())
        return stored

    def mark_sending(self, flow_id: str, versions: Mapping[str, int], late_seconds: float) -> dict[str, int]:
        """See the port."""
        if not versions:
            return {}
        with self._connections.transaction(effect=True) as cursor:
            _lock(cursor, flow_id, list(versions))
            asked = [*arrays(_VERSION, list(versions.items())), flow_id, _UNCLEAR, late_seconds]
            return dict(cursor.execute(_MARK, asked).fetchall())

    def settle(self, flow_id: str, outcomes: Sequence[StatusOutcome]) -> dict[str, int]:
        """See the port."""
        if not outcomes:
            return {}
        rows = [(o.document_id, o.version, o.verified, o.reason, o.detail, o.in_flight) for o in outcomes]
        with self._connections.transaction() as cursor:
            _lock(cursor, flow_id, [outcome.document_id for outcome in outcomes])
            return dict(cursor.execute(_SETTLE, [*arrays(_OUTCOME, rows), flow_id]).fetchall())

    # ------------------------------------------------------------ for people

    def listed(self, flow_id: str, company: str, limit: int = 1000) -> list[dict[str, Any]]:
        """The named list: documents whose status the OA does not show, with the reason."""
        return self._rows(_LISTED, [flow_id, company, limit])

    def of_document(self, flow_id: str, document_id: str) -> dict[str, Any] | None:
        """What is stored of one document, None where it never had a status."""
        found = self._rows(_OF_DOCUMENT, [flow_id, document_id])
        return found[0] if found else None

    def _rows(self, statement: str, asked: list[object]) -> list[dict[str, Any]]:
        with self._connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, asked).fetchall()


def _lock(cursor: Cursor, flow_id: str, document_ids: list[str]) -> None:
    """In one order, so that two workers wait for each other instead of standing still."""
    cursor.execute(_LOCK, [flow_id, document_ids])


def _says(row: StoredStatus, company: str) -> tuple[object, ...]:
    head = (row.document_id, company, row.business_number)
    if isinstance(row.says, Unclear):
        return (*head, _UNCLEAR, "", None, 0, "", row.says.reason, row.says.detail)
    says = row.says
    return (*head, says.state.value, says.number, says.paid_on, says.amount_minor, says.currency, "", "")


def _work(row: Mapping[str, Any]) -> PaymentWork:
    reversals: dict[str, tuple[str, ...]] = {}
    for original, key in row["reversals"] or ():
        reversals[original] = (*reversals.get(original, ()), key)
    return PaymentWork(
        document_id=row["document_id"],
        business_number=row["business_number"],
        expenses=tuple(row["expenses"]),
        payments=tuple(row["payments"] or ()),
        reversals=reversals,
        stored=_stored(row) if row["status"] not in (None, _UNCLEAR) else None,
        version=row["version"],
        verified=row["verified"],
        in_doubt=row["in_doubt"],
        reason=row["reason"],
    )


def _stored(row: Mapping[str, Any]) -> PaymentStatus:
    return PaymentStatus(
        document_id=row["document_id"],
        business_number=row["stored_number"],
        state=PaymentState(row["status"]),
        number=row["number"],
        paid_on=row["paid_on"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
    )
