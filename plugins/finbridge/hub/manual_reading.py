"""What a manual run reads of documents: by number, by window, and whole, in one consistent reading. Changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.ports import Problem
from finbridge.core.preview import Known, Window
from finbridge.hub.connections import Connections
from finbridge.hub.reading import STATES, standing
from finbridge.hub.register import Register
from finbridge.hub.vouchers import load_vouchers
from finbridge.hub.work import events_of

_BY_NUMBER = """
WITH asked AS (SELECT unnest(%b::text[]) AS number)
SELECT number, document_id FROM asked JOIN hub.document ON document_id = number WHERE flow_id = %s
UNION
SELECT number, document_id FROM asked JOIN hub.document ON business_number = number WHERE flow_id = %s
ORDER BY 1, 2
"""
_APPROVED = """
SELECT document_id FROM hub.document
WHERE flow_id = %(flow)s AND approved_at >= %(since)s AND approved_at < %(until)s::date + 1
      AND (%(company)s = '' OR company = %(company)s)
ORDER BY approved_at, document_id
"""
_STANDING = standing(" AND document_id = ANY(%(documents)s)") + sql.SQL("""
SELECT document_id, company, business_number, content, standing, problem_code, problem_field, problem_detail,
       lease_until > clock_timestamp() OR (stage IS NOT NULL AND due_at <= clock_timestamp()) AS moving
FROM standing
""")
_HOLDS = """
SELECT document_id, origin, code, field, detail FROM hub.hold
WHERE flow_id = %s AND document_id = ANY(%b::text[]) AND closed_at IS NULL ORDER BY opened_at, hold_id
"""


def by_number(connections: Connections, flow_id: str, numbers: Sequence[str]) -> dict[str, list[str]]:
    """Document ids by what people call them; a number may stand on several documents."""
    found: dict[str, list[str]] = defaultdict(list)
    with connections.session() as connection:
        for number, document_id in connection.execute(_BY_NUMBER, [list(numbers), flow_id, flow_id]):
            found[number].append(document_id)
    return dict(found)


def approved(connections: Connections, flow_id: str, window: Window) -> list[str]:
    """Documents that the hub knows as approved in the window."""
    asked = {"flow": flow_id, "since": window.since, "until": window.until, "company": window.company}
    with connections.session() as connection:
        return [row[0] for row in connection.execute(_APPROVED, asked)]


def known(connections: Connections, flow_id: str, document_ids: list[str]) -> dict[str, Known]:
    """Documents whole: standing, log entries, register with lines, open holds; a few statements for any number."""
    if not document_ids:
        return {}
    asked = {"flow": flow_id, "documents": document_ids, **STATES}
    with connections.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        with cursor.connection.cursor(row_factory=dict_row) as rows:
            stored = rows.execute(_STANDING, asked).fetchall()
        names = [row["document_id"] for row in stored]
        events = events_of(cursor, flow_id, names)
        register = Register.of(cursor, ((flow_id, name) for name in names))
        vouchers = load_vouchers(cursor, register.vouchers)
        holds = _holds(cursor, flow_id, names)
    found: dict[str, Known] = {}
    for row in stored:
        name = row["document_id"]
        mine = register.of_document((flow_id, name))
        found[name] = Known(
            company=row["company"],
            business_number=row["business_number"],
            content=row["content"],
            standing=row["standing"],
            moving=bool(row["moving"]),
            problem=_problem(name, row["problem_code"], row["problem_field"], row["problem_detail"]),
            events=tuple(events[name]),
            register=tuple(voucher.registered() for voucher in mine),
            vouchers={voucher.key: vouchers[voucher.key] for voucher in mine},
            numbers={voucher.key: voucher.finance_number for voucher in mine if voucher.finance_number},
            holds=tuple(holds[name]),
        )
    return found


def _holds(cursor: Cursor, flow_id: str, names: list[str]) -> dict[str, list[tuple[str, Problem]]]:
    found: dict[str, list[tuple[str, Problem]]] = defaultdict(list)
    for name, origin, code, field, detail in cursor.execute(_HOLDS, [flow_id, names]):
        found[name].append((origin, Problem(document_id=name, code=code, field=field, detail=detail)))
    return found


def _problem(name: str, code: str | None, field: str | None, detail: str | None) -> Problem | None:
    if code is None:
        return None
    return Problem(document_id=name, code=code, field=field or "", detail=detail or "")
