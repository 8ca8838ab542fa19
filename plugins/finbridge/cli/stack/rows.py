"""How much stands in a database: for people who want to see what a run left behind."""

from __future__ import annotations

from psycopg import sql

from finbridge.cli.stack.postgres import Postgres


def rows_per_table(server: Postgres, database: str, schema: str) -> dict[str, int]:
    """Exact row counts of a schema's tables, by name."""
    names = server.execute(
        database,
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY 1",
        [schema],
    )
    counts: dict[str, int] = {}
    for (name,) in names:
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
        counts[name] = server.execute(database, statement)[0][0]
    return counts
