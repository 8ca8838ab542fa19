"""What each document of a log must become in finance: computed set-based from the parquet files alone.

This is the other side of the replay: it imports nothing of finbridge and shares no constant with it. The rules are
those of the data's own page: a document is approved from FINAL_APPROVED until a later REJECTED, SUBMITTED or SAVED;
one live expense voucher at most, dated by the approval's own local date; one payment voucher at most, for the first
payment that finds the document approved; 0.00 never posts and is never paid.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

COLUMNS = (
    "document_id",
    "end_state",
    "live_vouchers",
    "live_amount",
    "posts",
    "reversals",
    "payment_vouchers",
    "posting_date",
    "period",
    "exception",
)
Row = dict[str, str]

# An order inside a second moves no voucher: `seq` puts a second into the order that a workflow can have.
# Exceptions tell what was recorded: `rec` keeps the file's order inside a second.
_EVENTS = """
CREATE TEMP TABLE ev AS
WITH raw AS (
  SELECT "case:concept:name" AS doc, "concept:name" AS act, left("time:timestamp", 19) AS sec, _event_index AS idx
  FROM read_parquet($events)
), named AS (
  SELECT *, regexp_extract(act, '^(?:Declaration|Request For Payment) ([A-Z_]+) by (.*)$', ['verb', 'who']) AS v
  FROM raw
), kinds AS (
  SELECT doc, sec, idx, CASE
      WHEN act = 'Request Payment' THEN 'request'
      WHEN act = 'Payment Handled' THEN 'paid'
      WHEN v.verb = 'SAVED' THEN 'saved'
      WHEN v.verb = 'SUBMITTED' THEN 'submitted'
      WHEN v.verb = 'FINAL_APPROVED' THEN 'approved'
      WHEN v.verb = 'REJECTED' AND v.who = 'EMPLOYEE' THEN 'withdrawn'
      WHEN v.verb = 'REJECTED' THEN 'rejected'
      WHEN v.verb IN ('APPROVED', 'FOR_APPROVAL') THEN 'step' END AS kind
  FROM named
), ranked AS (
  SELECT *, list_position(
      ['saved', 'submitted', 'step', 'approved', 'rejected', 'withdrawn', 'request', 'paid'], kind) AS rank
  FROM kinds WHERE kind IS NOT NULL
)
SELECT *, row_number() OVER (PARTITION BY doc ORDER BY sec, rank, idx) AS seq,
          row_number() OVER (PARTITION BY doc ORDER BY sec, idx) AS rec
FROM ranked
"""

_WALK = """
CREATE TEMP TABLE {name} AS
WITH turns AS (
  SELECT *, CASE WHEN kind = 'approved' THEN true
                 WHEN kind IN ('saved', 'submitted', 'rejected', 'withdrawn') THEN false END AS turn
  FROM ev
)
SELECT *,
  coalesce(last_value(turn IGNORE NULLS) OVER prior, false) AS was_approved,
  coalesce(last_value(turn IGNORE NULLS) OVER upto, false) AS is_approved,
  coalesce(count(*) FILTER (kind = 'request') OVER prior, 0) > 0 AS was_requested,
  coalesce(count(*) FILTER (kind = 'paid') OVER prior, 0) > 0 AS was_paid
FROM turns
WINDOW prior AS (PARTITION BY doc ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
       upto AS (PARTITION BY doc ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
"""

_STATES = """
CREATE TEMP TABLE states AS
SELECT doc,
  arg_max(is_approved, seq) AS approved,
  bool_or(kind = 'request') AS requested,
  bool_or(kind = 'paid') AS paid,
  arg_max(kind, seq) FILTER (kind IN ('saved', 'submitted', 'step', 'rejected', 'withdrawn')) AS last_move,
  count(*) FILTER (kind = 'approved' AND NOT was_approved) AS approvals,
  count(*) FILTER (was_approved AND NOT is_approved) AS losses,
  bool_or(kind = 'paid' AND is_approved) AS paid_approved,
  arg_max(left(sec, 10), seq) FILTER (kind = 'approved' AND NOT was_approved) AS approved_on
FROM walk GROUP BY doc
"""

_EXCEPTIONS = """
CREATE TEMP TABLE exceptions AS
WITH found AS (
  SELECT doc, rec, unnest(list_filter([
    CASE WHEN kind = 'request' AND NOT was_approved THEN 'PAYMENT_REQUESTED_NOT_APPROVED' END,
    CASE WHEN kind = 'paid' AND NOT was_approved THEN 'PAID_NOT_APPROVED' END,
    CASE WHEN kind = 'paid' AND NOT was_requested THEN 'PAID_BEFORE_OR_WITHOUT_REQUEST' END,
    CASE WHEN kind = 'paid' AND was_paid THEN 'PAID_TWICE' END,
    CASE WHEN kind IN ('saved', 'submitted', 'rejected', 'withdrawn') AND was_paid
         THEN replace(upper(kind), 'WITHDRAWN', 'REJECTED') || '_AFTER_PAID' END,
    CASE WHEN kind IN ('saved', 'submitted', 'rejected', 'withdrawn')
              AND NOT was_paid AND was_approved AND was_requested
         THEN replace(upper(kind), 'WITHDRAWN', 'REJECTED') || '_AFTER_PAYMENT_REQUESTED' END
  ], lambda x: x IS NOT NULL)) AS name,
  generate_subscripts(list_filter([
    CASE WHEN kind = 'request' AND NOT was_approved THEN 1 END,
    CASE WHEN kind = 'paid' AND NOT was_approved THEN 2 END,
    CASE WHEN kind = 'paid' AND NOT was_requested THEN 3 END,
    CASE WHEN kind = 'paid' AND was_paid THEN 4 END,
    CASE WHEN kind IN ('saved', 'submitted', 'rejected', 'withdrawn') AND was_paid THEN 5 END,
    CASE WHEN kind IN ('saved', 'submitted', 'rejected', 'withdrawn')
              AND NOT was_paid AND was_approved AND was_requested THEN 6 END
  ], lambda x: x IS NOT NULL), 1) AS place
  FROM record
), first_seen AS (
  SELECT doc, name, min(rec * 10 + place) AS firstly FROM found GROUP BY doc, name
)
SELECT doc, string_agg(name, '|' ORDER BY firstly) AS exception FROM first_seen GROUP BY doc
"""

_RESULT = """
WITH cases AS (
  SELECT "concept:name" AS doc, row_number() OVER () AS place,
         CAST(round(CAST(coalesce({amounts}) AS DECIMAL(38, 18)) * 100, 0) AS BIGINT) AS cents
  FROM read_parquet($cases)
), joined AS (
  SELECT c.doc, c.place, c.cents, coalesce(c.cents, 0) > 0 AS worth,
         coalesce(s.approved, false) AS approved, coalesce(s.requested, false) AS requested,
         coalesce(s.paid, false) AS paid, s.last_move, coalesce(s.approvals, 0) AS approvals,
         coalesce(s.losses, 0) AS losses, coalesce(s.paid_approved, false) AS paid_approved, s.approved_on,
         coalesce(x.exception, '') AS exception
  FROM cases c LEFT JOIN states s ON s.doc = c.doc LEFT JOIN exceptions x ON x.doc = c.doc
)
SELECT doc AS document_id,
  CASE WHEN paid AND approved THEN 'PAID' WHEN paid THEN 'PAID_UNAPPROVED'
       WHEN approved AND requested THEN 'PAYMENT_REQUESTED' WHEN approved THEN 'APPROVED'
       WHEN last_move = 'saved' THEN 'DRAFT' WHEN last_move IN ('submitted', 'step') THEN 'IN_APPROVAL'
       WHEN last_move = 'rejected' THEN 'REJECTED' WHEN last_move = 'withdrawn' THEN 'WITHDRAWN'
       ELSE 'NONE' END AS end_state,
  CASE WHEN approved AND worth THEN '1' ELSE '0' END AS live_vouchers,
  CASE WHEN approved AND worth THEN format('{{}}.{{:02d}}', cents // 100, cents % 100) ELSE '0.00' END AS live_amount,
  CAST(CASE WHEN worth THEN approvals ELSE 0 END AS VARCHAR) AS posts,
  CAST(CASE WHEN worth THEN losses ELSE 0 END AS VARCHAR) AS reversals,
  CASE WHEN paid_approved AND worth THEN '1' ELSE '0' END AS payment_vouchers,
  CASE WHEN approved AND worth THEN approved_on ELSE '' END AS posting_date,
  CASE WHEN approved AND worth THEN left(approved_on, 7) ELSE '' END AS period,
  exception
FROM joined ORDER BY place
"""


def expected(log: Path) -> dict[str, Row]:
    """A row a document, every value as text, in the order of the log."""
    with duckdb.connect() as db:
        columns = {
            row[0]
            for row in db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(log / "cases.parquet")]).fetchall()
        }
        amounts = [f"nullif(\"{name}\", '')" for name in ("Amount", "RequestedAmount") if name in columns]
        db.execute(_EVENTS, {"events": str(log / "events.parquet")})
        db.execute(_WALK.format(name="walk", order="seq"))
        db.execute(_WALK.format(name="record", order="rec"))
        db.execute(_STATES)
        db.execute(_EXCEPTIONS)
        result = db.execute(
            _RESULT.format(amounts=", ".join([*amounts, "NULL"])), {"cases": str(log / "cases.parquet")}
        )
        return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in result.fetchall()}
