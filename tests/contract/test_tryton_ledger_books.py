"""What is Tryton's own in the books: locks, periods, currencies, its own refusals, companies."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date

import psycopg
import pytest
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.errors import GiveUp
from finbridge.core.flow import Company, Flow
from finbridge.core.outcomes import Accepted, Conflict, Locked, Outcome, PeriodClosed, Rejected
from finbridge.core.vouchers import LandAs, Side, VoucherLine, red_reversal
from finbridge.systems import adapter_of

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sink_harness import entry_of, kinds, line, make_voucher
from tests.contract.tryton_harness import PERIOD, Accountant, TrytonHarness
from tests.unit.test_month_lines import text_of


@pytest.fixture
def sink(ledger_server: LedgerServer) -> TrytonHarness:
    """The session's ledger."""
    return TrytonHarness(ledger_server)


# ---------------------------------------------------------------- locks and periods


async def test_lock_on_the_period_is_locked(sink: TrytonHarness) -> None:
    """Somebody is closing the period and has not committed yet."""
    voucher = make_voucher(sink)
    async with sink.locked(PERIOD) as ledger:
        (outcome,) = await ledger.post([voucher])
    assert isinstance(outcome, Locked), outcome
    assert sink.rows(voucher.key) == []


async def test_period_closed_between_check_and_post(sink: TrytonHarness) -> None:
    """The close began before our call and commits while we wait: our older view must not let the voucher in."""
    voucher = make_voucher(sink, company=sink.other_company, day=date(2026, 5, 5))
    ledger = await sink.connect()
    change = """UPDATE account_period p SET state = %s FROM account_fiscalyear f, company_company c
        WHERE f.id = p.fiscalyear AND c.id = f.company AND c.code = '2000' AND p.name = '2026-05'"""
    try:
        async with await psycopg.AsyncConnection.connect(sink.server.dsn()) as connection:
            await connection.execute(change, ["closed"])
            posting = asyncio.create_task(ledger.post([voucher]))
            await asyncio.wait([posting], timeout=0.5)
            assert not posting.done()  # it waits for the one who closes
            await connection.commit()
        (outcome,) = await posting
        assert isinstance(outcome, PeriodClosed), outcome
        assert sink.rows(voucher.key) == []
    finally:
        with psycopg.connect(sink.server.dsn()) as connection_back:
            connection_back.execute(change, ["open"])
        await ledger.close()


async def test_many_posters_on_one_number_series_all_get_their_turn(sink: TrytonHarness) -> None:
    ledgers = [await sink.connect(batch_size=5) for _ in range(8)]
    day = date(2026, 6, 6)
    vouchers = [[make_voucher(sink, day=day) for _ in range(10)] for _ in ledgers]
    results = await asyncio.gather(*(ledger.post(some) for ledger, some in zip(ledgers, vouchers, strict=True)))
    assert {kind for outcomes in results for kind in kinds(outcomes)} == {"Accepted"}
    numbers = sorted(row["number"] for row in sink.journal() if row["company"] == "1000")
    assert len(numbers) == len(set(numbers))
    for ledger in ledgers:
        await ledger.close()


# ---------------------------------------------------------------- content


async def test_voucher_keyed_by_hand_is_a_conflict(sink: TrytonHarness) -> None:
    """A draft under our key, whatever is in it, is not our posted voucher."""
    ledger, voucher = await sink.connect(), make_voucher(sink)
    (first,) = await ledger.post([voucher])
    with psycopg.connect(sink.server.dsn()) as connection:
        connection.execute("UPDATE account_move SET state = 'draft' WHERE external_ref = %s", [voucher.key])
    try:
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Conflict), outcome
        assert "草稿" in outcome.difference
        assert not (await ledger.find(sink.company, [voucher.key]))[voucher.key].posted
    finally:
        with psycopg.connect(sink.server.dsn()) as connection:
            connection.execute("UPDATE account_move SET state = 'posted' WHERE external_ref = %s", [voucher.key])
    assert (await ledger.find(sink.company, [voucher.key]))[voucher.key] == entry_of(first)
    await ledger.close()


async def test_line_in_another_currency_keeps_both_amounts(sink: TrytonHarness) -> None:
    usd = replace(line(1, "660201", Side.DEBIT, 50000), currency="USD", local_amount_minor=360000, rate="7.20")
    owed = replace(
        line(2, "2241", Side.CREDIT, 50000, party=sink.party), currency="USD", local_amount_minor=360000, rate="7.20"
    )
    ledger, voucher = await sink.connect(), make_voucher(sink, lines=(usd, owed))
    (outcome,) = await ledger.post([voucher])
    assert isinstance(outcome, Accepted), outcome
    assert outcome.entry.content == voucher.content
    with psycopg.connect(sink.server.dsn()) as connection:
        rows = connection.execute(
            "SELECT l.debit, l.credit, l.amount_second_currency, y.code FROM account_move_line l"
            " JOIN currency_currency y ON y.id = l.second_currency JOIN account_move m ON m.id = l.move"
            " WHERE m.external_ref = %s ORDER BY l.id",
            [voucher.key],
        ).fetchall()
    assert [[str(value) for value in row] for row in rows] == [
        ["3600.00", "0", "500.00", "USD"],
        ["0", "3600.00", "-500.00", "USD"],
    ]
    await ledger.close()


async def test_lines_are_shown_with_all_that_was_sent_and_so_are_those_of_the_reversal(sink: TrytonHarness) -> None:
    named = (
        ("department", " 行政部 "),
        ("cost_centre", "CC-1"),
        ("employee", "E0001"),
        ("contract", "HT\n1"),
        ("x", ""),
    )
    usd = replace(line(1, "660201", Side.DEBIT, 50000), currency="USD", local_amount_minor=360000, rate="7.20")
    debit = replace(usd, dimensions=named, tax_code="J1", assignment=" A 1 ")
    sent = make_voucher(sink, lines=(debit, replace(line(2, "2241", Side.CREDIT, 360000, party=sink.party))))
    ledger, red = await sink.connect(), red_reversal(sent, sent.posting_date, "红字冲销")
    for voucher in (sent, red):
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Accepted), outcome
        assert (outcome.entry.lines, outcome.entry.period) == (text_of(voucher), voucher.period)
    assert {e.lines for e in (await ledger.find(sink.company, [red.key])).values()} == {text_of(red)}
    await ledger.close()


async def test_what_people_cancelled_is_shown_with_its_number_and_not_reversed_again(sink: TrytonHarness) -> None:
    ledger, voucher = await sink.connect(), make_voucher(sink)
    assert kinds(await ledger.post([voucher])) == ["Accepted"]
    Accountant(sink.server, sink.company).cancel(("external_ref", "=", voucher.key))
    (back,) = (await ledger.find(sink.company, [voucher.key]))[voucher.key].taken_back
    assert (back.posted, back.period, back.posting_date) == (True, voucher.period, voucher.posting_date)
    (refused,) = await ledger.post([red_reversal(voucher, voucher.posting_date, "红字冲销")])
    assert isinstance(refused, Rejected) and refused.code == "already_reversed"
    assert back.number and back.number in refused.message
    await ledger.close()


async def test_a_period_that_the_ledger_does_not_know_is_no_empty_one(sink: TrytonHarness) -> None:
    ledger = await sink.connect()
    with pytest.raises(GiveUp) as refused:
        await anext(ledger.period_entries(sink.company, "2031-01"))
    assert refused.value.code == "no_period" and "2031-01" in refused.value.staff
    await ledger.close()


async def test_what_only_tryton_refuses_stands_alone(sink: TrytonHarness) -> None:
    """Amounts of opposite signs pass every check of ours; the refused one decides nothing for the others."""
    odd = replace(line(1, "660201", Side.DEBIT, -50000), currency="USD", local_amount_minor=360000)
    vouchers = [make_voucher(sink) for _ in range(7)]
    vouchers.insert(3, make_voucher(sink, lines=(odd, line(2, "2241", Side.CREDIT, 360000, party=sink.party))))
    ledger = await sink.connect()
    outcomes = await ledger.post(vouchers)
    assert kinds(outcomes) == ["Accepted"] * 3 + ["Rejected"] + ["Accepted"] * 4
    assert isinstance(outcomes[3], Rejected) and outcomes[3].code == "invalid"
    numbers = [int(entry_of(o).number.rpartition("-")[2]) for i, o in enumerate(outcomes) if i != 3]
    assert numbers == list(range(numbers[0], numbers[0] + 7)), "a refused voucher burns no number"
    await ledger.close()


CASH = line(2, "1002", Side.CREDIT, 1)


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("account_not_posting", (line(1, "6602", Side.DEBIT, 1), CASH)),
        ("party_not_allowed", (line(1, "660201", Side.DEBIT, 1, party="E0001"), CASH)),
        ("unknown_currency", (replace(line(1, "660201", Side.DEBIT, 1), currency="XXX"), CASH)),
        ("bad_field", (line(1, "", Side.DEBIT, 1), CASH)),
        ("bad_text", (line(1, "66\x00", Side.DEBIT, 1), CASH)),
    ],
)
async def test_codes_of_refusals(sink: TrytonHarness, code: str, lines: tuple[VoucherLine, ...]) -> None:
    ledger = await sink.connect()
    (outcome,) = await ledger.post([make_voucher(sink, lines=lines)])
    assert isinstance(outcome, Rejected), outcome
    assert outcome.code == code
    await ledger.close()


async def test_draft_is_not_what_tryton_takes(sink: TrytonHarness) -> None:
    ledger = await sink.connect()
    (outcome,) = await ledger.post([replace(make_voucher(sink), land_as=LandAs.DRAFT)])
    assert isinstance(outcome, Rejected) and outcome.code == "land_as_unsupported"
    await ledger.close()


# ---------------------------------------------------------------- companies of a flow


def flow_with(companies: dict[str, Company]) -> Flow:
    """A flow of which only the companies matter."""
    return Flow(
        flow_id="f",
        source_system="weaver",
        source_connection="oa",
        target_system="tryton",
        target_connection="t",
        document_type="expense_claim",
        templates=frozenset({"101"}),
        companies=companies,
        company_field="gsdm",
        company_constant=None,
        business_number_field="djbh",
        personal_fields=(),
        mapping="m",
        documents_suite="d",
        vouchers_suite="v",
        log_rules=(),
        makes={},
        write_back=None,
    )


async def test_the_flow_names_the_ledgers_company(sink: TrytonHarness) -> None:
    """Our company A is the ledger's 2000; a company that the flow does not serve never leaves."""
    company = Company(code="A", currency="CNY", time_zone="Asia/Shanghai", ledger_company="2000")
    ledger = adapter_of("tryton").connect(sink.settings(), tokens=MemoryTokens(), flow=flow_with({"A": company}))
    served, other = make_voucher(sink, company="A"), make_voucher(sink, company="B")
    outcomes: list[Outcome] = await ledger.post([other, served])
    assert kinds(outcomes) == ["Rejected", "Accepted"]
    assert entry_of(outcomes[1]).company == "A"
    (row,) = sink.rows(served.key)
    assert row["company"] == "2000"
    found = await ledger.find("A", [served.key])
    assert found[served.key].company == "A"
    with pytest.raises(GiveUp):
        await ledger.find("B", [other.key])
    await ledger.close()


async def test_a_company_that_the_user_may_not_see_is_no_answer(sink: TrytonHarness) -> None:
    ledger = await sink.connect()
    with pytest.raises(GiveUp):
        await ledger.find("9999", ["E0000000000000000"])
    with pytest.raises(GiveUp):
        async for _ in ledger.period_entries("9999", "2026-11"):
            pass
    await ledger.close()
