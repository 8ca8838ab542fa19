"""Small in-memory stand-ins for the ports, with handles on their order of events. They share no code with the hub."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from finbridge.core.documents import DocumentRef, EventKind, LogRow, SourceDocument
from finbridge.core.errors import NeedsHuman
from finbridge.core.flow import Company, Flow, LogRule, WriteBackRule
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.outcomes import (
    Accepted,
    Conflict,
    Duplicate,
    LedgerEntry,
    Outcome,
    Unknown,
)
from finbridge.core.ports import (
    CodeRow,
    Problem,
    Translation,
    TranslationRequest,
    Verdict,
    WriteBackResult,
)
from finbridge.core.vouchers import MappingStamp, Side, Voucher, VoucherLine

EVENTS = {
    "保存": EventKind.SAVED,
    "提交": EventKind.SUBMITTED,
    "批准": EventKind.APPROVED,
    "退回": EventKind.REJECTED,
    "撤回": EventKind.WITHDRAWN,
    "付款": EventKind.PAID,
}


def make_flow(**changes: object) -> Flow:
    """A flow with one company that makes expense and payment vouchers."""
    flow = Flow(
        flow_id="f",
        source_system="weaver",
        source_connection="oa",
        target_system="journal",
        target_connection="fin",
        document_type="expense_claim",
        templates=frozenset({"101"}),
        companies={"1000": Company(code="1000", currency="CNY", time_zone="Asia/Shanghai", ledger_company="1000")},
        company_field="gsdm",
        company_constant=None,
        business_number_field="djbh",
        personal_fields=("sqrxm", "dt.skzh"),
        mapping="m",
        documents_suite="d",
        vouchers_suite="v",
        log_rules=tuple(
            LogRule(event=kind, node=re.compile(".*"), operation=re.compile(word), operator=re.compile(".*"))
            for word, kind in EVENTS.items()
        ),
        makes={EventKind.APPROVED: "expense", EventKind.PAID: "payment"},
        write_back=WriteBackRule(node="过账", voucher_number="pzh", posting_date="gzrq", error="jzxx"),
        settle_seconds=60.0,
        batch_size=50,
    )
    return replace(flow, **changes)  # type: ignore[arg-type]  # names are those of Flow, checked by the dataclass


@dataclass
class FakeClock:
    """A clock that only moves when told."""

    at: datetime = datetime(2026, 11, 22, 1, 0, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


STAMP = MappingStamp(mapping_id="m", version="1", sha256="0" * 64)

# ---------------------------------------------------------------- OA


@dataclass
class FakeOa:
    """An OA with one form. ``hooks`` run before each read of a document: what users do in between."""

    clock: FakeClock
    documents: dict[str, SourceDocument] = field(default_factory=dict)
    listed: dict[str, DocumentRef] = field(default_factory=dict)
    hooks: list[Callable[[str], None]] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)
    write_answers: list[WriteBackResult] = field(default_factory=list)
    lose_writes: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    next_log: int = 1

    def local(self) -> datetime:
        return (self.clock.at + timedelta(hours=8)).replace(tzinfo=None)

    def put(self, name: str, amount: str, *operations: str, node: str = "过账", company: str = "1000") -> None:
        """Create or change a document and append log rows."""
        before = self.documents.get(name)
        log = list(before.log) if before else []
        for operation in operations:
            log.append(LogRow(str(self.next_log), "审批", operation, "7", self.local()))
            self.next_log += 1
        main = {"djbh": f"BX-{name}", "gsdm": company, "hdje": amount, "sqrxm": "张三"}
        kept = {k: v for k, v in before.main.items() if k not in main} if before else {}
        stamp = f"{self.local():%Y-%m-%d %H:%M:%S}|{node}"
        document = SourceDocument(
            name, "101", stamp, node, kept | main, {"dt": ({"skzh": "6222"},)}, tuple(log), b"raw"
        )
        self.documents[name] = document
        self.listed[name] = DocumentRef(name, "101", stamp)

    async def now(self) -> datetime:
        return self.local()

    async def changed(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        rows = [
            ref for ref in self.listed.values() if since.isoformat() <= ref.stamp[:10] and ref.template in templates
        ]
        for start in range(0, len(rows), 3):
            yield [ref for ref in rows[start : start + 3] if ref.stamp[:19] <= f"{until:%Y-%m-%d %H:%M:%S}"]

    async def read(self, document_ids: Sequence[str]) -> dict[str, SourceDocument | None]:
        found: dict[str, SourceDocument | None] = {}
        for name in document_ids:
            for hook in list(self.hooks):
                hook(name)
            self.calls["read"] += 1
            if name in self.poison:
                raise NeedsHuman("unreadable", f"document {name} has another shape")
            found[name] = self.documents.get(name)
        return found

    async def write_back(self, document_id: str, node: str, fields: Mapping[str, str]) -> WriteBackResult:
        self.calls["write_back"] += 1
        document = self.documents[document_id]
        if document.node != node:
            return WriteBackResult.NOT_ALLOWED
        answer = self.write_answers.pop(0) if self.write_answers else WriteBackResult.SAVED
        lost = answer is WriteBackResult.UNKNOWN and self.lose_writes
        if answer in (WriteBackResult.SAVED, WriteBackResult.UNKNOWN) and not lost:
            self.documents[document_id] = replace(document, main={**document.main, **fields})
        return answer

    async def advance(self, document_id: str, node: str) -> WriteBackResult:
        self.calls["advance"] += 1
        document = self.documents[document_id]
        if document.node == node:
            self.documents[document_id] = replace(document, node="付款")
        return WriteBackResult.SAVED

    async def close(self) -> None:
        return None


# ---------------------------------------------------------------- finance


@dataclass
class FakeLedger:
    """Books by key. ``script`` answers one send each: an outcome, "lost" (posted, no answer) or "dropped"."""

    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    vouchers: dict[str, Voucher] = field(default_factory=dict)
    script: dict[str, list[Outcome | str]] = field(default_factory=dict)
    sends: Counter[str] = field(default_factory=Counter)
    looks: Counter[str] = field(default_factory=Counter)
    before_post: Callable[[Sequence[Voucher]], None] | None = None

    async def post(self, vouchers: Sequence[Voucher]) -> list[Outcome]:
        if self.before_post is not None:
            self.before_post(vouchers)
        return [self._one(voucher) for voucher in vouchers]

    def _one(self, voucher: Voucher) -> Outcome:
        self.sends[voucher.key] += 1
        script = self.script.get(voucher.identity.document_id, [])
        answer = script.pop(0) if script else None
        if isinstance(answer, Outcome):
            return answer
        if answer == "dropped":
            return Unknown("cut before the commit")
        if voucher.key in self.entries:
            entry = self.entries[voucher.key]
            return Duplicate(entry) if entry.content == voucher.content else Conflict(entry, "differs")
        entry = LedgerEntry(
            voucher.key,
            voucher.identity.company,
            f"记-{len(self.entries) + 1}",
            "1",
            voucher.posting_date,
            voucher.content,
        )
        self.entries[voucher.key] = entry
        self.vouchers[voucher.key] = voucher
        return Unknown("answer lost") if answer == "lost" else Accepted(entry)

    async def find(self, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        for key in keys:
            self.looks[key] += 1
        return {key: self.entries[key] for key in keys if key in self.entries}

    async def period_entries(self, company: str, period: str) -> AsyncIterator[list[LedgerEntry]]:
        yield [e for e in self.entries.values() if e.company == company and f"{e.posting_date:%Y-%m}" == period]

    async def close(self) -> None:
        return None

    def live(self, document_id: str, kind: VoucherKind = VoucherKind.EXPENSE) -> list[Voucher]:
        """Vouchers of a kind that no reversal took back."""
        reversed_keys = {v.reverses_key for v in self.vouchers.values()}
        return [
            v
            for v in self.vouchers.values()
            if v.identity.document_id == document_id and v.identity.kind is kind and v.key not in reversed_keys
        ]


# ---------------------------------------------------------------- mapping and judge


@dataclass
class FakeTranslator:
    """借 660201 贷 2241 by the field hdje; "x" is a problem, "boom" a bug of the engine, 0 is empty."""

    main_fields: frozenset[str] = frozenset({"djbh", "gsdm", "hdje"})
    detail_fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    stamp: MappingStamp = STAMP
    calls: int = 0

    def translate(self, requests: Sequence[TranslationRequest], codes: Sequence[CodeRow]) -> Translation:
        self.calls += 1
        vouchers, problems, empty, rows = [], [], [], []
        for request in requests:
            amount = json.loads(request.canonical)["main"]["hdje"]
            rows.append({"document_id": request.document_id, "amount": amount})
            if amount == "boom":
                raise ZeroDivisionError
            if not amount.isdigit():
                problems.append(
                    Problem(document_id=request.document_id, code="bad_amount", field="hdje", detail="not a number")
                )
            elif int(amount) == 0:
                empty.append((request.document_id, request.kind))
            else:
                vouchers.append(_voucher(request, int(amount)))
        return Translation(
            vouchers=tuple(vouchers),
            problems=tuple(problems),
            empty=tuple(empty),
            frames={"documents": rows, "vouchers": vouchers},
        )


def _voucher(request: TranslationRequest, minor: int) -> Voucher:
    day = request.cause.local_at.date()
    sides = ((1, "660201", Side.DEBIT), (2, "2241", Side.CREDIT))
    return Voucher(
        identity=VoucherIdentity(
            request.company, request.source, request.document_id, request.cause.log_id, request.kind, request.split
        ),
        currency=request.currency,
        business_date=day,
        document_date=day,
        posting_date=day,
        summary="报销",
        business_number=request.business_number,
        lines=tuple(
            VoucherLine(
                line_no=at, account=account, side=side, amount_minor=minor, currency="CNY", local_amount_minor=minor
            )
            for at, account, side in sides
        ),
    )


@dataclass
class FakeJudge:
    """Names documents with an amount in ``bad``; ``broken`` breaks the batch rule of a suite."""

    bad: Mapping[str, str] = field(default_factory=dict)
    broken: str | None = None
    calls: Counter[str] = field(default_factory=Counter)

    def judge(self, suite: str, frames: Mapping[str, Sequence[Mapping[str, str]]]) -> Verdict:
        self.calls[suite] += 1
        bad = tuple(
            Problem(document_id=row["document_id"], code=self.bad[row["amount"]], field="hdje", detail=f"by {suite}")
            for row in (frames["documents"] if suite == "d" else ())
            if row["amount"] in self.bad
        )
        ok = self.broken != suite
        return Verdict(
            suite=suite,
            batch_ok=ok,
            broken_batch_rules=() if ok else ("row_count",),
            bad=bad,
            rows=len(frames["documents"]),
            result_json="{}",
        )
