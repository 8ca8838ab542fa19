"""A TokenStore in memory: the same promises as the hub's, for threads and event loops of one process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class MemoryTokens:
    """Values with an expiry; one lock a name, held by at most one thread."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, datetime | None]] = {}
        self.puts: Counter[str] = Counter()
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, name: str) -> str | None:
        value, expires_at = self.values.get(name, ("", None))
        if name not in self.values or (expires_at is not None and expires_at <= datetime.now(UTC)):
            return None
        return value

    def put(self, name: str, value: str, expires_at: datetime | None) -> None:
        self.values[name] = (value, expires_at)
        self.puts[name.rpartition("|")[2]] += 1

    def forget(self, name: str) -> None:
        self.values.pop(name, None)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        if not lock.acquire(timeout=20):
            raise TimeoutError(f"somebody holds {name} for more than 20 s")
        try:
            yield
        finally:
            lock.release()
