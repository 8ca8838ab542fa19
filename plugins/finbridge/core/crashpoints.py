"""Named crash points around each effect (delivery promise, section "Crash points"); on only under test.

``FINBRIDGE_CRASH_AT="C7"`` kills the process with SIGKILL the first time it passes C7; ``C7:3`` the third time. With
``FINBRIDGE_CRASH_ONCE=<file>`` the crash happens only while that file does not exist, and creates it. A simulation,
which kills processes of its own making, watches them with `watched` instead.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CRASH_POINTS: dict[str, str] = {
    "C1": "before claim",
    "C2": "after claim, before the second read",
    "C3": "after the second read, before build",
    "C4": "built, before the sending mark",
    "C5": "marked, before bytes leave",
    "C6": "inside the send (the sandbox cuts the line before commit)",
    "C7": "committed in finance, answer lost",
    "C8": "answer received, before store",
    "C9": "stored, before write-back",
    "C10": "write-back sent, before its answer is stored",
    "C11": "before write-back while the document may be archived",
    "C12": "before a commit of the hub",
}
_passed: Counter[str] = Counter()
_watchers: list[Callable[[str], None]] = []


def crash_point(name: str) -> None:
    """Pass a crash point. Costs one dictionary look-up when off."""
    for watcher in _watchers:
        watcher(name)
    wanted = os.environ.get("FINBRIDGE_CRASH_AT")
    if not wanted:
        return
    if name not in CRASH_POINTS:
        raise ValueError(f"unknown crash point {name}")
    point, _, count = wanted.partition(":")
    if point != name:
        return
    _passed[name] += 1
    if _passed[name] < int(count or 1):
        return
    marker = os.environ.get("FINBRIDGE_CRASH_ONCE")
    if marker:
        if Path(marker).exists():
            return
        Path(marker).touch()
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def watched(watcher: Callable[[str], None]) -> Iterator[None]:
    """Tell somebody of every crash point that is passed inside the block; what it raises, the passer meets."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)
