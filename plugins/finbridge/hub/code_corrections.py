"""What stands in finance under a target that a proposal corrects: listed for people, changed by nobody."""

from __future__ import annotations

from psycopg import sql
from psycopg.rows import class_row

from finbridge.core.codes import PostedUnderOldCode
from finbridge.core.errors import GiveUp
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT
from finbridge.hub.connections import Connections
from finbridge.hub.vouchers import TYPED_DIMENSIONS

_SENT = [state.value for state in sorted(IN_BOOKS | IN_DOUBT)]
#: A target is superseded from the day on which its row ends, or from which the row says another one; what another row
#: of the code says (of every company, or of earlier days) is superseded from the new row's first day. The day for which
#: a document's code was looked up is the mapping's to choose: the latest of the voucher's days decides.
_LIST = sql.SQL("""
WITH proposal AS (
    SELECT flow_id, rows, coalesce(decided_at, now()) AS decided_at
    FROM hub.code_proposal WHERE proposal_id = %(proposal)s
),
change AS (
    SELECT p.flow_id, p.decided_at, c."table" AS table_name, c.company, c.code, c.target, c.was ->> 'target' AS was,
           c.valid_from, c.valid_to
    FROM proposal p, jsonb_to_recordset(p.rows)
         AS c("table" text, company text, code text, target text, valid_from date, valid_to date, was jsonb)
),
superseded AS (
    SELECT flow_id, decided_at, company, was AS target,
           CASE WHEN was = target THEN valid_to ELSE valid_from END AS since
    FROM change WHERE was IS NOT NULL AND (was <> target OR valid_to IS NOT NULL)
    UNION
    SELECT c.flow_id, c.decided_at, c.company, k.target, c.valid_from
    FROM change c JOIN hub.code_table k
         ON k.flow_id = c.flow_id AND k.table_name = c.table_name AND k.code = c.code AND k.company IN ('', c.company)
    WHERE c.was IS NULL AND k.target <> c.target
)
SELECT v.company, v.document_id, v.business_number, v.key, v.state, coalesce(v.finance_number, '') AS finance_number,
       v.posting_date, string_agg(DISTINCT s.target, ', ' ORDER BY s.target) AS targets
FROM superseded s
JOIN hub.voucher v ON v.flow_id = s.flow_id AND s.company IN ('', v.company)
JOIN hub.voucher_line l ON l.key = v.key
WHERE v.state = ANY(%(sent)s) AND v.kind <> 'reversal' AND v.last_sent_at < s.decided_at
      AND greatest(v.business_date, v.document_date, v.posting_date) >= s.since
      AND (s.target IN ({}) OR EXISTS (
          SELECT 1 FROM jsonb_each_text(l.other_dimensions) AS e(name, value) WHERE e.value = s.target))
GROUP BY v.key ORDER BY v.company, v.posting_date, v.key
""").format(
    sql.SQL(", ").join(sql.Identifier("l", name) for name in ("account", "party", "tax_code", *TYPED_DIMENSIONS))
)


def posted_under_old_code(connections: Connections, proposal_id: int) -> list[PostedUnderOldCode]:
    """Vouchers sent before the proposal was decided (or until now) whose lines carry a target that it supersedes.

    Another code may have the same target: which voucher is wrong, a person says.

    Raises:
        GiveUp: there is no such proposal.
    """
    with connections.session() as connection:
        if (
            connection.execute("SELECT 1 FROM hub.code_proposal WHERE proposal_id = %s", [proposal_id]).fetchone()
            is None
        ):
            raise GiveUp("no_such_proposal", f"没有提案 {proposal_id} / there is no proposal {proposal_id}")
        rows = connection.cursor(row_factory=class_row(PostedUnderOldCode))
        return rows.execute(_LIST, {"proposal": proposal_id, "sent": _SENT}).fetchall()
