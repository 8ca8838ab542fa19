"""What a person may decide about a voucher that the suite must not go on with by itself. Shapes only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from finbridge.core.lifecycle import IN_BOOKS, Signal, VoucherState
from finbridge.core.outcomes import LedgerEntry
from finbridge.core.vouchers import Voucher


class Choice(StrEnum):
    """The value is the command."""

    ACCEPT = "accept"  # what finance holds under our key is this voucher: number and lines are finance's from now on
    LOOK_AGAIN = "look-again"  # finance was corrected: ask it once more and decide by the ordinary rules
    REVERSED = "reversed"  # people took it back in finance: nothing of it is live, a new approval makes a new voucher


#: What the voucher takes, as the trail names it.
SIGNAL = {
    Choice.ACCEPT: Signal.ACCEPTED_AS_HELD,
    Choice.LOOK_AGAIN: Signal.LOOK_AGAIN,
    Choice.REVERSED: Signal.TAKEN_BACK,
}
#: States in which a choice is open.
OPEN_IN: dict[Choice, frozenset[VoucherState]] = {
    Choice.ACCEPT: frozenset({VoucherState.NEEDS_HUMAN}),
    Choice.LOOK_AGAIN: frozenset({VoucherState.NEEDS_HUMAN}),
    Choice.REVERSED: (IN_BOOKS | {VoucherState.NEEDS_HUMAN}) - {VoucherState.REVERSING},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A voucher that waits for a decision, and what is known about it. ``detail``: what the person is shown."""

    flow_id: str
    document_id: str
    business_number: str
    company: str
    key: str
    kind: str
    state: VoucherState
    detail: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One person's word on one voucher. ``held``: what finance showed under the key right before."""

    key: str
    choice: Choice
    person: str
    reason: str
    held: LedgerEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """``again``: the same was decided before, by ``person`` at ``at``; nothing was done now."""

    document_id: str
    person: str
    again: bool
    at: datetime | None = None


class DecisionDesk(Protocol):
    """The hub's part. Each method is one transaction."""

    def undecided(self, flow_id: str) -> list[Undecided]:
        """Vouchers of a flow that wait for a decision, oldest first."""
        ...

    def voucher(self, flow_id: str, key: str) -> Voucher:
        """A voucher of the register.

        Raises:
            GiveUp: the flow has no such voucher.
        """
        ...

    def decide(self, flow_id: str, decision: Decision) -> Decided:
        """Store a decision and what follows from it, with one row in the trail.

        Raises:
            GiveUp: stale (state or finance moved on), not open to this choice, or not founded in what finance shows.
        """
        ...
