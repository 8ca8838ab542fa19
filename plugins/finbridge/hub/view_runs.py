"""Runs that a person opens a page of: manual runs with their previews, compared months. Page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import dict_row

from finbridge.core.runs import split_identity
from finbridge.hub.connections import Connections

LISTED = 50
_MANUAL_RUNS = """
SELECT run_id, flow_id, actor, live, reason, asked, started_at, closed_at, counts
FROM hub.manual_run WHERE flow_id = ANY(%(flows)b) ORDER BY started_at DESC, run_id LIMIT %(limit)s
"""
#: Only the newest taking of a run counts.
_VERDICTS = """
SELECT p.verdict, count(*) AS documents
FROM hub.preview p JOIN hub.manual_run r USING (run_id, taking)
WHERE run_id = %(run)s AND p.flow_id = ANY(%(flows)b) GROUP BY 1
"""
_PREVIEWS = """
SELECT p.position, p.flow_id, p.document_id, p.business_number, p.company, p.verdict, p.problems, p.vouchers
FROM hub.preview p JOIN hub.manual_run r USING (run_id, taking)
WHERE run_id = %(run)s AND p.flow_id = ANY(%(flows)b) AND (%(verdict)s::text IS NULL OR p.verdict = %(verdict)s)
ORDER BY p.position LIMIT %(limit)s OFFSET %(offset)s
"""
_MONTHS = """
SELECT m.*, (SELECT kind FROM hub.run r WHERE r.run_id = m.run_id) AS run_kind
FROM hub.month_run m
WHERE m.flow_id = ANY(%(flows)b) AND (%(company)s::text IS NULL OR m.company = %(company)s)
  AND (%(period)s::text IS NULL OR m.period = %(period)s)
ORDER BY m.month_run_id DESC LIMIT %(limit)s
"""
_OF_RUN = """
SELECT DISTINCT ON (company, period) month_run_id, company, period FROM hub.month_run
WHERE run_id = %(run)s AND flow_id = ANY(%(flows)b) ORDER BY company, period, month_run_id DESC LIMIT 200
"""
_COUNTED = """
SELECT what, explained, count(*) AS vouchers, sum(oa_minor)::bigint AS oa_minor,
       sum(finance_minor)::bigint AS finance_minor, min(currency) AS currency, count(DISTINCT currency) AS currencies
FROM hub.month_difference WHERE month_run_id = %(number)s GROUP BY 1, 2 ORDER BY explained, vouchers DESC, what
"""
_DIFFERENCES = """
SELECT * FROM hub.month_difference
WHERE month_run_id = %(number)s AND explained = %(explained)s AND (%(what)s::text IS NULL OR what = %(what)s)
ORDER BY position LIMIT %(limit)s OFFSET %(offset)s
"""
_RUN_DAY = """
SELECT (started_at AT TIME ZONE %(zone)s)::date AS day FROM hub.run
WHERE (run_id = %(run)s OR (run_id = %(bare)s AND flow_id || '__' || kind = %(dag)s)) AND flow_id = %(flow)s
ORDER BY started_at LIMIT 1
"""


def run_day(connections: Connections, flow_id: str, run_id: str, zone: str) -> date | None:
    """The local day on which a run began, by its identity; None where the hub does not know it."""
    dag_id, bare = split_identity(run_id)
    asked = {"flow": flow_id, "run": run_id, "bare": bare, "dag": dag_id, "zone": zone}
    rows = _asked(connections, _RUN_DAY, asked)
    return rows[0]["day"] if rows else None


def manual_runs(connections: Connections, flow_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The newest manual runs of these flows, newest first."""
    return _asked(connections, _MANUAL_RUNS, {"flows": list(flow_ids), "limit": LISTED})


def verdicts(connections: Connections, flow_ids: Sequence[str], run_id: str) -> dict[str, int]:
    """Documents of a manual run by verdict."""
    rows = _asked(connections, _VERDICTS, {"flows": list(flow_ids), "run": run_id})
    return {row["verdict"]: row["documents"] for row in rows}


def previews(
    connections: Connections,
    flow_ids: Sequence[str],
    run_id: str,
    *,
    verdict: str | None = None,
    limit: int = LISTED,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Some previews of a manual run, in their order."""
    asked = {"flows": list(flow_ids), "run": run_id, "verdict": verdict, "limit": limit, "offset": offset}
    return _asked(connections, _PREVIEWS, asked)


def months(
    connections: Connections, flow_ids: Sequence[str], *, company: str | None = None, period: str | None = None
) -> list[dict[str, Any]]:
    """The newest comparisons, newest first; ``run_kind`` says which DAG made them, where it is known."""
    asked = {"flows": list(flow_ids), "company": company, "period": period, "limit": LISTED}
    return _asked(connections, _MONTHS, asked)


def months_of_run(connections: Connections, flow_ids: Sequence[str], run_id: str) -> list[dict[str, Any]]:
    """The months that one run of Airflow compared, by company; of a month compared again, the newest."""
    return _asked(connections, _OF_RUN, {"flows": list(flow_ids), "run": run_id})


def differences_counted(connections: Connections, month_run_id: int) -> list[dict[str, Any]]:
    """Differences by what they are: what, explained, vouchers, oa_minor, finance_minor, currency, currencies."""
    return _asked(connections, _COUNTED, {"number": month_run_id})


def differences(
    connections: Connections,
    month_run_id: int,
    *,
    explained: bool,
    what: str | None = None,
    limit: int = LISTED,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Some differences of one comparison, in their order."""
    asked = {"number": month_run_id, "explained": explained, "what": what, "limit": limit, "offset": offset}
    return _asked(connections, _DIFFERENCES, asked)


def _asked(connections: Connections, statement: LiteralString, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connections.session() as connection, connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(sql.SQL(statement), asked).fetchall()
