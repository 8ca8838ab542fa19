"""The comparison by sets in the database means what the pure one says, for any sets; and the rest of `hub.months`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from finbridge.core.documents import EventKind
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.month import Called, Difference, InFinance, InRegister, SideSum, Standing, What
from finbridge.core.month_compare import compare, judge, unbalanced
from finbridge.core.month_lines import lines_text
from finbridge.core.vouchers import Side, VoucherLine
from finbridge.hub import PostgresHub
from finbridge.hub.vouchers import _LINE as LINE_COLUMNS
from finbridge.hub.vouchers import _line as line_row
from psycopg import sql

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, REJECTED, World, document
from tests.unit.test_month_compare import OTHER, PERIOD, sides
from tests.unit.test_month_lines import booked_line

_STATES = list(VoucherState)


def _any_sets(
    rng: random.Random, size: int
) -> tuple[list[Called], list[InRegister], list[InFinance], dict[str, Standing]]:
    """Sets without any order in them: each key on each side or not, in any state, equal or not."""
    called, registered, found = [], [], []
    standings: dict[str, Standing] = {}
    for number in range(size):
        kind = rng.choice(list(VoucherKind))
        call, voucher, entry = sides(f"K{number:05}", minor=rng.randint(-500, 500), kind=kind)
        if rng.random() < 0.7:
            called.append(call if rng.random() < 0.9 else replace(call, amount_minor=call.amount_minor + 1))
        if rng.random() < 0.7:
            state = VoucherState.VERIFIED if rng.random() < 0.5 else rng.choice(_STATES)
            period = OTHER if rng.random() < 0.1 else PERIOD
            registered.append(replace(voucher, state=state, period=period, new=rng.random() < 0.2))
        if rng.random() < 0.7:
            changes: list[dict[str, Any]] = [{}] * 6 + [
                {"debit_minor": 7, "content": "x"},
                {"period": OTHER, "listed": False},
                {"posted": False},
                {"kind": ""},
                {"document_id": "another"},
                {"taken_back": "记-9"},
                {"taken_back": "记-9", "undone": True},
                {"taken_back": "记-9", "period": OTHER, "listed": False},
                {"content": "x"},
            ]
            found.append(replace(entry, **rng.choice(changes)))
        standings[call.document_id] = Standing(
            holds=tuple(sorted(rng.sample(["a", "b"], rng.randint(0, 2)))) if rng.random() < 0.2 else (),
            due=rng.random() < 0.2,
            empty=frozenset({kind.value}) if rng.random() < 0.2 else frozenset(),
        )
    return called, registered, found, standings


def _put_register(
    database: HubDatabase, flow: str, registered: Sequence[InRegister], standings: dict[str, Standing]
) -> None:
    """The register and the documents as a comparison finds them, past all rules."""
    with psycopg.connect(database.superuser_dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO hub.document (flow_id, document_id, template, stamp, settled, company, business_number, "
            "content, planned_revision, empty_kinds, changed_at) "
            "VALUES (%s, %s, '101', '', true, '1000', '', '', %s, %s, now() - interval '1 day')",
            [(flow, name, 0 if s.due else 1, "|".join(s.empty)) for name, s in standings.items()],
        )
        cursor.executemany(
            "INSERT INTO hub.hold (flow_id, document_id, key, origin, code, field, detail, text_zh, text_en, turn) "
            "VALUES (%s, %s, '', 'plan', %s, '', '', '', '', '')",
            [(flow, name, code) for name, s in standings.items() for code in s.holds],
        )
        cursor.executemany(
            "INSERT INTO hub.voucher (key, company, source, document_id, cause, kind, split, flow_id, voucher_word, "
            "business_number, currency, business_date, document_date, posting_date, period, attachment_count, summary, "
            "prepared_by, reviewed_by, land_as, debit_minor, credit_minor, source_content, fingerprint, state, "
            "created_at) VALUES (%s, '1000', %s, %s, '1', %s, 1, %s, '记', %s, %s, '2026-10-01', '2026-10-01', "
            "'2026-10-01', %s, 0, '', '', '', 'posted', %s, 0, '', %s, %s, "
            "now() + CASE WHEN %s THEN interval '1 hour' ELSE interval '-1 day' END)",
            [
                (
                    *(_name(flow, v.key), flow, v.document_id, v.kind.value, flow, v.business_number, v.currency),
                    *(v.period, v.debit_minor, v.fingerprint, v.state.value, v.new),
                )
                for v in registered
            ],
        )


_ANY_TEXT = ("", "D1", " D\n1 ", "　部门\u3000A\x7f", "a'b\\", "\u0085x", "%s {} \t")


def _any_line(rng: random.Random, number: int) -> VoucherLine:
    foreign = rng.random() < 0.3
    names = rng.sample(["department", "employee", "bank_account", "cost_centre", "Z", "a", "é"], rng.randint(0, 4))
    minor = rng.randint(-99, 99)
    return VoucherLine(
        line_no=number,
        account=rng.choice(["660201", "2241"]),
        side=rng.choice(list(Side)),
        amount_minor=rng.randint(-9, 9) if foreign else minor,
        currency="USD" if foreign else "CNY",
        local_amount_minor=minor,
        party=rng.choice([None, "", "E0001"]),
        tax_code=rng.choice([None, "J1"]),
        assignment=rng.choice([None, *_ANY_TEXT]),
        dimensions=tuple((name, rng.choice(_ANY_TEXT)) for name in names),
    )


def test_lines_that_finance_shows_whole_are_compared_with_the_registers(
    hub_world: World, hub_database: HubDatabase
) -> None:
    """The register's text is written by SQL, finance's by Python: the same for any lines, and one change is seen."""
    rng = random.Random(20261031)
    hub_world.post(*(document(str(n), *APPROVED) for n in range(200)))
    months, flow = hub_world.hub.months, hub_world.flow
    keys = [d.register[0].key for d in months.documents(flow, [str(n) for n in range(200)], "CNY")]
    lines = {key: [_any_line(rng, n) for n in range(1, rng.randint(2, 6))] for key in keys}
    with psycopg.connect(hub_database.superuser_dsn) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM hub.source_line WHERE key = ANY(%s)", [keys])
        cursor.execute("DELETE FROM hub.voucher_line WHERE key = ANY(%s)", [keys])
        columns = sql.SQL(", ").join(map(sql.Identifier, LINE_COLUMNS.names))
        cursor.executemany(
            sql.SQL("INSERT INTO hub.voucher_line ({}) VALUES ({})").format(
                columns, sql.SQL(", ").join(sql.Placeholder() * len(LINE_COLUMNS.names))
            ),
            [line_row(key, at, line) for key in keys for at, line in enumerate(lines[key])],
        )
        register = cursor.execute(
            "SELECT key, number, period, currency, debit_minor, fingerprint, kind, document_id FROM (SELECT *, "
            "coalesce(finance_number, '') AS number FROM hub.voucher) v WHERE key = ANY(%s)",
            [keys],
        ).fetchall()
    altered = keys[7]
    entries = [
        InFinance(
            key=key,
            number=number,
            kind=kind,
            period=period,
            currency=currency,
            debit_minor=debit,
            content=content,
            posted=True,
            document_id=name,
            listed=True,
            lines=_altered(lines[key]) if key == altered else lines_text(map(booked_line, lines[key])),
        )
        for key, number, period, currency, debit, content, kind, name in register
    ]
    _, started_at = months.begin(flow, "1000", "2026-03", "r")
    calls = [replace(sides(e.key, e.debit_minor)[0], key=e.key, document_id=e.document_id) for e in entries]
    with months.desk(flow, "1000", "2026-03", started_at) as desk:
        desk.add_called(calls)
        desk.add_found(entries)
        desk.lay_out()
        told = [judge(triple, "2026-03") for page in desk.triples() for triple in page]
    assert [(d.what, d.key) for d in told if d] == [(What.ALTERED, altered)]
    assert [d.detail for d in told if d] == ["部门 / department: - → D9"]


def _altered(lines: list[VoucherLine]) -> str:
    booked = list(map(booked_line, lines))
    changed = replace(booked[0], dimensions={**booked[0].dimensions, "department": "D9"})
    return lines_text([changed, *booked[1:]])


def _name(flow: str, key: str) -> str:
    """A key of 16 characters that no other flow of the module has, in the order of the short ones."""
    return flow[-9:] + key.rjust(7 if len(flow) >= 9 else 16 - len(flow), "-")


def _renamed(item: Any, flow: str) -> Any:
    return replace(item, key=_name(flow, item.key))


def _on_the_desk(
    hub: PostgresHub, flow: str, called: Sequence[Called], found: Sequence[InFinance]
) -> tuple[list[Difference], list[SideSum]]:
    _, started_at = hub.months.begin(flow, "1000", PERIOD, "r")
    with hub.months.desk(flow, "1000", PERIOD, started_at) as desk:
        desk.add_called(called)
        desk.add_found(found)
        sums = desk.lay_out()
        triples = [triple for page in desk.triples() for triple in page]
    return [d for triple in triples if (d := judge(triple, PERIOD)) is not None], sums


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_sets_in_the_database_mean_what_the_pure_comparison_says(
    hub: PostgresHub, hub_database: HubDatabase, seed: int
) -> None:
    flow = f"any_sets_{seed}"
    called, registered, found, standings = _any_sets(random.Random(seed), 1500)
    _put_register(hub_database, flow, registered, standings)
    called, registered, found = ([_renamed(item, flow) for item in side] for side in (called, registered, found))
    told, sums = _on_the_desk(hub, flow, called, found)
    expected = compare(called, registered, found, PERIOD, standings)
    assert len(expected) > 300
    assert told == expected, f"seed {seed}"
    assert unbalanced(sums, told) == []


def test_vouchers_of_another_flow_in_the_same_company_are_not_judged(
    hub: PostgresHub, hub_database: HubDatabase
) -> None:
    _, voucher, entry = sides("K1")
    _put_register(hub_database, "another_flow", [voucher], {})
    told, sums = _on_the_desk(hub, "this_flow", [], [_renamed(entry, "another_flow")])
    assert (told, [s for s in sums if s.side == "finance"]) == ([], [])


def test_keys_that_finance_did_not_show_are_asked_about_page_by_page(hub: PostgresHub) -> None:
    _, started_at = hub.months.begin("asked", "1000", PERIOD, "r")
    calls = [sides(f"K{n}")[0] for n in range(5)]
    with hub.months.desk("asked", "1000", PERIOD, started_at) as desk:
        desk.add_called([*calls, replace(calls[0], key="K0+")])
        desk.add_found([sides("K1")[2], sides("K1")[2]])
        assert desk.to_find("", 2) == ["K0", "K2"]
        assert desk.to_find("K2", 2) == ["K3", "K4"]
        assert desk.to_find("K4", 2) == []
    with hub.months.desk("asked", "1000", PERIOD, started_at) as desk:
        assert desk.to_find("", 10) == [], "a desk is empty at first"


def test_a_month_holds_what_was_sent_in_approved_or_posted_in_it(hub_world: World) -> None:
    """The world's log lies in March 2026."""
    hub_world.post(document("1", *APPROVED), document("2", *REJECTED), document("3", EventKind.SUBMITTED))
    hub_world.store(document("4", *APPROVED, company="2000"), document("5", *APPROVED))
    months, flow = hub_world.hub.months, hub_world.flow
    assert months.document_ids(flow, "1000", "2026-03") == ["1", "2", "3", "5"]
    assert months.document_ids(flow, "2000", "2026-03") == ["4"]
    assert months.document_ids(flow, "1000", "2026-04") == []
    assert months.approved_count(flow, "1000", "2026-03") == 3
    assert months.due_ids(flow, "1000", "2026-03") == ["1", "5"]
    (one, two) = months.documents(flow, ["1", "2"], "CNY")
    assert [v.kind for v in one.register] == [VoucherKind.EXPENSE]
    assert [e.kind for e in two.events] == list(REJECTED)


def test_a_comparison_is_kept_with_its_sums_and_its_list(hub: PostgresHub) -> None:
    months = hub.months
    number, _ = months.begin("kept", "1000", PERIOD, "manual__1")
    listed = [
        Difference(what=What.HELD, kind="expense", detail="unknown_code", document_id="1", oa_minor=5),
        Difference(what=What.MISSING, kind="expense", detail="gone", key="K", currency="CNY", oa_minor=7),
    ]
    months.add_differences(number, 1, listed)
    total = SideSum(side="oa", kind="expense", currency="CNY", vouchers=2, amount_minor=12)
    months.close(number, [total], unexplained=1, explained=1)
    later, _ = months.begin("kept", "1000", PERIOD, "manual__1")
    run = months.run(str(number))
    assert run is not None
    assert (run["company"], run["period"], run["unexplained"], run["explained"]) == ("1000", PERIOD, 1, 1)
    assert run["closed_at"] is not None
    assert months.run("manual__1") == months.run(later)
    assert months.run("manual__2") is None
    assert [row["month_run_id"] for row in months.runs("kept", 10)] == [later, number]
    assert [(row["what"], row["explained"]) for row in months.differences(number)] == [
        ("missing", False),
        ("held", True),
    ]
    assert months.differences(number, limit=1, offset=1)[0]["document_id"] == "1"
    assert [(row["side"], row["vouchers"], row["amount_minor"]) for row in months.sums(number)] == [("oa", 2, 12)]
