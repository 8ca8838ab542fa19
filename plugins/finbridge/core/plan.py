"""Effects = what should be live minus what is live.

``plan`` compares the folded log with the register's vouchers of one document and names what must be done. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from finbridge.core.documents import LogEntry
from finbridge.core.fold import Folded
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT, UNSENT, VoucherState


@dataclass(frozen=True, slots=True)
class Registered:
    """A voucher as the register knows it: enough to plan. ``content``: hash of the source it was built from."""

    key: str
    kind: VoucherKind
    cause: str
    state: VoucherState
    content: str
    reverses_key: str | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """A voucher that must exist and does not; ``cause`` is the log entry that calls for it."""

    kind: VoucherKind
    cause: LogEntry

    @property
    def posting_date(self) -> date:
        """The event's own local date."""
        return self.cause.local_at.date()


@dataclass(frozen=True, slots=True)
class Rebuild:
    """An unsent voucher: translate again under the same key, for its document or its codes may have changed.

    What comes out the same stays as it is in the register.
    """

    key: str
    kind: VoucherKind
    cause: LogEntry


@dataclass(frozen=True, slots=True)
class Withdraw:
    """An unsent voucher that nobody calls for any more."""

    key: str


@dataclass(frozen=True, slots=True)
class Reverse:
    """A voucher in the books that must not be live any more; dated by the entry that took approval away."""

    key: str
    cause: LogEntry


@dataclass(frozen=True, slots=True)
class AskHuman:
    """Something that only a person can decide."""

    key: str
    code: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A voucher in doubt: the resolver speaks first, then plan again."""

    key: str


Action = Create | Rebuild | Withdraw | Reverse | AskHuman | Wait


def plan(folded: Folded, content: str, register: Sequence[Registered], *, has_amount: bool = True) -> list[Action]:
    """What must be done for one document.

    Args:
        folded: the document's folded log.
        content: hash of the document's content as read last.
        register: all vouchers of the document in any state.
        has_amount: false for 0.00, which never posts and is never paid.
    """
    actions: list[Action] = []
    wanted: list[tuple[VoucherKind, LogEntry, frozenset[str]]] = []
    if folded.approval is not None and has_amount:
        wanted.append((VoucherKind.EXPENSE, folded.approval, folded.approvals))
    if folded.payment is not None and has_amount:
        wanted.append((VoucherKind.PAYMENT, folded.payment, folded.payments))
    served: set[str] = set()
    for kind, cause, causes in wanted:
        if kind is VoucherKind.PAYMENT and any(isinstance(action, AskHuman) for action in actions):
            continue  # what is to be paid is not what the books hold: a person speaks first
        keep = _standing_for(kind, cause, causes, register)
        if keep is None:
            actions.append(Create(kind, cause))
        else:
            served.add(keep.key)
            actions.extend(_keep(keep, cause, content))
    for registered in register:
        if registered.key not in served and registered.kind in (VoucherKind.EXPENSE, VoucherKind.PAYMENT):
            actions.extend(_drop(registered, folded))
    return actions


def _standing_for(
    kind: VoucherKind, cause: LogEntry, causes: frozenset[str], register: Sequence[Registered]
) -> Registered | None:
    """The voucher that serves a want already: one that finance has or may have, else the cause's own.

    A document is paid once: a payment that finance has serves whatever entry is taken for the first one now.
    """
    mine = [r for r in register if r.kind is kind]
    known = [r for r in mine if r.state in IN_BOOKS - {VoucherState.REVERSING} or r.state in IN_DOUBT]
    standing = [r for r in known if r.cause in causes or kind is VoucherKind.PAYMENT]
    return standing[0] if standing else next((r for r in mine if r.cause == cause.log_id), None)


def _keep(registered: Registered, cause: LogEntry, content: str) -> list[Action]:
    """A wanted voucher that the register has already."""
    if registered.state in (VoucherState.REVERSING, VoucherState.REVERSED):
        return [AskHuman(registered.key, "approval_returned_after_reversal")]
    if registered.state in UNSENT or registered.state is VoucherState.WITHDRAWN:
        return [Rebuild(registered.key, registered.kind, cause)]
    if registered.content != content and registered.state in IN_BOOKS and registered.kind is VoucherKind.EXPENSE:
        return [AskHuman(registered.key, "changed_after_posting")]
    return [Wait(registered.key)] if registered.state in IN_DOUBT else []


def _drop(registered: Registered, folded: Folded) -> list[Action]:
    """A voucher that nobody calls for any more. A payment in the books stays: the money has left."""
    if registered.state in UNSENT:
        return [Withdraw(registered.key)]
    if registered.kind is VoucherKind.PAYMENT:
        return [Wait(registered.key)] if registered.state in IN_DOUBT else []
    if registered.state in IN_DOUBT:
        return [Wait(registered.key)]
    if registered.state in IN_BOOKS - {VoucherState.REVERSING}:
        cause = folded.lost
        return [Reverse(registered.key, cause)] if cause else [AskHuman(registered.key, "approval_vanished")]
    return []
