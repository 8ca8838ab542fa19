"""Says things with the seconds since the start, and measures phases."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Clock:
    """The conductor's watch and voice."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self.phases: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line of progress."""
        with self._lock:
            print(f"{self.now:6.1f} s  {text}", flush=True)

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    @asynccontextmanager
    async def phase(self, name: str, title: str) -> AsyncIterator[None]:
        """Say the title, measure the block under the name."""
        self.say(title)
        begin = self.now
        yield
        self.phases[name] = self.phases.get(name, 0.0) + self.now - begin
