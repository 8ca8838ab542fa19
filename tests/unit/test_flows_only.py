"""With ``only`` a verb works on the documents named and on nothing else of the flow, whatever is due."""

from __future__ import annotations

import copy

from finbridge.core.ports import Stage
from finbridge.flows import check, deliver, write_back

from tests.unit.flow_world import World

ASKED = ["2", "5"]
OTHERS = ["1", "3", "4"]


async def collected() -> World:
    world = World()
    for name in sorted([*ASKED, *OTHERS]):
        world.oa.put(name, "100", "提交", "批准")
    await world.collect()
    return world


async def run(world: World, only: list[str] | None) -> None:
    check(
        flow=world.flow,
        hub=world.hub,
        translator=world.translator,
        judge=world.judge,
        worker="w",
        run_id="r",
        only=only,
    )
    await deliver(
        flow=world.flow,
        hub=world.hub,
        source=world.oa,
        ledger=world.ledger,
        translator=world.translator,
        worker="w",
        clock=world.clock,
        only=only,
    )
    await write_back(flow=world.flow, hub=world.hub, source=world.oa, worker="w", only=only)


async def test_only_the_named_documents_are_worked_on() -> None:
    world = await collected()
    before = copy.deepcopy({name: world.hub.docs[name] for name in OTHERS})
    await run(world, ASKED)
    assert [world.live(name) for name in ASKED] == [1, 1]
    assert [world.live(name) for name in OTHERS] == [0, 0, 0]
    assert {name: world.hub.docs[name] for name in OTHERS} == before
    assert world.due(Stage.PLAN) == len(OTHERS)


async def test_nobody_named_is_nothing_done_and_everybody_is_the_whole_flow() -> None:
    world = await collected()
    await run(world, [])
    assert world.due(Stage.PLAN) == len(ASKED) + len(OTHERS)
    await run(world, None)
    assert world.due(Stage.PLAN) == 0
    assert all(world.live(name) == 1 for name in (*ASKED, *OTHERS))
