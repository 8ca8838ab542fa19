"""Where approved documents stand, in documents and in money: of one day, and of everything that is still open.

Each approved document stands in exactly one state:

=================  ====================================================================================
unknown            a voucher is being sent, or finance has not said yet what became of it
waiting_period     a voucher waits for its accounting period to open
held               it stands in a list and a person must act
ready              its vouchers are made and wait for finance
posted             finance holds what the plan calls for; the number is not on the form yet
written_back       … and the number is on the form
nothing_to_post    approved with 0.00: no voucher by rule
planning           approved, and no plan has seen it yet
unexplained        none of these: must not be
=================  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.lifecycle import IN_DOUBT, NAMED_LISTS, VoucherState
from finbridge.hub.connections import Connections
from finbridge.hub.scheduling import LIVE

#: The states in the order in which people read them.
STATES = (
    "written_back",
    "posted",
    "ready",
    "planning",
    "waiting_period",
    "unknown",
    "held",
    "nothing_to_post",
    "unexplained",
)
#: ``day``: approved on the day of the place; ``open``: approved by then at any time, and not done yet.
Scope = Literal["day", "open"]
#: What nothing explains (no voucher, nothing due, no list) is sought among approvals of so many days.
LOOK_BACK_DAYS = 62
LISTED = 200
_GONE = (VoucherState.REVERSING, VoucherState.REVERSED, VoucherState.WITHDRAWN)
_DONE = LIVE | {VoucherState.REVERSED, VoucherState.WITHDRAWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A company of a flow, and its local day. Company ``""`` stands for all that the flow does not name."""

    flow_id: str
    company: str
    currency: str
    zone: str
    day: date

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Begin and end of the day as moments."""
        zone = ZoneInfo(self.zone)
        return (
            datetime.combine(self.day, time(), zone),
            datetime.combine(self.day + timedelta(days=1), time(), zone),
        )


#: What approves and no plan has seen: the first approval that nothing after it took away (as in `core.fold`).
_FRESH = """
WITH place AS (
    SELECT * FROM unnest(%(flows)b::text[], %(companies)b::text[], %(currencies)b::text[], %(days)b::date[])
             AS p(flow_id, company, currency, day)
),
fresh AS (
    SELECT e.flow_id, e.document_id, min(e.local_at) AS approved_at
    FROM hub.document d JOIN hub.source_event e ON e.document_id = d.document_id AND e.flow_id = d.flow_id
    WHERE d.flow_id = ANY(%(flows)b) AND d.stage = 'plan' AND d.approval_log_id IS NULL AND e.kind = 'approved'
      AND NOT EXISTS (
          SELECT 1 FROM hub.source_event l
          WHERE l.document_id = e.document_id AND l.flow_id = e.flow_id
            AND ((l.kind IN ('saved', 'submitted', 'rejected', 'withdrawn') AND l.local_at > e.local_at)
                 OR (l.kind IN ('rejected', 'withdrawn') AND l.local_at = e.local_at)))
    GROUP BY 1, 2
),
"""
_CHOSEN: dict[Scope, str] = {
    "day": """
chosen AS (
    SELECT flow_id, document_id, approved_at FROM hub.document
    WHERE flow_id = ANY(%(flows)b) AND approval_log_id IS NOT NULL
      AND approved_at >= %(first)s AND approved_at < %(last)s
    UNION
    SELECT * FROM fresh WHERE approved_at >= %(first)s AND approved_at < %(last)s
),
""",
    "open": """
chosen AS (
    SELECT flow_id, document_id, approved_at FROM hub.document
    WHERE flow_id = ANY(%(flows)b) AND approval_log_id IS NOT NULL
      AND (stage IS NOT NULL AND stage = ANY('{plan,deliver,write_back}'))
    UNION
    SELECT d.flow_id, d.document_id, d.approved_at
    FROM hub.hold h JOIN hub.document d ON d.document_id = h.document_id AND d.flow_id = h.flow_id
    WHERE h.flow_id = ANY(%(flows)b) AND h.closed_at IS NULL AND d.approval_log_id IS NOT NULL
    UNION
    SELECT d.flow_id, d.document_id, d.approved_at FROM hub.document d
    WHERE d.flow_id = ANY(%(flows)b) AND d.approval_log_id IS NOT NULL AND d.approved_at >= %(recent)s
      AND d.stage IS NULL AND NOT 'expense' = ANY(string_to_array(d.empty_kinds, '|'))
      AND NOT EXISTS (
          SELECT 1 FROM hub.voucher v
          WHERE v.document_id = d.document_id AND v.flow_id = d.flow_id AND v.kind = 'expense'
            AND v.state = ANY(%(live)b))
    UNION
    SELECT * FROM fresh
),
""",
}
_JUDGED = """
judged AS (
    SELECT c.flow_id, c.document_id, c.approved_at, d.company, d.business_number, d.amount_minor, r.debit_minor,
           coalesce(r.currency, d.currency, p.currency) AS currency, d.stage, r.last_number, h.codes,
           coalesce(h.asked, false) AND coalesce(r.live, false) AND NOT r.open AS noted,
           CASE
               WHEN r.in_doubt THEN 'unknown'
               WHEN r.waits THEN 'waiting_period'
               WHEN r.named OR (h.codes IS NOT NULL AND NOT (coalesce(r.live, false) AND NOT r.open)) THEN 'held'
               WHEN r.open THEN 'ready'
               WHEN r.live AND r.written THEN 'written_back'
               WHEN r.live THEN 'posted'
               WHEN d.planned_revision = d.revision AND 'expense' = ANY(string_to_array(d.empty_kinds, '|'))
                   THEN 'nothing_to_post'
               WHEN d.stage = 'plan' THEN 'planning'
               ELSE 'unexplained'
           END AS state
    FROM chosen c
    JOIN hub.document d ON d.document_id = c.document_id AND d.flow_id = c.flow_id
    CROSS JOIN LATERAL (
        SELECT * FROM place p WHERE p.flow_id = c.flow_id AND p.company IN (d.company, '')
        ORDER BY p.company DESC LIMIT 1
    ) p
    LEFT JOIN LATERAL (
        SELECT bool_or(v.state = ANY(%(in_doubt)b)) AS in_doubt, bool_or(v.state = 'waiting_period') AS waits,
               bool_or(v.state = ANY(%(named)b)) AS named, bool_or(NOT v.state = ANY(%(done)b)) AS open,
               bool_or(v.kind = 'expense' AND v.state = ANY(%(live)b)) AS live,
               coalesce(bool_and(v.state = ANY('{written_back,verified}'))
                        FILTER (WHERE v.kind = 'expense' AND v.state = ANY(%(live)b)), false) AS written,
               sum(v.debit_minor) FILTER (WHERE v.kind = 'expense' AND NOT v.state = ANY(%(gone)b)) AS debit_minor,
               max(v.currency) FILTER (WHERE v.kind = 'expense' AND NOT v.state = ANY(%(gone)b)) AS currency,
               max(v.finance_number) FILTER (WHERE v.kind = 'expense' AND NOT v.state = ANY(%(gone)b)) AS last_number
        FROM hub.voucher v WHERE v.document_id = d.document_id AND v.flow_id = d.flow_id
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(DISTINCT h.code ORDER BY h.code) AS codes, bool_or(h.turn <> 'nobody') AS asked
        FROM hub.hold h
        WHERE h.document_id = d.document_id AND h.flow_id = d.flow_id AND h.closed_at IS NULL
    ) h ON true
    WHERE {when}
),
told AS (SELECT * FROM judged WHERE {wanted})
"""
_WHEN: dict[Scope, str] = {
    "day": "c.approved_at >= p.day AND c.approved_at < p.day + 1",
    "open": "c.approved_at < p.day + 1",
}
#: What is done is not open; posted is done where nothing is left to write.
_WANTED: dict[Scope, str] = {
    "day": "true",
    "open": "NOT state = ANY('{written_back,nothing_to_post}') AND NOT (state = 'posted' AND stage IS NULL)",
}
_SUMS = """
SELECT flow_id, company, currency, state, count(*) AS documents,
       coalesce(sum(coalesce(debit_minor, amount_minor)), 0)::bigint AS amount_minor,
       coalesce(sum(coalesce(amount_minor, debit_minor)), 0)::bigint AS approved_minor,
       count(*) FILTER (WHERE debit_minor <> amount_minor) AS differing,
       count(*) FILTER (WHERE debit_minor IS NULL AND amount_minor IS NULL) AS without_amount,
       count(*) FILTER (WHERE noted) AS noted, min(approved_at) AS oldest
FROM told GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_LIST = """
SELECT flow_id, document_id, company, business_number, approved_at, currency, amount_minor, debit_minor, state,
       last_number AS finance_number, coalesce(codes, '{}') AS codes
FROM told
WHERE (%(state)s::text IS NULL OR state = %(state)s) AND (%(company)s::text IS NULL OR company = %(company)s)
  AND (%(flow)s::text IS NULL OR flow_id = %(flow)s) AND (NOT %(differing)s OR debit_minor <> amount_minor)
ORDER BY approved_at, document_id LIMIT %(limit)s
"""
_APPROVED = """
SELECT c.flow_id, d.company, count(*) AS documents
FROM chosen c JOIN hub.document d ON d.document_id = c.document_id AND d.flow_id = c.flow_id
JOIN LATERAL (
    SELECT day FROM place p WHERE p.flow_id = c.flow_id AND p.company IN (d.company, '') ORDER BY p.company DESC LIMIT 1
) p ON c.approved_at >= p.day AND c.approved_at < p.day + 1
GROUP BY 1, 2
"""
_POSTINGS = """
WITH place AS (
    SELECT * FROM unnest(%(flows)b::text[], %(companies)b::text[], %(zones)b::text[], %(begins)b::timestamptz[],
                         %(ends)b::timestamptz[]) AS p(flow_id, company, zone, begins, ends)
),
posting AS (
    SELECT p.company, p.zone, t.at, v.debit_minor, v.currency,
           extract(epoch FROM t.at - e.received_at)::float8 AS seconds
    FROM hub.trail t
    JOIN hub.voucher v ON v.key = t.key
    CROSS JOIN LATERAL (
        SELECT * FROM place p WHERE p.flow_id = v.flow_id AND p.company IN (v.company, '')
        ORDER BY p.company DESC LIMIT 1
    ) p
    LEFT JOIN hub.source_event e
           ON e.document_id = v.document_id AND e.flow_id = v.flow_id AND e.log_id = v.cause
    WHERE t.at >= %(since)s AND t.at < %(until)s AND t.to_state = 'posted' AND t.flow_id = ANY(%(flows)b)
      AND v.kind <> 'reversal' AND t.at >= p.begins AND t.at < p.ends
)
"""
_HOURS = """
SELECT extract(hour FROM at AT TIME ZONE zone)::int AS hour, count(*) AS vouchers FROM posting GROUP BY 1 ORDER BY 1
"""
_LAGS = """
SELECT count(seconds) AS vouchers, percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) AS p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds) AS p95, max(seconds) AS most
FROM posting
"""
_SIGNS = """
SELECT f.flow_id, (SELECT max(started_at) FROM hub.run r WHERE r.flow_id = f.flow_id) AS last_started,
       (SELECT changed_at FROM hub.watermark w WHERE w.flow_id = f.flow_id) AS collected_at
FROM (SELECT DISTINCT unnest(%(flows)b::text[])) AS f(flow_id) ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """One look at everything, of one moment.

    Attributes:
        day: sums of what was approved on the day; a row a flow, company, currency and state with documents,
            amount_minor (of the vouchers, else of the form), approved_minor (of the form, else of the vouchers),
            differing (documents whose two amounts differ), without_amount (documents that show none), noted (done,
            and still in a list) and oldest (approval).
        open: the same of everything that is not done.
        approved: (flow, company) -> documents approved on the day, counted apart from their states.
        hours: hour of the company's clock -> vouchers posted on the day.
        lags: seconds from the approval seen to the voucher posted on the day: vouchers, p50, p95, most.
        signs: a row a flow: last_started (newest run), collected_at (the OA was read through).
    """

    day: list[dict[str, Any]]
    open: list[dict[str, Any]]
    approved: dict[tuple[str, str], int]
    hours: dict[int, int]
    lags: dict[str, Any]
    signs: list[dict[str, Any]]


def today(connections: Connections, places: Sequence[Place]) -> Today:
    """Everything of one page, of one snapshot."""
    asked, moments = _asked(places), _moments(places)
    counted = sql.SQL(_FRESH + _CHOSEN["day"].rstrip().rstrip(",") + _APPROVED)
    with connections.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        approved = _rows(cursor, counted, asked)
        hours = _rows(cursor, sql.SQL(_POSTINGS + _HOURS), moments)
        return Today(
            day=_rows(cursor, _statement("day", _SUMS), asked),
            open=_rows(cursor, _statement("open", _SUMS), asked),
            approved={(row["flow_id"], row["company"]): row["documents"] for row in approved},
            hours={row["hour"]: row["vouchers"] for row in hours},
            lags=_rows(cursor, sql.SQL(_POSTINGS + _LAGS), moments)[0],
            signs=_rows(cursor, sql.SQL(_SIGNS), asked),
        )


def standing_documents(
    connections: Connections,
    places: Sequence[Place],
    scope: Scope,
    *,
    state: str | None = None,
    company: str | None = None,
    flow_id: str | None = None,
    differing: bool = False,
    limit: int = LISTED,
) -> list[dict[str, Any]]:
    """The documents behind a number, the oldest approval first.

    Keys: flow_id, document_id, company, business_number, approved_at, currency, amount_minor, debit_minor, state,
    finance_number, codes (open reasons).
    """
    asked = {"state": state, "company": company, "flow": flow_id, "differing": differing, "limit": limit}
    with connections.transaction() as cursor:
        return _rows(cursor, _statement(scope, _LIST), {**_asked(places), **asked})


def _statement(scope: Scope, end: str) -> sql.SQL:
    judged = _JUDGED.replace("{when}", _WHEN[scope]).replace("{wanted}", _WANTED[scope])
    return sql.SQL(_FRESH + _CHOSEN[scope] + judged + end)


def _rows(cursor: Cursor, statement: sql.SQL, asked: dict[str, Any]) -> list[dict[str, Any]]:
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(statement, asked).fetchall()


def _asked(places: Sequence[Place]) -> dict[str, Any]:
    days = [place.day for place in places]
    return {
        "flows": [place.flow_id for place in places],
        "companies": [place.company for place in places],
        "currencies": [place.currency for place in places],
        "days": days,
        "first": min(days),
        "last": max(days) + timedelta(days=1),
        "recent": min(days) - timedelta(days=LOOK_BACK_DAYS),
        "in_doubt": sorted(state.value for state in IN_DOUBT),
        "named": sorted(state.value for state in NAMED_LISTS - {VoucherState.WAITING_PERIOD}),
        "live": sorted(state.value for state in LIVE),
        "done": sorted(state.value for state in _DONE),
        "gone": sorted(state.value for state in _GONE),
    }


def _moments(places: Sequence[Place]) -> dict[str, Any]:
    bounds = [place.bounds for place in places]
    return {
        "flows": [place.flow_id for place in places],
        "companies": [place.company for place in places],
        "zones": [place.zone for place in places],
        "begins": [begin for begin, _ in bounds],
        "ends": [end for _, end in bounds],
        "since": min(begin for begin, _ in bounds),
        "until": max(end for _, end in bounds),
    }
