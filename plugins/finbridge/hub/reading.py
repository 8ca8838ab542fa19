"""Reading for reports: where every document stands, the register row by row. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, LiteralString

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.lifecycle import VoucherState
from finbridge.core.ports import Account
from finbridge.hub.connections import Connections
from finbridge.hub.scheduling import LIVE
from finbridge.hub.work import DUE

_PAGE = 2000
_DONE = {*LIVE, VoucherState.REVERSED, VoucherState.WITHDRAWN}
_STANDING = sql.SQL("""
WITH register AS (
    SELECT document_id,
           bool_or(kind = 'expense' AND state = ANY(%(live)s)) AS live_expense,
           bool_or(kind = 'payment' AND state = ANY(%(live)s)) AS live_payment,
           bool_or(state = 'reversed') AS reversed,
           bool_or(NOT state = ANY(%(done)s)) AS open,
           min(created_at) FILTER (WHERE NOT state = ANY(%(done)s)) AS open_since
    FROM hub.voucher WHERE flow_id = %(flow)s{only} GROUP BY document_id
),
named AS (
    SELECT document_id, array_agg(DISTINCT code ORDER BY code) AS codes
    FROM hub.hold WHERE flow_id = %(flow)s AND closed_at IS NULL{only} GROUP BY document_id
),
judged AS (
    SELECT d.*, coalesce(n.codes, '{{}}') AS hold_codes, n.codes IS NOT NULL AS held,
           coalesce(r.live_expense, false) AS live_expense, coalesce(r.live_payment, false) AS live_payment,
           coalesce(r.reversed, false) AS reversed,
           least(r.open_since, d.due_at) < now() - %(overdue)s * interval '1 second' AS overdue,
           d.revision = d.planned_revision AND NOT coalesce(r.open, false)
           AND coalesce(r.live_expense, false)
               = (d.approval_log_id IS NOT NULL AND NOT 'expense' = ANY(string_to_array(d.empty_kinds, '|')))
           AND (coalesce(r.live_payment, false) OR d.payment_log_id IS NULL
                OR 'payment' = ANY(string_to_array(d.empty_kinds, '|'))) AS at_rest
    FROM hub.document d LEFT JOIN register r USING (document_id) LEFT JOIN named n USING (document_id)
    WHERE d.flow_id = %(flow)s{only}
),
standing AS (
    SELECT *, CASE
        WHEN at_rest AND live_expense THEN 'posted'
        WHEN held THEN 'held'
        WHEN NOT at_rest AND stage IS NOT NULL AND NOT coalesce(overdue, false) THEN 'due'
        WHEN NOT at_rest THEN 'unexplained'
        WHEN reversed THEN 'reversed'
        WHEN live_payment THEN 'paid_only'
        WHEN approval_log_id IS NOT NULL THEN 'nothing_to_post'
        ELSE 'not_approved'
    END AS standing
    FROM judged
)
""")


def standing(only: LiteralString = "") -> sql.Composed:
    """A WITH clause that ends in ``standing``: each document of ``%(flow)s`` in exactly one standing.

    ``at_rest``: planned, and finance shows what the plan calls for, no more. It takes the parameters of ``STATES``.

    Args:
        only: a further condition on ``document_id``, e.g. ``" AND document_id = ANY(%(documents)s)"``.
    """
    return _STANDING.format(only=sql.SQL(only))


_ALL = standing()
_COUNTED = _ALL + sql.SQL("""
SELECT standing, count(*), array_agg(document_id ORDER BY document_id) FILTER (WHERE standing = 'unexplained')
FROM standing GROUP BY 1 ORDER BY 1
""")
_DOCUMENTS = _ALL + sql.SQL("""
SELECT document_id, template, company, business_number, currency, business_date, end_state, exceptions, approved_at,
       paid_at, standing, stage, due_at, hold_codes AS holds, content, first_seen_at
FROM standing WHERE document_id > %(after)s ORDER BY document_id LIMIT %(page)s
""")
_REGISTER = sql.SQL("""
WITH page AS (
    SELECT * FROM hub.document
    WHERE flow_id = %(flow)s AND document_id > %(after)s ORDER BY document_id LIMIT %(page)s
)
SELECT v.*, d.flow_id, d.document_id, d.end_state, d.exceptions, coalesce(v.state = ANY(%(live)s), false) AS live,
       (SELECT count(*) FROM hub.attempt a WHERE a.key = v.key) AS attempts,
       ARRAY(SELECT DISTINCT h.code FROM hub.hold h
             WHERE h.flow_id = d.flow_id AND h.document_id = d.document_id AND h.closed_at IS NULL) AS holds
FROM page d LEFT JOIN hub.voucher v ON v.flow_id = d.flow_id AND v.document_id = d.document_id
ORDER BY d.document_id, v.created_at, v.key
""")
_LIVE = [state.value for state in LIVE]
#: A document that is due and gets nowhere for so long is explained by nothing any more.
OVERDUE_SECONDS = 15 * 60
STATES = {"live": _LIVE, "done": [state.value for state in _DONE], "overdue": OVERDUE_SECONDS}


def account(connections: Connections, flow_id: str) -> Account:
    """See `finbridge.core.ports.Hub.account`.

    ``documents`` counts by standing: posted, held, due, reversed, paid_only, nothing_to_post (0.00), not_approved,
    unexplained. They add up to the number of documents. ``held`` counts documents by open reason code, also those
    that are posted and stand in a list for another reason.
    """
    asked = {"flow": flow_id, **STATES}
    with connections.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        standing = cursor.execute(_COUNTED, asked).fetchall()
        vouchers = _counts(
            cursor, "SELECT state, count(*) FROM hub.voucher WHERE flow_id = %(flow)s GROUP BY 1 ORDER BY 1", asked
        )
        held = _counts(
            cursor,
            """
            SELECT code, count(DISTINCT document_id) FROM hub.hold
            WHERE flow_id = %(flow)s AND closed_at IS NULL GROUP BY 1 ORDER BY 1
            """,
            asked,
        )
        due = dict(cursor.execute(DUE, [flow_id]).fetchall())
    return Account(
        documents={name: count for name, count, _ in standing},
        vouchers=vouchers,
        held=held,
        due=due,
        unexplained=tuple(document_id for _, _, unexplained in standing for document_id in unexplained or ()),
    )


def _counts(cursor: Cursor, statement: LiteralString, asked: Mapping[str, Any]) -> dict[str, int]:
    return dict(cursor.execute(statement, asked).fetchall())


def document_rows(connections: Connections, flow_id: str) -> Iterator[dict[str, Any]]:
    """A row a document by id, read in pages: where it stands and why.

    Keys: document_id, template, company, business_number, currency, business_date, end_state, exceptions (joined by
    ``|``), approved_at, paid_at, standing, stage, due_at, holds (list of open reason codes), content, first_seen_at.
    """
    return _pages(connections, _DOCUMENTS, {"flow": flow_id, **STATES})


def register_rows(connections: Connections, flow_id: str) -> Iterator[dict[str, Any]]:
    """The register by document: a row a voucher, and one row (``key`` None) for a document without any.

    All columns of the register, and ``end_state``, ``exceptions`` (joined by ``|``), ``holds`` (open reason codes of
    the document), ``live`` (finance shows the voucher and nobody takes it away), ``attempts`` (tries to deliver).
    Amounts are whole minor units of ``currency``.
    """
    return _pages(connections, _REGISTER, {"flow": flow_id, **STATES})


def _pages(
    connections: Connections, statement: sql.SQL | sql.Composed, asked: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Page by page of documents, a short transaction each, so that a slow reader holds nothing open."""
    after = ""
    while True:
        with connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(statement, {**asked, "after": after, "page": _PAGE}).fetchall()
        yield from rows
        if not rows:
            return
        after = rows[-1]["document_id"]
