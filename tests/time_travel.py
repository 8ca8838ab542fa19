"""Time travel: the hub counts by its database's clock, so what it stored is moved into the past instead."""

from __future__ import annotations

from datetime import timedelta

import psycopg
from psycopg import sql

_COLUMNS = """
SELECT c.table_name, array_agg(c.column_name::text) FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = 'hub' AND t.table_type = 'BASE TABLE' AND c.data_type = 'timestamp with time zone'
GROUP BY c.table_name
"""


def pass_time(superuser_dsn: str, span: timedelta) -> None:
    """Everything that the hub remembers, due times and leases and tokens too, lies that much further back.

    No trigger sees it: nobody changed anything, it is only later.
    """
    with psycopg.connect(superuser_dsn) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        for table, columns in connection.execute(_COLUMNS).fetchall():
            moved = sql.SQL(", ").join(
                sql.SQL("{0} = {0} - %(span)s").format(sql.Identifier(column)) for column in columns
            )
            connection.execute(sql.SQL("UPDATE hub.{} SET {}").format(sql.Identifier(table), moved), {"span": span})
