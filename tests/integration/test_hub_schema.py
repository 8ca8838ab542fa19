"""Roles, migrations, privileges and constraints of the hub's schema."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from finbridge.cli.stack.postgres import Postgres
from finbridge.core.errors import GiveUp
from finbridge.hub import ensure_roles, migrate
from psycopg import errors, sql

from tests.hub_fixtures import OWNER_PASSWORD, HubDatabase, server_folder
from tests.hub_world import APPROVED, World, document

#: Table -> a column of it.
EVIDENCE = {
    "trail": "actor",
    "inbox": "stamp",
    "document_version": "content",
    "document_line": "line_id",
    "code_history": "code",
    "quality_run": "suite",
    "quality_result": "code",
    "write_back": "detail",
    "month_sum": "kind",
    "month_difference": "detail",
    "preview": "verdict",
    "audit_change": "table_name",
    "audit_file": "name",
    "audit_seal": "body",
    "audit_leaf": "shape",
}
#: Every kind of statement that could change or hide a row that is already there.
FORBIDDEN = (
    "UPDATE hub.{table} SET {column} = 'forged'",
    "UPDATE hub.{table} SET {column} = 'forged' WHERE false",
    "DELETE FROM hub.{table}",
    "DELETE FROM hub.{table} WHERE false",
    "TRUNCATE hub.{table}",
    "TRUNCATE hub.{table} CASCADE",
    "MERGE INTO hub.{table} t USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET {column} = 'forged'",
    "MERGE INTO hub.{table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM hub.{table} RETURNING 1) SELECT count(*) FROM gone",
    "SELECT 1 FROM hub.{table} FOR UPDATE",
    "LOCK TABLE hub.{table} IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE hub.{table} ADD COLUMN forged text",
    "ALTER TABLE hub.{table} DISABLE TRIGGER ALL",
    "ALTER TABLE hub.{table} RENAME TO forged",
    "ALTER TABLE hub.{table} OWNER TO hub_app",
    "ALTER TABLE hub.{table} ENABLE ROW LEVEL SECURITY",
    "DROP TABLE hub.{table}",
    "CREATE RULE forged AS ON INSERT TO hub.{table} DO INSTEAD NOTHING",
    "CREATE TRIGGER forged BEFORE INSERT ON hub.{table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE POLICY forged ON hub.{table} USING (false)",
    "CREATE UNIQUE INDEX forged ON hub.{table} ((1))",
    "DO $$ BEGIN DELETE FROM hub.{table}; END $$",
)
ESCAPES = (
    "SET ROLE hub_owner",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION hub_owner",
    "CREATE TABLE hub.forged (i int)",
    "CREATE FUNCTION hub.forged() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP SCHEMA hub CASCADE",
    "ALTER SCHEMA hub RENAME TO forged",
    "REASSIGN OWNED BY hub_owner TO hub_app",
    "DROP OWNED BY hub_owner",
    "SET session_replication_role = replica",
    "ALTER ROLE hub_app SUPERUSER",
    "COPY hub.trail TO PROGRAM 'true'",
    "ALTER SEQUENCE hub.fence RESTART",
    "SELECT setval('hub.fence', 1)",
)


@pytest.fixture(scope="module")
def filled(hub_database: HubDatabase) -> HubDatabase:
    with hub_database.open() as hub:
        world = World(hub, "filled")
        world.post(document("1", *APPROVED))
        world.write_back()
    return hub_database


def _refused(database: HubDatabase, statement: str) -> None:
    with (
        psycopg.connect(database.app_dsn) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize("table", EVIDENCE)
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_suite_never_changes_evidence(filled: HubDatabase, table: str, statement: str) -> None:
    before = filled.server.execute(filled.name, _whole(table))
    _refused(filled, statement.format(table=table, column=EVIDENCE[table]))
    assert filled.server.execute(filled.name, _whole(table)) == before


def _whole(table: str) -> sql.Composed:
    return sql.SQL("SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM {} t").format(
        sql.Identifier("hub", table)
    )


@pytest.mark.parametrize("statement", ESCAPES)
def test_the_suite_cannot_become_the_owner(filled: HubDatabase, statement: str) -> None:
    _refused(filled, statement)
    assert filled.server.execute(filled.name, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'hub'") == [
        ("hub_owner",)
    ]


def test_a_grant_to_itself_gives_nothing(filled: HubDatabase) -> None:
    with psycopg.connect(filled.app_dsn) as connection:
        connection.execute("GRANT ALL ON hub.trail TO hub_app")  # PostgreSQL only warns
        may = connection.execute("SELECT has_table_privilege('hub.trail', 'UPDATE, DELETE, TRUNCATE')").fetchone()
    assert may == (False,)


def test_an_upsert_on_the_trail_is_refused_though_an_insert_is_not(filled: HubDatabase) -> None:
    insert = "INSERT INTO hub.trail (actor, flow_id, document_id, action) VALUES ('a', 'f', 'd', 'test')"
    with psycopg.connect(filled.app_dsn) as connection:
        assert connection.execute(insert.encode()).rowcount == 1
    _refused(
        filled,
        "INSERT INTO hub.inbox SELECT * FROM hub.inbox "
        "ON CONFLICT (document_id, flow_id, raw_sha256) DO UPDATE SET raw = 'forged'",
    )


def test_the_append_only_tables_are_those_with_neither_update_nor_delete(filled: HubDatabase) -> None:
    rows = filled.server.execute(
        filled.name,
        """
        SELECT tablename, has_table_privilege('hub_app', 'hub.' || tablename, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
        FROM pg_tables WHERE schemaname = 'hub'
        """,
    )
    changeable = {table: may for table, may in rows}
    assert set(EVIDENCE) | {"revision"} == {table for table, may in changeable.items() if not may}


def test_nobody_else_reads_the_hub(filled: HubDatabase) -> None:
    filled.server.ensure_role("stranger", "stranger")
    dsn = filled.server.dsn(filled.name, "stranger", "stranger")
    with psycopg.connect(dsn) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("SELECT 1 FROM hub.document")


# ---------------------------------------------------------------- identity


def test_identity_is_unique_whatever_the_key(filled: HubDatabase) -> None:
    copy = """
    INSERT INTO hub.voucher SELECT (jsonb_populate_record(v, jsonb_build_object('key', 'E000000000000000'))).*
    FROM hub.voucher v
    """
    with psycopg.connect(filled.app_dsn) as connection, pytest.raises(errors.UniqueViolation, match="company"):
        connection.execute(copy)


def test_the_key_is_unique_whatever_the_identity(filled: HubDatabase) -> None:
    copy = """
    INSERT INTO hub.voucher SELECT (jsonb_populate_record(v, jsonb_build_object('cause', 'other'))).*
    FROM hub.voucher v
    """
    with psycopg.connect(filled.app_dsn) as connection, pytest.raises(errors.UniqueViolation, match="voucher_pkey"):
        connection.execute(copy)


# ---------------------------------------------------------------- migrations


def test_migrations_run_twice_and_at_once(hub_server: Postgres) -> None:
    hub_server.create_database("hub_migrated", owner="hub_owner")
    dsn = hub_server.dsn("hub_migrated", "hub_owner", OWNER_PASSWORD)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, [dsn] * 3))
    migrate(dsn)
    assert hub_server.execute("hub_migrated", "SELECT version_num FROM hub.revision") == [("0003",)]
    owners = hub_server.execute("hub_migrated", "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'hub'")
    assert owners == [("hub_owner",)]
    hub_server.drop_database("hub_migrated")


def test_roles_come_before_migrations() -> None:
    with server_folder() as folder, Postgres(folder) as server:
        server.create_database("hub")
        with pytest.raises(GiveUp) as stopped:
            migrate(server.dsn("hub"))
        assert stopped.value.code == "hub_roles_missing"
        ensure_roles(server.dsn("hub"), owner_password="one", app_password="two")
        ensure_roles(server.dsn("hub"), owner_password="three", app_password="four")
        migrate(server.dsn("hub", "hub_owner", "three"))
        with psycopg.connect(server.dsn("hub", "hub_app", "four")) as connection:
            assert connection.execute("SELECT count(*) FROM hub.document").fetchone() == (0,)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.dsn("hub", "hub_app", "two"))


def test_the_roles_have_no_power_beyond_their_own(hub_server: Postgres) -> None:
    rows = hub_server.execute(
        "postgres",
        """
        SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls,
               pg_has_role('hub_app', 'hub_owner', 'MEMBER')
        FROM pg_roles WHERE rolname IN ('hub_owner', 'hub_app') ORDER BY 1
        """,
    )
    assert rows == [("hub_app", *[False] * 5), ("hub_owner", *[False] * 5)]
