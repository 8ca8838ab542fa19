"""The state of a document is folded from the OA's approval log, never read from a status text.

The fold is a pure function of the *set* of log entries: doubled entries (same log id) and any order of arrival give
the same result. Entries of one second are put into the order a workflow can have (saved, submitted, steps, approved,
rejected, withdrawn, payment requested, paid); equal kinds keep the OA's order of log ids. So vouchers, dates and end
states never depend on how an OA numbers what happens within a second. The exceptions are another matter: they say
what the OA recorded in which order, and follow its log ids within a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from finbridge.core.documents import EventKind, LogEntry

_RANK = {
    EventKind.SAVED: 0,
    EventKind.SUBMITTED: 1,
    EventKind.STEP: 2,
    EventKind.IGNORED: 2,
    EventKind.APPROVED: 3,
    EventKind.REJECTED: 4,
    EventKind.WITHDRAWN: 5,
    EventKind.PAYMENT_REQUESTED: 6,
    EventKind.PAID: 7,
}
_LOSS_NAME = {
    EventKind.SAVED: "SAVED",
    EventKind.SUBMITTED: "SUBMITTED",
    EventKind.REJECTED: "REJECTED",
    EventKind.WITHDRAWN: "REJECTED",  # a withdrawal is a rejection by the employee
}


class EndState(StrEnum):
    """Where a document stands."""

    NONE = "NONE"
    DRAFT = "DRAFT"
    IN_APPROVAL = "IN_APPROVAL"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"
    PAYMENT_REQUESTED = "PAYMENT_REQUESTED"
    PAID = "PAID"
    PAID_UNAPPROVED = "PAID_UNAPPROVED"


_STATE_AFTER_LOSS = {
    EventKind.SAVED: EndState.DRAFT,
    EventKind.SUBMITTED: EndState.IN_APPROVAL,
    EventKind.REJECTED: EndState.REJECTED,
    EventKind.WITHDRAWN: EndState.WITHDRAWN,
}


@dataclass(frozen=True, slots=True)
class Folded:
    """What the log says.

    ``approval`` is the entry that approved and still holds; ``approvals`` the ids of all approvals since the last loss
    (a second approval is a no-op, and a late earlier one must not make a second voucher). ``payment`` is the first
    entry that paid while approved. ``lost`` is the latest entry that took an approval away. ``exceptions`` are named
    in order of first occurrence in the OA's own record.
    """

    end_state: EndState
    approval: LogEntry | None
    approvals: frozenset[str]
    payment: LogEntry | None
    payments: frozenset[str]
    lost: LogEntry | None
    exceptions: tuple[str, ...]
    unclear: bool = False  # inside one second, the OA's log ids tell another end than the order a workflow can have

    @property
    def approved(self) -> bool:
        """Whether an approval holds now."""
        return self.approval is not None


def order(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """Distinct log ids in the one order that everybody uses."""
    distinct = {entry.log_id: entry for entry in entries}
    return sorted(
        distinct.values(), key=lambda e: (e.local_at.replace(microsecond=0), _RANK[e.kind], *_id_key(e.log_id))
    )


def recorded(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """Distinct log ids as the OA recorded them: by second, then by log id."""
    distinct = {entry.log_id: entry for entry in entries}
    return sorted(distinct.values(), key=lambda e: (e.local_at.replace(microsecond=0), *_id_key(e.log_id)))


def _id_key(log_id: str) -> tuple[int, str]:
    return (int(log_id) if log_id.isdigit() else 0, log_id)


class _Folder:
    """Accumulates one document's history."""

    def __init__(self) -> None:
        self.state = EndState.NONE
        self.approval: LogEntry | None = None
        self.approvals: set[str] = set()
        self.payment: LogEntry | None = None
        self.payments: set[str] = set()
        self.lost: LogEntry | None = None
        self.requested = False
        self.handled = False
        self.exceptions: dict[str, None] = {}

    def take(self, entry: LogEntry) -> None:
        if entry.kind in _LOSS_NAME:
            self._lose(entry)
        elif entry.kind is EventKind.APPROVED:
            self._approve(entry)
        elif entry.kind is EventKind.PAYMENT_REQUESTED:
            self._request()
        elif entry.kind is EventKind.PAID:
            self._pay(entry)
        elif entry.kind is EventKind.STEP and self.approval is None:
            self.state = EndState.IN_APPROVAL

    def _lose(self, entry: LogEntry) -> None:
        if self.handled:
            self.exceptions[f"{_LOSS_NAME[entry.kind]}_AFTER_PAID"] = None
        elif self.approval is not None and self.requested:
            self.exceptions[f"{_LOSS_NAME[entry.kind]}_AFTER_PAYMENT_REQUESTED"] = None
        if self.approval is not None:
            self.lost = entry
        self.approval = None
        self.approvals.clear()
        self.state = _STATE_AFTER_LOSS[entry.kind]

    def _approve(self, entry: LogEntry) -> None:
        if self.approval is None:
            self.approval = entry
        self.approvals.add(entry.log_id)
        self.state = EndState.APPROVED

    def _request(self) -> None:
        if self.approval is None:
            self.exceptions["PAYMENT_REQUESTED_NOT_APPROVED"] = None
        self.requested = True

    def _pay(self, entry: LogEntry) -> None:
        if self.approval is None:
            self.exceptions["PAID_NOT_APPROVED"] = None
        if not self.requested:
            self.exceptions["PAID_BEFORE_OR_WITHOUT_REQUEST"] = None
        if self.handled:
            self.exceptions["PAID_TWICE"] = None
        if self.approval is not None:
            self.payment = self.payment or entry
            self.payments.add(entry.log_id)
        self.handled = True

    def end_state(self) -> EndState:
        if self.handled:
            return EndState.PAID if self.approval is not None else EndState.PAID_UNAPPROVED
        if self.requested and self.approval is not None:
            return EndState.PAYMENT_REQUESTED
        return self.state


def fold(entries: Iterable[LogEntry]) -> Folded:
    """Fold the log of one document."""
    known = list(entries)
    folder, witness = _Folder(), _Folder()
    for entry in order(known):
        folder.take(entry)
    for entry in recorded(known):
        witness.take(entry)
    return Folded(
        end_state=folder.end_state(),
        approval=folder.approval,
        approvals=frozenset(folder.approvals),
        payment=folder.payment,
        payments=frozenset(folder.payments),
        lost=folder.lost,
        exceptions=tuple(witness.exceptions),
        unclear=(folder.approval is None) != (witness.approval is None),
    )
