"""SinkContract: what every finance system's slice must do, whatever the system says on the wire.

A system's test file brings a `SinkHarness` (how to connect, how to make each fault, how to look into finance by
another path than the slice) and a subclass::

    class TestTrytonSink(SinkContract):
        @pytest.fixture
        def sink(self, tryton) -> SinkHarness: ...

Every test uses documents of its own, so that one server serves a whole session.
"""

from __future__ import annotations

import pytest
from finbridge.core.errors import RetryLater
from finbridge.core.money import to_text
from finbridge.core.outcomes import Accepted, AuthFailed, Locked, NotSent, Throttled, Unknown
from finbridge.core.vouchers import Side

from tests.contract.sink_books import SinkBooks
from tests.contract.sink_harness import SinkHarness, kinds, line, make_voucher


class SinkContract(SinkBooks):
    """The tests; a subclass gives the fixture ``sink``."""

    # ------------------------------------------------------------ the wire

    async def test_lost_answer_after_commit_is_unknown_and_find_tells(self, sink: SinkHarness) -> None:
        vouchers = [make_voucher(sink), make_voucher(sink)]
        async with sink.losing_answers() as deaf:
            outcomes = await deaf.post(vouchers)
        assert kinds(outcomes) == ["Unknown", "Unknown"]
        ledger = await sink.connect()
        found = await ledger.find(sink.company, [v.key for v in vouchers])
        assert {key: entry.content for key, entry in found.items()} == {v.key: v.content for v in vouchers}
        assert kinds(await ledger.post(vouchers)) == ["Duplicate", "Duplicate"]
        assert [len(sink.rows(v.key)) for v in vouchers] == [1, 1]
        await ledger.close()

    async def test_request_cut_on_the_way_is_unknown_and_find_tells(self, sink: SinkHarness) -> None:
        voucher = make_voucher(sink)
        async with sink.cutting_requests() as mute:
            (outcome,) = await mute.post([voucher])
        assert isinstance(outcome, Unknown), outcome
        ledger = await sink.connect()
        assert await ledger.find(sink.company, [voucher.key]) == {}
        assert kinds(await ledger.post([voucher])) == ["Accepted"]
        await ledger.close()

    async def test_refused_connection_is_provably_not_sent(self, sink: SinkHarness) -> None:
        vouchers = [make_voucher(sink), make_voucher(sink)]
        async with sink.refusing_connections() as ledger:
            assert all(isinstance(outcome, NotSent) for outcome in await ledger.post(vouchers))
            with pytest.raises(RetryLater):
                await ledger.find(sink.company, [vouchers[0].key])
        assert sink.rows(vouchers[0].key) == []

    async def test_lock_in_finance_is_locked_and_posts_after_it_is_gone(self, sink: SinkHarness) -> None:
        voucher = make_voucher(sink)
        async with sink.locked() as ledger:
            (outcome,) = await ledger.post([voucher])
            assert isinstance(outcome, Locked), outcome
            assert outcome.after_seconds > 0
            assert sink.rows(voucher.key) == []
        ledger = await sink.connect()
        assert kinds(await ledger.post([voucher])) == ["Accepted"]
        await ledger.close()

    async def test_throttled_says_when(self, sink: SinkHarness) -> None:
        voucher = make_voucher(sink)
        async with sink.throttling() as ledger:
            (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Throttled), outcome
        assert outcome.after_seconds == 3.0
        assert sink.rows(voucher.key) == []

    async def test_expired_session_is_renewed_once_and_unseen(self, sink: SinkHarness) -> None:
        voucher = make_voucher(sink)
        async with sink.expiring_session() as ledger:
            assert kinds(await ledger.post([voucher])) == ["Accepted"]
            assert set(await ledger.find(sink.company, [voucher.key])) == {voucher.key}
        assert len(sink.rows(voucher.key)) == 1

    async def test_wrong_password_stops(self, sink: SinkHarness) -> None:
        voucher = make_voucher(sink)
        async with sink.wrong_password() as ledger:
            (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, AuthFailed), outcome
        assert sink.rows(voucher.key) == []

    # ------------------------------------------------------------ amounts and texts

    @pytest.mark.parametrize("minor", [1, 5, 10, 999, 123456789012345, -1, -123456], ids=str)
    async def test_amounts_arrive_to_the_cent(self, sink: SinkHarness, minor: int) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink, minor=minor)
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Accepted), outcome
        assert outcome.entry.content == voucher.content
        (row,) = sink.rows(voucher.key)
        assert [row["lines"][0]["debit"], row["lines"][1]["credit"]] == [to_text(minor, "CNY")] * 2
        await ledger.close()

    async def test_negative_line_among_positive_ones_keeps_its_side(self, sink: SinkHarness) -> None:
        lines = (
            line(1, "660201", Side.DEBIT, 100000),
            line(2, "660201", Side.DEBIT, -20000),
            line(3, "2241", Side.CREDIT, 80000, party=sink.party),
        )
        ledger, voucher = await sink.connect(), make_voucher(sink, lines=lines)
        assert kinds(await ledger.post([voucher])) == ["Accepted"]
        (row,) = sink.rows(voucher.key)
        assert [(ln["debit"], ln["credit"]) for ln in row["lines"]] == [
            ("1000.00", "0.00"),
            ("-200.00", "0.00"),
            ("0.00", "800.00"),
        ]
        await ledger.close()

    async def test_voucher_of_999_lines(self, sink: SinkHarness) -> None:
        lines = [line(n, "660201", Side.DEBIT, n) for n in range(1, 999)]
        lines.append(line(999, "2241", Side.CREDIT, sum(range(1, 999)), party=sink.party))
        ledger, voucher = await sink.connect(), make_voucher(sink, lines=lines)
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Accepted), outcome
        assert outcome.entry.content == voucher.content
        (row,) = sink.rows(voucher.key)
        assert len(row["lines"]) == 999
        await ledger.close()

    @pytest.mark.parametrize(
        "summary",
        ["报销張三（上海→北京）差旅费", "emoji 🧾 𠮷野家 \u200bé", "<b>&\"'--;DROP TABLE", "长" * 300, ""],
        ids=["chinese", "emoji", "markup", "long", "empty"],
    )
    async def test_texts_arrive(self, sink: SinkHarness, summary: str) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink, summary=summary)
        assert kinds(await ledger.post([voucher])) == ["Accepted"]
        (row,) = sink.rows(voucher.key)
        assert row["summary"] == summary
        await ledger.close()

    async def test_control_characters_in_a_text_do_not_stop_a_voucher(self, sink: SinkHarness) -> None:
        ledger, voucher = await sink.connect(), make_voucher(sink, summary="第一行\r\n第二行\t\x00\x0b完")
        assert kinds(await ledger.post([voucher])) == ["Accepted"]
        (row,) = sink.rows(voucher.key)
        for word in ("第一行", "第二行", "完"):
            assert word in row["summary"]
        await ledger.close()

    # ------------------------------------------------------------ reading

    async def test_find_tells_only_what_is_there(self, sink: SinkHarness) -> None:
        ledger = await sink.connect()
        vouchers = [make_voucher(sink) for _ in range(3)]
        await ledger.post(vouchers)
        found = await ledger.find(sink.company, [*(v.key for v in vouchers), make_voucher(sink).key])
        assert set(found) == {v.key for v in vouchers}
        assert all(found[v.key].content == v.content and found[v.key].posted for v in vouchers)
        assert await ledger.find(sink.company, []) == {}
        await ledger.close()

    async def test_period_is_read_whole_in_pages(self, sink: SinkHarness) -> None:
        ledger = await sink.connect(page_size=3)
        vouchers = [make_voucher(sink, company=sink.other_company, day=sink.paging_day) for _ in range(8)]
        await ledger.post(vouchers)
        pages = [page async for page in ledger.period_entries(sink.other_company, f"{sink.paging_day:%Y-%m}")]
        keys = [entry.key for page in pages for entry in page]
        assert len(keys) == len(set(keys))
        assert set(keys) >= {v.key for v in vouchers}
        assert max(len(page) for page in pages) <= 3
        shown = {entry.key: entry for page in pages for entry in page}
        assert all(shown[v.key].content == v.content for v in vouchers)
        await ledger.close()

    async def test_period_without_entries_is_empty(self, sink: SinkHarness) -> None:
        ledger = await sink.connect()
        assert [page async for page in ledger.period_entries(sink.other_company, "2026-03") if page] == []
        await ledger.close()
