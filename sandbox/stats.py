"""What a sandbox counts about its callers."""

from __future__ import annotations

import time
from collections import Counter, deque


class Stats:
    """Calls by endpoint, answers by status, the busiest second (sliding, real time) and the most calls in flight."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.max_per_second = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self._recent: deque[float] = deque()

    def begin(self, endpoint: str) -> None:
        """A call came in."""
        now = time.monotonic()
        self.calls[endpoint] += 1
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - 1.0:
            recent.popleft()
        self.max_per_second = max(self.max_per_second, len(recent))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def end(self, status: int) -> None:
        """It was answered, or given up."""
        self.in_flight = max(0, self.in_flight - 1)
        self.statuses[str(status)] += 1

    def describe(self) -> dict[str, object]:
        """All of it as JSON."""
        return {
            "calls": dict(self.calls),
            "total": self.calls.total(),
            "statuses": dict(self.statuses),
            "faults": dict(self.faults),
            "max_per_second": self.max_per_second,
            "max_in_flight": self.max_in_flight,
        }
