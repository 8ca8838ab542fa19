"""What a replay is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import finbridge

PROJECT = Path(finbridge.__file__).resolve().parents[2]
#: The test mappings of the public logs; no activity of a log is named anywhere in the package.
RULES = PROJECT / "tests" / "fixtures" / "replay"


class Target(StrEnum):
    """The finance system."""

    TRYTON = "tryton"
    JOURNAL = "journal"


class Sweep(StrEnum):
    """When the flow looks: after each wave (the k-th events of all documents) or once a day of the log."""

    WAVE = "wave"
    DAY = "day"


class Twice(StrEnum):
    """The same OA again, with the hub kept or emptied; the ledger is kept."""

    HUB_KEPT = "hub-kept"
    HUB_EMPTIED = "hub-emptied"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """One replay.

    ``documents``: how many of the log's documents, or a file with one document id a line. ``twice``: passes over the
    same OA after the first one, in this order.
    """

    log: Path
    out: Path
    work: Path
    target: Target = Target.JOURNAL
    sweep: Sweep = Sweep.WAVE
    repeat: int = 1
    twice: tuple[Twice, ...] = ()
    shuffle: int | None = None
    documents: int | Path | None = None
    currency: str | None = None
    rules: Path = RULES
    years: tuple[int, ...] | None = None  # of a new ledger; None: those of the log
    parallel: int = 32
