"""A lock between processes, taken from asynchronous code."""

from __future__ import annotations

import asyncio
import threading

import pytest
from finbridge.core.tokens import SharedToken

from tests.contract.memory_tokens import MemoryTokens


async def test_tasks_of_one_loop_exclude_each_other_and_the_loop_goes_on() -> None:
    store, inside, most, ticks = MemoryTokens(), 0, 0, 0

    async def work() -> None:
        nonlocal inside, most, ticks
        async with SharedToken(store, "name").locked():
            inside += 1
            most = max(most, inside)
            for _ in range(3):
                await asyncio.sleep(0)
                ticks += 1
            inside -= 1

    await asyncio.wait_for(asyncio.gather(*(work() for _ in range(40))), 20)
    assert (most, ticks) == (1, 120)


async def test_cancelled_wait_gives_the_lock_back() -> None:
    store = MemoryTokens()
    held, release = threading.Event(), threading.Event()

    def holder() -> None:
        with store.locked("name"):
            held.set()
            release.wait(20)

    thread = threading.Thread(target=holder)
    thread.start()
    await asyncio.to_thread(held.wait, 20)

    async def wait_for_it() -> None:
        async with SharedToken(store, "name").locked():
            raise AssertionError("the lock was free")

    waiting = asyncio.create_task(wait_for_it())
    await asyncio.sleep(0)
    await asyncio.to_thread(lambda: None)
    waiting.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    thread.join(20)
    async with asyncio.timeout(20), SharedToken(store, "name").locked():
        assert True


async def test_error_inside_gives_the_lock_back() -> None:
    store = MemoryTokens()
    with pytest.raises(ValueError, match="inside"):
        async with SharedToken(store, "name").locked():
            raise ValueError("inside")
    async with asyncio.timeout(20), SharedToken(store, "name").locked():
        await SharedToken(store, "name").put("value", None)
    assert await SharedToken(store, "name").get() == "value"
