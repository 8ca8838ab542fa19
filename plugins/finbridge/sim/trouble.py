"""Faults that lie in wait: each is armed for a place and met by whoever comes there next."""

from __future__ import annotations

from collections import Counter, deque

from finbridge.sim.books import FATES

_HUB_CALLS = (
    "begin_collect",
    "store",
    "end_collect",
    "claim",
    "save_plans",
    "deliverables",
    "mark_sending",
    "record",
    "record_write_backs",
    "release",
)
#: Place -> what may happen there.
FAULTS: dict[str, tuple[str, ...]] = {
    "finance.post": FATES,
    "finance.find": ("away",),
    "oa.list": ("away", "away_in_mid_page", "doubled_rows", "reordered_rows"),
    "oa.read": ("away", "unreadable", "missing"),
    "oa.write": ("away", "retry", "lost_before", "lost_after"),
    "oa.advance": ("away", "retry", "lost_after"),
    "judge": ("broken_batch_rule",),
    **{f"hub.{name}": ("away", "away_after_commit", "killed_before", "killed_after") for name in _HUB_CALLS},
}
FAULTS["hub.save_plans"] = (*FAULTS["hub.save_plans"], "stalled")


class Trouble:
    """What is armed, and what was met."""

    def __init__(self) -> None:
        self.armed: dict[str, deque[str]] = {}
        self.met: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()  # by crash point, or where a kill from outside struck

    def arm(self, place: str, fault: str) -> None:
        """The next who comes there meets it."""
        self.armed.setdefault(place, deque()).append(fault)

    def take(self, place: str) -> str | None:
        """What waits here."""
        waiting = self.armed.get(place)
        if not waiting:
            return None
        fault = waiting.popleft()
        self.met[f"{place}: {fault}"] += 1
        return fault

    def end(self) -> None:
        """Nothing lies in wait any more."""
        self.armed.clear()
