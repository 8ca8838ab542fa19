"""The desk on which a month is compared: both sides in temporary tables, the register joined to them, by sets.

However many vouchers a month has, the number of statements is that of the pages read from finance and the OA's side;
what agrees on all sides never leaves the database.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection, Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, VoucherState
from finbridge.core.month import (
    HELD_BY_FINANCE,
    Called,
    InFinance,
    InRegister,
    SideSum,
    Standing,
    Triple,
)
from finbridge.core.month_calls import AGAIN
from finbridge.hub.bulk import Columns
from finbridge.hub.month_lines import LINES_OF_V

_PAGE = 1000
_CALLED = Columns(
    "key text, document_id text, business_number text, kind text, period text, currency text, amount_minor bigint"
)
_FOUND = Columns(
    "key text, number text, kind text, period text, currency text, debit_minor bigint, content text, posted boolean, "
    "document_id text, listed boolean, lines text, taken_back text, undone boolean"
)
_TABLES = {"month_called": _CALLED, "month_found": _FOUND}
_DROP = "DROP TABLE IF EXISTS pg_temp.month_called, pg_temp.month_found, pg_temp.month_unequal"
#: Finance holds these, or may.
_OF_PERIOD = sql.SQL("""
SELECT key FROM hub.voucher
WHERE flow_id = %(flow)s AND company = %(company)s AND period = %(period)s AND state = ANY(%(sent)s)
""")
_TO_FIND = sql.SQL("""
SELECT key FROM (SELECT key FROM pg_temp.month_called WHERE right(key, 1) <> %(again)s UNION {}) wanted
WHERE key > %(after)s AND NOT EXISTS (SELECT FROM pg_temp.month_found f WHERE f.key = wanted.key)
ORDER BY key LIMIT %(page)s
""").format(_OF_PERIOD)
#: What does not agree on all three sides. Vouchers of other flows in the same company are not ours to judge.
_UNEQUAL = sql.SQL("""
CREATE TEMPORARY TABLE month_unequal AS
WITH wanted AS (
    SELECT key FROM pg_temp.month_called UNION SELECT key FROM pg_temp.month_found UNION {}
)
SELECT w.key, c.document_id AS c_document_id, c.business_number AS c_business_number, c.kind AS c_kind,
       c.period AS c_period, c.currency AS c_currency, c.amount_minor AS c_amount_minor,
       v.document_id AS v_document_id, v.business_number AS v_business_number, v.kind AS v_kind, v.cause AS v_cause,
       v.state AS v_state, v.period AS v_period, v.currency AS v_currency, v.debit_minor AS v_debit_minor,
       v.fingerprint AS v_fingerprint, coalesce(b.lines, '') AS v_lines,
       v.reverses_key AS v_reverses_key, v.created_at >= %(started)s AS v_new,
       f.number AS f_number, f.kind AS f_kind, f.period AS f_period, f.currency AS f_currency,
       f.debit_minor AS f_debit_minor, f.content AS f_content, f.posted AS f_posted, f.document_id AS f_document_id,
       f.listed AS f_listed, f.lines AS f_lines, f.taken_back AS f_taken_back,
       f.undone AS f_undone,
       coalesce(d.stage IN ('plan', 'deliver') OR d.revision <> d.planned_revision OR d.changed_at >= %(started)s,
                false) AS due,
       coalesce(d.changed_at >= %(started)s, false) AS arrived,
       EXISTS (SELECT FROM hub.voucher o WHERE o.flow_id = d.flow_id AND o.document_id = d.document_id
                 AND o.state = 'waiting_period') AS waits,
       coalesce(d.empty_kinds, '') AS empty_kinds,
       ARRAY(SELECT DISTINCT h.code FROM hub.hold h
             WHERE h.flow_id = d.flow_id AND h.document_id = d.document_id AND h.closed_at IS NULL
               AND h.origin <> 'write_back' AND NOT upper(h.code) = ANY(string_to_array(d.exceptions, '|'))
             ORDER BY h.code) AS holds
FROM wanted w
LEFT JOIN pg_temp.month_called c ON c.key = w.key
LEFT JOIN pg_temp.month_found f ON f.key = w.key
LEFT JOIN hub.voucher v ON v.key = w.key
LEFT JOIN LATERAL ({}) b ON true
LEFT JOIN hub.document d ON d.document_id = coalesce(c.document_id, v.document_id) AND d.flow_id = %(flow)s
WHERE coalesce(v.flow_id = %(flow)s, true) AND NOT coalesce(
    v.state = ANY(%(held)s) AND v.period = %(period)s AND c.amount_minor = v.debit_minor
    AND f.listed AND f.posted AND f.period = v.period AND f.content = v.fingerprint
    AND f.debit_minor = v.debit_minor AND f.currency IN ('', v.currency) AND f.kind IN ('', v.kind)
    AND f.document_id IN ('', v.document_id) AND f.lines IN ('', b.lines) AND f.taken_back = '', false)
""").format(_OF_PERIOD, LINES_OF_V)
_SUMS = """
SELECT 'oa' AS side, kind, currency, count(*), sum(amount_minor)::bigint FROM pg_temp.month_called GROUP BY 2, 3
UNION ALL
SELECT 'register', kind, currency, count(*), sum(debit_minor)::bigint FROM hub.voucher
WHERE flow_id = %(flow)s AND company = %(company)s AND period = %(period)s AND state = ANY(%(held)s) GROUP BY 2, 3
UNION ALL
SELECT 'finance', coalesce(c.kind, v.kind, f.kind), coalesce(c.currency, v.currency, f.currency), count(*),
       sum(f.debit_minor)::bigint
FROM pg_temp.month_found f
LEFT JOIN pg_temp.month_called c ON c.key = f.key LEFT JOIN hub.voucher v ON v.key = f.key
WHERE f.listed AND coalesce(v.flow_id = %(flow)s, true) GROUP BY 2, 3
ORDER BY 1, 2, 3
"""


class MonthDesk:
    """One comparison, on one connection. Calls may come from several threads, one after the other."""

    def __init__(self, connection: Connection, flow_id: str, company: str, period: str, started_at: datetime) -> None:
        self._connection = connection
        self._guard = threading.Lock()
        self._asked: dict[str, Any] = {
            "flow": flow_id,
            "company": company,
            "period": period,
            "started": started_at,
            "held": [state.value for state in HELD_BY_FINANCE],
            "sent": [state.value for state in HELD_BY_FINANCE | IN_DOUBT],
            "again": AGAIN,
        }
        connection.execute(_DROP)
        for name, columns in _TABLES.items():
            declared = sql.SQL(", ").join(
                sql.SQL("{} " + kind).format(sql.Identifier(column))
                for column, kind in zip(columns.names, columns.types, strict=True)
            )
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} ({}, PRIMARY KEY (key))").format(sql.Identifier(name), declared)
            )

    def clear(self) -> None:
        """Take the tables away; a connection that is lost took them along."""
        if not self._connection.closed:
            self._connection.execute(_DROP)

    def add_called(self, calls: Iterable[Called]) -> None:
        """What the OA calls for in this period; a key once."""
        self._put(
            "month_called",
            [
                (c.key, c.document_id, c.business_number, c.kind.value, c.period, c.currency, c.amount_minor)
                for c in calls
            ],
        )

    def add_found(self, found: Iterable[InFinance]) -> None:
        """What finance shows; of an entry shown twice, the later one counts."""
        rows = {
            f.key: (
                *(f.key, f.number, f.kind, f.period, f.currency, f.debit_minor, f.content, f.posted),
                *(f.document_id, f.listed, f.lines, f.taken_back, f.undone),
            )
            for f in found
        }
        self._put("month_found", list(rows.values()))

    def to_find(self, after: str, page: int) -> list[str]:
        """Keys behind ``after`` that must or may be in finance and that it did not show yet, in order."""
        with self._guard:
            asked = {**self._asked, "after": after, "page": page}
            return [row[0] for row in self._connection.execute(_TO_FIND, asked).fetchall()]

    def lay_out(self) -> list[SideSum]:
        """Join the three sides in one snapshot; the sums of each. After this, `triples` shows what is not equal."""
        with self._guard, self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("ANALYZE pg_temp.month_called, pg_temp.month_found")
            cursor.execute(_UNEQUAL, self._asked)
            cursor.execute("CREATE INDEX ON pg_temp.month_unequal (key)")
            return [
                SideSum(side=side, kind=kind, currency=currency, vouchers=count, amount_minor=total)
                for side, kind, currency, count, total in cursor.execute(_SUMS, self._asked).fetchall()
            ]

    def triples(self) -> Iterator[list[Triple]]:
        """Pages of keys on which the sides do not agree, in the order of keys."""
        after = ""
        while True:
            with self._guard, self._connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(
                    "SELECT * FROM pg_temp.month_unequal WHERE key > %s ORDER BY key LIMIT %s", [after, _PAGE]
                ).fetchall()
            if not rows:
                return
            after = rows[-1]["key"]
            yield [_triple(row) for row in rows]

    def _put(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        columns = _TABLES[table]
        staged = sql.SQL("INSERT INTO {} SELECT * FROM {} ON CONFLICT (key) DO UPDATE SET {}").format(
            sql.Identifier("pg_temp", table),
            columns.unnested,
            sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns.names if name != "key"
            ),
        )
        with self._guard, self._connection.cursor() as cursor:
            _execute_arrays(cursor, staged, rows)


def _execute_arrays(cursor: Cursor, statement: sql.Composed, rows: Sequence[Sequence[Any]]) -> None:
    cursor.execute(statement, [list(column) for column in zip(*rows, strict=True)])


def _triple(row: Mapping[str, Any]) -> Triple:
    return Triple(
        key=row["key"],
        called=_called(row),
        registered=_registered(row),
        found=_found(row),
        standing=Standing(
            holds=tuple(row["holds"]),
            due=row["due"],
            arrived=row["arrived"],
            waits=row["waits"],
            empty=frozenset(part for part in row["empty_kinds"].split("|") if part),
        ),
    )


def _called(row: Mapping[str, Any]) -> Called | None:
    if row["c_kind"] is None:
        return None
    return Called(
        key=row["key"],
        document_id=row["c_document_id"],
        business_number=row["c_business_number"],
        kind=VoucherKind(row["c_kind"]),
        period=row["c_period"],
        currency=row["c_currency"],
        amount_minor=row["c_amount_minor"],
    )


def _registered(row: Mapping[str, Any]) -> InRegister | None:
    if row["v_kind"] is None:
        return None
    return InRegister(
        key=row["key"],
        document_id=row["v_document_id"],
        business_number=row["v_business_number"],
        kind=VoucherKind(row["v_kind"]),
        cause=row["v_cause"],
        state=VoucherState(row["v_state"]),
        period=row["v_period"],
        currency=row["v_currency"],
        debit_minor=row["v_debit_minor"],
        fingerprint=row["v_fingerprint"],
        reverses_key=row["v_reverses_key"],
        new=row["v_new"],
        lines=row["v_lines"],
    )


def _found(row: Mapping[str, Any]) -> InFinance | None:
    if row["f_listed"] is None:
        return None
    return InFinance(
        key=row["key"],
        number=row["f_number"],
        kind=row["f_kind"],
        period=row["f_period"],
        currency=row["f_currency"],
        debit_minor=row["f_debit_minor"],
        content=row["f_content"],
        posted=row["f_posted"],
        document_id=row["f_document_id"],
        listed=row["f_listed"],
        lines=row["f_lines"],
        taken_back=row["f_taken_back"],
        undone=row["f_undone"],
    )
