"""Stored verdicts of Great Expectations: the latest answer to each rule, its trend, and the documents it names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import dict_row

from finbridge.hub.connections import Connections

#: Validations that a trend looks at, and how old they may be.
RUNS = 60
DAYS = 30
NAMED = 100
#: The newest validations of a suite that had rows. An index gives them from its end, however many there are.
_RECENT = """
WITH recent AS (
    SELECT * FROM hub.quality_run
    WHERE flow_id = %(flow)s AND suite = %(suite)s AND rows > 0
    ORDER BY quality_run_id DESC LIMIT %(runs)s
),
taken AS (SELECT * FROM recent WHERE at >= now() - %(age)s)
"""
_RUNS = """
SELECT quality_run_id, run_id, at, rows, batch_ok, broken_batch_rules,
       coalesce((result ->> 'bad_documents')::int, 0) AS bad_documents,
       result ->> 'great_expectations' AS great_expectations,
       (SELECT kind FROM hub.run r WHERE r.run_id = taken.run_id) AS kind
FROM taken ORDER BY quality_run_id
"""
#: ``rows`` of a rule's frame: the rule's name begins with the frame's.
_RULES = """
SELECT t.quality_run_id, r.rule ->> 'rule' AS rule_id, r.rule ->> 'level' AS level, r.rule ->> 'reason' AS reason,
       (r.rule ->> 'ok')::boolean AS ok, r.rule ->> 'error' AS error, (r.rule ->> 'bad_rows')::int AS bad_rows,
       jsonb_array_length(coalesce(r.rule -> 'documents', '[]')) AS documents,
       (t.result -> 'rows' ->> split_part(r.rule ->> 'rule', '.', 1))::bigint AS rows
FROM taken t, jsonb_array_elements(t.result -> 'rules') WITH ORDINALITY AS r(rule, position)
ORDER BY t.quality_run_id, r.position
"""
#: Walks the named documents from the newest validation backwards and stops at the limit.
_BAD = """
SELECT q.suite, q.run_id, q.at, b.quality_run_id, b.document_id, b.code, b.field, b.detail, d.business_number,
       d.company, (SELECT kind FROM hub.run r WHERE r.run_id = q.run_id) AS kind,
       EXISTS (
           SELECT 1 FROM hub.hold h
           WHERE h.document_id = b.document_id AND h.flow_id = q.flow_id AND h.code = b.code AND h.closed_at IS NULL
       ) AS held
FROM hub.quality_result b
JOIN hub.quality_run q USING (quality_run_id)
LEFT JOIN hub.document d ON d.document_id = b.document_id AND d.flow_id = q.flow_id
WHERE q.flow_id = %(flow)s AND q.suite = %(suite)s AND b.quality_run_id >= %(oldest)s
      AND (%(code)s::text IS NULL OR b.code = %(code)s)
ORDER BY b.quality_run_id DESC, b.document_id, b.code LIMIT %(named)s
"""


def validations(connections: Connections, flow_id: str, suite: str, *, runs: int = RUNS) -> list[dict[str, Any]]:
    """The newest validations that had rows, the oldest first, none older than ``DAYS``.

    Keys: quality_run_id, run_id, at, rows, batch_ok, broken_batch_rules, bad_documents, great_expectations, kind (of
    the run: wake, sweep, …; None where it is not known).
    """
    return _asked(connections, _RECENT + _RUNS, _window(flow_id, suite, runs))


def rule_answers(connections: Connections, flow_id: str, suite: str, *, runs: int = RUNS) -> list[dict[str, Any]]:
    """Each rule's answer in each of these validations, the oldest first, rules in the suite's order.

    Keys: quality_run_id, rule_id, level, reason, ok, error, bad_rows (None where it was not counted), documents
    (named), rows (of the rule's frame).
    """
    return _asked(connections, _RECENT + _RULES, _window(flow_id, suite, runs))


def bad_documents(
    connections: Connections, flow_id: str, suite: str, oldest: int, *, code: str | None = None, limit: int = NAMED
) -> list[dict[str, Any]]:
    """Documents that a suite named in validations from ``oldest`` on, the newest first.

    Keys: suite, run_id, at, quality_run_id, document_id, code, field, detail, business_number, company, kind (of
    the run), held (it still stands in the list for that reason).
    """
    asked = {"flow": flow_id, "suite": suite, "oldest": oldest, "code": code, "named": limit}
    return _asked(connections, _BAD, asked)


def _window(flow_id: str, suite: str, runs: int) -> dict[str, Any]:
    return {"flow": flow_id, "suite": suite, "runs": runs, "age": timedelta(days=DAYS)}


def _asked(connections: Connections, statement: LiteralString, asked: dict[str, Any]) -> list[dict[str, Any]]:
    with connections.session() as connection, connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(sql.SQL(statement), asked).fetchall()
