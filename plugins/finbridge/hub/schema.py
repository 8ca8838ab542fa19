"""Roles and schema: two roles of the hub, and Alembic's revisions under a lock.

An upgrade goes: migrate first, then restart what runs the code. So each revision only adds, the code of the revision
before goes on working on it, and newer code refuses an older schema with a sentence that says what to do.
"""

from __future__ import annotations

import re
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from finbridge.core.errors import GiveUp

if TYPE_CHECKING:
    from sqlalchemy import Connection

OWNER_ROLE = "hub_owner"
APP_ROLE = "hub_app"
SCHEMA = "hub"
_MIGRATION_LOCK = 0x66696E62726467  # any number, the same everywhere
_SYSTEM_DATABASES = ("postgres", "template0", "template1")
_VERSIONS = Path(__file__).parent / "migrations" / "versions"
#: A migration waits for a lock no longer than this: behind a waiting lock everybody else would wait too.
_LOCK_WAIT_SECONDS = 3
#: How often it begins anew when work in flight is in its way.
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.5
_IN_THE_WAY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def ensure_roles(superuser_dsn: str, *, owner_password: str, app_password: str) -> None:
    """Make (or give new passwords to) `hub_owner`, who owns the schema, and `hub_app`, who works in it.

    Connected to a database of the suite, lets the owner make its schema there. Neither role is superuser, makes
    databases or roles, or is a member of the other.
    """
    with psycopg.connect(superuser_dsn, autocommit=True) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
        for role, password in ((OWNER_ROLE, owner_password), (APP_ROLE, app_password)):
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            statement = sql.SQL(
                "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {}"
            ).format(sql.SQL("ALTER" if known else "CREATE"), sql.Identifier(role), password)
            connection.execute(statement)
        database = connection.info.dbname
        if database not in _SYSTEM_DATABASES:
            connection.execute(
                sql.SQL("GRANT CONNECT, CREATE ON DATABASE {} TO {}").format(
                    sql.Identifier(database), sql.Identifier(OWNER_ROLE)
                )
            )


def migrate(owner_dsn: str, revision: str = "head") -> None:
    """Bring the schema `hub` to a revision; harmless when run twice, by two processes at once, or under full work.

    One transaction: all of it or nothing. Where work in flight holds a lock for too long, it begins anew.

    Args:
        revision: the newest one by default; another one for tests of upgrades. A newer schema is left as it is.

    Raises:
        GiveUp: the role `hub_app` is missing (`ensure_roles` comes first).
        psycopg.errors.LockNotAvailable: work in flight held a lock all the time.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(owner_dsn))
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with engine.begin() as connection:
                    _upgrade(connection, revision)
                return
            except DBAPIError as error:
                if not isinstance(error.orig, _IN_THE_WAY):
                    raise
                if attempt == _ATTEMPTS:
                    raise error.orig from error
                time.sleep(_PAUSE_SECONDS)
    finally:
        engine.dispose()


def _upgrade(connection: Connection, revision: str) -> None:
    """Inside one transaction: the revisions, and a remark on the schema that every role may read."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import column, select, table, text

    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    if not connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": APP_ROLE}).scalar():
        raise GiveUp("hub_roles_missing", f"数据库角色 {APP_ROLE} 不存在 / database role {APP_ROLE} is missing")
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_SECONDS}s'"))
    config = Config()
    config.set_main_option("script_location", str(_VERSIONS.parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    revision_table = table("revision", column("version_num"), schema=SCHEMA)
    reached = connection.execute(select(revision_table.c.version_num)).scalar()
    connection.execute(text(f"COMMENT ON SCHEMA {SCHEMA} IS 'finbridge, revision {reached}'"))


@cache
def needed_revision() -> int:
    """The revision that this code works with: the newest of its own."""
    return max(int(path.name[1:5]) for path in _VERSIONS.glob("v[0-9][0-9][0-9][0-9]_*.py"))


def refuse_old_schema(connection: psycopg.Connection) -> None:
    """One question at the first use in a process.

    Raises:
        GiveUp: the schema is older than this code, or not there.
    """
    found = connection.execute("SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", [SCHEMA]).fetchone()
    shown = re.search(r"revision (\d{4})$", (found[0] if found else None) or "")
    reached = int(shown.group(1)) if shown else 0
    if reached < needed_revision():
        raise GiveUp(
            "hub_schema_old",
            "台账数据库版本过旧，请先执行 finbridge hub migrate / the hub's schema is older than this program: "
            "run `finbridge hub migrate` first; nothing was done",
            f"schema {SCHEMA}: revision {reached:04d} found, {needed_revision():04d} needed",
        )
