"""Proposals with four eyes, master data, and what a loaded code releases: on a real database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from uuid import uuid4

import psycopg
import pytest
from finbridge.core.codes import (
    HELD_WORDS,
    ChangeKind,
    MasterKind,
    MasterRecord,
    ProposalState,
    difference,
    lookup_detail,
)
from finbridge.core.documents import EventKind
from finbridge.core.errors import GiveUp
from finbridge.core.outcomes import Rejected
from finbridge.core.ports import CodeRow, DocumentWork, Planned, Problem, Stage
from finbridge.hub import PostgresHub
from finbridge.hub.proposals import ChangedMeanwhileError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, World, document, held, planned

NEW_YEAR = date(2026, 1, 1)
JULY = date(2026, 7, 1)
DAY = date(2026, 3, 2)
TABLE = "expense_account"


def row(code: str, target: str, *, start: date = NEW_YEAR, end: date | None = None, company: str = "") -> CodeRow:
    return CodeRow(table=TABLE, company=company, code=code, target=target, valid_from=start, valid_to=end)


def lacks(name: str, code: str, *, company: str = "1000", day: date = DAY, reason: str = "unknown_code") -> Problem:
    """A hold as the mapping words it."""
    detail = f"费用明细·account 行/row 12: {HELD_WORDS[reason]}{lookup_detail(TABLE, code, company, day)}"
    return Problem(document_id=name, code=reason, field="lines.account", detail=detail)


def versions(database: HubDatabase, flow: str) -> dict[str, str]:
    """Which row version of each document stands: another one shows that the row was written."""
    rows = database.server.execute(
        database.name, "SELECT document_id, xmin::text FROM hub.document WHERE flow_id = %s", [flow]
    )
    return dict(rows)


def touched(database: HubDatabase, flow: str, before: dict[str, str]) -> set[str]:
    return {name for name, version in versions(database, flow).items() if version != before[name]}


# ---------------------------------------------------------------- release


def test_a_code_releases_exactly_what_it_held(hub_world: World, hub_database: HubDatabase) -> None:
    names = [f"{n:02}" for n in range(14)]
    companies = {"06": "2000"}
    hub_world.store(*(document(name, *APPROVED, company=companies.get(name, "1000")) for name in names))
    problems = [
        lacks("01", "SAL|TRAVEL"),
        lacks("02", "SAL|TRAVEL", reason="ambiguous_code"),
        lacks("03", "SAL|TRAVEL", day=date(2025, 12, 31)),  # the new row begins later
        lacks("04", "SAL|TRAVEL2"),
        lacks("05", "XSAL|TRAVEL"),
        lacks("06", "SAL|TRAVEL", company="2000"),
        Problem(document_id="07", code="vat_mismatch", field="lines.tax", detail="SAL|TRAVEL"),
        lacks("08", "***|TRAVEL"),  # blacked out: what is left of it fits
        lacks("09", "***|OFFICE"),
        Problem(document_id="10", code="unknown_code", field="lines.account", detail="cut short"),
        lacks("12", "SAL|OFFICE"),
        *(
            Problem(document_id=name, code="unknown_code", field="lines.account", detail="a rule names no code")
            for name in ("12", "13")
        ),
    ]
    hub_world.check(held(problems))
    before = versions(hub_database, hub_world.flow)
    loaded = hub_world.hub.load_codes(
        hub_world.flow, [row("SAL|TRAVEL", "660101", company="1000")], maker="wang", checker="li"
    )
    assert loaded == 1
    assert touched(hub_database, hub_world.flow, before) == {"01", "02", "08", "10", "13"}
    assert {work.lease.document_id for work in hub_world.claim(Stage.PLAN)} == {"01", "02", "08", "10", "13"}
    trail = hub_database.server.execute(
        hub_database.name,
        "SELECT document_id, actor FROM hub.trail WHERE flow_id = %s AND action = 'codes_loaded' ORDER BY 1",
        [hub_world.flow],
    )
    assert trail == [("01", "li"), ("02", "li"), ("08", "li"), ("10", "li"), ("13", "li")]


def test_a_code_that_comes_while_documents_are_planned_is_not_missed(hub_world: World) -> None:
    """The codes were read, then somebody loads one, then the plan without it is stored."""
    hub_world.store(*(document(name, *APPROVED) for name in ("1", "2", "3")))
    works = hub_world.claim(Stage.PLAN)
    hub_world.hub.load_codes(hub_world.flow, [row("A", "1")], maker="wang", checker="li")
    problems = {"1": [lacks("1", "A")], "2": [lacks("2", "B")], "3": [lacks("3", "A", day=date(2020, 1, 1))]}

    def store(works: list[DocumentWork]) -> None:
        plans = [held_by(work, hub_world.source, problems[work.lease.document_id]) for work in works]
        assert len(hub_world.hub.save_plans(hub_world.flow, plans)) == len(works)

    store(works)
    again = hub_world.claim(Stage.PLAN)
    assert [work.lease.document_id for work in again] == ["1"]
    store(again)
    assert hub_world.due() == {}, "one more look, not one after another"
    assert hub_world.holds("1") == ["unknown_code"]


def test_a_load_and_a_plan_at_once_leave_nobody_behind(hub_world: World, hub_database: HubDatabase) -> None:
    """Whoever is first: the document is looked at again, and neither waits for the other in a circle."""
    names = [f"{n:02}" for n in range(30)]
    hub_world.store(*(document(name, *APPROVED) for name in names))
    works = hub_world.claim(Stage.PLAN)
    both = threading.Barrier(2)

    def plan() -> None:
        both.wait()
        for start in range(0, len(works), 3):
            plans = [held_by(w, hub_world.source, [lacks(w.lease.document_id, "A")]) for w in works[start : start + 3]]
            hub_world.hub.save_plans(hub_world.flow, plans)

    def load() -> None:
        both.wait()
        hub_world.hub.load_codes(hub_world.flow, [row("A", "1")], maker="wang", checker="li")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(plan), pool.submit(load)]:
            done.result(timeout=60)
    assert sorted(work.lease.document_id for work in hub_world.claim(Stage.PLAN)) == names


def test_a_document_that_lacks_two_codes_comes_free_with_the_second(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    two = [lacks("1", "A"), lacks("1", "B")]
    hub_world.check(lambda work, source: held_by(work, source, two))
    hub_world.hub.load_codes(hub_world.flow, [row("A", "1")], maker="wang", checker="li")
    assert hub_world.check(lambda work, source: held_by(work, source, two[1:])) and hub_world.holds("1") == [
        "unknown_code"
    ]
    hub_world.hub.load_codes(hub_world.flow, [row("B", "2")], maker="wang", checker="li")
    hub_world.check()
    assert hub_world.holds("1") == []


def held_by(work: DocumentWork, source: str, problems: list[Problem]) -> Planned:
    """Held for these reasons, without a voucher."""
    return planned(work, source, holds=tuple(problems), makes=False)


def test_a_changed_target_also_frees_what_the_old_one_caused(hub_world: World, hub_database: HubDatabase) -> None:
    """A rule's text names no code, and finance's refusal names only the target."""
    hub = hub_world.hub
    hub.load_codes(hub_world.flow, [row("TRAVEL", "660201"), row("OFFICE", "660299")], maker="wang", checker="li")
    hub_world.store(*(document(name, *APPROVED) for name in ("1", "2", "3", "4")))
    rule = Problem(document_id="2", code="account_not_allowed", field="vouchers", detail="account")
    hub_world.check(held([rule, lacks("4", "OTHER")]))
    hub_world.deliver(lambda voucher: Rejected("unknown_account", "no such account: 660201"))
    assert hub_world.states("1") == {"expense:2": "rejected"}
    hub_world.write_back()
    before = versions(hub_database, hub_world.flow)
    hub.load_codes(hub_world.flow, [row("OFFICE", "660202", company="2000")], maker="wang", checker="li")
    assert touched(hub_database, hub_world.flow, before) == set(), "another company's rows"
    hub.load_codes(hub_world.flow, [row("TRAVEL", "660202")], maker="wang", checker="li")
    assert touched(hub_database, hub_world.flow, before) == {"1", "2", "3"}
    hub_world.check()
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "posted"} and hub_world.states("2") == {"expense:2": "posted"}


# ---------------------------------------------------------------- missing


def test_missing_codes_are_counted_with_sum_and_oldest_day(hub_world: World) -> None:
    hub_world.store(
        replace(document("1", *APPROVED), amount_minor=10_000),
        replace(document("2", *APPROVED), amount_minor=2_500),
        document("3", *APPROVED),
        replace(document("4", *APPROVED, company="2000"), amount_minor=70),
        document("5", EventKind.SUBMITTED),
    )
    again = lacks("1", "A", day=date(2026, 2, 1))
    hub_world.check(
        lambda work, source: held_by(
            work,
            source,
            {
                "1": [lacks("1", "A"), again],
                "2": [lacks("2", "A"), lacks("2", "B,x, company y")],
                "3": [lacks("3", "A", reason="unknown_code", day=JULY)],
                "4": [lacks("4", "A", company="2000", reason="ambiguous_code")],
            }.get(work.lease.document_id, []),
        )
    )
    found = hub_world.hub.proposals.missing(hub_world.flow)
    assert [
        (m.table, m.code, m.company, m.reason, m.documents, m.amount_minor, m.without_amount, m.first_day)
        for m in found
    ] == [
        (TABLE, "A", "1000", "unknown_code", 3, 12_500, 1, date(2026, 2, 1)),
        (TABLE, "A", "2000", "ambiguous_code", 1, 70, 0, DAY),
        (TABLE, "B,x, company y", "1000", "unknown_code", 1, 2_500, 0, DAY),
    ]


CODE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30) | (
    st.sampled_from(
        [
            "a, company 1000",
            "x, date 2026-01-01",
            "table t, code c, company 1, date 2026-01-01",
            HELD_WORDS["unknown_code"] + lookup_detail("t", "c", "1", DAY),
            "%_\\",
            ", code ",
            ", company ",
        ]
    )
)


@given(codes=st.lists(CODE, min_size=1, max_size=40, unique=True), data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_held_code_is_understood_and_released(
    codes: list[str], data: st.DataObject, hub: PostgresHub, request: pytest.FixtureRequest
) -> None:
    """Whatever a code looks like: the hub reads it out of the hold, and loading it releases that document alone."""
    world = World(hub, flow=f"{request.node.name} {uuid4()}")
    names = {f"{n:03}": code for n, code in enumerate(codes)}
    world.store(*(document(name, *APPROVED) for name in names))
    world.check(held([lacks(name, code) for name, code in names.items()]))
    assert {(m.code, m.company, m.documents) for m in hub.proposals.missing(world.flow)} == {
        (code, "1000", 1) for code in codes
    }
    name = data.draw(st.sampled_from(sorted(names)))
    hub.load_codes(world.flow, [row(names[name], "1")], maker="wang", checker="li")
    assert [work.lease.document_id for work in world.claim(Stage.PLAN)] == [name]


# ---------------------------------------------------------------- proposals


def test_what_is_approved_is_what_was_proposed(hub: PostgresHub, hub_world: World) -> None:
    flow = hub_world.flow
    hub.load_codes(flow, [row("A", "1"), row("B", "2")], maker="wang", checker="li")
    wanted = [row("A", "1", end=JULY), row("A", "3", start=JULY), row("B", "9"), row("C", "4")]
    changes = difference(hub.codes(flow), wanted)
    assert [change.kind for change in changes] == [
        ChangeKind.ENDED,
        ChangeKind.NEW,
        ChangeKind.CHANGED,
        ChangeKind.NEW,
    ]
    made = hub.proposals.propose(flow, changes, maker="wang", note="July")
    assert made.state is ProposalState.OPEN and made.changes == tuple(changes)
    assert len(hub.codes(flow)) == 2, "nothing is valid before it is checked"
    assert hub.proposals.approve(made.proposal_id, checker="li") == 4
    assert sorted(hub.codes(flow), key=str) == sorted(wanted, key=str)
    done = hub.proposals.proposal(made.proposal_id)
    assert (done.state, done.checker) == (ProposalState.APPROVED, "li")
    assert {(r.maker, r.checker) for r in hub.proposals.records(flow)} == {("wang", "li")}
    with pytest.raises(GiveUp) as refused:
        hub.proposals.approve(made.proposal_id, checker="li")
    assert refused.value.code == "proposal_decided"


def test_the_maker_cannot_check_not_even_past_the_suite(
    hub: PostgresHub, hub_world: World, hub_database: HubDatabase
) -> None:
    made = hub.proposals.propose(hub_world.flow, difference([], [row("A", "1")]), maker="wang")
    for checker in ("wang", " WANG ", ""):
        with pytest.raises(GiveUp) as refused:
            hub.proposals.approve(made.proposal_id, checker=checker)
        assert refused.value.code == "four_eyes"
    with psycopg.connect(hub_database.app_dsn) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "UPDATE hub.code_proposal SET state = 'approved', checker = maker, decided_at = now() "
            "WHERE proposal_id = %s",
            [made.proposal_id],
        )
    assert hub.codes(hub_world.flow) == []


def test_rows_altered_in_the_database_are_not_approved(
    hub: PostgresHub, hub_world: World, hub_database: HubDatabase
) -> None:
    made = hub.proposals.propose(hub_world.flow, difference([], [row("A", "1")]), maker="wang")
    hub_database.server.execute(
        hub_database.name,
        "UPDATE hub.code_proposal SET rows = jsonb_set(rows, '{0,target}', '\"9\"') WHERE proposal_id = %s",
        [made.proposal_id],
    )
    with pytest.raises(GiveUp) as refused:
        hub.proposals.approve(made.proposal_id, checker="li")
    assert refused.value.code == "proposal_altered"
    assert hub.codes(hub_world.flow) == []


def test_a_table_that_changed_meanwhile_stops_the_approval(hub: PostgresHub, hub_world: World) -> None:
    flow = hub_world.flow
    hub.load_codes(flow, [row("A", "1")], maker="wang", checker="li")
    one = hub.proposals.propose(flow, difference(hub.codes(flow), [row("A", "2")]), maker="wang")
    two = hub.proposals.propose(flow, difference(hub.codes(flow), [row("A", "3")]), maker="zhao")
    other = hub.proposals.propose(flow, difference(hub.codes(flow), [row("B", "3")]), maker="zhao")
    hub.proposals.approve(one.proposal_id, checker="li")
    with pytest.raises(ChangedMeanwhileError) as refused:
        hub.proposals.approve(two.proposal_id, checker="li")
    (change,) = refused.value.changes
    assert change.before == row("A", "2") and change.row == row("A", "3")
    assert hub.proposals.approve(other.proposal_id, checker="li") == 1, "a change elsewhere is none here"
    hub.proposals.reject(two.proposal_id, checker="li", note="overtaken")
    assert [p.state.value for p in hub.proposals.proposals(flow)] == ["approved", "rejected", "approved"]
    assert hub.proposals.proposals(flow, only_open=True) == []


def test_an_overlap_with_a_row_of_today_stops_the_approval(hub: PostgresHub, hub_world: World) -> None:
    flow = hub_world.flow
    made = hub.proposals.propose(flow, difference([], [row("A", "2", start=JULY)]), maker="wang")
    hub.load_codes(flow, [row("A", "1")], maker="wang", checker="li")
    with pytest.raises(GiveUp) as refused:
        hub.proposals.approve(made.proposal_id, checker="li")
    assert refused.value.code == "codes_overlap"
    assert hub.codes(flow) == [row("A", "1")]
    assert hub.proposals.proposal(made.proposal_id).state is ProposalState.OPEN


def test_proposals_stand_in_the_trail(hub: PostgresHub, hub_world: World, hub_database: HubDatabase) -> None:
    made = hub.proposals.propose(hub_world.flow, difference([], [row("A", "1")]), maker="wang")
    with pytest.raises(GiveUp, match="say why"):
        hub.proposals.reject(made.proposal_id, checker="li", note=" ")
    hub.proposals.reject(made.proposal_id, checker="li", note="wrong account")
    rows = hub_database.server.execute(
        hub_database.name,
        "SELECT actor, action, reason, after_hash FROM hub.trail WHERE flow_id = %s ORDER BY trail_id",
        [hub_world.flow],
    )
    number = f"proposal {made.proposal_id}"
    assert rows == [
        ("wang", "codes_proposed", number, made.sha256),
        ("li", "codes_rejected", number, made.sha256),
    ]
    with pytest.raises(GiveUp, match="no proposal 0"):
        hub.proposals.proposal(0)
    with pytest.raises(GiveUp, match="nothing changes"):
        hub.proposals.propose("x", [], maker="wang")


# ---------------------------------------------------------------- master data


def account(code: str, name: str, *, active: bool = True) -> MasterRecord:
    return MasterRecord(kind=MasterKind.ACCOUNT, company="1000", code=code, name=name, active=active)


def test_master_data_is_what_finance_shows(hub: PostgresHub) -> None:
    party = MasterRecord(kind=MasterKind.PARTY, company="", code="E0001", name="张三", active=True)
    first = [account("6602", "费用"), account("2241", "其他应付款"), party]
    assert hub.master_data.replace("tryton:one", first) == {"changed": 3, "gone": 0}
    assert hub.master_data.replace("tryton:one", first) == {"changed": 0, "gone": 0}
    assert hub.master_data.replace("tryton:other", first[:1]) == {"changed": 1, "gone": 0}
    then = [account("6602", "费用", active=False), party]
    assert hub.master_data.replace("tryton:one", then) == {"changed": 1, "gone": 1}
    assert hub.master_data.all("tryton:one") == then
    with pytest.raises(GiveUp, match="not one account"):
        hub.master_data.replace("tryton:one", [party])
    assert hub.master_data.all("tryton:one") == then
