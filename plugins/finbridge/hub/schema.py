"""Roles and schema: two roles of the hub, and Alembic's revisions under a lock."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from finbridge.core.errors import GiveUp

OWNER_ROLE = "hub_owner"
APP_ROLE = "hub_app"
SCHEMA = "hub"
_MIGRATION_LOCK = 0x66696E62726467  # any number, the same everywhere
_SYSTEM_DATABASES = ("postgres", "template0", "template1")


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


def migrate(owner_dsn: str) -> None:
    """Bring the schema `hub` to the newest revision; harmless when run twice or by two processes at once.

    Raises:
        GiveUp: the role `hub_app` is missing (`ensure_roles` comes first).
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(owner_dsn))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            if not connection.execute(
                text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": APP_ROLE}
            ).scalar():
                raise GiveUp("hub_roles_missing", f"数据库角色 {APP_ROLE} 不存在 / database role {APP_ROLE} is missing")
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
