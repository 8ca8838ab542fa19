"""Verifying: every seal, every sealed row and every changeable row, against each other and against anchors outside.

Findings name document and column and never a value: a report may be sent around.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import Connection, Cursor, sql

from finbridge.core.audit import MARK_BYTES, Anchor
from finbridge.hub.audit_chain import ChainEnd, Finding, check_chain
from finbridge.hub.audit_tables import CHANGING, SHAPES, TEXT_FORM, Changing, Shape
from finbridge.hub.connections import Connections
from finbridge.hub.schema import APP_ROLE, OWNER_ROLE

#: Findings of one kind and table that are looked at; more are only said to be there.
_LIMIT = 200
_BEGIN = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_PATIENCE = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
#: A row without a leaf is new where its transaction is above the horizon, or where older rows are still being taken.
_ROWS = sql.SQL("""
WITH found AS MATERIALIZED (
    SELECT coalesce(l.row_key, r.row_key) AS row_key, l.seal_no, l.position, l.document_id AS sealed_document,
           r.document_id, l.marks AS sealed_marks, r.marks, l.leaf AS sealed_leaf, r.leaf,
           l.leaf IS NULL AND (CASE WHEN r.audit_xid IS NULL THEN {older} ELSE r.audit_xid >= {horizon} END) AS new
    FROM ({rows}) r FULL JOIN (SELECT * FROM hub.audit_leaf WHERE shape = {shape}) l USING (row_key)
    WHERE (l.leaf, l.marks, l.document_id) IS DISTINCT FROM (r.leaf, r.marks, r.document_id)
)
(SELECT *, count(*) OVER () FROM found WHERE NOT new ORDER BY seal_no, position, row_key LIMIT {limit})
UNION ALL (SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, count(*) FROM found WHERE new)
""")
_CHANGING = sql.SQL("""
WITH noted AS (
    SELECT row_key, change_id, operation, document_id, starts, image FROM hub.audit_change WHERE table_name = {name}
),
newest AS (SELECT DISTINCT ON (row_key) * FROM noted ORDER BY row_key, change_id DESC),
whole AS (SELECT DISTINCT ON (row_key) * FROM noted WHERE starts = 0 ORDER BY row_key, change_id DESC),
stands AS (
    SELECT n.row_key, n.document_id, n.change_id,
           CASE WHEN n.starts = 0 THEN n.image ELSE w.image[1:n.starts] || n.image END AS image
    FROM newest n LEFT JOIN whole w USING (row_key) WHERE n.operation <> 'delete'
),
shown AS (SELECT {row_key} AS row_key, {image} AS image FROM {table} t)
SELECT row_key, stands.document_id, stands.image, shown.image, count(*) OVER ()
FROM stands FULL JOIN shown USING (row_key) WHERE stands.image IS DISTINCT FROM shown.image
ORDER BY stands.change_id, row_key LIMIT {limit}
""")
_FOREIGN = sql.SQL("""
SELECT {row_key}, {document}, t.audit_login FROM {table} t WHERE t.audit_login <> {app}{but} ORDER BY 1 LIMIT {limit}
""")
_HISTORY = """
SELECT change_id, starts, image FROM hub.audit_change WHERE (table_name, row_key) = (
    SELECT table_name, row_key FROM hub.audit_change WHERE change_id = %s) AND change_id <= %s ORDER BY change_id
"""
_STATES: LiteralString = """
SELECT v.key, v.document_id FROM hub.voucher v LEFT JOIN (
    SELECT DISTINCT ON (key) key, to_state FROM hub.trail WHERE key IS NOT NULL AND to_state IS NOT NULL
    ORDER BY key, trail_id DESC
) t USING (key)
WHERE t.to_state IS DISTINCT FROM v.state ORDER BY v.key LIMIT %s
"""


@dataclass(slots=True)
class Verification:
    """What was looked at and what was found.

    Args:
        unsealed: rows that wait for their first seal; they are compared and not yet sealed.
    """

    seals: int = 0
    sealed: int = 0
    unsealed: int = 0
    changing: int = 0
    newest: Anchor | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def green(self) -> bool:
        """Whether nothing was touched."""
        return not self.findings


def verify(connections: Connections, anchors: Sequence[Anchor] = ()) -> Verification:
    """Compare everything, in one snapshot, while work goes on."""
    done = Verification()
    with connections.session() as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(TEXT_FORM)
        cursor.execute(_PATIENCE)
        end = check_chain(connection, anchors, done.findings)
        done.seals, done.sealed, done.newest = end.seals, end.leaves, end.newest
        _check_shapes(cursor, done)
        for shape in SHAPES:
            _check_rows(cursor, shape, end, done)
        for changing in CHANGING:
            _check_changing(cursor, changing, done)
        for shape in SHAPES:
            _check_logins(connection, shape, done)
        for key, document_id in cursor.execute(_STATES, [_LIMIT]).fetchall():
            done.findings.append(Finding("voucher", document_id, "state", "unexplained", row=f'["{key}"]'))
    return done


# ---------------------------------------------------------------- sealed rows


@dataclass(frozen=True, slots=True)
class _Row:
    """A leaf without its row, a row without its leaf, or the two that differ."""

    row_key: str
    seal_no: int | None
    position: int | None
    sealed_document: str | None
    document_id: str | None
    sealed_marks: bytes | None
    marks: bytes | None
    sealed_leaf: bytes | None
    leaf: bytes | None

    @property
    def where(self) -> str:
        return f"seal {self.seal_no}, leaf {self.position}" if self.seal_no is not None else ""


def _check_shapes(cursor: Cursor, done: Verification) -> None:
    """Leaves of no table that is known."""
    cursor.execute(
        """
        SELECT document_id, seal_no, position, row_key FROM hub.audit_leaf WHERE shape <> ALL(%b::text[])
        ORDER BY seal_no, position LIMIT %s
        """,
        [[shape.name for shape in SHAPES], _LIMIT],
    )
    for document_id, number, position, row_key in cursor.fetchall():
        where = f"seal {number}, leaf {position}"
        done.findings.append(Finding("audit_leaf", document_id, "shape", "altered", where=where, row=row_key))


def _check_rows(cursor: Cursor, shape: Shape, end: ChainEnd, done: Verification) -> None:
    statement = _ROWS.format(
        rows=shape.leaves(sql.SQL("true")),
        shape=sql.Literal(shape.name),
        older=sql.Literal(not end.opened),
        horizon=sql.Literal(end.horizon if end.same_cluster(cursor) else -1),
        limit=sql.Literal(_LIMIT),
    )
    *found, news = cursor.execute(statement).fetchall()
    done.unsealed += news[-1]
    rows = [_Row(*row[:9]) for row in found]
    added = {row.row_key: row for row in rows if row.sealed_leaf is None}
    for row in rows:
        if row.sealed_leaf is None:
            continue
        twin = row if row.leaf is not None else _twin(row, added)
        if twin is not None and twin is not row:
            del added[twin.row_key]
        done.findings.append(_altered(shape, row, twin))
    for row in added.values():
        done.findings.append(Finding(shape.table, row.document_id or "", "", "added", row=row.row_key))
    _say_more(done, shape.table, found)


def _say_more(done: Verification, table: str, found: Sequence[Sequence[Any]]) -> None:
    if found and found[0][-1] > len(found):
        done.findings.append(Finding(table, "", "", "more", where=f"{found[0][-1]} rows"))


def _twin(row: _Row, added: Mapping[str, _Row]) -> _Row | None:
    """The row that a leaf without its row stands for after its key was changed: most of its columns are the same."""
    best = max(added.values(), key=lambda each: _same(row, each), default=None)
    half = len(row.sealed_marks or b"") // MARK_BYTES / 2
    return best if best is not None and (best.leaf == row.sealed_leaf or _same(row, best) > half) else None


def _same(row: _Row, other: _Row) -> int:
    pairs = zip(_marks(row.sealed_marks), _marks(other.marks), strict=False)
    return sum(1 for one, two in pairs if one == two)


def _marks(marks: bytes | None) -> list[bytes]:
    whole = bytes(marks or b"")
    return [whole[at : at + MARK_BYTES] for at in range(0, len(whole), MARK_BYTES)]


def _altered(shape: Shape, row: _Row, twin: _Row | None) -> Finding:
    document = row.sealed_document or ""
    if twin is None:
        return Finding(shape.table, document, "", "removed", where=row.where, row=row.row_key)
    if twin.leaf == row.sealed_leaf:  # the row is as it was: its leaf's own columns were touched
        touched = "row_key" if twin is not row else "marks" if row.sealed_marks != row.marks else "document_id"
        named = twin.document_id or document
        return Finding("audit_leaf", named, touched, "altered", where=row.where, row=row.row_key)
    pairs = zip(_marks(row.sealed_marks), _marks(twin.marks), shape.columns, strict=False)
    fields = [name for one, two, name in pairs if one != two]
    if not fields:
        return Finding("audit_leaf", document, "leaf", "altered", where=row.where, row=row.row_key)
    if twin is row and not set(shape.key.names).isdisjoint(fields):  # its marks are those of a row with another key
        return Finding("audit_leaf", document, "row_key", "altered", where=row.where, row=row.row_key)
    return Finding(shape.table, document, ", ".join(fields), "altered", where=row.where, row=row.row_key)


# ---------------------------------------------------------------- changeable rows

_Image = Sequence[str | None]


def _check_changing(cursor: Cursor, changing: Changing, done: Verification) -> None:
    statement = _CHANGING.format(
        name=sql.Literal(changing.table),
        row_key=changing.row_key,
        image=changing.image,
        table=sql.Identifier("hub", changing.table),
        limit=sql.Literal(_LIMIT),
    )
    found = cursor.execute(statement).fetchall()
    added = {row[0]: row[3] for row in found if row[2] is None}
    for row_key, document_id, noted, shown, _ in found:
        if noted is None:
            continue
        if shown is None:
            twin = next((key for key, image in added.items() if 2 * len(_differing(noted, image)) < len(noted)), None)
            found_at = added.pop(twin) if twin is not None else None
        else:
            found_at = shown
        fields = _named(changing, noted, found_at) if found_at is not None else ""
        what = "altered" if found_at is not None else "removed"
        done.findings.append(Finding(changing.table, document_id or "", fields, what, row=row_key))
    for row_key, image in added.items():
        named = dict(zip(changing.columns, image, strict=False)).get("document_id") or ""
        done.findings.append(Finding(changing.table, named, "", "added", row=row_key))
    _say_more(done, changing.table, found)
    counted = cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("hub", changing.table)))
    done.changing += (counted.fetchone() or (0,))[0]


def _named(changing: Changing, one: _Image, two: _Image) -> str:
    """The columns in which two images differ; ``image`` where one has more than there are columns."""
    names = (changing.columns[at] if at < len(changing.columns) else "image" for at in _differing(one, two))
    return ", ".join(dict.fromkeys(names))


def _differing(one: _Image, two: _Image) -> list[int]:
    return [at for at in range(max(len(one), len(two))) if one[at : at + 1] != two[at : at + 1]]


# ---------------------------------------------------------------- who wrote


def _check_logins(connection: Connection, shape: Shape, done: Verification) -> None:
    """Only the suite's login writes evidence; the owner's notes what was there when the schema was upgraded."""
    opening: sql.Composable = sql.SQL("")
    if shape.table == "audit_change":
        opening = sql.SQL(" AND (t.operation, t.audit_login) <> ('opening', {})").format(sql.Literal(OWNER_ROLE))
    statement = _FOREIGN.format(
        row_key=shape.row_key,
        document=sql.SQL(shape.document),
        table=sql.Identifier("hub", shape.table),
        app=sql.Literal(APP_ROLE),
        but=opening,
        limit=sql.Literal(_LIMIT),
    )
    for row_key, document_id, login in connection.execute(statement).fetchall():
        table, fields = shape.table, ""
        if table == "audit_change":
            table, fields = _what_changed(connection, int(row_key.strip("[]")))
        done.findings.append(Finding(table, document_id, fields, "foreign", where=login, row=row_key))


def _what_changed(connection: Connection, change_id: int) -> tuple[str, str]:
    """Table and columns of one noted change."""
    named = connection.execute("SELECT table_name FROM hub.audit_change WHERE change_id = %s", [change_id]).fetchone()
    table = named[0] if named else ""
    changing = next((each for each in CHANGING if each.table == table), None)
    *earlier, after = list(_folded(connection.execute(_HISTORY, [change_id, change_id]).fetchall()))
    return table, _named(changing, earlier[-1] if earlier else (), after) if changing else ""


def _folded(changes: Iterable[tuple[int, int, list[str | None]]]) -> Iterator[list[str | None]]:
    """The images of one row, each whole."""
    image: list[str | None] = []
    for _, starts, part in changes:
        image = [*image[:starts], *part]
        yield image
