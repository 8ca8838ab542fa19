"""A small world around the hub for its tests: documents with a log, plans as the flows make them, a finance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from finbridge.core.documents import EventKind, LogEntry, content_hash
from finbridge.core.fold import fold
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, UNSENT
from finbridge.core.outcomes import Accepted, Duplicate, LedgerEntry, Outcome
from finbridge.core.plan import AskHuman, Create, Rebuild, Reverse, Withdraw, plan
from finbridge.core.ports import (
    CollectedDocument,
    Deliverable,
    DocumentWork,
    Lease,
    Planned,
    Problem,
    Sent,
    Stage,
    WriteBackRecord,
    WriteBackResult,
)
from finbridge.core.vouchers import MappingStamp, Side, Voucher, VoucherLine
from finbridge.hub import PostgresHub

STAMP = MappingStamp(mapping_id="expense_claim", version="1", sha256="0" * 64)
BEGIN = datetime.fromisoformat("2026-03-02T09:00:00")  # local time of the OA
E, P, R = VoucherKind.EXPENSE, VoucherKind.PAYMENT, VoucherKind.REVERSAL


def entry(number: int, kind: EventKind) -> LogEntry:
    """A log entry; its time follows its number."""
    return LogEntry(str(number), kind, BEGIN + timedelta(minutes=number), "审批", kind.value, "7")


def log(*kinds: EventKind) -> tuple[LogEntry, ...]:
    """Entries numbered from 1."""
    return tuple(entry(number, kind) for number, kind in enumerate(kinds, start=1))


APPROVED = (EventKind.SUBMITTED, EventKind.APPROVED)
PAID = (*APPROVED, EventKind.PAYMENT_REQUESTED, EventKind.PAID)
REJECTED = (*APPROVED, EventKind.REJECTED)


def document(
    name: str,
    *kinds: EventKind,
    amount: str = "100.00",
    company: str = "1000",
    stamp: str | None = None,
    settled: bool = True,
    problem: Problem | None = None,
    events: tuple[LogEntry, ...] | None = None,
) -> CollectedDocument:
    """A claim as collected; the amount is its content."""
    mine = log(*kinds) if events is None else events
    content = {"main": {"hdje": amount}, "details": {"dt1": [{"_row": "1", "hdje": amount}]}, "template": "101"}
    canonical = json.dumps(content, sort_keys=True).encode()
    stamp = stamp or f"2026-03-02 09:{len(mine):02}:00"
    return CollectedDocument(
        document_id=name,
        template="101",
        stamp=stamp,
        settled=settled,
        company=company,
        business_number=f"BX{name}",
        canonical=canonical,
        content=content_hash(canonical),
        events=mine,
        personal={"sqrxm": "张三丰", "skzh": "6222020200001111"},
        raw=b'{"wire":' + canonical + stamp.encode() + f"{[e.log_id for e in mine]}".encode() + b"}",
        problem=problem,
    )


def voucher(work: DocumentWork, source: str, kind: VoucherKind, cause: LogEntry) -> Voucher:
    """Debit expense, credit the employee, by the amount in the content."""
    amount = int(str(json.loads(work.canonical)["main"]["hdje"]).replace(".", ""))
    accounts = ("660201", "2241") if kind is E else ("2241", "1002")
    lines = tuple(
        VoucherLine(
            line_no=number,
            account=account,
            side=side,
            amount_minor=amount,
            currency="CNY",
            local_amount_minor=amount,
            summary="报销差旅费",
            party="E0001" if account == "2241" else None,
            assignment="A-1",
            dimensions=(("cost_centre_kind", "sales"), ("department", "CC-SAL-01"), ("employee", "E0001")),
            source_lines=("1",),
        )
        for number, (account, side) in enumerate(zip(accounts, (Side.DEBIT, Side.CREDIT), strict=True), start=1)
    )
    return Voucher(
        identity=VoucherIdentity(
            company=work.company,
            source=source,
            document_id=work.lease.document_id,
            cause=cause.log_id,
            kind=kind,
        ),
        currency="CNY",
        business_date=date(2026, 3, 1),
        document_date=cause.local_at.date(),
        posting_date=cause.local_at.date(),
        summary=f"报销 {work.business_number}",
        business_number=work.business_number,
        lines=lines,
        attachment_count=3,
        prepared_by="suite",
        mapping=STAMP,
    )


def planned(work: DocumentWork, source: str, *, holds: tuple[Problem, ...] = (), makes: bool = True) -> Planned:
    """The decision that the flows would store."""
    folded = fold(work.events)
    vouchers: list[Voucher] = []
    withdraw: list[str] = []
    reversals: list[tuple[str, date, str]] = []
    ask: list[tuple[str, str]] = []
    if work.problem is not None:
        unsent = tuple(r.key for r in work.register if r.state in UNSENT)
        return Planned(lease=work.lease, folded=folded, content=work.content, holds=(work.problem,), withdraw=unsent)
    for action in plan(folded, work.content, work.register):
        if isinstance(action, Create | Rebuild):
            if makes:
                vouchers.append(voucher(work, source, action.kind, action.cause))
            elif isinstance(action, Rebuild):
                withdraw.append(action.key)
        elif isinstance(action, Withdraw):
            withdraw.append(action.key)
        elif isinstance(action, Reverse):
            reversals.append((action.key, action.cause.local_at.date(), "红字冲销"))
        elif isinstance(action, AskHuman):
            ask.append((action.key, action.code))
    return Planned(
        lease=work.lease,
        folded=folded,
        content=work.content,
        vouchers=tuple(vouchers),
        reversals=tuple(reversals),
        withdraw=tuple(withdraw),
        needs_human=tuple(ask),
        holds=holds,
    )


#: A leased document and the source's name in, the decision out.
Decide = Callable[[DocumentWork, str], Planned]


@dataclass
class Finance:
    """Finance's own memory: posts once per key, answers by what it holds."""

    posted: dict[str, LedgerEntry] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)

    def post(self, sent: Voucher) -> Outcome:
        known = self.posted.get(sent.key)
        if known is not None:
            return Duplicate(known)
        number = f"记-2026-{len(self.posted) + 1:06}"
        found = LedgerEntry(
            key=sent.key,
            company=sent.identity.company,
            number=number,
            finance_id=f"F{len(self.posted) + 1}",
            posting_date=sent.posting_date,
            content=sent.content,
        )
        self.posted[sent.key] = found
        return Accepted(found)


@dataclass
class World:
    """One flow on one hub."""

    hub: PostgresHub
    flow: str
    finance: Finance = field(default_factory=Finance)

    @property
    def source(self) -> str:
        """Each flow reads a source of its own, so that tests of one database share no identity."""
        return f"weaver:{self.flow}"

    def plan(self, work: DocumentWork) -> Planned:
        return planned(work, self.source)

    def hold(self, work: DocumentWork, problem: Problem) -> Planned:
        return planned(work, self.source, holds=(problem,), makes=False)

    def store(self, *documents: CollectedDocument) -> int:
        return self.hub.store(self.flow, documents)

    def claim(self, stage: Stage, worker: str = "w1", limit: int = 1000, seconds: float = 60.0) -> list[DocumentWork]:
        return self.hub.claim(self.flow, stage, worker, limit, seconds)

    def leases(self, stage: Stage, worker: str = "w1", seconds: float = 60.0) -> list[Lease]:
        return [work.lease for work in self.claim(stage, worker, seconds=seconds)]

    def check(self, decide: Decide = planned) -> list[Lease]:
        """Plan everything that is due."""
        return self.hub.save_plans(self.flow, [decide(work, self.source) for work in self.claim(Stage.PLAN)])

    def send(self, items: Sequence[Deliverable], answer: Callable[[Voucher], Outcome] | None = None) -> dict[str, str]:
        """Mark, post, record; returns key -> attempt of what was sent."""
        ready = [item for item in items if item.state not in IN_DOUBT]
        attempts = self.hub.mark_sending({item.voucher.key: item.lease for item in ready})
        answer = answer or self.finance.post
        self.hub.record(
            self.flow,
            [
                Sent(
                    lease=item.lease,
                    key=item.voucher.key,
                    attempt_id=attempts[item.voucher.key],
                    outcome=answer(item.voucher),
                )
                for item in ready
                if item.voucher.key in attempts
            ],
        )
        return attempts

    def deliver(self, answer: Callable[[Voucher], Outcome] | None = None, worker: str = "w1") -> list[str]:
        """One round of delivery of everything that is due; returns the keys sent."""
        leases = self.leases(Stage.DELIVER, worker)
        sent = self.send(self.hub.deliverables(self.flow, leases), answer)
        self.hub.release(self.flow, leases)
        return list(sent)

    def write_back(
        self, result: WriteBackResult = WriteBackResult.SAVED, *, verified: bool = True, detail: str = ""
    ) -> list[str]:
        """Write back everything that is due with one result; returns what would stand on the forms."""
        leases = self.leases(Stage.WRITE_BACK)
        items = self.hub.write_backs(self.flow, leases)
        self.hub.record_write_backs(
            self.flow,
            [
                WriteBackRecord(lease=i.lease, keys=i.keys, result=result, verified=verified, detail=detail)
                for i in items
            ],
        )
        self.hub.release(self.flow, leases)
        return [item.voucher_number or item.error for item in items]

    def post(self, *documents: CollectedDocument) -> None:
        """Bring documents all the way into the books."""
        self.store(*documents)
        self.check()
        while self.deliver():
            pass

    def states(self, name: str) -> dict[str, str]:
        """Kind and cause of a document's vouchers -> state."""
        rows = (row for row in self.hub.register_rows(self.flow) if row["document_id"] == name and row["key"])
        return {
            f"{row['kind']}:{row['cause']}" if row["kind"] != "reversal" else "reversal": row["state"] for row in rows
        }

    def keys(self, name: str) -> dict[str, str]:
        """Kind -> key of a document's newest voucher of it."""
        rows = (row for row in self.hub.register_rows(self.flow) if row["document_id"] == name and row["key"])
        return {row["kind"]: row["key"] for row in rows}

    def holds(self, name: str) -> list[str]:
        """Open reason codes of a document."""
        return sorted(self.row(name)["holds"])

    def row(self, name: str) -> Mapping[str, Any]:
        """A document as reports show it."""
        return next(row for row in self.hub.document_rows(self.flow) if row["document_id"] == name)

    def due(self) -> dict[str, int]:
        """Stage -> number of documents due now."""
        return {stage.value: count for stage, count in self.hub.due(self.flow).items()}


@pytest.fixture
def hub_world(hub: PostgresHub, request: pytest.FixtureRequest) -> World:
    """A flow of its own on the module's hub."""
    return World(hub, flow=request.node.name)


def problem_of(name: str, code: str = "unknown_code", detail: str = "6602|招待 not in table") -> Problem:
    """A reason to hold a document."""
    return Problem(document_id=name, code=code, field="account", detail=detail)


def held(problems: Iterable[Problem]) -> Decide:
    """A plan that holds the documents named and makes no voucher for them."""
    by_name: dict[str, tuple[Problem, ...]] = {}
    for problem in problems:
        by_name[problem.document_id] = (*by_name.get(problem.document_id, ()), problem)

    def decide(work: DocumentWork, source: str) -> Planned:
        holds = by_name.get(work.lease.document_id)
        return planned(work, source, holds=holds, makes=False) if holds else planned(work, source)

    return decide
