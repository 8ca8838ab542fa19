"""SourceContract: what every OA system's slice must do, whatever the system says on the wire.

A system's test file brings a `SourceHarness` and a subclass::

    class TestWeaverSource(SourceContract):
        @pytest.fixture
        def oa(self, weaver) -> SourceHarness: ...
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ports import WriteBackResult

from tests.contract.source_harness import SourceHarness, listed
from tests.contract.source_reads import SourceReads


class SourceContract(SourceReads):
    """Reads (see `SourceReads`) and writes; a subclass gives the fixture ``oa``."""

    # ------------------------------------------------------------ write back

    async def test_saved_columns_are_read_back_and_nothing_else_changes(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        before = (await source.read([name]))[name]
        result = await source.write_back(name, oa.node, {oa.our_column: "记-2026-000001"})
        after = (await source.read([name]))[name]
        await source.close()
        assert result is WriteBackResult.SAVED
        assert before is not None and after is not None
        assert after.main == {**before.main, oa.our_column: "记-2026-000001"}
        assert (after.details, after.node, after.log) == (before.details, before.node, before.log)
        assert oa.kinds(name) == ["save"]

    async def test_texts_are_saved_as_they_are(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        text = '科目"6602|招待"不存在 & <b>+%20=?\n换行 😀 \\ \''
        source = oa.connect()
        assert await source.write_back(name, oa.node, {oa.our_column: text}) is WriteBackResult.SAVED
        document = (await source.read([name]))[name]
        assert await source.write_back(name, oa.node, {oa.our_column: ""}) is WriteBackResult.SAVED
        emptied = (await source.read([name]))[name]
        await source.close()
        assert document is not None and document.main[oa.our_column] == text
        assert emptied is not None and emptied.main[oa.our_column] == ""

    @pytest.mark.parametrize("where", ["elsewhere", "archived"])
    async def test_not_our_turn_is_not_allowed_and_nothing_is_done(self, oa: SourceHarness, where: str) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        oa.place(name, where)
        source = oa.connect()
        assert await source.write_back(name, oa.node, {oa.our_column: "1"}) is WriteBackResult.NOT_ALLOWED
        await source.close()
        assert oa.kinds(name) == []

    async def test_writing_to_a_document_that_is_gone_is_not_allowed(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        oa.delete([name])
        source = oa.connect()
        assert await source.write_back(name, oa.node, {oa.our_column: "1"}) is WriteBackResult.NOT_ALLOWED
        assert await source.advance(name, oa.node) is WriteBackResult.NOT_ALLOWED
        await source.close()

    async def test_column_that_the_form_lacks_stops_with_its_name(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        with pytest.raises(GiveUp, match="no_such_column"):
            await source.write_back(name, oa.node, {"no_such_column": "1"})
        await source.close()
        assert oa.kinds(name) == []

    @pytest.mark.parametrize("fault", ["reset", "close", "truncate", "http_504", "html", "error_body"])
    async def test_lost_answer_after_the_save_is_unknown_and_the_form_shows_it(
        self, oa: SourceHarness, fault: str
    ) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        with oa.fault(fault, on="write", after_commit=True):
            result = await source.write_back(name, oa.node, {oa.our_column: "记-1"})
        document = (await source.read([name]))[name]
        await source.close()
        assert result is WriteBackResult.UNKNOWN
        assert document is not None and document.main[oa.our_column] == "记-1"

    @pytest.mark.parametrize("fault", ["reset", "http_500"])
    async def test_save_that_never_happened_is_unknown_and_succeeds_again(self, oa: SourceHarness, fault: str) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        with oa.fault(fault, on="write"):
            assert await source.write_back(name, oa.node, {oa.our_column: "记-1"}) is WriteBackResult.UNKNOWN
        document = (await source.read([name]))[name]
        assert document is not None and document.main[oa.our_column] == ""
        assert await source.write_back(name, oa.node, {oa.our_column: "记-1"}) is WriteBackResult.SAVED
        await source.close()

    async def test_throttled_write_was_not_done(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        with oa.fault("http_429", on="write", retry_after=1):
            assert await source.write_back(name, oa.node, {oa.our_column: "1"}) is WriteBackResult.RETRY
        await source.close()
        assert oa.kinds(name) == []

    # ------------------------------------------------------------ advance

    async def test_advance_moves_on_once(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        assert await source.advance(name, oa.node) is WriteBackResult.SAVED
        assert await source.advance(name, oa.node) is WriteBackResult.SAVED
        document = (await source.read([name]))[name]
        await source.close()
        assert document is not None and document.node == oa.next_node
        assert oa.kinds(name) == ["submit"]

    async def test_racing_workers_advance_once(self, oa: SourceHarness) -> None:
        oa.new_day()
        names = oa.add(4)
        workers = [oa.connect() for _ in range(3)]
        results = await asyncio.gather(*(w.advance(name, oa.node) for w in workers for name in names))
        for worker in workers:
            await worker.close()
        assert set(results) == {WriteBackResult.SAVED}
        assert [oa.kinds(name) for name in names] == [["submit"]] * 4

    @pytest.mark.parametrize("fault", ["reset", "http_504", "error_body"])
    async def test_lost_answer_to_an_advance_is_looked_up_not_sent_again(self, oa: SourceHarness, fault: str) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        with oa.fault(fault, on="write", after_commit=True):
            assert await source.advance(name, oa.node) is WriteBackResult.SAVED
        await source.close()
        assert oa.kinds(name) == ["submit"]

    async def test_advance_that_never_happened_is_unknown(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect(late_seconds=0)
        with oa.fault("reset", on="write"):
            assert await source.advance(name, oa.node) is WriteBackResult.UNKNOWN
        assert oa.kinds(name) == []
        assert await source.advance(name, oa.node) is WriteBackResult.SAVED
        await source.close()
        assert oa.kinds(name) == ["submit"]

    async def test_advance_from_a_node_that_was_left_is_a_no_op(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        oa.place(name, "elsewhere")
        source = oa.connect()
        assert await source.advance(name, oa.node) is WriteBackResult.SAVED
        await source.close()
        assert oa.kinds(name) == []

    # ------------------------------------------------------------ the OA is away

    async def test_nobody_listening_is_retry_later(self, oa: SourceHarness) -> None:
        source = oa.connect_to_nobody()
        with pytest.raises(RetryLater):
            await source.now()
        with pytest.raises(RetryLater):
            await source.write_back("1", oa.node, {oa.our_column: "1"})
        await source.close()

    @pytest.mark.parametrize("fault", ["http_500", "http_503", "html", "error_body", "truncate", "reset"])
    async def test_trouble_while_reading_is_retry_later(self, oa: SourceHarness, fault: str) -> None:
        now = oa.new_day()
        names = oa.add(3)
        source = oa.connect()
        with oa.fault(fault, on="read", count=50), pytest.raises(RetryLater):
            await source.read(names)
        with oa.fault(fault, on="list"), pytest.raises(RetryLater):
            await listed(source, now, oa.templates)
        assert {ref.document_id for ref in await listed(source, now, oa.templates)} == set(names)
        await source.close()

    async def test_throttled_read_says_when(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        with oa.fault("http_429", on="read", retry_after=7), pytest.raises(RetryLater) as caught:
            await source.read([name])
        await source.close()
        assert caught.value.after_seconds == 7.0

    async def test_silence_ends_with_the_time_out(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect(timeout_seconds=0.5)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with oa.fault("timeout", on="write", after_commit=True):
            assert await source.write_back(name, oa.node, {oa.our_column: "1"}) is WriteBackResult.UNKNOWN
        assert loop.time() - began < timedelta(seconds=10).total_seconds()
        await source.close()
        assert oa.kinds(name) == ["save"]
