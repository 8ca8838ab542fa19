"""First half of the SourceContract: nothing is lost while documents change, double, hide and move."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.contract.source_harness import SourceHarness, listed


class SourceReads:
    """Reads; see `source_contract.SourceContract`."""

    async def test_now_is_the_oas_own_local_time(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        source = oa.connect()
        assert await source.now() == now
        late = now.replace(hour=23, minute=59, second=59)
        oa.set_clock(late)
        assert await source.now() == late
        await source.close()

    async def test_two_reads_are_equal(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        names = oa.add(7)
        source = oa.connect(page_size=3)
        first, second = [await listed(source, now, oa.templates) for _ in range(2)]
        assert first == second
        assert {ref.document_id for ref in first} == set(names)
        assert all(ref.template in oa.templates for ref in first)
        assert await source.read(names) == await source.read(names)
        await source.close()

    async def test_document_is_read_whole(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        (ref,) = await listed(source, now, oa.templates)
        document = (await source.read([name]))[name]
        await source.close()
        assert document is not None
        assert (document.document_id, document.template, document.stamp) == (name, ref.template, ref.stamp)
        assert document.node == oa.node
        (change,) = oa.changes(name)
        assert document.main == change["main"]
        assert {table: [dict(row) for row in rows] for table, rows in document.details.items()} == {
            table: [{"_row": row["id"], **{k: v for k, v in row.items() if k != "id"}} for row in rows]
            for table, rows in change["details"].items()
        }
        assert sorted((r.log_id, r.node, r.operation, r.operator, r.local_at.isoformat(" ")) for r in document.log) == [
            (r["id"], r["node"], r["operate_type"], r["operator"], f"{r['date']} {r['time']}") for r in change["log"]
        ]
        assert all(row.local_at.tzinfo is None for row in document.log)
        assert name.encode() in document.raw

    async def test_upper_bound_is_frozen(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        early, late = oa.add(5), []
        source = oa.connect(page_size=2)
        bound = await source.now()
        oa.set_clock(now + timedelta(seconds=1))
        late = oa.add(3)
        assert {ref.document_id for ref in await listed(source, bound, oa.templates)} == set(early)
        again = await listed(source, await source.now(), oa.templates)
        await source.close()
        assert {ref.document_id for ref in again} == set(early + late)

    async def test_change_in_the_bounds_own_second_is_seen(self, oa: SourceHarness) -> None:
        oa.new_day()
        names = oa.add(2)
        source = oa.connect()
        bound = await source.now()
        first = {ref.document_id: ref.stamp for ref in await listed(source, bound, oa.templates)}
        oa.place(names[0], "elsewhere")
        more = oa.add(1)
        second = {ref.document_id: ref.stamp for ref in await listed(source, bound, oa.templates)}
        await source.close()
        assert set(first) == set(names)
        assert set(second) == {*names, *more}
        assert second[names[0]] != first[names[0]]
        assert second[names[1]] == first[names[1]]

    async def test_days_before_the_window_stay_out(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        old = oa.add(2)
        oa.set_clock(now + timedelta(days=1))
        new = oa.add(2)
        source = oa.connect()
        bound = await source.now()
        assert {ref.document_id for ref in await listed(source, bound, oa.templates)} == set(new)
        assert {ref.document_id for ref in await listed(source, bound, oa.templates, days=1)} == {*old, *new}
        await source.close()

    # ------------------------------------------------------------ lists that move

    async def test_row_that_leaves_while_paging_hides_no_other(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        names = oa.add(40)
        source = oa.connect(page_size=10)
        seen: set[str] = set()
        gone: list[str] = []
        async for page in source.changed(now.date(), now, oa.templates):
            seen |= {ref.document_id for ref in page}
            if not gone:
                gone = [ref.document_id for ref in page][:3]
                oa.delete(gone)
        await source.close()
        assert len(gone) == 3
        assert seen == set(names)

    async def test_documents_that_move_while_paging_hide_no_other(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        names = oa.add(40)
        oa.set_clock(now + timedelta(seconds=5))
        source = oa.connect(page_size=5)
        still, moving = set(names[:20]), names[20:]
        seen: set[str] = set()
        async for page in source.changed(now.date(), now, oa.templates):
            seen |= {ref.document_id for ref in page}
            if moving:
                oa.operate([moving.pop()])
                oa.delete([moving.pop(0)])
        assert still <= seen
        bound = await source.now()
        assert {r.document_id for r in await listed(source, bound, oa.templates)} >= still
        await source.close()

    async def test_reading_beside_a_busy_oa_loses_nothing(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        still = set(oa.add(30))
        moving = oa.add(30)
        oa.set_clock(now + timedelta(seconds=1))
        source = oa.connect(page_size=4)

        async def busy() -> None:
            for name in moving:
                await asyncio.to_thread(oa.operate if int(name) % 3 else oa.delete, [name])

        working = asyncio.create_task(busy())
        seen = {ref.document_id for ref in await listed(source, now, oa.templates)}
        await working
        last = {ref.document_id for ref in await listed(source, now + timedelta(seconds=1), oa.templates)}
        await source.close()
        assert still <= seen
        assert still | {name for name in moving if int(name) % 3} == last

    async def test_shifted_pages_lose_nothing(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        names = oa.add(25)
        source = oa.connect(page_size=10)
        with oa.shifting_pages():
            seen = {ref.document_id for ref in await listed(source, now, oa.templates)}
        await source.close()
        assert seen == set(names)

    @pytest.mark.parametrize("fault", ["hidden_rows", "doubled_rows", "reordered_rows"])
    async def test_disturbed_pages_lose_nothing(self, oa: SourceHarness, fault: str) -> None:
        now = oa.new_day()
        names = oa.add(12)
        source = oa.connect(page_size=5)
        with oa.fault(fault, on="list", count=2, rows=2):
            refs = await listed(source, now, oa.templates)
        await source.close()
        assert sorted(ref.document_id for ref in refs) == sorted(names)

    @pytest.mark.parametrize("by", [-3, 3])
    async def test_wrong_count_loses_nothing_and_ends(self, oa: SourceHarness, by: int) -> None:
        now = oa.new_day()
        names = oa.add(12)
        source = oa.connect(page_size=5)
        with oa.fault("wrong_count", on="count", count=1000, by=by):
            refs = await listed(source, now, oa.templates)
        await source.close()
        assert sorted(ref.document_id for ref in refs) == sorted(names)

    async def test_doubled_rows_and_log_entries_are_one(self, oa: SourceHarness) -> None:
        now = oa.new_day()
        names = oa.add(9)
        source = oa.connect(page_size=4)
        plain = await source.read(names)
        with oa.doubling_rows():
            refs = await listed(source, now, oa.templates)
            doubled = await source.read([*names, *names])
        await source.close()
        assert sorted(ref.document_id for ref in refs) == sorted(names)
        for name in names:
            one, many = plain[name], doubled[name]
            assert one is not None and many is not None
            assert sorted(row.log_id for row in many.log) == sorted(row.log_id for row in one.log)
            assert (many.main, many.details) == (one.main, one.details)

    # ------------------------------------------------------------ tokens, gone documents

    @pytest.mark.parametrize("fault", ["token_expired", "login_timeout", "token_lost"])
    async def test_token_that_ends_between_two_pages_is_unseen(self, oa: SourceHarness, fault: str) -> None:
        now = oa.new_day()
        names = oa.add(12)
        source = oa.connect(page_size=5)
        with oa.fault(fault, on="list", skip=1):
            refs = await listed(source, now, oa.templates)
        with oa.fault(fault, on="read", skip=4):
            documents = await source.read(names)
        await source.close()
        assert sorted(ref.document_id for ref in refs) == sorted(names)
        assert all(documents[name] is not None for name in names)

    async def test_token_that_ends_before_a_write_is_unseen_and_writes_once(self, oa: SourceHarness) -> None:
        oa.new_day()
        (name,) = oa.add(1)
        source = oa.connect()
        with oa.fault("token_expired", on="write"):
            await source.write_back(name, oa.node, {oa.our_column: "1"})
        await source.close()
        assert oa.kinds(name) == ["save"]

    async def test_gone_documents_are_none_and_stop_no_other(self, oa: SourceHarness) -> None:
        oa.new_day()
        names = oa.add(3)
        oa.delete([names[1]])
        source = oa.connect()
        documents = await source.read([*names, "999999999"])
        await source.close()
        assert [documents[name] is None for name in [*names, "999999999"]] == [False, True, False, True]

    async def test_nothing_asked_is_nothing_read(self, oa: SourceHarness) -> None:
        source = oa.connect()
        assert await source.read([]) == {}
        await source.close()
