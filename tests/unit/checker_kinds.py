"""The twelve kinds of faults that the checker must find, and what their ways of being planted share.

A way (`checker_faults`, `checker_faults_wrong`) changes one of the journals at a random place and answers what must be
said: pairs of a set and a name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from tests.unit.checker_random import RandomWorld, cents, money
from tests.unit.checker_world import Row

Said = set[tuple[str, str]]  # (set, document or number); ("turnover", "") for a difference of turnover
Way = Callable[[RandomWorld], Said]

#: Number and name as tools/checker/README.md has them.
KINDS = {
    1: "lost voucher",
    2: "lost payment",
    3: "lost reversal",
    4: "lost write-back",
    5: "doubled voucher",
    6: "doubled payment or reversal",
    7: "wrong entries",
    8: "wrong company or currency",
    9: "wrong date, period or state",
    10: "wrong write-back",
    11: "unexplained voucher",
    12: "altered after posting",
}
WAYS: dict[str, tuple[int, Way]] = {}
STRANGER = "1"  # a document that the OA does not know


def way(kind: int) -> Callable[[Way], Way]:
    """This function plants a fault of a kind."""

    def note(plant: Way) -> Way:
        WAYS[plant.__name__] = (kind, plant)
        return plant

    return note


def one(w: RandomWorld, lives: Sequence[str], kind: str = "expense") -> tuple[str, Row]:
    """A document that lived so, and its last voucher of a kind."""
    name = w.any(*lives)
    return name, w.vouchers(name, kind)[-1]


def copy_of(w: RandomWorld, voucher: Row, **changes: Any) -> Row:
    """One more voucher at a random place of the journal."""
    more = {**copy.deepcopy(voucher), "number": f"记-2026-{9000 + len(w.finance):06d}", **changes}
    w.finance.insert(w.chance.randint(0, len(w.finance)), more)
    return more


def other(w: RandomWorld, words: Sequence[str], than: str) -> str:
    """Another word of these."""
    return w.chance.choice([word for word in words if word != than])


LIVE, PAID, GONE = ("posted", "paid", "again"), ("paid", "kept"), ("reversed", "kept")
TOLD = ("posted", "paid")  # whose number and payment status the OA shows


def rewrite(w: RandomWorld, name: str, **main: str) -> None:
    """Change a form since its number was written onto it."""
    for row in w.oa:
        if row["request_id"] == name and row["main"]["pzh"]:
            row["main"].update(main)


def shift(lines: list[Row], minor: int) -> None:
    """More on the first line of each side, so that the voucher still balances."""
    for side in ("debit", "credit"):
        first = next(ln for ln in lines if cents(ln[side]))
        first[side] = money(cents(first[side]) + minor)
