"""Whatever is touched behind the suite's back, `verify` names document and column; sealing misses no late commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from random import Random, randrange
from typing import Any

import psycopg
import pytest
from finbridge.core.audit import Anchor
from finbridge.core.errors import NeedsHuman
from finbridge.core.ports import CodeRow
from finbridge.hub import PostgresHub
from finbridge.hub.audit_chain import Finding
from finbridge.hub.audit_tables import CHANGING, SHAPES
from psycopg import Connection, errors, sql
from psycopg.types.json import Jsonb

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, PAID, REJECTED, World, document

CHAIN: dict[str, tuple[str, ...]] = {"audit_seal": ("seal_no", "horizon", "body", "hash")}
CHAIN |= {"audit_leaf": ("seal_no", "position", "shape", "row_key", "document_id", "marks", "leaf")}
COVERED = {shape.table: shape.columns for shape in SHAPES} | {each.table: each.columns for each in CHANGING} | CHAIN
#: A value of the same type that differs in little, whatever stood there.
OTHER = {
    "text": "CASE WHEN {c} IS NULL THEN 'x' WHEN {c} = '' THEN ' ' ELSE overlay({c} PLACING "
    "CASE WHEN substr({c}, {at}, 1) = '7' THEN '8' ELSE '7' END FROM {at} FOR 1) END",
    "bytea": "CASE WHEN length({c}) = 0 THEN '\\x00' ELSE set_byte({c}, {at} - 1, get_byte({c}, {at} - 1) # 1) END",
    "integer": "coalesce({c} + 1, 1)",
    "bigint": "coalesce({c} + 1000000, 1)",
    "numeric": "coalesce({c} + 1, 1)",
    "boolean": "NOT coalesce({c}, false)",
    "date": "coalesce({c} + 1, '2026-01-01')",
    "timestamp without time zone": "coalesce({c} + interval '1 microsecond', '2026-01-01')",
    "timestamp with time zone": "coalesce({c} + interval '1 microsecond', '2026-01-01')",
    "jsonb": "jsonb_build_object('forged', {c})",
    "ARRAY": "array_append({c}, 'forged')",
}


@dataclass
class Filled:
    """A register with a little of everything, sealed."""

    database: HubDatabase
    hub: PostgresHub

    @contextmanager
    def behind_the_curtain(self, *, quietly: bool = True) -> Iterator[Connection]:
        with psycopg.connect(self.database.superuser_dsn) as connection:
            if quietly:
                connection.execute("SET session_replication_role = replica")
            yield connection

    def findings(self, *anchors: Anchor) -> list[Finding]:
        return self.hub.audit.verify(anchors).findings

    @contextmanager
    def copy(self) -> Iterator[Filled]:
        """A database like this one, to be spoilt."""
        server, name = self.database.server, f"{self.database.name}_copy"
        self.hub.close()
        server.create_database(name, owner="hub_owner", template=self.database.name)
        other = HubDatabase(server, name)
        try:
            with other.open() as hub:
                yield Filled(other, hub)
        finally:
            server.drop_database(name)
            self.hub = self.database.open()


def fill(hub: PostgresHub) -> None:
    world = World(hub, "audit")
    world.post(document("1", *PAID), document("2", *APPROVED), document("3", *APPROVED))
    world.write_back()
    world.post(document("2", *REJECTED))
    row = CodeRow(table="accounts", company="", code="travel", target="660201", valid_from=date(2026, 1, 1))
    hub.load_codes("audit", [row], maker="maker", checker="checker")
    hub.audit.keep_file(name="claim.yaml", version="1", body=b"mapping: claim")
    hub.audit.seal()
    world.post(document("4", *PAID))
    hub.audit.seal()


@pytest.fixture(scope="module")
def filled(hub_database: HubDatabase) -> Iterator[Filled]:
    with hub_database.open() as hub:
        fill(hub)
    found = Filled(hub_database, hub_database.open())
    with found.behind_the_curtain() as connection:
        rows = connection.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' "
            "AND connamespace = 'hub'::regnamespace"
        ).fetchall()
        for table, name in rows:
            connection.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.SQL(table), sql.Identifier(name))
            )
        # numbers that can be overwritten
        connection.execute("CREATE SEQUENCE hub.numbers START 100000")
        connection.execute("GRANT USAGE ON SEQUENCE hub.numbers TO hub_app, hub_owner")
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'hub' AND is_identity = 'YES'"
        ).fetchall()
        for table, name in rows:
            statement = sql.SQL("ALTER TABLE {t} ALTER {c} DROP IDENTITY, ALTER {c} SET DEFAULT nextval('hub.numbers')")
            connection.execute(statement.format(t=sql.Identifier("hub", table), c=sql.Identifier(name)))
    yield found
    found.hub.close()


def test_what_nobody_touched_is_green(filled: Filled) -> None:
    done = filled.hub.audit.verify()
    assert done.green, done.findings
    assert done.unsealed == 0
    assert done.sealed > 100
    assert done.changing > 20


def test_every_column_of_every_covered_table_is_covered(filled: Filled) -> None:
    rows = filled.database.server.execute(
        filled.database.name,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'hub'",
    )
    shown: dict[str, set[str]] = {}
    for table, column in rows:
        shown.setdefault(table, set()).add(column)
    assert {table: set(columns) for table, columns in COVERED.items()} == {table: shown[table] for table in COVERED}


def columns_of(connection: Connection, table: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'hub' AND table_name = %s",
        [table],
    )
    return dict(rows.fetchall())


@pytest.mark.parametrize("table", COVERED)
def test_a_flipped_byte_is_named_with_document_and_column(filled: Filled, table: str) -> None:
    """Every column of every table once, in a row and at a byte by chance."""
    seed = int(os.environ.get("FINBRIDGE_TEST_SEED") or randrange(2**32))
    print(f"FINBRIDGE_TEST_SEED={seed}")  # noqa: T201 - shown where the test fails
    chance = Random(seed)
    for column in COVERED[table]:
        try:
            row, ctid, moved = flip(filled, table, column, chance)
        except errors.UniqueViolation:  # the number after the last one but one is taken: nobody could do that either
            continue
        try:
            found = filled.findings()
        finally:
            put_back(filled, table, column, moved, row)
        assert found, f"{table}.{column} {ctid}: nothing was found"
        check_named(table, column, row, found[0])
    assert filled.findings() == []


def flip(filled: Filled, table: str, column: str, chance: Random) -> tuple[dict[str, Any], str, str]:
    """Change one value a little; the row as it was, where it stood, where it stands now."""
    target, name = sql.Identifier("hub", table), sql.Identifier(column)
    with filled.behind_the_curtain() as connection:
        kinds = connection.execute(
            "SELECT data_type FROM information_schema.columns "
            "WHERE table_schema = 'hub' AND table_name = %s AND column_name = %s",
            [table, column],
        ).fetchone()
        assert kinds
        size = sql.SQL("SELECT ctid::text, coalesce(length({}{}), 0), to_jsonb(t) FROM {} t ORDER BY ctid")
        rows = connection.execute(
            size.format(name, sql.SQL("" if kinds[0] == "bytea" else "::text"), target)
        ).fetchall()
        ctid, length, row = chance.choice(rows)
        at = chance.randint(1, max(length, 1))
        other = sql.SQL(OTHER[kinds[0]]).format(c=name, at=sql.Literal(at))
        moved = connection.execute(
            sql.SQL("UPDATE {} SET {} = {} WHERE ctid = %s::tid RETURNING ctid::text").format(target, name, other),
            [ctid],
        ).fetchone()
        assert moved
    return row, ctid, moved[0]


def test_a_leaf_that_names_another_row_is_named_itself(filled: Filled) -> None:
    with filled.copy() as spoilt:
        with spoilt.behind_the_curtain() as connection:
            two = connection.execute(
                "SELECT row_key, document_id FROM hub.audit_leaf WHERE shape = 'trail/1' ORDER BY leaf LIMIT 2"
            ).fetchall()
            connection.execute(
                "UPDATE hub.audit_leaf SET row_key = %s WHERE shape = 'trail/1' AND row_key = %s",
                [two[1][0], two[0][0]],
            )
        first = spoilt.findings()[0]
    assert (first.table, first.document_id, first.field) == ("audit_leaf", two[0][1], "row_key")


def put_back(filled: Filled, table: str, column: str, ctid: str, row: dict[str, Any]) -> None:
    target, name = sql.Identifier("hub", table), sql.Identifier(column)
    with filled.behind_the_curtain() as connection:
        connection.execute(
            sql.SQL("UPDATE {} t SET {} = (jsonb_populate_record(t, %s)).{} WHERE ctid = %s::tid").format(
                target, name, name
            ),
            [Jsonb({column: row[column]}), ctid],
        )


def check_named(table: str, column: str, row: dict[str, Any], first: Finding) -> None:
    """The first finding is what was done; a seal or a leaf may also show as missing under its number."""
    if table in CHAIN:
        assert first.table in CHAIN
        assert column in first.field or first.what in {"removed", "added", "reordered"}, first
        if table == "audit_leaf" and column not in {"seal_no", "position", "leaf"}:
            assert first.document_id == row["document_id"] or column == "document_id"
        return
    assert (first.table, first.field) == (table, column)
    if row.get("document_id"):
        assert first.document_id == row["document_id"]
    elif table in {"voucher_line", "attempt"}:
        assert first.document_id in {"1", "2", "3", "4"}


# ---------------------------------------------------------------- whole rows


def test_a_removed_row_is_named(filled: Filled) -> None:
    with filled.copy() as spoilt:
        with spoilt.behind_the_curtain() as connection:
            connection.execute("DELETE FROM hub.inbox WHERE document_id = '2'")
            connection.execute(
                "DELETE FROM hub.voucher_line l USING hub.voucher v "
                "WHERE l.line_no = 2 AND l.key = v.key AND v.document_id = '1'"
            )
        found = {(each.table, each.document_id, each.what) for each in spoilt.findings()}
    assert found == {("inbox", "2", "removed"), ("voucher_line", "1", "removed")}


def test_an_added_row_is_named_however_it_came_in(filled: Filled) -> None:
    copy = """
    INSERT INTO hub.{table} SELECT (jsonb_populate_record(t, '{other}')).* FROM hub.{table} t {where}
    """
    with filled.copy() as spoilt:
        with spoilt.behind_the_curtain() as connection:
            connection.execute(copy.format(table="inbox", other='{"document_id": "9"}', where="LIMIT 1"))
            connection.execute(copy.format(table="voucher_line", other='{"line_no": 9}', where="LIMIT 1"))
        with spoilt.behind_the_curtain(quietly=False) as connection:  # as an event of today
            connection.execute(
                "INSERT INTO hub.trail (trail_id, actor, flow_id, document_id, action) "
                "VALUES (999999, 'a', 'audit', '3', 'forged')"
            )
        before = {(each.table, each.document_id, each.what) for each in spoilt.findings()}
        spoilt.hub.audit.seal()
        after = {(each.table, each.document_id, each.what) for each in spoilt.findings()}
    lines = {each for each in before if each[0] == "voucher_line"}
    assert {what for _, _, what in lines} == {"added"}
    assert before - lines == {("inbox", "9", "added"), ("trail", "3", "foreign")}
    assert after == before  # a seal put on later hides nothing


def test_rows_that_changed_places_are_named(filled: Filled) -> None:
    with filled.copy() as spoilt:
        with spoilt.behind_the_curtain() as connection:
            connection.execute("UPDATE hub.audit_leaf SET position = -position - 1 WHERE seal_no = 2 AND position < 2")
            connection.execute("UPDATE hub.audit_leaf SET position = 2 + position WHERE seal_no = 2 AND position < 0")
        found = spoilt.findings()
        with spoilt.behind_the_curtain() as connection:
            ids = [row[0] for row in connection.execute("SELECT trail_id FROM hub.trail ORDER BY 1 LIMIT 2").fetchall()]
            for old, new in ((ids[0], -1), (ids[1], ids[0]), (-1, ids[1])):
                connection.execute("UPDATE hub.trail SET trail_id = %s WHERE trail_id = %s", [new, old])
        swapped = [each for each in spoilt.findings() if each.table == "trail"]
    assert [(each.table, each.what, each.where) for each in found] == [("audit_leaf", "reordered", "seal 2")]
    assert [each.what for each in swapped] == ["altered", "altered"]


def test_a_cut_tail_shows_against_an_anchor_only(filled: Filled) -> None:
    with filled.copy() as spoilt:
        anchor = spoilt.hub.audit.verify().newest
        assert anchor
        assert spoilt.findings(anchor) == []
        with spoilt.behind_the_curtain() as connection:
            for table in ("audit_leaf", "audit_seal"):
                connection.execute(f"DELETE FROM hub.{table} WHERE seal_no = {anchor.number}")
            for table in COVERED:
                if "audit_xid" in COVERED[table]:
                    connection.execute(
                        f"DELETE FROM hub.{table} WHERE audit_xid >= (SELECT max(horizon) FROM hub.audit_seal)"
                    )
            for table in ("source_line", "voucher_line", "attempt", "voucher", "source_event"):
                key = (
                    "document_id = '4'"
                    if table in {"voucher", "source_event", "source_line"}
                    else ("key NOT IN (SELECT key FROM hub.voucher WHERE document_id <> '4')")
                )
                connection.execute(f"DELETE FROM hub.{table} WHERE {key}")
        assert spoilt.findings() == []  # a shorter chain is a sound chain
        assert [(each.what, each.where) for each in spoilt.findings(anchor)] == [("cut", f"seal {anchor.number}")]
        World(spoilt.hub, "audit").post(document("5", *APPROVED))
        spoilt.hub.audit.seal()
        assert [each.what for each in spoilt.findings(anchor)] == ["cut"]  # and growing again does not heal it


def test_all_of_it_gone_shows_against_an_anchor(filled: Filled) -> None:
    with filled.copy() as spoilt:
        anchor = spoilt.hub.audit.verify().newest
        assert anchor
        with spoilt.behind_the_curtain() as connection:
            connection.execute("TRUNCATE hub.audit_leaf, hub.audit_seal")
        assert spoilt.findings(anchor)[0].what == "cut"


# ---------------------------------------------------------------- who


def test_a_change_with_triggers_on_names_the_login(filled: Filled) -> None:
    with filled.copy() as spoilt:
        with spoilt.behind_the_curtain(quietly=False) as connection:
            connection.execute("UPDATE hub.voucher_line SET amount_minor = 1 WHERE line_no = 1 AND assignment = 'A-1'")
        found = spoilt.findings()
    assert {(each.table, each.field, each.what, each.where) for each in found} == {
        ("voucher_line", "amount_minor", "foreign", "postgres")
    }
    assert {each.document_id for each in found} == {"1", "2", "3", "4"}


def test_a_state_without_an_event_is_named_whoever_set_it(filled: Filled) -> None:
    with filled.copy() as spoilt:
        with psycopg.connect(spoilt.database.app_dsn) as connection:
            connection.execute("UPDATE hub.voucher SET state = 'verified' WHERE document_id = '4'")
        found = spoilt.findings()
    assert {(each.table, each.document_id, each.field, each.what) for each in found} == {
        ("voucher", "4", "state", "unexplained")
    }


def test_the_suite_writes_no_note_of_a_change_itself(filled: Filled) -> None:
    with psycopg.connect(filled.database.app_dsn) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("INSERT INTO hub.audit_change SELECT * FROM hub.audit_change")


# ---------------------------------------------------------------- sealing


def test_a_row_that_commits_late_is_sealed_and_no_number_is_missed(filled: Filled) -> None:
    insert = "INSERT INTO hub.trail (actor, flow_id, document_id, action) VALUES ('a', 'late', %s, 'test')"
    with filled.copy() as spoilt:
        with psycopg.connect(spoilt.database.app_dsn) as early, psycopg.connect(spoilt.database.app_dsn) as gone:
            early.execute(insert, ["early"])
            gone.execute(insert, ["rolled back"])
            gone.rollback()
            with psycopg.connect(spoilt.database.app_dsn) as later:
                later.execute(insert, ["later"])
            assert spoilt.hub.audit.seal().rows == 0  # what began before it may still show up
            assert spoilt.hub.audit.verify().unsealed == 1
            early.commit()
        assert spoilt.hub.audit.seal().rows == 2
        assert spoilt.hub.audit.verify().green
        assert spoilt.hub.audit.verify().unsealed == 0


def test_many_sealers_under_work_miss_and_double_nothing(filled: Filled) -> None:
    with filled.copy() as spoilt:
        worlds = [World(spoilt.hub, f"busy-{number}") for number in range(3)]

        def work(world: World) -> int:
            for number in range(8):
                world.post(document(f"{world.flow}-{number}", *PAID))
            return 0

        def seal(_: int) -> int:
            return sum(spoilt.hub.audit.seal().rows for _ in range(15))

        before = spoilt.hub.audit.verify().sealed
        with ThreadPoolExecutor(5) as pool:
            jobs = [pool.submit(work, world) for world in worlds] + [pool.submit(seal, number) for number in range(2)]
            sealed = sum(job.result() for job in jobs)
        sealed += spoilt.hub.audit.seal().rows
        done = spoilt.hub.audit.verify()
        assert done.green, done.findings
        assert done.unsealed == 0
        assert done.sealed - before == sealed > 500


def test_nothing_is_put_on_top_of_a_seal_that_was_touched(filled: Filled) -> None:
    with filled.copy() as spoilt:
        with spoilt.behind_the_curtain() as connection:
            connection.execute("UPDATE hub.audit_seal SET body = body || '\\x20' WHERE seal_no > 1")
        with pytest.raises(NeedsHuman) as stopped:
            spoilt.hub.audit.seal()
        assert stopped.value.code == "audit_chain_broken"
