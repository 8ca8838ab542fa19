"""Code tables 对照表: rows valid from a day to a day, made by one person and checked by another, with their history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.codes import AMBIGUOUS_CODE, HELD_WORDS, UNKNOWN_CODE, CodeRecord, MissingCode
from finbridge.core.errors import GiveUp
from finbridge.core.lifecycle import IN_DOUBT, UNSENT, VoucherState
from finbridge.core.people import person, same_person
from finbridge.core.ports import CodeRow
from finbridge.hub.bulk import Columns, arrays, insert_rows
from finbridge.hub.connections import Connections
from finbridge.hub.documents import bring_news

_ROW = Columns(
    "flow_id text, table_name text, company text, code text, valid_from date, valid_to date, target text, "
    "maker text, checker text"
)
#: One statement, one snapshot: the history sees the rows as they were; rows that say nothing new change nothing.
#: ``targets_before``: what the code meant before, for any company and day.
_MERGE = sql.SQL("""
WITH new AS (SELECT * FROM {}),
changed AS (
    SELECT n.*, o.target AS old_target, o.valid_to AS old_valid_to, ARRAY(
        SELECT DISTINCT k.target FROM hub.code_table k
        WHERE k.flow_id = n.flow_id AND k.table_name = n.table_name AND k.code = n.code
    ) AS targets_before
    FROM new n LEFT JOIN hub.code_table o USING (flow_id, table_name, company, code, valid_from)
    WHERE o.target IS NULL OR o.target <> n.target OR o.valid_to IS DISTINCT FROM n.valid_to
),
history AS (
    INSERT INTO hub.code_history (flow_id, table_name, company, code, valid_from, old_target, old_valid_to,
                                  new_target, new_valid_to, maker, checker)
    SELECT flow_id, table_name, company, code, valid_from, old_target, old_valid_to, target, valid_to, maker, checker
    FROM changed
),
merged AS (
    INSERT INTO hub.code_table AS t ({})
    SELECT {} FROM changed
    ON CONFLICT (flow_id, table_name, company, code, valid_from) DO UPDATE SET
        valid_to = excluded.valid_to, target = excluded.target, maker = excluded.maker, checker = excluded.checker,
        changed_at = now()
)
SELECT table_name, company, code, valid_from, valid_to, targets_before FROM changed
""").format(_ROW.unnested, _ROW.listed, _ROW.listed)
_OVERLAP = """
SELECT a.table_name, a.company, a.code, a.valid_from, b.valid_from
FROM hub.code_table a JOIN hub.code_table b USING (flow_id, table_name, company, code)
WHERE a.flow_id = %s AND a.valid_from < b.valid_from AND (a.valid_to IS NULL OR a.valid_to > b.valid_from)
ORDER BY 1, 2, 3, 4 LIMIT 1
"""
#: Open holds for a code that was looked up in vain: table, code, company, day; NULL where the text was cut short. Plain
#: functions of texts take a twentieth of the time of a regular expression with groups. ``OFFSET 0``: each once.
_NAMED = sql.SQL("""
named AS (
    SELECT h.document_id, h.code AS reason, h.opened_at, s.spoken, p.table_name, p.company,
           substr(p.body, length(p.table_name) + 14,
                  greatest(0, length(p.body) - length(p.table_name) - length(p.company) - 23)) AS looked_up,
           p.day
    FROM hub.hold h
    CROSS JOIN LATERAL (
        SELECT CASE WHEN h.code = %(unknown)s THEN %(unknown_words)s ELSE %(ambiguous_words)s END AS words OFFSET 0
    ) AS w
    CROSS JOIN LATERAL (
        SELECT substr(h.detail, strpos(h.detail, w.words) + length(w.words)) AS said,
               strpos(h.detail, w.words) > 0 AS spoken,
               strpos(h.detail, w.words) > 0 AND h.detail ~ ', date [0-9]{4}-[0-9]{2}-[0-9]{2}$' AS whole OFFSET 0
    ) AS s
    CROSS JOIN LATERAL (
        SELECT CASE WHEN s.whole THEN left(s.said, -17) END AS body,
               CASE WHEN s.whole THEN substr(split_part(s.said, ', code ', 1), 7) END AS table_name,
               CASE WHEN s.whole THEN reverse(split_part(reverse(left(s.said, -17)), reverse(', company '), 1)) END
                   AS company,
               CASE WHEN s.whole THEN right(s.said, 10)::date END AS day
        OFFSET 0
    ) AS p
    WHERE h.flow_id = %(flow)s AND h.origin = 'plan' AND h.closed_at IS NULL AND h.key = ''
          AND h.code IN (%(unknown)s, %(ambiguous)s)
)
""")
#: Vouchers that finance does not hold, or may not hold.
_UNSETTLED = [state.value for state in sorted(UNSENT - {VoucherState.REJECTED} | IN_DOUBT)]
#: Who may be free now. A text in which personal data was blacked out is compared by what is left of it, one that was
#: cut short counts as concerned. A rule says beside the mapping that a code is missing, not which: it counts only where
#: the mapping says nothing. A code that had another target before may also be behind the holds of a rule, whose
#: text names no code, behind a refusal of finance, and in every voucher that is not in the books yet: what a code
#: meant may decide on an amount or on another code and stand on no line, so all of its company are translated again.
#: One in doubt is not touched: it is looked at after finance's word. A document that is being planned now counts too,
#: its codes may have been read before.
_CONCERNED = (
    sql.SQL(r"""
WITH changed AS (
    SELECT * FROM unnest(%(tables)s::text[], %(companies)s::text[], %(codes)s::text[], %(starts)s::date[],
                         %(ends)s::date[], %(known)s::boolean[])
        AS u(table_name, company, code, valid_from, valid_to, known)
),
replaced AS (SELECT * FROM unnest(%(old_companies)s::text[], %(old_targets)s::text[]) AS u(company, target)),
""")
    + _NAMED
    + sql.SQL(r""",
concerned AS (
    SELECT n.document_id FROM named n JOIN changed c
        ON c.table_name = n.table_name AND c.code = n.looked_up AND c.company IN ('', n.company)
           AND (n.reason <> %(unknown)s OR (n.day >= c.valid_from AND (c.valid_to IS NULL OR n.day < c.valid_to)))
    UNION
    SELECT n.document_id FROM named n JOIN changed c
        ON c.table_name = n.table_name AND c.company IN ('', n.company) AND c.code LIKE
           replace(regexp_replace(n.looked_up, '([\\%%_])', '\\\1', 'g'), '***', '%%')
    WHERE n.looked_up LIKE '%%***%%'
    UNION
    SELECT document_id FROM named GROUP BY document_id
    HAVING bool_or(spoken AND table_name IS NULL) OR NOT bool_or(spoken)
    UNION
    SELECT h.document_id FROM hub.hold h JOIN hub.document d USING (flow_id, document_id)
    WHERE h.flow_id = %(flow)s AND h.origin = 'plan' AND h.closed_at IS NULL AND h.key = '' AND h.field <> 'log'
          AND h.code NOT IN (%(unknown)s, %(ambiguous)s) AND d.problem_code IS NULL
          AND EXISTS (SELECT 1 FROM changed c WHERE c.known AND c.company IN ('', d.company))
    UNION
    SELECT v.document_id FROM hub.voucher v JOIN hub.voucher_line l USING (key)
    JOIN replaced r ON r.company IN ('', v.company) AND r.target IN (l.account, l.party)
    WHERE v.flow_id = %(flow)s AND v.state = 'rejected' AND v.kind <> 'reversal'
    UNION
    SELECT v.document_id FROM hub.voucher v
    WHERE v.flow_id = %(flow)s AND v.state = ANY(%(unsettled)s) AND v.kind <> 'reversal'
          AND EXISTS (SELECT 1 FROM changed c WHERE c.known AND c.company IN ('', v.company))
    UNION
    SELECT d.document_id FROM hub.document d
    WHERE d.flow_id = %(flow)s AND d.stage IS NOT NULL AND d.stage = 'plan' AND d.lease_fence IS NOT NULL
          AND EXISTS (SELECT 1 FROM changed c WHERE c.known AND c.company IN ('', d.company))
)
SELECT document_id FROM hub.document
WHERE flow_id = %(flow)s AND document_id IN (SELECT document_id FROM concerned)
ORDER BY document_id FOR UPDATE
""")
)
_MISSING = (
    sql.SQL("WITH ")
    + _NAMED
    + sql.SQL(""",
each AS (
    SELECT n.table_name, n.looked_up, n.company, n.reason, n.document_id, min(n.day) AS day,
           min(n.opened_at) AS opened_at, min(d.amount_minor) AS amount_minor
    FROM named n JOIN hub.document d ON d.flow_id = %(flow)s AND d.document_id = n.document_id
    WHERE n.table_name IS NOT NULL GROUP BY 1, 2, 3, 4, 5
)
SELECT table_name AS table, looked_up AS code, company, reason, count(*) AS documents,
       sum(amount_minor)::bigint AS amount_minor, count(*) FILTER (WHERE amount_minor IS NULL) AS without_amount,
       min(day) AS first_day, min(opened_at) AS held_since
FROM each GROUP BY 1, 2, 3, 4 ORDER BY count(*) DESC, 1, 2, 3, 4
""")
)
_OVERTAKEN = (
    sql.SQL("WITH ")
    + _NAMED
    + sql.SQL("""
SELECT DISTINCT n.document_id FROM named n
JOIN hub.code_table c ON c.flow_id = %(flow)s AND c.table_name = n.table_name AND c.code = n.looked_up
     AND c.company IN ('', n.company) AND n.day >= c.valid_from AND (c.valid_to IS NULL OR n.day < c.valid_to)
WHERE n.document_id = ANY(%(documents)s) AND n.opened_at = now() AND n.reason = %(unknown)s
""")
)
_HELD = {
    "unknown": UNKNOWN_CODE,
    "unknown_words": HELD_WORDS[UNKNOWN_CODE],
    "ambiguous": AMBIGUOUS_CODE,
    "ambiguous_words": HELD_WORDS[AMBIGUOUS_CODE],
}
_TRAIL = Columns("actor text, flow_id text, document_id text, action text, reason text")


def load_codes(
    connections: Connections, flow_id: str, rows: Sequence[CodeRow], *, maker: str, checker: str, reason: str = ""
) -> int:
    """Add or change rows (never taking any away: a row ends by ``valid_to``); what they held is looked at again.

    Returns the number of rows that are new or changed.

    Raises:
        GiveUp: maker and checker are one person, or two rows of one code are valid on the same day; nothing is stored.
    """
    if not rows:
        check_four_eyes(maker, checker)
        return 0
    with connections.transaction() as cursor:
        lock_tables(cursor, flow_id)
        return merge(cursor, flow_id, rows, maker=maker, checker=checker, reason=reason)


def check_four_eyes(maker: str, checker: str) -> None:
    """Two people whose names cannot be taken for one another.

    Raises:
        GiveUp: they are one, one is nobody, or one has a name that no person has.
    """
    if not maker.strip() or not checker.strip() or same_person(person(maker), person(checker)):
        raise GiveUp("four_eyes", "对照表须由两人维护：制表与复核不能为同一人 / maker and checker must be two people")


def lock_tables(cursor: Cursor, flow_id: str) -> None:
    """One change of a flow's tables at a time; what is read after it is what will be changed."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"finbridge codes {flow_id}"])


def keep_tables(cursor: Cursor, flow_id: str) -> None:
    """No change of a flow's tables until this transaction ends; before any document is locked."""
    cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [f"finbridge codes {flow_id}"])


def bring_overtaken(cursor: Cursor, flow_id: str, document_ids: Sequence[str]) -> None:
    """Documents that this transaction held for a code that was loaded after their codes were read: look again.

    Under `keep_tables`. Each new hold brings one more look at most, so that nothing goes round and round.
    """
    found = cursor.execute(_OVERTAKEN, {"flow": flow_id, **_HELD, "documents": list(document_ids)}).fetchall()
    bring_news(cursor, flow_id, [row[0] for row in found])


def merge(cursor: Cursor, flow_id: str, rows: Sequence[CodeRow], *, maker: str, checker: str, reason: str = "") -> int:
    """See `load_codes`; under `lock_tables`."""
    check_four_eyes(maker, checker)
    maker, checker = person(maker), person(checker)
    distinct = {(row.table, row.company, row.code, row.valid_from): row for row in rows}
    values = [
        (flow_id, r.table, r.company, r.code, r.valid_from, r.valid_to, r.target, maker, checker)
        for r in distinct.values()
    ]
    changed = cursor.execute(_MERGE, arrays(_ROW, values)).fetchall()
    _refuse_overlap(cursor, flow_id)
    if changed:
        _release(cursor, flow_id, changed, actor=checker, reason=reason)
    return len(changed)


def _release(cursor: Cursor, flow_id: str, changed: Sequence[tuple[Any, ...]], *, actor: str, reason: str) -> None:
    """Documents that stood because of these codes become due; no other row is touched."""
    tables, companies, codes, starts, ends, before = zip(*changed, strict=True)
    replaced = sorted({(company, target) for _, company, _, _, _, targets in changed for target in targets})
    asked = {
        "flow": flow_id,
        **_HELD,
        "tables": list(tables),
        "companies": list(companies),
        "codes": list(codes),
        "starts": list(starts),
        "ends": list(ends),
        "known": [bool(targets) for targets in before],
        "old_companies": [company for company, _ in replaced],
        "old_targets": [target for _, target in replaced],
        "unsettled": _UNSETTLED,
    }
    found = cursor.execute(_CONCERNED, asked).fetchall()
    names = [row[0] for row in found]
    bring_news(cursor, flow_id, names)
    insert_rows(cursor, "trail", _TRAIL, [(actor, flow_id, name, "codes_loaded", reason) for name in names])


def _refuse_overlap(cursor: Cursor, flow_id: str) -> None:
    found = cursor.execute(_OVERLAP, [flow_id]).fetchone()
    if found is not None:
        table, company, code, one, other = found
        raise GiveUp(
            "codes_overlap",
            f"对照表 {table} 代码 {code} 的有效期重叠：{one} 与 {other} / "
            f"code {code} of table {table} is valid twice: the rows from {one} and from {other} overlap"
            + (f" (company {company})" if company else ""),
        )


def codes(connections: Connections, flow_id: str) -> list[CodeRow]:
    """See `finbridge.core.ports.Hub.codes`: all rows, past and future ones too."""
    return [record.row for record in records(connections, flow_id)]


def records(connections: Connections, flow_id: str) -> list[CodeRecord]:
    """All rows with maker, checker and time, in the order of table, company, code and first day."""
    with connections.session() as connection:
        rows = connection.execute(
            """
            SELECT table_name, company, code, target, valid_from, valid_to, maker, checker, changed_at
            FROM hub.code_table WHERE flow_id = %s ORDER BY table_name, company, code, valid_from
            """,
            [flow_id],
        ).fetchall()
    return [
        CodeRecord(
            row=CodeRow(table=table, company=company, code=code, target=target, valid_from=start, valid_to=end),
            maker=maker,
            checker=checker,
            changed_at=changed_at,
        )
        for table, company, code, target, start, end, maker, checker, changed_at in rows
    ]


def missing(connections: Connections, flow_id: str) -> list[MissingCode]:
    """Codes that hold documents, the most needed first: one statement whatever the number of documents."""
    with connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_MISSING, {"flow": flow_id, **_HELD}).fetchall()
    return [MissingCode(**row) for row in rows]
