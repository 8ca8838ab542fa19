"""Rows of the hub in memory, and what a document is due for next: the rules of `finbridge.hub`, written once more.

Shares no code with the hub on PostgreSQL; a contract test holds that both answer alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from finbridge.core.clock import Clock
from finbridge.core.documents import LogEntry
from finbridge.core.fold import Folded
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT, Signal, Step, VoucherState, step
from finbridge.core.outcomes import AuthFailed, Locked, NotSent, Outcome, RefusedUnprocessed, Throttled
from finbridge.core.plan import Registered
from finbridge.core.ports import Lease, Problem, Stage
from finbridge.core.rereading import UNREAD
from finbridge.core.vouchers import Voucher

PutOff = Locked | Throttled | NotSent | RefusedUnprocessed | AuthFailed
TURN = {VoucherKind.REVERSAL: 0, VoucherKind.EXPENSE: 1, VoucherKind.PAYMENT: 2}
LIVE = IN_BOOKS - {VoucherState.REVERSING}
POSTED = frozenset({VoucherState.POSTED, VoucherState.WRITTEN_BACK})
_SETTLED = IN_BOOKS | {VoucherState.REVERSED, VoucherState.WITHDRAWN}
_UNCLEAR = IN_DOUBT | {VoucherState.NEEDS_HUMAN}
_TOLD = POSTED | {VoucherState.REJECTED}

#: Who opened a hold, its code, the voucher's key ("" = the document), field, detail.
Hold = tuple[str, str, str, str, str]


@dataclass(slots=True)
class VoucherRow:
    """A voucher of the register."""

    voucher: Voucher
    content: str  # hash of the source it was built from
    state: VoucherState
    created: datetime
    reason: str = ""
    retry_at: datetime | None = None
    tries: int = 0
    last_sent_at: datetime | None = None
    send_fence: int | None = None
    number: str | None = None
    finance_id: str | None = None
    posted_on: date | None = None
    reversed_by: str | None = None
    write_back: str | None = None
    write_back_at: datetime | None = None
    write_back_tries: int = 0

    @property
    def key(self) -> str:
        """Of the voucher."""
        return self.voucher.key

    @property
    def kind(self) -> VoucherKind:
        """Of the voucher."""
        return self.voucher.identity.kind

    @property
    def cause(self) -> str:
        """The log entry that called for it."""
        return self.voucher.identity.cause

    def take(self, event: Signal | Outcome, reason: str = "") -> Step:
        """The next state by the one state machine."""
        taken = step(self.state, event)
        if taken.state is not self.state:
            self.state, self.reason = taken.state, reason
        return taken

    def registered(self) -> Registered:
        """As the plan needs it."""
        return Registered(self.key, self.kind, self.cause, self.state, self.content, self.voucher.reverses_key)


@dataclass(slots=True)
class DocumentRow:
    """A document of the inbox with its vouchers, holds and lease."""

    flow_id: str
    document_id: str
    template: str
    stamp: str
    settled: bool
    company: str
    business_number: str
    content: str
    problem: Problem | None
    stage: Stage | None
    due_at: datetime | None
    revision: int = 1
    planned_revision: int = 0
    lease_owner: str = ""
    lease_fence: int | None = None
    lease_until: datetime | None = None
    lease_revision: int = 0
    waits: bool = False
    blocked: bool = False
    folded: Folded | None = None
    empty: frozenset[VoucherKind] = frozenset()
    versions: dict[str, bytes] = field(default_factory=dict)
    events: dict[str, LogEntry] = field(default_factory=dict)
    vouchers: dict[str, VoucherRow] = field(default_factory=dict)
    holds: set[Hold] = field(default_factory=set)
    unread_since: dict[Hold, datetime] = field(default_factory=dict)  # holds of reading; replaced as a whole
    read_again_at: datetime | None = None  # the last look by its id
    form_away: int = 0  # looks in a row that did not find the form

    @property
    def news(self) -> bool:
        """Whether something came in that no plan has seen."""
        return self.revision > self.planned_revision

    @property
    def approved(self) -> bool:
        """As the last plan saw it."""
        return self.folded is not None and self.folded.approval is not None

    def alive(self, now: datetime) -> bool:
        """Whether somebody holds a lease that has not run out."""
        return self.lease_until is not None and self.lease_until > now

    def rows(self) -> list[VoucherRow]:
        """Vouchers, the oldest first."""
        return sorted(self.vouchers.values(), key=lambda row: (row.created, row.key))

    def bring_news(self, now: datetime) -> None:
        """Due for a plan at once; a document under a live lease is when that lease ends."""
        self.revision += 1
        if not self.alive(now):
            self.stage, self.due_at = Stage.PLAN, now

    def end_lease(self) -> None:
        """Nobody's any more."""
        self.lease_owner, self.lease_fence, self.lease_until, self.lease_revision = "", None, None, 0

    def twin(self) -> DocumentRow:
        """A copy that shares nothing that changes."""
        other = copy(self)
        other.versions, other.events, other.holds = dict(self.versions), dict(self.events), set(self.holds)
        other.vouchers = {key: copy(row) for key, row in self.vouchers.items()}
        return other


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Waiting times in seconds; the same as those of the hub on PostgreSQL."""

    period: float = 900.0
    doubt_most: float = 60.0
    doubt_least: float = 1.0
    first: float = 1.0
    most: float = 300.0
    credentials: float = 60.0
    write_back_first: float = 2.0
    write_back_most: float = 900.0
    gone_tries: int = 12
    unread_least: float = 60.0
    unread_most: float = 21_600.0

    def doubt(self, now: datetime, last_sent_at: datetime | None) -> datetime:
        """The next look-up by key."""
        age = (now - last_sent_at).total_seconds() if last_sent_at else self.doubt_most
        return now + timedelta(seconds=min(max(age, self.doubt_least), self.doubt_most))

    def put_off(self, now: datetime, outcome: PutOff, tries: int) -> datetime:
        """The next send of what finance certainly did not take."""
        if isinstance(outcome, AuthFailed):
            return now + timedelta(seconds=self.credentials)
        asked = outcome.after_seconds if isinstance(outcome, Locked | Throttled) else self.first
        return now + timedelta(seconds=max(asked, min(self.most, self.first * _double(tries))))

    def unread(self, since: datetime, last: datetime) -> datetime:
        """The next look at a document that could not be read."""
        waited = (last - since).total_seconds()
        return last + timedelta(seconds=min(max(waited, self.unread_least), self.unread_most))

    def form(self, now: datetime, tries: int) -> datetime:
        """The next look at a form."""
        return now + timedelta(seconds=min(self.write_back_most, self.write_back_first * _double(tries)))


@dataclass(slots=True)
class Store:
    """All that the hub in memory keeps. Every method of the hub is one transaction on it."""

    clock: Clock
    waits: Waits
    documents: dict[tuple[str, str], DocumentRow] = field(default_factory=dict)
    collectors: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    watermarks: dict[str, datetime] = field(default_factory=dict)
    fence: int = 0
    attempts: int = 0
    verdicts: int = 0

    def next_fence(self) -> int:
        """Rises with each claim."""
        self.fence += 1
        return self.fence

    def of_flow(self, flow_id: str) -> Iterator[DocumentRow]:
        """Documents of a flow."""
        return (document for (flow, _), document in self.documents.items() if flow == flow_id)

    def leased(self, leases: Iterable[Lease], *, alive: bool = False) -> dict[Lease, DocumentRow]:
        """Documents that are still under these leases, in one order for everybody."""
        wanted = sorted(set(leases), key=lambda lease: (lease.document_id, lease.fence))
        now = self.clock.now()
        return {lease: d for lease in wanted if (d := self._holder(lease)) is not None and (d.alive(now) or not alive)}

    def _holder(self, lease: Lease) -> DocumentRow | None:
        for document in self.documents.values():
            if document.document_id == lease.document_id and document.lease_fence == lease.fence:
                return document
        return None


def waits_for_others(row: VoucherRow, document: DocumentRow) -> bool:
    """Whether an earlier kind, a rival in doubt, or a payment's expense must be settled first."""
    others = document.vouchers.values()
    for other in others:
        if TURN[other.kind] < TURN[row.kind] and other.state not in _SETTLED:
            return True
        if other.kind is row.kind and other.cause != row.cause and other.state in _UNCLEAR:
            return True
    if row.kind is not VoucherKind.PAYMENT or not document.approved:
        return False
    expenses = [other for other in others if other.kind is VoucherKind.EXPENSE]
    return not any(e.state in LIVE for e in expenses) and (bool(expenses) or document.blocked)


def writes_back(row: VoucherRow) -> bool:
    """Whether the voucher has a number or a refusal for the form."""
    return row.kind is VoucherKind.EXPENSE and row.state in _TOLD


def write_back_at(row: VoucherRow, now: datetime) -> datetime | None:
    """When the form is to be written or read back."""
    if row.write_back not in ("due", "sent") or not writes_back(row):
        return None
    return row.write_back_at or now


def next_due(document: DocumentRow, now: datetime) -> tuple[Stage | None, datetime | None]:
    """The next stage and its time."""
    if document.news:
        return Stage.PLAN, now
    times: list[tuple[datetime, int, Stage]] = []
    for row in document.vouchers.values():
        deliver = _deliver_at(row, document, now)
        if deliver is not None:
            times.append((max(deliver, now), 0, Stage.DELIVER))
        form = write_back_at(row, now)
        if form is not None:
            times.append((max(form, now), 1, Stage.WRITE_BACK))
    if not times:
        return None, None
    due_at, _, stage = min(times)
    return stage, due_at


def _deliver_at(row: VoucherRow, document: DocumentRow, now: datetime) -> datetime | None:
    if row.state in IN_DOUBT:
        return row.retry_at or now
    waiting = row.state in (VoucherState.READY, VoucherState.WAITING_PERIOD)
    return row.retry_at or now if waiting and not waits_for_others(row, document) else None


def next_reading(document: DocumentRow, waits: Waits) -> tuple[datetime, datetime] | None:
    """Of a document that stands because it could not be read: when it is looked at again, and its last look."""
    if not document.unread_since or document.problem is None or document.problem.code not in UNREAD:
        return None
    since = min(document.unread_since.values())
    last = max(since, document.read_again_at or since)
    return waits.unread(since, last), last


def close_holds(document: DocumentRow, keys: Iterable[str], keep: Sequence[Hold] = ()) -> None:
    """Close the holds of vouchers that got further; those of the plan stay the plan's."""
    wanted = set(keys)
    document.holds = {h for h in document.holds if h[0] == "plan" or h[2] not in wanted or h in keep}


def _double(tries: int) -> int:
    return 1 << min(max(tries - 1, 0), 20)
