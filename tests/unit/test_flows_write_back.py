"""Write back: what the form itself shows decides."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest
from finbridge.core.documents import SourceDocument
from finbridge.core.flow import WriteBackRule
from finbridge.core.outcomes import Rejected
from finbridge.core.ports import Stage, WriteBackRecord, WriteBackResult

from tests.unit.flow_fakes import make_flow
from tests.unit.flow_world import World

_UNKNOWN, _RETRY = WriteBackResult.UNKNOWN, WriteBackResult.RETRY


async def _posted(*names: str) -> World:
    world = World()
    for name in names:
        world.oa.put(name, "100", "提交", "批准")
    await world.collect()
    world.check()
    await world.deliver()
    assert world.due(Stage.WRITE_BACK) == len(names)
    return world


async def test_number_and_date_stand_on_the_form_and_the_document_moves_on() -> None:
    world = await _posted("1")
    report = await world.write_back()
    assert (report.saved, report.verified, report.advanced) == (1, 1, 1)
    form = world.oa.documents["1"]
    assert (form.main["pzh"], form.main["gzrq"], form.main["jzxx"], form.node) == ("记-1", "2026-11-22", "", "付款")
    assert world.hub.states("1") == [("expense", "verified")]
    assert (await world.write_back()).documents == 0


async def test_our_own_write_back_makes_no_new_version() -> None:
    world = await _posted("1")
    await world.write_back()
    before = world.hub.docs["1"].collected.content
    await world.settle()
    assert world.hub.docs["1"].collected.content == before and len(world.ledger.entries) == 1


async def test_a_flow_may_leave_the_document_where_it_is() -> None:
    rule = WriteBackRule(node="过账", voucher_number="pzh", posting_date="gzrq", error="jzxx", advance=False)
    world = World(flow=make_flow(write_back=rule))
    world.oa.put("1", "100", "提交", "批准")
    await world.settle()
    assert world.oa.documents["1"].node == "过账" and world.oa.calls["advance"] == 0


async def test_a_flow_without_write_back_writes_nothing() -> None:
    world = World(flow=make_flow(write_back=None))
    world.oa.put("1", "100", "提交", "批准")
    await world.sweep()
    assert world.oa.calls["write_back"] == 0 and world.live("1") == 1


async def test_a_refusal_by_finance_is_told_on_the_form_and_stays_there() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    world.ledger.script["1"] = [Rejected("unknown_party", "no such party")]
    await world.sweep()
    form = world.oa.documents["1"]
    assert (form.main["jzxx"], form.main["pzh"], form.node) == ("Rejected", "", "过账")


async def test_an_answer_that_is_lost_is_decided_by_the_form() -> None:
    world = await _posted("1")
    world.oa.write_answers = [_UNKNOWN]
    report = await world.write_back()
    assert (report.verified, report.retry) == (1, 0) and world.oa.calls["write_back"] == 1


@pytest.mark.parametrize("answer", [_UNKNOWN, _RETRY])
async def test_what_did_not_arrive_is_written_again(answer: WriteBackResult) -> None:
    world = await _posted("1")
    world.oa.write_answers, world.oa.lose_writes = [answer], True
    report = await world.write_back()
    assert (report.verified, report.retry) == (0, 1) and world.due(Stage.WRITE_BACK) == 0
    world.oa.lose_writes = False
    world.clock.sleep(6)
    assert (await world.write_back()).verified == 1


async def test_a_document_archived_before_is_a_named_hold_and_not_an_error() -> None:
    world = await _posted("1", "2")
    world.oa.documents["1"] = replace(world.oa.documents["1"], node="归档")
    report = await world.write_back()
    assert (report.verified, report.not_possible) == (1, 1)
    assert "归档" in world.hub.docs["1"].holds["write_back_not_possible"]
    assert world.due(Stage.WRITE_BACK) == 0


async def test_a_document_that_a_worker_moved_on_before_it_died_is_verified() -> None:
    """Saved, moved on, killed before the store: the form shows our number although the node is left."""
    world = await _posted("1")
    record = world.hub.record_write_backs
    world.hub.record_write_backs = lambda *_: (_ for _ in ()).throw(OSError("gone"))  # type: ignore[method-assign]  # the test steps in here
    with pytest.raises(OSError, match="gone"):
        await world.write_back()
    world.hub.record_write_backs = record  # type: ignore[method-assign]  # the test steps in here
    await world.oa.advance("1", "过账")
    world.clock.sleep(61)
    report = await world.write_back()
    assert (report.verified, report.not_possible) == (1, 0)
    assert world.hub.states("1") == [("expense", "verified")]


async def test_an_advance_that_fails_is_tried_again() -> None:
    world = await _posted("1")
    advance = world.oa.advance

    async def unknown(document_id: str, node: str) -> WriteBackResult:
        return _UNKNOWN

    world.oa.advance = unknown  # type: ignore[method-assign]  # the test steps in here
    assert (await world.write_back()).retry == 1
    world.oa.advance = advance  # type: ignore[method-assign]  # the test steps in here
    world.clock.sleep(6)
    report = await world.write_back()
    assert (report.verified, report.advanced) == (1, 1)
    assert world.oa.documents["1"].node == "付款"


async def test_a_form_that_is_not_shown_at_the_read_back_is_looked_for_again() -> None:
    world = await _posted("1", "2")
    shown = world.oa.read
    world.oa.read = _without(shown, "1")  # type: ignore[method-assign]  # the test steps in here
    report = await world.write_back()
    assert (report.verified, report.retry, report.not_possible) == (1, 1, 0)
    assert "write_back_not_possible" not in world.hub.docs["1"].holds
    world.oa.read = shown  # type: ignore[method-assign]  # and out again
    world.clock.sleep(6)
    assert (await world.write_back()).verified == 1


async def test_a_form_that_cannot_be_read_back_is_not_taken_for_gone() -> None:
    world = await _posted("1")
    world.oa.poison = {"1"}
    told: list[WriteBackResult] = []
    record = world.hub.record_write_backs

    def looks_on(flow_id: str, results: Sequence[WriteBackRecord]) -> None:
        told.extend(result.result for result in results)
        record(flow_id, results)

    world.hub.record_write_backs = looks_on  # type: ignore[method-assign]  # the test looks on
    await world.write_back()
    assert told == [WriteBackResult.SAVED, _UNKNOWN]


def _without(read: Callable[[Sequence[str]], Coroutine[Any, Any, dict[str, SourceDocument | None]]], name: str) -> Any:
    async def looked(names: Sequence[str]) -> dict[str, SourceDocument | None]:
        return await read(names) | dict.fromkeys({name} & set(names))

    return looked
