"""The conductor's view of the OA: its journal of state changes, tailed over the control port, and its clock.

People of the demo never see this; they act through the OA's own API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Entry = dict[str, Any]
_PAGE = 2000


class OaJournal:
    """All entries so far, in commit order, and the latest of each request."""

    def __init__(self, control_url: str, *, every_seconds: float = 0.25) -> None:
        self._url = control_url
        self._every = every_seconds
        self._news = asyncio.Condition()
        self.entries: list[Entry] = []
        self.latest: dict[str, Entry] = {}

    @asynccontextmanager
    async def tailed(self) -> AsyncIterator[OaJournal]:
        """Tail until the block ends; what the tail dies of is raised then."""
        async with aiohttp.ClientSession() as http:
            tail = asyncio.create_task(self._tail(http))
            try:
                yield self
            finally:
                if tail.done():
                    await tail  # raises
                tail.cancel()

    async def until(self, request_id: str, reached: Callable[[Entry], bool], seconds: float) -> bool:
        """Wait until the latest entry of a request satisfies ``reached``; False when the time is over."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: request_id in self.latest and reached(self.latest[request_id]))
        except TimeoutError:
            return False
        return True

    async def _tail(self, http: aiohttp.ClientSession) -> None:
        """An OA that was killed is asked again until it is back."""
        while True:
            try:
                found = await self._read(http)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                found = 0
            if not found:
                await asyncio.sleep(self._every)

    async def _read(self, http: aiohttp.ClientSession) -> int:
        after = self.entries[-1]["seq"] if self.entries else 0
        async with http.get(f"{self._url}/journal", params={"after": str(after), "limit": str(_PAGE)}) as answer:
            fresh: list[Entry] = await answer.json(content_type=None)
        if fresh:
            async with self._news:
                last = self.entries[-1]["seq"] if self.entries else 0
                fresh = [entry for entry in fresh if entry["seq"] > last]  # another reader may have been faster
                self.entries.extend(fresh)
                self.latest.update((entry["request_id"], entry) for entry in fresh)
                self._news.notify_all()
        return len(fresh)

    async def catch_up(self) -> None:
        """Read everything that is committed by now."""
        async with aiohttp.ClientSession() as http:
            while await self._read(http):
                pass

    async def hold_clock(self) -> str:
        """Let the OA's clock stand at its present second, so that what follows shares it. Returns that second."""
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{self._url}/clock") as answer:
                now = str((await answer.json(content_type=None))["now"])
            second = now.partition("+")[0].partition(".")[0]
            await self._set_clock(http, second)
        return second

    async def release_clock(self) -> None:
        """Back to real time."""
        async with aiohttp.ClientSession() as http:
            await self._set_clock(http, None)

    async def _set_clock(self, http: aiohttp.ClientSession, now: str | None) -> None:
        async with http.post(f"{self._url}/clock", json={"now": now}) as answer:
            answer.raise_for_status()
