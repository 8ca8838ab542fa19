"""A pause: nothing leaves any more, everything is given back at once, and afterwards everything arrives by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from finbridge.core.errors import RetryLater
from finbridge.core.ports import Stage, WriteBackResult
from finbridge.flows import DeliverReport, WriteBackReport, deliver, delivering, write_back
from finbridge.flows.delivering import FIRST_BATCH, SEND_BATCH, SMALLEST_BATCH, _Room
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.flow_fakes import make_flow
from tests.unit.flow_world import World


def after(calls: int) -> Callable[[], bool]:
    """Allowed for this many questions; then a person clicks."""
    left = [calls]

    def may_send() -> bool:
        left[0] -= 1
        return left[0] >= 0

    return may_send


async def ready(count: int) -> World:
    world = World(flow=make_flow(batch_size=500))
    for number in range(count):
        world.oa.put(str(number), "100", "提交", "批准")
    await world.collect()
    world.check()
    return world


async def run_deliver(world: World, may_send: Callable[[], bool]) -> DeliverReport:
    return await deliver(
        flow=world.flow,
        hub=world.hub,
        source=world.oa,
        ledger=world.ledger,
        translator=world.translator,
        worker="w",
        clock=world.clock,
        may_send=may_send,
    )


async def run_write_back(world: World, may_send: Callable[[], bool]) -> WriteBackReport:
    return await write_back(flow=world.flow, hub=world.hub, source=world.oa, worker="w", may_send=may_send)


async def test_a_paused_flow_claims_and_sends_nothing() -> None:
    world = await ready(3)
    report = await run_deliver(world, lambda: False)
    assert (report.paused, report.documents, report.sent) == (1, 0, 0)
    assert world.due(Stage.DELIVER) == 3


async def test_a_pause_between_two_sends_gives_the_rest_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "SEND_BATCH", 2)
    world = await ready(5)
    report = await run_deliver(world, after(3))  # the claim, and two sends of two
    assert (report.paused, report.sent) == (1, 4)
    assert world.due(Stage.DELIVER) == 1, "due now, and under nobody's lease"
    report = await run_deliver(world, lambda: True)
    assert (report.paused, report.sent) == (0, 1)
    assert sum(world.live(str(n)) for n in range(5)) == 5


async def test_where_nobody_can_say_nothing_is_sent() -> None:
    world = await ready(1)

    def unknown() -> bool:
        raise RetryLater("pause_unknown", "稍后")

    with pytest.raises(RetryLater):
        await run_deliver(world, unknown)
    assert world.live("0") == 0


async def test_a_pause_stops_forms_that_were_not_written_yet() -> None:
    world = await ready(4)
    await world.deliver()
    report = await run_write_back(world, after(3))  # the claim, and two forms
    assert (report.paused, report.saved, report.advanced, report.retry) == (1, 2, 0, 0)
    assert world.due(Stage.WRITE_BACK) == 4
    forms = world.oa.documents.values()
    assert sorted(bool(form.main.get("pzh")) for form in forms) == [False, False, True, True]
    report = await run_write_back(world, lambda: True)
    assert (report.verified, report.advanced) == (4, 4)
    assert world.oa.calls["write_back"] == 4, "what stands on a form is not written a second time"


async def test_a_pause_before_moving_on_moves_nothing_on_and_loses_nothing() -> None:
    world = await ready(2)
    await world.deliver()
    report = await run_write_back(world, after(3))  # the claim, and both saves; no advance
    assert (report.saved, report.verified, report.advanced) == (2, 0, 0)
    assert {form.node for form in world.oa.documents.values()} == {"过账"}
    report = await run_write_back(world, lambda: True)
    assert (report.saved, report.verified, report.advanced) == (0, 2, 2)


async def test_a_form_that_waited_for_its_turn_when_the_pause_came_is_not_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connector says RETRY for a call that did not leave; nothing is counted against the document."""
    world = await ready(3)
    await world.deliver()
    world.oa.write_answers = [WriteBackResult.RETRY] * 3
    report = await run_write_back(world, after(4))  # the claim and three saves, which then wait for their turn
    assert (report.paused, report.saved, report.retry) == (1, 0, 0)
    assert world.due(Stage.WRITE_BACK) == 3, "at once, not after a delay"

    async def waits(_document: str, _node: str) -> WriteBackResult:
        return WriteBackResult.RETRY

    with monkeypatch.context() as patched:
        patched.setattr(world.oa, "advance", waits)
        report = await run_write_back(world, after(7))  # the claim, three saves, three moves onwards
    assert (report.paused, report.saved, report.advanced, report.retry) == (1, 3, 0, 0)
    assert world.due(Stage.WRITE_BACK) == 3
    report = await run_write_back(world, lambda: True)
    assert (report.verified, report.advanced, report.saved) == (3, 3, 0)


@given(st.integers(1, 500), st.floats(0, 600))
def test_a_send_is_as_large_as_finance_takes_in_two_seconds(vouchers: int, seconds: float) -> None:
    room = _Room.__new__(_Room)
    room.pace(vouchers, seconds)
    assert SMALLEST_BATCH <= room.send_batch <= SEND_BATCH
    if room.send_batch > SMALLEST_BATCH:
        assert room.send_batch * seconds / vouchers <= delivering.SEND_SECONDS + 0.01
    assert FIRST_BATCH <= SEND_BATCH
