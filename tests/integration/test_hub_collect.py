"""Collecting into the hub: versions, log entries, late copies, problems, personal data."""

from __future__ import annotations

import dataclasses

import pytest
from finbridge.core.documents import DocumentRef, EventKind
from finbridge.core.ports import Stage
from finbridge.hub import PostgresHub

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, BEGIN, PAID, World, document, entry, problem_of


def _count(database: HubDatabase, flow: str, table: str) -> int:
    statements = {
        "inbox": "SELECT count(*) FROM hub.inbox WHERE flow_id = %s",
        "document_version": "SELECT count(*) FROM hub.document_version WHERE flow_id = %s",
        "source_event": "SELECT count(*) FROM hub.source_event WHERE flow_id = %s",
        "document_line": "SELECT count(*) FROM hub.document_line WHERE flow_id = %s",
        "trail": "SELECT count(*) FROM hub.trail WHERE flow_id = %s",
    }
    return int(database.server.execute(database.name, statements[table], [flow])[0][0])


def test_a_document_is_kept_whole(hub_world: World, hub_database: HubDatabase) -> None:
    given = document("1", *APPROVED)
    assert hub_world.store(given) == 1
    (work,) = hub_world.claim(Stage.PLAN)
    assert work.canonical == given.canonical
    assert (work.company, work.business_number, work.content) == ("1000", "BX1", given.content)
    assert work.events == given.events
    assert (work.register, work.problem) == ((), None)
    kept = hub_database.server.execute(
        hub_database.name,
        "SELECT i.raw, v.canonical FROM hub.inbox i JOIN hub.document_version v USING (flow_id, document_id, content) "
        "WHERE i.flow_id = %s",
        [hub_world.flow],
    )
    assert kept == [(given.raw, given.canonical)]
    lines = hub_database.server.execute(
        hub_database.name,
        "SELECT table_name, line_id, fields ->> 'hdje' FROM hub.document_line WHERE flow_id = %s",
        [hub_world.flow],
    )
    assert lines == [("dt1", "1", "100.00")]


def test_the_total_follows_the_form_and_stays_where_it_cannot_be_read(
    hub_world: World, hub_database: HubDatabase
) -> None:
    def total() -> int | None:
        statement = "SELECT amount_minor FROM hub.document WHERE flow_id = %s"
        found: int | None = hub_database.server.execute(hub_database.name, statement, [hub_world.flow])[0][0]
        return found

    given = dataclasses.replace(document("1", *APPROVED), amount_minor=10_000)
    hub_world.store(given)
    assert total() == 10_000
    unread = dataclasses.replace(given, raw=b"", amount_minor=None, company="", problem=problem_of("1", "gone"))
    hub_world.store(unread)
    assert total() == 10_000
    hub_world.store(dataclasses.replace(given, amount_minor=None))
    assert total() is None


def test_the_same_again_is_no_news(hub_world: World, hub_database: HubDatabase) -> None:
    given = document("1", *APPROVED)
    hub_world.store(given)
    hub_world.check()
    before = {name: _count(hub_database, hub_world.flow, name) for name in ("inbox", "source_event", "trail")}
    assert hub_world.store(given, given) == 0
    assert hub_world.store(given) == 0
    assert hub_world.due() == {"deliver": 1}
    assert {name: _count(hub_database, hub_world.flow, name) for name in before} == before


def test_late_doubled_and_reordered_copies_change_nothing(hub_world: World, hub_database: HubDatabase) -> None:
    whole = document("1", *PAID)
    hub_world.store(whole)
    hub_world.check()
    early = dataclasses.replace(whole, events=whole.events[:2], raw=b"an older copy")
    mixed = dataclasses.replace(whole, events=(*reversed(whole.events), *whole.events), raw=b"a shuffled copy")
    assert hub_world.store(early, mixed) == 0
    assert hub_world.due() == {"deliver": 1}
    assert _count(hub_database, hub_world.flow, "source_event") == 4
    assert _count(hub_database, hub_world.flow, "inbox") == 3, "evidence of what came, though nothing moved"
    assert _count(hub_database, hub_world.flow, "document_version") == 1


def test_a_new_log_entry_is_news_and_so_is_new_content(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    assert hub_world.store(document("1", *APPROVED, EventKind.PAYMENT_REQUESTED)) == 1
    assert hub_world.due() == {"plan": 1}
    hub_world.check()
    assert hub_world.store(document("1", *APPROVED, EventKind.PAYMENT_REQUESTED, amount="99.00")) == 1
    assert _count(hub_database, hub_world.flow, "document_version") == 2
    assert _count(hub_database, hub_world.flow, "document_line") == 2
    hub_world.check()
    assert hub_world.store(document("1", *APPROVED, EventKind.PAYMENT_REQUESTED)) == 1, "back to the first content"
    assert _count(hub_database, hub_world.flow, "document_version") == 2


def test_a_rule_that_gives_a_log_row_another_meaning_is_news(hub_world: World) -> None:
    before = (entry(1, EventKind.SUBMITTED), entry(2, EventKind.IGNORED))
    hub_world.store(document("1", events=before))
    hub_world.check()
    assert hub_world.store(document("1", events=(before[0], entry(2, EventKind.APPROVED)))) == 1
    (work,) = hub_world.claim(Stage.PLAN)
    assert [e.kind for e in work.events] == [EventKind.SUBMITTED, EventKind.APPROVED]


def test_unseen_asks_by_the_last_settled_stamp(hub_world: World, hub: PostgresHub) -> None:
    hub_world.store(document("1", *APPROVED, stamp="s1"), document("2", *APPROVED, stamp="s1", settled=False))
    refs = [DocumentRef(name, "101", stamp) for name, stamp in (("1", "s1"), ("2", "s1"), ("3", "s1"), ("1", "s1"))]
    assert [ref.document_id for ref in hub.unseen(hub_world.flow, refs)] == ["2", "3"]
    assert [ref.document_id for ref in hub.unseen(hub_world.flow, [DocumentRef("1", "101", "s2")])] == ["1"]
    hub_world.store(document("2", *APPROVED, stamp="s1"))
    assert hub.unseen(hub_world.flow, refs[:2]) == []
    assert hub.unseen(hub_world.flow, []) == []


def test_a_problem_is_told_until_it_is_gone(hub_world: World) -> None:
    bad = problem_of("1", "unknown_template", "workflow 999")
    hub_world.store(document("1", *APPROVED, problem=bad))
    (work,) = hub_world.claim(Stage.PLAN)
    assert work.problem == bad
    hub_world.hub.save_plans(hub_world.flow, [hub_world.plan(work)])
    assert hub_world.holds("1") == ["unknown_template"]
    assert hub_world.hub.account(hub_world.flow).documents == {"held": 1}
    assert hub_world.store(document("1", *APPROVED, problem=bad)) == 0
    assert hub_world.store(document("1", *APPROVED)) == 1
    hub_world.check()
    assert hub_world.holds("1") == []
    assert hub_world.states("1") == {"expense:2": "ready"}


def test_a_document_that_is_gone_keeps_its_company_and_becomes_no_endless_news(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    gone = dataclasses.replace(
        document("1", stamp="later", settled=False, problem=problem_of("1", "document_gone", "listed, not there")),
        company="",
        business_number="",
        canonical=b'{"unreadable":"document_gone"}',
        content="f" * 64,
        raw=b"",
    )
    assert hub_world.store(gone) == 1
    hub_world.check()
    assert hub_world.states("1") == {"expense:2": "withdrawn"}
    assert hub_world.store(gone) == 0
    assert hub_world.row("1")["company"] == "1000"


def test_personal_data_stands_apart(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.post(document("1", *APPROVED))
    tables = [
        row[0]
        for row in hub_database.server.execute(
            hub_database.name, "SELECT relname FROM pg_class WHERE relnamespace = 'hub'::regnamespace AND relkind = 'r'"
        )
    ]
    assert len(tables) > 20
    holding = [
        table
        for table in tables
        if hub_database.server.execute(
            hub_database.name,
            f"SELECT 1 FROM hub.{table} t WHERE to_jsonb(t)::text ~ '张三丰|6222020200001111' LIMIT 1",
        )
    ]
    assert holding == ["document_personal"]


def test_texts_with_a_nul_character_are_kept(hub_world: World) -> None:
    odd = dataclasses.replace(document("1", *APPROVED), business_number="BX\x001", personal={"sqrxm": "a\x00b"})
    assert hub_world.store(odd) == 1
    assert hub_world.store(odd) == 0
    assert hub_world.row("1")["business_number"] == "BX\ufffd1"


def test_a_watermark_is_local_time_of_the_oa(hub: PostgresHub, hub_world: World) -> None:
    window = hub.begin_collect(hub_world.flow, "w1", 60.0)
    assert window is not None
    with pytest.raises(ValueError, match="local time"):
        hub.end_collect(window, BEGIN.astimezone())
