"""Finding by any number and paging what is held, on a real PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from finbridge.core.documents import content_hash
from finbridge.core.outcomes import Rejected
from finbridge.core.ports import WriteBackResult
from finbridge.hub import PostgresHub, view_find, view_held
from finbridge.hub.reading import STATES
from finbridge.hub.view_held import HeldFilter, Place

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, PAID, REJECTED, World, document, held, problem_of


@pytest.fixture(scope="module")
def books(hub: PostgresHub) -> World:
    """One document posted and paid, one reversed, one rejected by finance, one held; a second flow beside it."""
    world = World(hub, "books")
    world.post(document("90001", *PAID))
    world.write_back()
    world.post(document("90002", *APPROVED))
    world.post(document("90002", *REJECTED))
    world.store(document("90003", *APPROVED))
    world.check()
    world.deliver(lambda voucher: Rejected("X1", "科目已停用 / account is blocked"))
    world.write_back(WriteBackResult.SAVED)
    world.store(document("90004", *APPROVED, company="2000"))
    world.check(held([problem_of("90004")]))
    hub.open_run("books", "manual__2026-03-02T10:00:00", "wake")
    other = World(hub, "other")
    other.post(document("70001", *APPROVED))
    return world


def row_of(world: World, name: str, kind: str = "expense") -> dict[str, Any]:
    return next(
        row for row in world.hub.register_rows(world.flow) if row["document_id"] == name and row["kind"] == kind
    )


def names(found: view_find.Found) -> list[str]:
    return [row["document_id"] for row in found.documents]


@pytest.mark.parametrize("way", ["document_id", "business_number", "key", "finance_number", "finance_id"])
def test_any_number_of_any_system_finds_the_document(books: World, way: str) -> None:
    number = row_of(books, "90001")[way]
    found = books.hub.views.find(["books"], [number])
    assert names(found) == ["90001"]
    assert (number, way) in found.documents[0]["ways"]
    assert found.documents[0]["standing"] == "posted"
    assert found.missing == ()


def test_an_attempt_and_a_run_are_found(books: World, hub_database: HubDatabase) -> None:
    with psycopg.connect(hub_database.app_dsn) as connection:
        key = row_of(books, "90001")["key"]
        attempt = connection.execute("SELECT attempt_id FROM hub.attempt WHERE key = %s", [key]).fetchone()
    assert attempt is not None
    found = books.hub.views.find(["books"], [attempt[0], "manual__2026-03-02T10:00:00"])
    assert names(found) == ["90001"]
    assert [run["run_id"] for run in found.runs] == ["manual__2026-03-02T10:00:00"]


@pytest.mark.parametrize("said", ["1", "记-1", "记 1", "0001", "记000001"])
def test_what_people_say_on_the_phone_finds_the_serial_of_a_voucher(books: World, said: str) -> None:
    found = books.hub.views.find(["books"], [said])
    assert names(found) == ["90001"]
    assert found.documents[0]["ways"] == [(said, "finance_serial")]


def test_a_beginning_finds_where_nothing_else_does(books: World) -> None:
    assert sorted(names(books.hub.views.find(["books"], ["BX9000"]))) == ["90001", "90002", "90003", "90004"]
    assert names(books.hub.views.find(["books"], ["BX9"])) == []
    assert names(books.hub.views.find(["books"], ["BX%%"])) == []
    assert names(books.hub.views.find(["books"], ["B_9000"])) == []


def test_many_numbers_at_once_and_what_is_missing_is_said(books: World) -> None:
    found = books.hub.views.find(["books"], ["90003", "nothing", "BX90001", "90003"])
    assert names(found) == ["90003", "90001"]
    assert found.missing == ("nothing",)


def test_a_flow_that_the_reader_may_not_see_is_not_found(books: World) -> None:
    number = row_of(World(books.hub, "other"), "70001")["key"]
    assert names(books.hub.views.find(["books"], [number])) == []
    assert names(books.hub.views.find(["books", "other"], [number])) == ["70001"]


def test_hits_of_another_flow_do_not_take_the_place_of_those_sought(hub: PostgresHub) -> None:
    """Many documents of a flow that sorts first, and one of the reader's, answer to the same beginning and serial."""
    crowd, mine = World(hub, "a crowd"), World(hub, "mine")
    crowd.post(*(document(f"55{number:03}", *APPROVED) for number in range(view_find.HITS_AT_MOST + 5)))
    mine.post(document("55999", *APPROVED))
    serial = row_of(mine, "55999")["finance_number"]
    with hub._connections.session() as session:  # so many systems, so many vouchers of one number
        session.execute("UPDATE hub.voucher SET finance_number = %s WHERE flow_id = 'a crowd'", [serial])
    for said in ("BX55", serial, serial[-1]):
        found = hub.views.find(["mine"], [said])
        assert (names(found), found.missing, found.cut) == (["55999"], (), ()), said


def test_a_document_shows_its_whole_life(books: World) -> None:
    whole = books.hub.views.document("books", "90001")
    assert whole is not None
    assert [voucher["kind"] for voucher in whole["vouchers"]] == ["expense", "payment"]
    expense = whole["vouchers"][0]
    assert [(line["account"], line["side"], line["local_amount_minor"]) for line in expense["lines"]] == [
        ("660201", "D", 10000),
        ("2241", "C", 10000),
    ]
    assert {attempt["outcome"] for attempt in whole["attempts"]} == {"accepted"}
    assert [(row["result"], row["verified"]) for row in whole["write_backs"]] == [("saved", True)]
    assert [event["kind"] for event in whole["events"]] == [kind.value for kind in PAID]
    assert whole["trail"][0]["trail_id"] > whole["trail"][-1]["trail_id"]
    assert whole["document"]["standing"] == "posted"
    assert books.hub.views.document("books", "nobody") is None
    assert books.hub.views.document("other", "90001") is None


def test_a_rejected_document_shows_its_hold(books: World) -> None:
    whole = books.hub.views.document("books", "90003")
    assert whole is not None
    assert whole["document"]["standing"] == "held"
    assert [(h["code"], h["turn"], h["closed_at"]) for h in whole["holds"]] == [("rejected", "finance", None)]


def test_versions_come_oldest_first(hub: PostgresHub) -> None:
    world = World(hub, "versions")
    world.store(document("1", *APPROVED))
    changed = json.dumps({"main": {"hdje": "120.00"}, "details": {}, "template": "101"}, sort_keys=True).encode()
    again = replace(
        document("1", *APPROVED, stamp="2026-03-02 11:00:00"), canonical=changed, content=content_hash(changed)
    )
    world.store(again)
    whole = hub.views.document("versions", "1")
    assert whole is not None
    assert [b"100.00" in bytes(v["canonical"]) for v in whole["versions"]] == [True, False]


# ---------------------------------------------------------------------- held


MANY = 130


@pytest.fixture(scope="module")
def lists(hub: PostgresHub) -> World:
    """Many held documents: two reasons, two companies."""
    world = World(hub, "lists")
    documents = [document(f"H{n:04}", *APPROVED, company="1000" if n % 2 else "2000") for n in range(MANY)]
    world.store(*documents)
    world.check(held([problem_of(f"H{n:04}", "unknown_code" if n % 5 else "vat_mismatch") for n in range(MANY)]))
    return world


def test_pages_go_there_and_back_again_without_gap_or_doubling(lists: World) -> None:
    wanted, seen, after = HeldFilter(flow_ids=["lists"]), [], None
    pages = []
    while True:
        page = lists.hub.views.held(wanted, after=after, limit=30)
        pages.append([row["hold_id"] for row in page.rows])
        seen += pages[-1]
        assert page.more_before == (after is not None)
        if not page.more_after:
            break
        after = Place(page.rows[-1]["opened_at"], page.rows[-1]["hold_id"])
    assert len(seen) == len(set(seen)) == MANY
    back = lists.hub.views.held(wanted, before=_place(lists, pages[2][0]), limit=30)
    assert [row["hold_id"] for row in back.rows] == pages[1]
    assert (back.more_before, back.more_after) == (True, True)
    assert lists.hub.views.held(wanted, before=_place(lists, pages[1][0]), limit=30).more_before is False


def _place(world: World, hold_id: int) -> Place:
    rows = world.hub.views.held(HeldFilter(flow_ids=["lists"]), limit=1000).rows
    return next(Place(row["opened_at"], row["hold_id"]) for row in rows if row["hold_id"] == hold_id)


def test_filters_narrow_and_counts_add_up(lists: World) -> None:
    groups, documents = lists.hub.views.held_counts(HeldFilter(flow_ids=["lists"]))
    assert documents == {"": MANY, "finance": MANY - MANY // 5, "submitter": MANY // 5}
    assert sum(group["documents"] for group in groups) == MANY
    assert {group["code"]: group["text_zh"] for group in groups}["vat_mismatch"] == "税额与税率不符"
    narrow = HeldFilter(flow_ids=["lists"], code="vat_mismatch", company="2000", turn="submitter")
    rows = lists.hub.views.held(narrow, limit=1000).rows
    assert len(rows) == MANY // 10
    assert {(row["code"], row["company"], row["turn"]) for row in rows} == {("vat_mismatch", "2000", "submitter")}
    assert lists.hub.views.held(HeldFilter(flow_ids=["other"], code="vat_mismatch")).rows == []


#: Tables that grow without end: a page must never read one of them from end to end.
GROWING = {"document", "voucher", "hold", "trail", "attempt", "write_back", "source_event", "document_version"}


def scans(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """(node, table) of all scans in an EXPLAIN."""
    own = [(plan["Node Type"], plan["Relation Name"])] if "Relation Name" in plan else []
    return own + [scan for child in plan.get("Plans", []) for scan in scans(child)]


@pytest.fixture(scope="module")
def grown(hub_database: HubDatabase, lists: World) -> str:
    """A hub with 10,000 held documents among 60,000, as statistics see it; the flow's name."""
    with psycopg.connect(hub_database.superuser_dsn) as connection:
        connection.execute(
            """
            INSERT INTO hub.document (flow_id, document_id, template, stamp, settled, company, business_number, content)
            SELECT 'grown', 'G' || n, '101', 's', true, CASE n % 2 WHEN 0 THEN '1000' ELSE '2000' END, 'BXG' || n, 'c'
            FROM generate_series(1, 60000) n
            """
        )
        connection.execute(
            """
            INSERT INTO hub.hold (flow_id, document_id, origin, code, field, detail, text_zh, text_en, turn, opened_at)
            SELECT 'grown', 'G' || n, 'plan', 'unknown_code', 'account', 'd', '文', 'text', 'finance',
                   now() - n * interval '1 minute'
            FROM generate_series(1, 10000) n
            """
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE hub.document, hub.hold")
    return "grown"


def explained(database: HubDatabase, statement: str, asked: dict[str, Any]) -> dict[str, Any]:
    with psycopg.connect(database.app_dsn) as connection:
        row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}".encode(), asked).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


@pytest.mark.parametrize("way", ["after", "before"])
def test_a_page_of_ten_thousand_held_reads_its_rows_and_no_more(
    grown: str, hub_database: HubDatabase, lists: World, way: str
) -> None:
    middle = lists.hub.views.held(HeldFilter(flow_ids=[grown]), limit=5000).rows[-1]
    asked = {**HeldFilter(flow_ids=[grown]).asked(), "limit": 51, "at": middle["opened_at"], "id": middle["hold_id"]}
    statement = {"after": view_held.AFTER, "before": view_held.BEFORE}[way]
    plan = explained(hub_database, statement, asked)
    assert plan["Actual Rows"] == 51
    assert all("Index" in node for node, table in scans(plan)), scans(plan)
    assert most_rows(plan) <= 200


def most_rows(plan: dict[str, Any]) -> float:
    own = float(plan["Actual Rows"]) * float(plan["Actual Loops"])
    return max([own, *(most_rows(child) for child in plan.get("Plans", []))])


def test_ten_thousand_held_are_read_whole_in_pages(grown: str, lists: World) -> None:
    wanted, after, seen = HeldFilter(flow_ids=[grown]), None, 0
    while True:
        page = lists.hub.views.held(wanted, after=after, limit=2000)
        seen += len(page.rows)
        if not page.more_after:
            break
        after = Place(page.rows[-1]["opened_at"], page.rows[-1]["hold_id"])
    assert seen == 10000
    assert lists.hub.views.held_counts(wanted)[1] == {"": 10000, "finance": 10000}


def test_finding_reads_by_indexes(grown: str, hub_database: HubDatabase, books: World) -> None:
    for way, statement in {**view_find.WAYS, **view_find.SERIAL, **view_find.BEGINNINGS}.items():
        asked = {"words": ["BXG77" if "begins" in way else "G77"], "flows": [grown]}
        with psycopg.connect(hub_database.app_dsn) as connection:
            connection.execute("SET enable_seqscan = off")  # small tables: what counts is that an index can serve
            row = connection.execute(
                f"EXPLAIN (FORMAT JSON) {view_find.searched(statement).as_string()}".encode(), asked
            ).fetchone()
        assert row is not None
        found = scans(row[0][0]["Plan"])
        assert [
            table for node, table in found if table in GROWING and "Index" not in node and "Bitmap" not in node
        ] == []


def test_a_documents_page_reads_by_indexes(books: World, hub_database: HubDatabase) -> None:
    assert books.hub.views.document("books", "90001")
    asked = {"flow": "books", "document": "90001", "documents": ["90001"], **STATES}
    for statement in [view_find.ONE_DOCUMENT, *view_find.PARTS.values()]:
        with psycopg.connect(hub_database.app_dsn) as connection:
            connection.execute("SET enable_seqscan = off")  # small tables: what counts is that an index can serve
            row = connection.execute(f"EXPLAIN (FORMAT JSON) {statement.as_string()}".encode(), asked).fetchone()
        assert row is not None
        found = scans(row[0][0]["Plan"])
        assert found
        assert [scan for scan in found if "Index" not in scan[0] and "Bitmap" not in scan[0]] == []
