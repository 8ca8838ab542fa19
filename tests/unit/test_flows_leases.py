"""Leases of a batch that takes minutes: kept alive from the claim to the end, and nothing leaves under a lost one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module

import pytest
from finbridge.core.documents import SourceDocument
from finbridge.core.ports import Lease, WriteBackResult
from finbridge.core.stopping import may_leave
from finbridge.flows import delivering

from tests.unit.test_flows_pause import ready, run_write_back

writing_back = import_module("finbridge.flows.writing_back")


async def test_leases_are_kept_alive_during_a_slow_second_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred documents at a call a second take longer than a lease; without it, nothing would ever be sent."""
    monkeypatch.setattr(delivering, "RENEW_AFTER_SECONDS", 0.001)
    world = await ready(2)
    read, renew = world.oa.read, world.hub.renew
    kept = threading.Event()

    def counted(leases: Sequence[Lease], seconds: float) -> list[Lease]:
        kept.set()
        return renew(list(leases), seconds)

    async def slow(names: Sequence[str]) -> dict[str, SourceDocument | None]:
        assert await asyncio.to_thread(kept.wait, 30)
        return await read(names)

    monkeypatch.setattr(world.hub, "renew", counted)
    monkeypatch.setattr(world.oa, "read", slow)
    report = await world.deliver()
    assert (report.accepted, report.leases_lost) == (2, 0)


async def test_a_form_whose_lease_was_lost_while_it_waited_for_its_turn_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another worker may have written and verified a newer number since: the old one must not come on top of it."""
    monkeypatch.setattr(writing_back, "RENEW_AFTER_SECONDS", 0.001)
    world = await ready(2)
    await world.deliver()
    write = world.oa.write_back

    async def waits(name: str, node: str, fields: Mapping[str, str]) -> WriteBackResult:
        if name == "0":
            assert await may_leave()
            world.hub.steal(name)
            async with asyncio.timeout(30):
                while await may_leave():  # noqa: ASYNC110 - what the guard answers is the condition: no event says it
                    await asyncio.sleep(0.001)
        return await write(name, node, fields) if await may_leave() else WriteBackResult.RETRY

    monkeypatch.setattr(world.oa, "write_back", waits)
    report = await run_write_back(world, lambda: True)
    assert report.verified == 1
    written = {name: bool(form.main.get("pzh")) for name, form in world.oa.documents.items()}
    assert written == {"0": False, "1": True}


async def test_nothing_is_written_under_a_lease_that_has_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing_back, "TRUSTED", 0.0)  # it has, by our own clock
    world = await ready(1)
    await world.deliver()
    report = await run_write_back(world, lambda: True)
    assert (report.saved, world.oa.calls["write_back"]) == (0, 0)
    monkeypatch.undo()
    world.clock.sleep(10)
    assert (await run_write_back(world, lambda: True)).verified == 1
