"""Reading for a pack: the evidence of one period's documents, each row with its way to a seal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, sql

from finbridge.core.audit import Tree
from finbridge.hub.audit_tables import CHANGING, SHAPES, TEXT_FORM, Changing, Shape
from finbridge.hub.connections import Connections

_BEGIN = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_PATIENCE = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
_DOCUMENTS = """
SELECT DISTINCT flow_id, document_id FROM hub.voucher
WHERE period = %(period)s AND (%(company)s::text IS NULL OR company = %(company)s) ORDER BY 1, 2
"""
_OF_DOCUMENT = sql.SQL("(t.flow_id, t.document_id) IN (SELECT * FROM unnest(%(flows)b::text[], %(documents)b::text[]))")
_OF_FLOW = sql.SQL("t.flow_id = ANY(%(flows)b::text[])")
_OF_VOUCHER = sql.SQL("t.key = ANY(%(keys)b::text[])")
_OF_MAPPING = sql.SQL("t.sha256 = ANY(%(mappings)b::text[])")
#: Notes of the rows that are in the pack, and of rows of its vouchers that were taken away.
_OF_ROWS = sql.SQL("""
CASE t.table_name
    WHEN 'code_table' THEN (t.row_key::jsonb ->> 0) = ANY(%(flows)b::text[])
    WHEN 'source_event' THEN ((t.row_key::jsonb ->> 1), (t.row_key::jsonb ->> 0))
         IN (SELECT * FROM unnest(%(flows)b::text[], %(documents)b::text[]))
    WHEN 'attempt' THEN t.row_key
         IN (SELECT jsonb_build_array(a.attempt_id)::text FROM hub.attempt a WHERE a.key = ANY(%(keys)b::text[]))
    ELSE (t.row_key::jsonb ->> 0) = ANY(%(keys)b::text[])
END
""")
_WHERE: Mapping[str, sql.Composable] = {
    **dict.fromkeys(("inbox", "document_version", "document_line", "trail", "write_back"), _OF_DOCUMENT),
    **dict.fromkeys(("voucher", "source_event"), _OF_DOCUMENT),
    **dict.fromkeys(("code_history", "code_table"), _OF_FLOW),
    **dict.fromkeys(("voucher_line", "source_line", "attempt"), _OF_VOUCHER),
    "audit_file": _OF_MAPPING,
    "audit_change": _OF_ROWS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRow:
    """A row with its way to a seal; ``seal`` 0: it waits for one. Binary values are bytes, all others text."""

    table: str
    shape: str
    row_key: str
    document_id: str
    values: Mapping[str, str | bytes | None]
    seal: int
    position: int
    way: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRow:
    """A changeable row as it stands."""

    table: str
    row_key: str
    values: Mapping[str, str | None]


@dataclass(slots=True)
class PackReader:
    """One snapshot of the register, read for a pack."""

    connection: Connection
    asked: dict[str, Any]
    seals_used: set[int] = field(default_factory=set)
    _trees: dict[int, Tree] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """How many documents are in it."""
        return len(self.asked["documents"])

    def sealed(self) -> Iterator[SealedRow]:
        """All append-only rows, table by table."""
        for shape in SHAPES:
            yield from self._sealed(shape)

    def _sealed(self, shape: Shape) -> Iterator[SealedRow]:
        columns = sql.SQL(", ").join(
            sql.Identifier("t", name) if name in shape.binary else sql.SQL("{}::text").format(sql.Identifier("t", name))
            for name in shape.columns
        )
        statement = sql.SQL("""
            SELECT l.seal_no, l.position, {row_key}, {document}, {columns}
            FROM {table} t LEFT JOIN hub.audit_leaf l ON l.row_key = {row_key} AND l.shape = {shape}
            WHERE {where} ORDER BY l.seal_no, l.position
        """).format(
            row_key=shape.row_key,
            document=sql.SQL(shape.document),
            columns=columns,
            table=sql.Identifier("hub", shape.table),
            shape=sql.Literal(shape.name),
            where=_WHERE[shape.table],
        )
        rows = self.connection.execute(statement, self.asked).fetchall()
        for number, position, row_key, document_id, *values in rows:
            found = [bytes(value) if isinstance(value, memoryview) else value for value in values]
            if number is not None:
                self.seals_used.add(number)
            yield SealedRow(
                table=shape.table,
                shape=shape.name,
                row_key=row_key,
                document_id=document_id,
                values=dict(zip(shape.columns, found, strict=True)),
                seal=number or 0,
                position=position or 0,
                way=self._way(number, position) if number is not None else (),
            )

    def _way(self, number: int, position: int) -> list[tuple[str, str]]:
        if number not in self._trees:
            rows = self.connection.execute(
                "SELECT leaf FROM hub.audit_leaf WHERE seal_no = %s ORDER BY position", [number]
            )
            self._trees = {number: Tree([bytes(row[0]) for row in rows])}  # rows come seal by seal
        return [(side, each.hex()) for side, each in self._trees[number].path(position)]

    def standing(self) -> Iterator[StandingRow]:
        """All changeable rows, table by table."""
        for changing in CHANGING:
            yield from self._standing(changing)

    def _standing(self, changing: Changing) -> Iterator[StandingRow]:
        statement = sql.SQL("SELECT {}, {} FROM {} t WHERE {} ORDER BY 1").format(
            changing.row_key,
            changing.image,
            sql.Identifier("hub", changing.table),
            _WHERE[changing.table],
        )
        for row_key, image in self.connection.execute(statement, self.asked).fetchall():
            yield StandingRow(
                table=changing.table, row_key=row_key, values=dict(zip(changing.columns, image, strict=True))
            )

    def seals(self) -> Iterator[tuple[str, str]]:
        """Body and hash of each seal from the first one used to the newest."""
        first = min(self.seals_used, default=1)
        rows = self.connection.execute(
            "SELECT body, hash FROM hub.audit_seal WHERE seal_no >= %s ORDER BY seal_no", [first]
        )
        for body, found in rows:
            yield bytes(body).decode(), bytes(found).hex()

    @property
    def chain(self) -> str:
        """The hash of the chain's first seal."""
        found = self.connection.execute("SELECT hash FROM hub.audit_seal ORDER BY seal_no LIMIT 1").fetchone()
        return bytes(found[0]).hex() if found else ""


@contextmanager
def reading(connections: Connections, period: str, company: str | None) -> Iterator[PackReader]:
    """A reader of the documents that have a voucher in the period: all their vouchers, of whatever period."""
    with connections.session() as connection, connection.transaction():
        for statement in (_BEGIN, TEXT_FORM, _PATIENCE):
            connection.execute(statement)
        names = connection.execute(_DOCUMENTS, {"period": period, "company": company}).fetchall()
        asked: dict[str, Any] = {"flows": [row[0] for row in names], "documents": [row[1] for row in names]}
        where = sql.SQL("SELECT key, mapping_sha256 FROM hub.voucher t WHERE {}").format(_OF_DOCUMENT)
        vouchers = connection.execute(where, asked).fetchall()
        asked["keys"] = [row[0] for row in vouchers]
        asked["mappings"] = sorted({row[1] for row in vouchers if row[1]})
        yield PackReader(connection, asked)
