"""Use of the shared token store from asynchronous code: its calls may wait for a database, so they run in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime

from finbridge.core.ports import TokenStore


class SharedToken:
    """One named value that many processes share and only one of them makes anew at a time."""

    def __init__(self, store: TokenStore, name: str) -> None:
        self.name = name
        self._store = store

    async def get(self) -> str | None:
        """The value, or None where absent or expired."""
        return await asyncio.to_thread(self._store.get, self.name)

    async def put(self, value: str, expires_at: datetime | None) -> None:
        """Store it for everybody."""
        await asyncio.to_thread(self._store.put, self.name, value, expires_at)

    async def forget(self) -> None:
        """Take it away from everybody."""
        await asyncio.to_thread(self._store.forget, self.name)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Mutual exclusion between processes, and between tasks of this one.

        The lock is taken and given back in one thread of its own: taken in the event loop, a second task would stop
        the loop that the first one needs to give it back; taken in the shared thread pool, waiting tasks could fill
        the pool. A cancelled wait still ends with the lock given back.
        """
        loop = asyncio.get_running_loop()
        lock = self._store.locked(self.name)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="finbridge-token-lock")
        try:
            entering = loop.run_in_executor(thread, lock.__enter__)
            try:
                await asyncio.shield(entering)
            except asyncio.CancelledError:
                await asyncio.wait([entering])
                if entering.exception() is None:
                    await loop.run_in_executor(thread, lock.__exit__, None, None, None)
                raise
            try:
                yield
            finally:
                await loop.run_in_executor(thread, lock.__exit__, None, None, None)
        finally:
            thread.shutdown(wait=False)
