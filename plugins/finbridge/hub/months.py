"""Reconciled months on PostgreSQL: which documents a month holds, the runs that compared it, and what they found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, VoucherState
from finbridge.core.month import Difference, InRegister, MonthDocument, SideSum, What, end_day, first_day
from finbridge.hub.bulk import Columns, copy_rows
from finbridge.hub.connections import Connections
from finbridge.hub.month_desk import MonthDesk

#: Log entries that make, pay or take back what a voucher stands for: in the month of their local day.
_ACTS = (EventKind.APPROVED, EventKind.PAID, EventKind.REJECTED, EventKind.WITHDRAWN)
_SENT_IN = (EventKind.SUBMITTED, EventKind.SAVED, EventKind.STEP)
_BY_LOG = sql.SQL("""
SELECT e.document_id FROM hub.source_event e JOIN hub.document d USING (document_id, flow_id)
WHERE e.flow_id = %(flow)s AND e.local_at >= %(first)s AND e.local_at < %(end)s AND e.kind = ANY(%(kinds)s)
  AND d.company = %(company)s
""")
_SCOPE = sql.SQL("""
{} UNION
SELECT document_id FROM hub.voucher WHERE flow_id = %(flow)s AND company = %(company)s AND period = %(period)s
""").format(_BY_LOG)
_IDS = sql.SQL("SELECT document_id FROM ({}) s ORDER BY document_id").format(_SCOPE)
_DUE = sql.SQL("""
SELECT s.document_id FROM ({}) s
JOIN hub.document d ON d.document_id = s.document_id AND d.flow_id = %(flow)s
WHERE d.stage IS NOT NULL ORDER BY s.document_id
""").format(_SCOPE)
#: Nothing that a list names keeps them: ready or in doubt, and no voucher before them waits for its period.
_UNSENT = sql.SQL("""
SELECT count(*), coalesce(extract(epoch FROM min(d.due_at) - clock_timestamp()), 0)::float8 FROM ({}) s
JOIN hub.document d ON d.document_id = s.document_id AND d.flow_id = %(flow)s
WHERE d.stage = 'plan' OR (
    d.stage = 'deliver' AND EXISTS (
        SELECT FROM hub.voucher v WHERE v.flow_id = d.flow_id AND v.document_id = d.document_id
               AND v.state = ANY(%(open)s))
    AND NOT EXISTS (
        SELECT FROM hub.voucher v WHERE v.flow_id = d.flow_id AND v.document_id = d.document_id
               AND v.state = %(waiting)s))
""").format(_SCOPE)
_READ_AGAIN = sql.SQL("""
UPDATE hub.document d SET settled = false
WHERE d.flow_id = %(flow)s AND d.amount_minor IS NULL AND d.settled AND d.company = ANY(%(companies)s)
  AND EXISTS (SELECT FROM hub.voucher v WHERE v.flow_id = d.flow_id AND v.document_id = d.document_id)
  AND EXISTS (SELECT FROM hub.source_event e WHERE e.flow_id = d.flow_id AND e.document_id = d.document_id
                     AND e.local_at >= %(first)s AND e.local_at < %(end)s AND e.kind = ANY(%(kinds)s))
""")
#: What was last touched before a period has nothing in it; a stamp that is no date says nothing.
_WITHOUT_COMPANY = """
SELECT d.document_id, d.business_number, coalesce(d.problem_code, ''),
       ARRAY(SELECT DISTINCT h.code FROM hub.hold h WHERE h.flow_id = d.flow_id AND h.document_id = d.document_id
                    AND h.closed_at IS NULL ORDER BY h.code)
FROM hub.document d
WHERE d.flow_id = %(flow)s AND d.company = ''
  AND (d.stamp !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' OR left(d.stamp, 10) >= %(first)s::text)
  AND (NOT EXISTS (SELECT FROM hub.source_event e WHERE e.flow_id = d.flow_id AND e.document_id = d.document_id)
       OR EXISTS (SELECT FROM hub.source_event e WHERE e.flow_id = d.flow_id AND e.document_id = d.document_id
                         AND e.local_at >= %(first)s AND e.local_at < %(end)s))
ORDER BY d.document_id
"""
_COUNT = sql.SQL("SELECT count(DISTINCT document_id) FROM ({}) s").format(_BY_LOG)
_SUM = Columns("month_run_id bigint, side text, kind text, currency text, vouchers bigint, amount_minor bigint")
_DIFFERENCE = Columns(
    "month_run_id bigint, position int, document_id text, business_number text, key text, finance_number text, "
    "kind text, what text, explained boolean, detail text, currency text, oa_minor bigint, finance_minor bigint"
)


class Months:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # ------------------------------------------------------------ the documents of a month

    def document_ids(self, flow_id: str, company: str, period: str) -> list[str]:
        """Documents of a company that were sent in, approved, paid or taken back in the period, or post into it."""
        asked = _asked(flow_id, company, period, (*_ACTS, *_SENT_IN))
        with self._connections.session() as connection:
            return [row[0] for row in connection.execute(_IDS, asked)]

    def due_ids(self, flow_id: str, company: str, period: str) -> list[str]:
        """Documents approved, paid or taken back in the period, or that could have been, which are due for some stage,
        now or later.
        """
        with self._connections.session() as connection:
            due = [row[0] for row in connection.execute(_DUE, _asked(flow_id, company, period, _ACTS))]
        return due + [nobodys.document_id for nobodys in self.without_company(flow_id, period)]

    def unsent(self, flow_id: str, company: str, period: str) -> tuple[int, float]:
        """Documents that are due to be sent and kept by no named reason; seconds until the first of them is due."""
        asked = _asked(flow_id, company, period, _ACTS)
        asked |= {
            "open": [state.value for state in (VoucherState.READY, *IN_DOUBT)],
            "waiting": VoucherState.WAITING_PERIOD.value,
        }
        with self._connections.session() as connection:
            found = connection.execute(_UNSENT, asked).fetchall()
        return int(found[0][0]), float(found[0][1])

    def read_amounts_again(self, flow_id: str, companies: Sequence[str], period: str) -> int:
        """Let the next list have documents of a period read whose form's total is not known; how many they are."""
        asked = {**_asked(flow_id, "", period, _ACTS), "companies": list(companies)}
        with self._connections.transaction() as cursor:
            return cursor.execute(_READ_AGAIN, asked).rowcount

    def without_company(self, flow_id: str, period: str) -> list[Difference]:
        """Documents that the OA lists and never showed with a company: each could be any company's of the period.

        Explained by the reason for which it is held; one that nothing holds is missing.
        """
        with self._connections.session() as connection:
            rows = connection.execute(_WITHOUT_COMPANY, _asked(flow_id, "", period, ())).fetchall()
        return [
            Difference(
                what=What.NO_COMPANY if holds else What.MISSING,
                kind=VoucherKind.EXPENSE.value,
                detail=f"尚无公司，可能属于任一公司 / no company yet, it could be any company's: "
                f"{', '.join(holds) or problem or '-'}",
                document_id=document_id,
                business_number=number,
            )
            for document_id, number, problem, holds in rows
        ]

    def approved_count(self, flow_id: str, company: str, period: str) -> int:
        """How many documents of a company were approved in the period."""
        asked = _asked(flow_id, company, period, (EventKind.APPROVED,))
        with self._connections.session() as connection:
            found = connection.execute(_COUNT, asked).fetchone()
        return int(found[0]) if found else 0

    def documents(self, flow_id: str, document_ids: Sequence[str], currency: str) -> list[MonthDocument]:
        """Documents with their logs and vouchers, in three statements whatever the number."""
        names = list(document_ids)
        with self._connections.transaction() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            events = _events(cursor, flow_id, names)
            register = _register(cursor, flow_id, names)
            cursor.execute(
                """
                SELECT document_id, business_number, company, amount_minor FROM hub.document
                WHERE flow_id = %s AND document_id = ANY(%s::text[]) ORDER BY document_id
                """,
                [flow_id, names],
            )
            return [
                MonthDocument(
                    document_id=name,
                    business_number=number,
                    company=company,
                    currency=currency,
                    amount_minor=amount,
                    events=tuple(events[name]),
                    register=tuple(register[name]),
                )
                for name, number, company, amount in cursor.fetchall()
            ]

    # ------------------------------------------------------------ a comparison

    def begin(self, flow_id: str, company: str, period: str, run_id: str) -> tuple[int, datetime]:
        """Note that a comparison began; its number, and when by the hub's clock."""
        with self._connections.transaction() as cursor:
            cursor.execute(
                """
                INSERT INTO hub.month_run (flow_id, company, period, run_id) VALUES (%s, %s, %s, %s)
                RETURNING month_run_id, started_at
                """,
                [flow_id, company, period, run_id],
            )
            number, started_at = cursor.fetchall()[0]
            return int(number), started_at

    @contextmanager
    def desk(self, flow_id: str, company: str, period: str, started_at: datetime) -> Iterator[MonthDesk]:
        """A place where the sides of one comparison are laid side by side; it is empty, and cleared afterwards."""
        with self._connections.session() as connection:
            desk = MonthDesk(connection, flow_id, company, period, started_at)
            try:
                yield desk
            finally:
                desk.clear()

    def add_differences(self, month_run_id: int, first: int, differences: Sequence[Difference]) -> None:
        """Store some differences; their positions count from ``first``."""
        rows = [
            (
                *(month_run_id, position, d.document_id, d.business_number, d.key, d.finance_number, d.kind),
                *(d.what.value, d.explained, d.detail[:2000], d.currency, d.oa_minor, d.finance_minor),
            )
            for position, d in enumerate(differences, start=first)
        ]
        with self._connections.transaction() as cursor:
            copy_rows(cursor, "month_difference", _DIFFERENCE, rows)

    def close(self, month_run_id: int, sums: Sequence[SideSum], *, unexplained: int, explained: int) -> None:
        """Store the sums and the verdict."""
        rows = [(month_run_id, s.side, s.kind, s.currency, s.vouchers, s.amount_minor) for s in sums]
        with self._connections.transaction() as cursor:
            copy_rows(cursor, "month_sum", _SUM, rows)
            cursor.execute(
                """
                UPDATE hub.month_run SET closed_at = now(), unexplained = %s, explained = %s WHERE month_run_id = %s
                """,
                [unexplained, explained, month_run_id],
            )

    # ------------------------------------------------------------ reading

    def run(self, run_id: str | int) -> dict[str, Any] | None:
        """A comparison by its number, or the newest of an Airflow run by that run's id."""
        by_number = isinstance(run_id, int) or (run_id.isascii() and run_id.isdigit() and len(run_id) < 19)
        if by_number:
            found = self._rows("SELECT * FROM hub.month_run WHERE month_run_id = %s", [int(run_id)])
        else:
            newest = "SELECT * FROM hub.month_run WHERE run_id = %s ORDER BY month_run_id DESC LIMIT 1"
            found = self._rows(newest, [run_id])
        return found[0] if found else None

    def runs(self, flow_id: str, limit: int = 100) -> list[dict[str, Any]]:
        """The newest comparisons of a flow, newest first."""
        return self._rows(
            "SELECT * FROM hub.month_run WHERE flow_id = %s ORDER BY month_run_id DESC LIMIT %s", [flow_id, limit]
        )

    def sums(self, month_run_id: int) -> list[dict[str, Any]]:
        """Count and sum by side, kind and currency."""
        return self._rows(
            "SELECT * FROM hub.month_sum WHERE month_run_id = %s ORDER BY kind, currency, side", [month_run_id]
        )

    def differences(self, month_run_id: int, limit: int = 1000, offset: int = 0) -> list[dict[str, Any]]:
        """A page of the list: unexplained ones first."""
        return self._rows(
            """
            SELECT * FROM hub.month_difference WHERE month_run_id = %s
            ORDER BY explained, position LIMIT %s OFFSET %s
            """,
            [month_run_id, limit, offset],
        )

    def _rows(self, statement: LiteralString, asked: Sequence[object]) -> list[dict[str, Any]]:
        with self._connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, asked).fetchall()


def _asked(flow_id: str, company: str, period: str, kinds: Sequence[EventKind]) -> dict[str, Any]:
    return {
        "flow": flow_id,
        "company": company,
        "period": period,
        "first": first_day(period),
        "end": end_day(period),
        "kinds": [kind.value for kind in kinds],
    }


def _events(cursor: Cursor, flow_id: str, names: list[str]) -> dict[str, list[LogEntry]]:
    found: dict[str, list[LogEntry]] = defaultdict(list)
    cursor.execute(
        """
        SELECT document_id, log_id, kind, local_at FROM hub.source_event
        WHERE flow_id = %s AND document_id = ANY(%s::text[]) ORDER BY document_id, local_at, log_id
        """,
        [flow_id, names],
    )
    for document_id, log_id, kind, local_at in cursor:
        found[document_id].append(LogEntry(log_id, EventKind(kind), local_at))
    return found


def _register(cursor: Cursor, flow_id: str, names: list[str]) -> dict[str, list[InRegister]]:
    found: dict[str, list[InRegister]] = defaultdict(list)
    cursor.execute(
        """
        SELECT document_id, key, business_number, kind, cause, state, period, currency, debit_minor, fingerprint,
               reverses_key
        FROM hub.voucher WHERE flow_id = %s AND document_id = ANY(%s::text[]) ORDER BY created_at, key
        """,
        [flow_id, names],
    )
    for document_id, key, number, kind, cause, state, period, currency, debit, fingerprint, reverses in cursor:
        voucher = InRegister(
            key=key,
            document_id=document_id,
            business_number=number,
            kind=VoucherKind(kind),
            cause=cause,
            state=VoucherState(state),
            period=period,
            currency=currency,
            debit_minor=debit,
            fingerprint=fingerprint,
            reverses_key=reverses,
        )
        found[document_id].append(voucher)
    return found
