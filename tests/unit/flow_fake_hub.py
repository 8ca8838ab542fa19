"""The hub's promises in dictionaries, for tests of the verbs. Shares no code with the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from finbridge.core.documents import DocumentRef, LogEntry
from finbridge.core.fold import Folded
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT, Signal, VoucherState, step
from finbridge.core.outcomes import (
    Accepted,
    Conflict,
    Duplicate,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
    Unknown,
)
from finbridge.core.plan import Registered
from finbridge.core.ports import (
    Account,
    CodeRow,
    CollectedDocument,
    CollectWindow,
    Deliverable,
    DocumentWork,
    Lease,
    Planned,
    Sent,
    Stage,
    TokenStore,
    Verdict,
    WriteBackItem,
    WriteBackRecord,
    WriteBackResult,
)
from finbridge.core.vouchers import Voucher, red_reversal

from tests.unit.flow_fakes import FakeClock


@dataclass
class _Row:
    """A voucher in the register."""

    voucher: Voucher
    content: str
    state: VoucherState
    last_sent_at: datetime | None = None
    retry_at: datetime | None = None
    number: str = ""
    posting_date: str = ""
    reason: str = ""
    told: bool = False  # its number or error stands on the form

    @property
    def kind(self) -> VoucherKind:
        return self.voucher.identity.kind


@dataclass
class _Doc:
    """A document in the inbox."""

    name: str
    collected: CollectedDocument
    events: dict[str, LogEntry]
    stamp: str
    news: bool = True
    waits: bool = False
    told_meanwhile: bool = False
    vouchers: dict[str, _Row] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    empty: tuple[VoucherKind, ...] = ()
    folded: Folded | None = None
    due_at: datetime | None = None
    lease: tuple[str, int, datetime] | None = None

    def stage(self, now: datetime | None = None) -> Stage | None:
        """What it is due for: now, or (without a time) at all."""
        if self.news:
            return Stage.PLAN
        rows = [row for row in self.vouchers.values() if now is None or row.retry_at is None or row.retry_at <= now]
        if any(self.may_go(row) for row in rows):
            return Stage.DELIVER
        if any(r.kind is VoucherKind.EXPENSE and not r.told and r.state in _TELLS for r in self.vouchers.values()):
            return Stage.WRITE_BACK
        return None

    def may_go(self, row: _Row) -> bool:
        if row.state in IN_DOUBT:
            return True
        earlier = [r for r in self.vouchers.values() if _TURN[r.kind] < _TURN[row.kind]]
        settled = all(r.state in IN_BOOKS | {VoucherState.REVERSED, VoucherState.WITHDRAWN} for r in earlier)
        return row.state is VoucherState.READY and settled


_TURN = {VoucherKind.REVERSAL: 0, VoucherKind.EXPENSE: 1, VoucherKind.PAYMENT: 2}
_TELLS = (VoucherState.POSTED, VoucherState.WRITTEN_BACK, VoucherState.REJECTED)
_Only = Sequence[str] | None
_PUT_OFF = (Locked, Throttled, NotSent, RefusedUnprocessed)


class _NoTokens:
    def get(self, name: str) -> str | None:
        return None

    def put(self, name: str, value: str, expires_at: datetime | None) -> None:
        return None

    def forget(self, name: str) -> None:
        return None

    def locked(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class FakeHub:
    """The hub's promises in dictionaries: leases with fences, news before sends, states by `core.lifecycle.step`."""

    clock: FakeClock
    docs: dict[str, _Doc] = field(default_factory=dict)
    through: datetime | None = None
    collector: tuple[str, int] | None = None
    fence: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    tokens: TokenStore = field(default_factory=_NoTokens)
    unread: list[DocumentRef] = field(default_factory=list)

    # collect

    def begin_collect(self, flow_id: str, worker: str, lease_seconds: float) -> CollectWindow | None:
        if self.collector is not None and self.collector[0] != worker:
            return None
        self.fence += 1
        self.collector = (worker, self.fence)
        return CollectWindow(flow_id=flow_id, through=self.through, fence=self.fence)

    def unseen(self, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]:
        return [r for r in refs if r.document_id not in self.docs or self.docs[r.document_id].stamp != r.stamp]

    def store(self, flow_id: str, documents: Sequence[CollectedDocument]) -> int:
        due = 0
        for document in documents:
            doc = self.docs.get(document.document_id)
            events = {entry.log_id: entry for entry in document.events}
            stamp = document.stamp if document.settled else ""
            if doc is None:
                self.docs[document.document_id] = _Doc(document.document_id, document, events, stamp)
                due += 1
                continue
            before = (doc.collected.content, doc.collected.problem, set(doc.events))
            doc.events |= events
            doc.collected, doc.stamp = document, stamp
            if (document.content, document.problem, set(doc.events)) != before:
                doc.news, doc.due_at, doc.told_meanwhile = True, None, True
                due += 1
        return due

    def end_collect(self, window: CollectWindow, through: datetime | None) -> bool:
        if self.collector is None or self.collector[1] != window.fence:
            return False
        self.collector, self.through = None, through or self.through
        return True

    def take_unread(self, flow_id: str, limit: int) -> list[DocumentRef]:
        return self.unread[:limit]

    # work

    def due(self, flow_id: str) -> Mapping[Stage, int]:
        free = [doc for doc in self.docs.values() if self._free(doc)]
        return Counter(stage for doc in free if (stage := doc.stage(self.clock.now())) is not None)

    def _free(self, doc: _Doc) -> bool:
        now = self.clock.now()
        return (doc.lease is None or doc.lease[2] <= now) and (doc.due_at is None or doc.due_at <= now)

    def claim(
        self, flow_id: str, stage: Stage, worker: str, limit: int, lease_seconds: float, *, only: _Only = None
    ) -> list[DocumentWork]:
        works: list[DocumentWork] = []
        for doc in self.docs.values() if only is None else [self.docs[name] for name in only if name in self.docs]:
            if len(works) < limit and self._free(doc) and doc.stage(self.clock.now()) is stage:
                self.fence += 1
                doc.lease = (worker, self.fence, self.clock.now() + timedelta(seconds=lease_seconds))
                doc.told_meanwhile = False
                works.append(self._work(doc))
        return works

    def _work(self, doc: _Doc) -> DocumentWork:
        return DocumentWork(
            lease=Lease(doc.name, doc.lease[1] if doc.lease else 0),
            company=doc.collected.company,
            business_number=doc.collected.business_number,
            content=doc.collected.content,
            canonical=doc.collected.canonical,
            events=tuple(doc.events.values()),
            register=tuple(
                Registered(k, r.kind, r.voucher.identity.cause, r.state, r.content, r.voucher.reverses_key)
                for k, r in doc.vouchers.items()
            ),
            problem=doc.collected.problem,
        )

    def _ours(self, lease: Lease) -> _Doc | None:
        doc = self.docs[lease.document_id]
        return doc if doc.lease is not None and doc.lease[1] == lease.fence else None

    def steal(self, name: str) -> None:
        """Another worker took the document over."""
        self.fence += 1
        self.docs[name].lease = ("thief", self.fence, self.clock.now() + timedelta(seconds=60))

    def save_plans(self, flow_id: str, plans: Sequence[Planned]) -> list[Lease]:
        stored = []
        for planned in plans:
            doc = self._ours(planned.lease)
            if doc is None:
                continue
            for key in planned.withdraw:
                self._take(doc, key, Signal.RECALLED)
            for voucher in planned.vouchers:
                self._build(doc, voucher, planned.content)
            for key, day, summary in planned.reversals:
                red = red_reversal(doc.vouchers[key].voucher, day, summary)
                doc.vouchers[red.key] = _Row(red, planned.content, VoucherState.READY)
                self._take(doc, key, Signal.APPROVAL_LOST)
            doc.holds = {p.code: p.detail for p in planned.holds} | {code: key for key, code in planned.needs_human}
            doc.empty, doc.folded = planned.empty, planned.folded
            doc.news = doc.collected.content != planned.content
            doc.waits = any(row.state in IN_DOUBT for row in doc.vouchers.values())
            doc.lease = doc.due_at = None
            stored.append(planned.lease)
        return stored

    def _build(self, doc: _Doc, voucher: Voucher, content: str) -> None:
        row = doc.vouchers.get(voucher.key)
        if row is None:
            doc.vouchers[voucher.key] = _Row(voucher, content, VoucherState.READY)
            return
        state = step(step(row.state, Signal.REBUILT).state, Signal.CHECK_PASSED).state
        doc.vouchers[voucher.key] = _Row(voucher, content, state)

    def _take(self, doc: _Doc, key: str, event: Signal | Outcome) -> None:
        row = doc.vouchers[key]
        before, row.state = row.state, step(row.state, event).state
        if before in IN_DOUBT and row.state not in IN_DOUBT and doc.waits:
            doc.news = True  # the plan waited for this

    def deliverables(self, flow_id: str, leases: Sequence[Lease]) -> list[Deliverable]:
        found = []
        for lease in leases:
            doc = self._ours(lease)
            for row in doc.vouchers.values() if doc is not None else ():
                if doc is not None and doc.may_go(row) and not (doc.news and row.state is VoucherState.READY):
                    found.append(
                        Deliverable(
                            lease=lease,
                            voucher=row.voucher,
                            state=row.state,
                            content=row.content,
                            last_sent_at=row.last_sent_at,
                        )
                    )
        return found

    def mark_sending(self, leases: Mapping[str, Lease]) -> dict[str, str]:
        attempts = {}
        for key, lease in leases.items():
            doc = self._ours(lease)
            if doc is not None and doc.lease is not None and doc.lease[2] > self.clock.now() and not doc.news:
                self._take(doc, key, Signal.MARK_SENDING)
                doc.vouchers[key].last_sent_at = self.clock.now()
                attempts[key] = f"attempt-{key}-{self.clock.now():%H%M%S}"
        return attempts

    def record(self, flow_id: str, results: Sequence[Sent]) -> None:
        for sent in results:
            doc = self._ours(sent.lease)
            if doc is None:
                continue
            row = doc.vouchers[sent.key]
            if sent.outcome is None:
                self._take(doc, sent.key, Signal.NOT_FOUND)
                continue
            self._take(doc, sent.key, sent.outcome)
            self._again(row, sent.outcome)
            if isinstance(sent.outcome, Accepted | Duplicate):
                row.number = sent.outcome.entry.number
                row.posting_date = sent.outcome.entry.posting_date.isoformat()
                if row.voucher.reverses_key is not None:
                    self._take(doc, row.voucher.reverses_key, Signal.REVERSAL_POSTED)
            elif isinstance(sent.outcome, Conflict | Rejected | PeriodClosed):
                row.reason = type(sent.outcome).__name__
                doc.holds[row.reason] = sent.key

    def _again(self, row: _Row, outcome: Outcome) -> None:
        """When to send or look next: as far ahead as the send lies behind, or as finance asked."""
        row.retry_at = None
        if isinstance(outcome, Unknown):
            row.retry_at = self.clock.now() + timedelta(seconds=1)
        elif isinstance(outcome, _PUT_OFF):
            seconds = outcome.after_seconds if isinstance(outcome, Locked | Throttled) else 1
            row.retry_at = self.clock.now() + timedelta(seconds=seconds)

    def write_backs(self, flow_id: str, leases: Sequence[Lease]) -> list[WriteBackItem]:
        items = []
        for lease in leases:
            doc = self._ours(lease)
            for key, row in doc.vouchers.items() if doc is not None else ():
                if row.kind is VoucherKind.EXPENSE and not row.told and row.state in _TELLS:
                    items.append(
                        WriteBackItem(
                            lease=lease,
                            keys=(key,),
                            voucher_number=row.number,
                            posting_date=row.posting_date,
                            error=row.reason,
                            done=row.state is VoucherState.WRITTEN_BACK,
                        )
                    )
        return items

    def record_write_backs(self, flow_id: str, results: Sequence[WriteBackRecord]) -> None:
        for record in results:
            doc = self._ours(record.lease)
            for key in record.keys if doc is not None else ():
                if doc is not None:
                    self._told(doc, doc.vouchers[key], record)

    def _told(self, doc: _Doc, row: _Row, record: WriteBackRecord) -> None:
        if record.result not in (WriteBackResult.SAVED, WriteBackResult.NOT_ALLOWED):
            doc.due_at = self.clock.now() + timedelta(seconds=2)
        elif record.result is WriteBackResult.NOT_ALLOWED:
            doc.holds["write_back_not_possible"] = record.detail
            row.told = True
        elif row.state is VoucherState.REJECTED:
            row.told = record.verified
        else:
            if row.state is VoucherState.POSTED:
                row.state = step(row.state, Signal.WRITE_BACK_SENT).state
            if record.verified:
                row.state = step(row.state, Signal.WRITE_BACK_VERIFIED).state

    def release(self, flow_id: str, leases: Sequence[Lease], *, retry_after_seconds: float | None = None) -> None:
        for lease in leases:
            doc = self._ours(lease)
            if doc is not None:
                doc.lease = None
                doc.due_at = doc.due_at if doc.due_at and doc.due_at > self.clock.now() else None
                for row in doc.vouchers.values():
                    waits = row.retry_at is not None and row.retry_at > self.clock.now()
                    if row.state in IN_DOUBT and row.last_sent_at and not waits:
                        row.retry_at = self.clock.now() + max(self.clock.now() - row.last_sent_at, timedelta(seconds=1))
                if retry_after_seconds is not None and not doc.told_meanwhile:
                    doc.due_at = self.clock.now() + timedelta(seconds=retry_after_seconds)

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        return [lease for lease in leases if self._ours(lease) is not None]

    # reading

    def codes(self, flow_id: str) -> list[CodeRow]:
        return []

    def account(self, flow_id: str) -> Account:
        lost = tuple(sorted(name for name, doc in self.docs.items() if not self._explained(doc)))
        return Account(
            documents=Counter(str(doc.folded.end_state) if doc.folded else "new" for doc in self.docs.values()),
            vouchers=Counter(row.state.value for doc in self.docs.values() for row in doc.vouchers.values()),
            held=Counter(code for doc in self.docs.values() for code in doc.holds),
            due={stage: count for stage, count in self.due(flow_id).items()},
            unexplained=lost,
        )

    def _explained(self, doc: _Doc) -> bool:
        if doc.holds or doc.stage() is not None or doc.folded is None or doc.folded.approval is None:
            return True
        live = [r for r in doc.vouchers.values() if r.kind is VoucherKind.EXPENSE and r.state in IN_BOOKS]
        return bool(live) or VoucherKind.EXPENSE in doc.empty

    def store_verdict(self, flow_id: str, run_id: str, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    # for tests

    def states(self, name: str) -> list[tuple[str, str]]:
        """Kind and state of a document's vouchers, oldest first."""
        return [(row.kind.value, row.state.value) for row in self.docs[name].vouchers.values()]
