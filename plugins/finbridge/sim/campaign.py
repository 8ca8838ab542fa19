"""Many seeds, one after another; of a broken promise the shortest history that can be found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from finbridge.sim.history import History, Mode, Step, draw
from finbridge.sim.mapping import FLOW
from finbridge.sim.oracle import BrokenPromise
from finbridge.sim.world import World

#: Worlds that a shrinking may try, at most.
_MOST_TRIES = 1500


@dataclass(slots=True)
class Tally:
    """What was run and met."""

    seeds: int = 0
    steps: int = 0
    documents: int = 0
    vouchers: int = 0
    turns: int = 0
    seconds: float = 0.0  # of one core
    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)  # standings of documents at the end of each world

    def add(self, world: World) -> None:
        """One world more."""
        self.seeds += 1
        self.steps += len(world.history.steps)
        self.documents += len(world.office.forms)
        self.vouchers += sum(entry.by == "suite" for entry in world.books.entries)
        self.turns += world.kernel.turns
        self.faults += Counter({name: n for name, n in world.trouble.met.items() if not name.endswith(": killed")})
        self.crashes += world.trouble.crashes
        self.ends += Counter(world.hub.account(FLOW.flow_id).documents)


@dataclass(frozen=True, slots=True)
class Finding:
    """A history that breaks a promise."""

    history: History
    broken: BrokenPromise


def play(history: History) -> World:
    """One world from beginning to end."""
    world = World(history)
    world.play()
    return world


def run(seeds: Iterable[int], steps: int, mode: Mode, tally: Tally) -> Iterator[Finding]:
    """Play seeds; yields each that breaks a promise."""
    for seed in seeds:
        began = time.process_time()
        world = play(draw(seed, steps, mode))
        tally.add(world)
        tally.seconds += time.process_time() - began
        if world.broken:
            yield Finding(world.history, world.broken[0])


def shrink(finding: Finding, tries: int = _MOST_TRIES) -> Finding:
    """Leave out steps, in ever smaller pieces, as long as the same promise breaks."""
    best, left = finding, tries

    def still_broken(steps: Sequence[Step]) -> Finding | None:
        history = replace(finding.history, steps=tuple(steps))
        broken = [b for b in play(history).broken if b.promise == finding.broken.promise]
        return Finding(history, broken[0]) if broken else None

    size = max(1, len(best.history.steps) // 2)
    while left > 0:
        smaller, used = _without_pieces(best, size, still_broken, left)
        left -= used
        if smaller is best and size == 1:
            break
        size = max(1, size // 2) if smaller is best else min(size, max(1, len(smaller.history.steps) // 2))
        best = smaller
    return best


def _without_pieces(
    best: Finding, size: int, still_broken: Callable[[Sequence[Step]], Finding | None], left: int
) -> tuple[Finding, int]:
    """One pass over the history, from its end: pieces of ``size`` steps left out where that changes nothing."""
    used, end = 0, len(best.history.steps)
    while end > 0 and used < left:
        start = max(0, end - size)
        steps = best.history.steps
        used += 1
        best = still_broken([*steps[:start], *steps[end:]]) or best
        end = start
    return best, used
