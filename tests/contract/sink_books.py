"""First half of the SinkContract: what stands in the books after posts, refusals, races and reversals."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

from finbridge.core.outcomes import Accepted, Conflict, Duplicate, PeriodClosed, Rejected
from finbridge.core.periods import PeriodLedger
from finbridge.core.vouchers import Side, Voucher, red_reversal

from tests.contract.sink_harness import SinkHarness, entry_of, kinds, line, make_voucher, other_reversal, totals


class SinkBooks:
    """Books; see `sink_contract.SinkContract`."""

    # ------------------------------------------------------------ accepted, duplicate, conflict

    async def test_accepted_voucher_is_posted_with_number_date_and_content(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink)
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Accepted), outcome
        entry = outcome.entry
        assert (entry.key, entry.company, entry.posting_date, entry.posted) == (
            voucher.key,
            sink.company,
            sink.open_day,
            True,
        )
        assert entry.content == voucher.content
        assert entry.number and entry.finance_id
        (row,) = sink.rows(voucher.key)
        assert (row["number"], row["date"], row["period"]) == (entry.number, "2026-11-20", "2026-11")
        assert (row["kind"], row["document_id"]) == ("expense", voucher.identity.document_id)
        assert (row["company"], row["currency"], row["state"]) == ("1000", "CNY", "posted")
        assert row["reverses"] is None
        shown = [(ln["account"], ln["debit"], ln["credit"], ln["party"]) for ln in row["lines"]]
        assert shown == [("660201", "100.00", "0.00", None), ("2241", "0.00", "100.00", sink.party)]
        assert row["lines"][0]["department"] == "行政部"
        await ledger.close()

    async def test_same_voucher_again_is_a_duplicate(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink)
        (first,) = await ledger.post([voucher])
        (second,) = await ledger.post([voucher])
        assert isinstance(second, Duplicate), second
        assert second.entry == entry_of(first)
        assert len(sink.rows(voucher.key)) == 1
        await ledger.close()

    async def test_same_voucher_twice_in_one_call_is_posted_once(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink)
        outcomes = await ledger.post([voucher, voucher])
        assert kinds(outcomes) == ["Accepted", "Duplicate"]
        assert len(sink.rows(voucher.key)) == 1
        await ledger.close()

    async def test_same_key_with_other_content_is_a_conflict_that_says_what_differs(self, sink: SinkHarness) -> None:
        ledger, document = await sink.connect(), uuid4().hex
        (first,) = await ledger.post([make_voucher(sink, minor=10000, document=document)])
        (outcome,) = await ledger.post([make_voucher(sink, minor=12345, document=document)])
        assert isinstance(outcome, Conflict), outcome
        assert outcome.entry == entry_of(first)
        for word in ("660201", "100.00", "123.45"):
            assert word in outcome.difference
        (row,) = sink.rows(outcome.entry.key)
        assert totals(row) == (Decimal("100.00"), Decimal("100.00"))
        await ledger.close()

    async def test_same_key_at_another_date_is_a_conflict(self, sink: SinkHarness) -> None:
        ledger, document = await sink.connect(), uuid4().hex
        await ledger.post([make_voucher(sink, document=document)])
        (outcome,) = await ledger.post([make_voucher(sink, document=document, day=sink.other_open_day)])
        assert isinstance(outcome, Conflict), outcome
        assert "2026-11-20" in outcome.difference and "2026-10-31" in outcome.difference
        await ledger.close()

    async def test_the_same_document_in_two_companies_is_two_vouchers(self, sink: SinkHarness) -> None:
        ledger, document = await sink.connect(), uuid4().hex
        here = make_voucher(sink, document=document)
        there = make_voucher(sink, document=document, company=sink.other_company)
        assert kinds(await ledger.post([here, there])) == ["Accepted", "Accepted"]
        assert set(await ledger.find(sink.company, [here.key, there.key])) == {here.key}
        assert set(await ledger.find(sink.other_company, [here.key, there.key])) == {there.key}
        await ledger.close()

    # ------------------------------------------------------------ refusals

    async def test_unbalanced_by_one_cent_is_rejected(self, sink: SinkHarness) -> None:
        lines = (line(1, "660201", Side.DEBIT, 10000), line(2, "2241", Side.CREDIT, 9999, party=sink.party))
        await self._rejected(sink, make_voucher(sink, lines=lines), "unbalanced")

    async def test_unknown_account_is_rejected(self, sink: SinkHarness) -> None:
        lines = (line(1, "66029999", Side.DEBIT, 100), line(2, "2241", Side.CREDIT, 100, party=sink.party))
        await self._rejected(sink, make_voucher(sink, lines=lines), "unknown_account", says="66029999")

    async def test_unknown_party_is_rejected(self, sink: SinkHarness) -> None:
        lines = (line(1, "660201", Side.DEBIT, 100), line(2, "2241", Side.CREDIT, 100, party="E9999"))
        await self._rejected(sink, make_voucher(sink, lines=lines), "unknown_party", says="E9999")

    async def test_missing_party_is_rejected(self, sink: SinkHarness) -> None:
        lines = (line(1, "660201", Side.DEBIT, 100), line(2, "2241", Side.CREDIT, 100))
        await self._rejected(sink, make_voucher(sink, lines=lines), "party_required", says="2241")

    async def test_unknown_company_is_rejected(self, sink: SinkHarness) -> None:
        await self._rejected(sink, make_voucher(sink, company="9999"), "unknown_company", says="9999")

    async def test_voucher_without_lines_is_rejected(self, sink: SinkHarness) -> None:
        await self._rejected(sink, replace(make_voucher(sink), lines=()), "no_lines")

    async def _rejected(self, sink: SinkHarness, voucher: Voucher, code: str, says: str = "") -> None:
        ledger = await sink.connect()
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Rejected), outcome
        assert outcome.code == code
        assert says in outcome.message
        assert sink.rows(voucher.key) == []
        await ledger.close()

    async def test_closed_period_is_told_apart(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink, day=sink.closed_day)
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, PeriodClosed), outcome
        assert "2026-01" in outcome.message
        assert sink.rows(voucher.key) == []
        await ledger.close()

    async def test_period_that_finance_does_not_have_waits_like_a_closed_one(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink, day=sink.missing_day)
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, PeriodClosed), outcome
        assert sink.rows(voucher.key) == []
        await ledger.close()

    async def test_finance_says_whether_a_period_is_open(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink)
        closed = [f"{day:%Y-%m}" for day in (sink.closed_day, sink.missing_day)]
        assert isinstance(ledger, PeriodLedger)
        assert await ledger.period_open(sink.company, voucher.period)
        assert [await ledger.period_open(sink.company, period) for period in closed] == [False, False]
        await ledger.close()

    async def test_refusals_in_a_batch_decide_nothing_for_the_others(self, sink: SinkHarness) -> None:
        ledger = await sink.connect(batch_size=4)
        bad_account = (line(1, "0000", Side.DEBIT, 100), line(2, "2241", Side.CREDIT, 100, party=sink.party))
        unbalanced = (line(1, "660201", Side.DEBIT, 100), line(2, "2241", Side.CREDIT, 99, party=sink.party))
        vouchers = [
            make_voucher(sink),
            make_voucher(sink, lines=bad_account),
            make_voucher(sink),
            make_voucher(sink, lines=unbalanced),
            make_voucher(sink, company="9999"),
            make_voucher(sink, day=sink.closed_day),
            make_voucher(sink),
            make_voucher(sink),
            make_voucher(sink, minor=-500),
        ]
        outcomes = await ledger.post(vouchers)
        good = [0, 2, 6, 7, 8]
        expected = ["Rejected"] * len(vouchers)
        expected[5] = "PeriodClosed"
        for index in good:
            expected[index] = "Accepted"
        assert kinds(outcomes) == expected
        assert [entry_of(outcomes[i]).key for i in good] == [vouchers[i].key for i in good]
        assert [len(sink.rows(voucher.key)) for voucher in vouchers] == [int(i in good) for i in range(len(vouchers))]
        await ledger.close()

    # ------------------------------------------------------------ races

    async def test_racing_clients_make_one_voucher(self, sink: SinkHarness) -> None:
        ledgers = [await sink.connect() for _ in range(4)]
        vouchers = [make_voucher(sink) for _ in range(3)]
        results = await asyncio.gather(*(ledger.post(vouchers) for ledger in ledgers))
        for index, voucher in enumerate(vouchers):
            seen = sorted(kinds([result[index] for result in results]))
            assert seen == ["Accepted", "Duplicate", "Duplicate", "Duplicate"]
            assert len(sink.rows(voucher.key)) == 1
        for ledger in ledgers:
            await ledger.close()

    async def test_racing_clients_reverse_once(self, sink: SinkHarness) -> None:
        ledgers = [await sink.connect() for _ in range(3)]
        voucher = make_voucher(sink)
        await ledgers[0].post([voucher])
        reds = [other_reversal(voucher, sink.open_day, split) for split in (1, 2, 3)]
        results = await asyncio.gather(*(ledger.post([red]) for ledger, red in zip(ledgers, reds, strict=True)))
        outcomes = [result[0] for result in results]
        assert sorted(kinds(outcomes)) == ["Accepted", "Rejected", "Rejected"]
        assert {o.code for o in outcomes if isinstance(o, Rejected)} == {"already_reversed"}
        assert sum(len(sink.rows(red.key)) for red in reds) == 1
        for ledger in ledgers:
            await ledger.close()

    # ------------------------------------------------------------ reversal 红字

    async def test_reversal_is_red_and_carries_its_own_key_and_date(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink, day=sink.other_open_day)
        red = red_reversal(voucher, sink.open_day, "冲销：审批撤回")
        assert kinds(await ledger.post([voucher])) == ["Accepted"]
        (outcome,) = await ledger.post([red])
        assert isinstance(outcome, Accepted), outcome
        assert (outcome.entry.key, outcome.entry.posting_date) == (red.key, sink.open_day)
        assert outcome.entry.content == red.content
        (row,) = sink.rows(red.key)
        assert (row["kind"], row["reverses"], row["period"]) == ("reversal", voucher.key, "2026-11")
        assert row["summary"] == "冲销：审批撤回"
        shown = [(ln["account"], ln["debit"], ln["credit"], ln["party"]) for ln in row["lines"]]
        assert shown == [("660201", "-100.00", "0.00", None), ("2241", "0.00", "-100.00", sink.party)]
        (original,) = sink.rows(voucher.key)
        assert totals(original) == (Decimal("100.00"), Decimal("100.00"))
        await ledger.close()

    async def test_reversal_again_is_a_duplicate(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink)
        red = red_reversal(voucher, sink.open_day, "冲销")
        assert kinds(await ledger.post([voucher, red])) == ["Accepted", "Accepted"]
        assert kinds(await ledger.post([red])) == ["Duplicate"]
        await ledger.close()

    async def test_second_reversal_under_another_key_is_refused(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink)
        await ledger.post([voucher, red_reversal(voucher, sink.open_day, "冲销")])
        second = other_reversal(voucher, sink.open_day, 2)
        (outcome,) = await ledger.post([second])
        assert isinstance(outcome, Rejected), outcome
        assert outcome.code == "already_reversed"
        assert sink.rows(second.key) == []
        await ledger.close()

    async def test_reversal_of_what_finance_never_had_is_refused(self, sink: SinkHarness) -> None:
        ledger = await sink.connect()
        red = red_reversal(make_voucher(sink), sink.open_day, "冲销")
        (outcome,) = await ledger.post([red])
        assert isinstance(outcome, Rejected), outcome
        assert outcome.code == "original_missing"
        await ledger.close()

    async def test_reversal_that_is_not_the_originals_mirror_is_refused(self, sink: SinkHarness) -> None:
        ledger, document = await sink.connect(), uuid4().hex
        await ledger.post([make_voucher(sink, minor=10000, document=document)])
        wrong = red_reversal(make_voucher(sink, minor=9000, document=document), sink.open_day, "冲销")
        (outcome,) = await ledger.post([wrong])
        assert isinstance(outcome, Rejected), outcome
        assert outcome.code == "original_differs"
        assert sink.rows(wrong.key) == []
        await ledger.close()

    async def test_reversal_into_a_closed_period_waits(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink)
        await ledger.post([voucher])
        (outcome,) = await ledger.post([red_reversal(voucher, sink.closed_day, "冲销")])
        assert isinstance(outcome, PeriodClosed), outcome
        await ledger.close()
