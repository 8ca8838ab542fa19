"""A server's databases for the suite: made once, by its superuser, before the first migration."""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

_LOCK = 0x66696E6264  # any number, the same everywhere


def ensure_database(superuser_dsn: str, name: str, *, owner: str, password: str | None = None) -> bool:
    """Make a database that belongs to ``owner``; with ``password``, make the owner's login too or give it this one.

    Returns whether the database is new; one that is there is left as it is.
    """
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])  # until the connection ends
        if password is not None:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [owner]).fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(owner), password))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return False
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
        return True


def dsn_of(superuser_dsn: str, database: str, *, user: str | None = None, password: str | None = None) -> str:
    """The same server, another database, and where given another user."""
    other = {"user": user, "password": password} if user else {}
    return make_conninfo(superuser_dsn, dbname=database, **other)
