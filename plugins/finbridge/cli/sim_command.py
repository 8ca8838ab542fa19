"""`finbridge sim`: the real flows in simulated worlds; a broken promise is shown by its shortest history."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from finbridge.sim.campaign import Finding, Tally


class SimMode(StrEnum):
    """How many faults there may be."""

    UNLIMITED = "unlimited"
    BOUNDED = "bounded"
    BOTH = "both"


def sim(
    *,
    seed: Annotated[int, typer.Option(help="first seed / 起始种子")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="how many seeds from there on / 种子数")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="steps of each world / 每个世界的步数")] = 80,
    mode: Annotated[SimMode, typer.Option(help="unlimited: safety; bounded: everything settles / 模式")] = SimMode.BOTH,
) -> None:
    """Play worlds of faults, crashes and people around the real flows 确定性模拟

    Nothing outside of this process is touched. The same seed plays the same world.
    Exit code 1: a promise was broken; its seed and the shortest history that breaks it are printed.
    """
    from finbridge.sim.campaign import Tally, run, shrink
    from finbridge.sim.history import Mode

    modes = list(Mode) if mode is SimMode.BOTH else [Mode(mode.value)]
    for one in modes:
        tally = Tally()
        finding = next(run(range(seed, seed + seeds), steps, one, tally), None)
        _print_tally(one.value, seed, tally)
        if finding is not None:
            _print_finding(shrink(finding), steps)
            raise typer.Exit(1)


def _print_tally(mode: str, seed: int, tally: Tally) -> None:
    rate = 60 * tally.seeds / tally.seconds if tally.seconds else 0
    print(
        f"{mode}: seeds {seed}..{seed + tally.seeds - 1}, steps {tally.steps}, turns of processes {tally.turns}, "
        f"documents {tally.documents}, vouchers {tally.vouchers}, crashes {tally.crashes.total()}, "
        f"faults {tally.faults.total()}; {rate:.0f} seeds a minute of one core"
    )
    for title, found in (("crashes", tally.crashes), ("faults", tally.faults), ("documents", tally.ends)):
        print(f"  {title}: " + ", ".join(f"{name} {count}" for name, count in sorted(found.items())))


def _print_finding(finding: Finding, steps: int) -> None:
    history = finding.history
    print(f"broken: {finding.broken}")
    print(f"seed {history.seed}, mode {history.mode.value}, steps {steps}; {history.setting}")
    print(f"shortest history found ({len(history.steps)} steps):")
    for step in history.steps:
        print(f"  {step}")
