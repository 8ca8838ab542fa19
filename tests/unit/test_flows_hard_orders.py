"""Orders of events that once lost, doubled or stopped something: each a finding, each a test."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from finbridge.core.documents import SourceDocument
from finbridge.core.errors import RetryLater
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.ports import Stage, WriteBackResult
from finbridge.core.transport import NotSentError

from tests.unit.flow_world import World


async def test_a_waiting_reversal_survives_a_problem_of_its_document() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await world.settle()
    (posted,) = world.ledger.live("1")
    world.oa.put("1", "100", "退回", node="起草")
    await world.collect()
    world.check()
    (red,) = [k for k, row in world.hub.docs["1"].vouchers.items() if row.kind is VoucherKind.REVERSAL]
    world.oa.put("1", "100", "会签", node="起草")  # a log row that no rule knows, before the reversal was sent
    await world.collect()
    world.check()
    assert set(world.hub.docs["1"].holds) == {"unknown_log_entry"}
    assert world.hub.docs["1"].vouchers[red].state is not VoucherState.WITHDRAWN
    await world.deliver()
    assert world.hub.docs["1"].vouchers[posted.key].state is VoucherState.REVERSED


async def test_a_document_that_the_oa_fails_on_is_held_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for at in range(9):
        world.oa.put(str(at), "100", "提交", "批准")
    read = world.oa.read

    async def failing(document_ids: Sequence[str]) -> dict[str, SourceDocument | None]:
        if "4" in document_ids:
            raise RetryLater("system_inner_error", "OA 出错 / the OA fails")
        return await read(document_ids)

    monkeypatch.setattr(world.oa, "read", failing)
    await world.settle()
    assert [world.live(str(at)) for at in range(9)] == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert set(world.hub.docs["4"].holds) == {"oa_cannot_read"}
    monkeypatch.setattr(world.oa, "read", read)
    await world.settle()
    assert world.live("4") == 1


async def test_an_oa_that_is_away_is_not_a_matter_of_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for at in range(40):
        world.oa.put(str(at), "100", "提交", "批准")
    asked: list[int] = []

    async def away(document_ids: Sequence[str]) -> dict[str, SourceDocument | None]:
        asked.append(len(document_ids))
        raise NotSentError("connect_failed", "无法连接 / cannot reach it")

    monkeypatch.setattr(world.oa, "read", away)
    with pytest.raises(RetryLater):
        await world.collect()
    assert len(asked) == 1
    assert not world.hub.docs


async def test_a_look_that_failed_gives_its_right_back_and_leaves_the_watermark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await world.collect()
    before = world.hub.through
    now = world.oa.now

    async def away() -> object:
        raise RetryLater("oa_away", "OA 无应答 / the OA is away")

    monkeypatch.setattr(world.oa, "now", away)
    with pytest.raises(RetryLater):
        await world.collect("a")
    assert world.hub.through == before
    monkeypatch.setattr(world.oa, "now", now)
    assert (await world.collect("b")).collected == 1


async def test_a_text_with_a_nul_character_is_mapped() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    document = world.oa.documents["1"]
    broken = {**document.main, "djbh": "BX\x00-1"}
    world.oa.documents["1"] = SourceDocument(
        "1", "101", document.stamp, document.node, broken, document.details, document.log, b"raw"
    )
    await world.settle()
    assert b"\\u0000" not in world.hub.docs["1"].collected.canonical
    assert world.live("1") == 1


async def test_a_form_that_does_not_move_on_is_tried_later_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")

    async def refuse(document_id: str, node: str) -> WriteBackResult:
        return WriteBackResult.RETRY

    monkeypatch.setattr(world.oa, "advance", refuse)
    await world.collect()
    world.check()
    await world.deliver()
    report = await world.write_back()
    assert (report.retry, report.verified) == (1, 0)
    assert world.live("1") == 1


async def test_a_second_read_without_news_does_not_run_in_circles() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await world.collect()
    world.check()
    (row,) = world.hub.docs["1"].vouchers.values()
    row.content = "another content than the form ever had"
    report = await world.deliver()
    assert report.changed_before_send == 1
    assert report.accepted == 0
    assert world.due(Stage.DELIVER) == 0, "put off, not hammered"
