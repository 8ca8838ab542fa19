"""Many rows in one statement: COPY for new rows, arrays that are unnested for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Cursor, sql


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns with their types, in the order in which rows carry their values: ``Columns("key text, split int")``."""

    names: tuple[str, ...]
    types: tuple[str, ...]

    def __init__(self, declaration: str) -> None:
        pairs = [part.split(maxsplit=1) for part in declaration.split(",")]
        object.__setattr__(self, "names", tuple(name for name, _ in pairs))
        object.__setattr__(self, "types", tuple(kind for _, kind in pairs))

    @property
    def listed(self) -> sql.Composed:
        """``name, name, …``"""
        return sql.SQL(", ").join(map(sql.Identifier, self.names))

    @property
    def unnested(self) -> sql.Composed:
        """``unnest(%s::type[], …) AS u(name, …)``: a placeholder a column."""
        arrays = sql.SQL(", ").join(sql.SQL("%b::" + kind + "[]") for kind in self.types)
        return sql.SQL("unnest({}) AS u({})").format(arrays, self.listed)


def arrays(columns: Columns, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as one list a column."""
    if not rows:
        return [[] for _ in columns.names]
    return [list(column) for column in zip(*rows, strict=True)]


def copy_rows(cursor: Cursor, table: str, columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
    """Append rows by COPY; a no-op for none."""
    rows = list(rows)
    if not rows:
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier("hub", table), columns.listed)
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def insert_rows(cursor: Cursor, table: str, columns: Columns, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
    """Insert rows by one statement, with what follows it (``ON CONFLICT …``); a no-op for none."""
    if not rows:
        return
    cursor.execute(
        sql.SQL("INSERT INTO {} AS t ({}) SELECT {} FROM {} ").format(
            sql.Identifier("hub", table), columns.listed, columns.listed, columns.unnested
        )
        + sql.SQL(tail),
        arrays(columns, rows),
    )


def update_rows(cursor: Cursor, table: str, keys: Columns, values: Columns, rows: Sequence[Sequence[Any]]) -> None:
    """Set ``values`` on the rows named by ``keys``; each row carries the keys first. A no-op for none."""
    if not rows:
        return
    both = Columns(
        ", ".join(f"{n} {t}" for n, t in zip(keys.names + values.names, keys.types + values.types, strict=True))
    )
    assigned = sql.SQL(", ").join(
        sql.SQL("{} = u.{}").format(sql.Identifier(name), sql.Identifier(name)) for name in values.names
    )
    matched = sql.SQL(" AND ").join(
        sql.SQL("t.{} = u.{}").format(sql.Identifier(name), sql.Identifier(name)) for name in keys.names
    )
    cursor.execute(
        sql.SQL("UPDATE {} AS t SET {} FROM {} WHERE {}").format(
            sql.Identifier("hub", table), assigned, both.unnested, matched
        ),
        arrays(both, rows),
    )
