"""Code tables 对照表: rows valid from a day to a day, made by one person and checked by another, with their history."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Cursor, sql

from finbridge.core.errors import GiveUp
from finbridge.core.ports import CodeRow
from finbridge.hub.bulk import Columns, arrays
from finbridge.hub.connections import Connections
from finbridge.hub.documents import bring_news

_ROW = Columns(
    "flow_id text, table_name text, company text, code text, valid_from date, valid_to date, target text, "
    "maker text, checker text"
)
#: One statement, one snapshot: the history sees the rows as they were; rows that say nothing new change nothing.
_MERGE = sql.SQL("""
WITH new AS (SELECT * FROM {}),
history AS (
    INSERT INTO hub.code_history (flow_id, table_name, company, code, valid_from, old_target, old_valid_to,
                                  new_target, new_valid_to, maker, checker)
    SELECT n.flow_id, n.table_name, n.company, n.code, n.valid_from, o.target, o.valid_to, n.target, n.valid_to,
           n.maker, n.checker
    FROM new n LEFT JOIN hub.code_table o USING (flow_id, table_name, company, code, valid_from)
    WHERE o.target IS NULL OR o.target <> n.target OR o.valid_to IS DISTINCT FROM n.valid_to
    RETURNING 1
),
merged AS (
    INSERT INTO hub.code_table AS t ({})
    SELECT {} FROM new
    ON CONFLICT (flow_id, table_name, company, code, valid_from) DO UPDATE SET
        valid_to = excluded.valid_to, target = excluded.target, maker = excluded.maker, checker = excluded.checker,
        changed_at = now()
    WHERE t.target <> excluded.target OR t.valid_to IS DISTINCT FROM excluded.valid_to
)
SELECT count(*) FROM history
""").format(_ROW.unnested, _ROW.listed, _ROW.listed)
_OVERLAP = """
SELECT a.table_name, a.company, a.code, a.valid_from, b.valid_from
FROM hub.code_table a JOIN hub.code_table b USING (flow_id, table_name, company, code)
WHERE a.flow_id = %s AND a.valid_from < b.valid_from AND (a.valid_to IS NULL OR a.valid_to > b.valid_from)
ORDER BY 1, 2, 3, 4 LIMIT 1
"""
#: What stands in a list because of its content may be right now: look at it again.
_HELD = """
SELECT document_id FROM hub.document
WHERE flow_id = %s AND document_id IN (
    SELECT document_id FROM hub.hold WHERE flow_id = %s AND origin = 'plan' AND closed_at IS NULL AND key = ''
)
ORDER BY document_id FOR UPDATE
"""


def load_codes(connections: Connections, flow_id: str, rows: Sequence[CodeRow], *, maker: str, checker: str) -> int:
    """Add or change rows (never taking any away: a row ends by ``valid_to``); held documents are looked at again.

    Returns the number of rows that are new or changed.

    Raises:
        GiveUp: maker and checker are one person, or two rows of one code are valid on the same day; nothing is stored.
    """
    if not maker or not checker or maker == checker:
        raise GiveUp("four_eyes", "对照表须由两人维护：制表与复核不能为同一人 / maker and checker must be two people")
    distinct = {(row.table, row.company, row.code, row.valid_from): row for row in rows}
    values = [
        (flow_id, r.table, r.company, r.code, r.valid_from, r.valid_to, r.target, maker, checker)
        for r in distinct.values()
    ]
    if not values:
        return 0
    with connections.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"finbridge codes {flow_id}"])
        counted = cursor.execute(_MERGE, arrays(_ROW, values)).fetchone()
        changed = int(counted[0]) if counted else 0
        _refuse_overlap(cursor, flow_id)
        if changed:
            held = cursor.execute(_HELD, [flow_id, flow_id]).fetchall()
            bring_news(cursor, flow_id, [row[0] for row in held])
    return changed


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
    with connections.session() as connection:
        rows = connection.execute(
            """
            SELECT table_name, company, code, target, valid_from, valid_to FROM hub.code_table
            WHERE flow_id = %s ORDER BY table_name, company, code, valid_from
            """,
            [flow_id],
        ).fetchall()
    return [
        CodeRow(table=table, company=company, code=code, target=target, valid_from=start, valid_to=end)
        for table, company, code, target, start, end in rows
    ]
