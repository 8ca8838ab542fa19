"""What becomes of each document of a proof: the demo's stories in other shares, and one that only a monitor tells."""

from __future__ import annotations

from tools.demo.scenario import Fate

#: Of a hundred documents.
SHARES: dict[Fate, int] = {
    Fate.CLEAN: 40,
    Fate.PAID: 10,
    Fate.REVERSED: 6,
    Fate.REVERSED_RIGHT: 8,
    Fate.RECALLED: 8,
    Fate.REJECTED: 3,
    Fate.REJECTED_RIGHT: 6,
    Fate.WITHDRAWN: 3,
    Fate.WITHDRAWN_RIGHT: 6,
    Fate.ARCHIVED: 3,
    Fate.UNKNOWN_CODE: 2,
    Fate.BROKEN_VAT: 2,
    Fate.IN_APPROVAL: 2,
    Fate.DRAFT: 1,
}
#: Fates of which nothing is ever posted: what moves at least is the rest.
STILL = frozenset({Fate.REJECTED, Fate.WITHDRAWN, Fate.UNKNOWN_CODE, Fate.BROKEN_VAT, Fate.IN_APPROVAL, Fate.DRAFT})


def plan(documents: int) -> dict[Fate, int]:
    """How many documents of each fate: the shares scaled, each at least once, the remainder clean."""
    counts = {fate: max(1, share * documents // 100) for fate, share in SHARES.items()}
    counts[Fate.CLEAN] += documents - sum(counts.values())
    if counts[Fate.CLEAN] < 1:
        raise ValueError(f"at least {len(SHARES) * 3} documents are needed")
    return counts


def moved_at_least(counts: dict[Fate, int]) -> int:
    """Documents that must have vouchers in the end. Of the recalled ones some are taken back in time: none counts."""
    return sum(count for fate, count in counts.items() if fate not in STILL | {Fate.RECALLED, Fate.ARCHIVED})
