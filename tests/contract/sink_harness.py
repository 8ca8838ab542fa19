"""What a finance system brings to the SinkContract, and the vouchers that its tests post."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.outcomes import Accepted, Conflict, Duplicate, LedgerEntry, Outcome
from finbridge.core.ports import Ledger
from finbridge.core.vouchers import Side, Voucher, VoucherLine, red_reversal


class SinkHarness(ABC):
    """A finance system under test. The chart is the demo's: 660201 without a party, 2241 with one, and so on."""

    company = "1000"
    other_company = "2000"
    currency = "CNY"
    party = "E0001"
    open_day = date(2026, 11, 20)
    other_open_day = date(2026, 10, 31)
    #: a period of ``other_company`` that only the paging test uses
    paging_day = date(2026, 2, 15)
    #: a day of a period that the harness has closed
    closed_day = date(2026, 1, 15)
    #: a day of a year that finance does not have
    missing_day = date(1999, 1, 15)

    @abstractmethod
    async def connect(self, **extra: object) -> Ledger:
        """A fresh client with a session of its own; ``extra`` goes into the connection (page_size, batch_size)."""

    @abstractmethod
    def losing_answers(self) -> AbstractAsyncContextManager[Ledger]:
        """A client whose posts are done by finance, but whose answers never arrive."""

    @abstractmethod
    def cutting_requests(self) -> AbstractAsyncContextManager[Ledger]:
        """A client whose posts are cut on the way: bytes left, finance does nothing."""

    @abstractmethod
    def refusing_connections(self) -> AbstractAsyncContextManager[Ledger]:
        """A client of a port where nobody listens."""

    @abstractmethod
    def locked(self) -> AbstractAsyncContextManager[Ledger]:
        """Somebody holds a lock in finance that keeps ``company`` from posting."""

    @abstractmethod
    def throttling(self) -> AbstractAsyncContextManager[Ledger]:
        """A client that is told to slow down (429 with Retry-After: 3)."""

    @abstractmethod
    def expiring_session(self) -> AbstractAsyncContextManager[Ledger]:
        """A client that worked before and whose session finance has forgotten since."""

    @abstractmethod
    def wrong_password(self) -> AbstractAsyncContextManager[Ledger]:
        """A client with a password that finance refuses."""

    @abstractmethod
    def journal(self) -> list[dict[str, Any]]:
        """Finance's own journal (JSONL rows), read by another path than the slice."""

    def rows(self, key: str) -> list[dict[str, Any]]:
        """The journal's rows under a key."""
        return [row for row in self.journal() if row["key"] == key]


def line(no: int, account: str, side: Side, minor: int, *, party: str | None = None, **more: Any) -> VoucherLine:
    """A line in CNY."""
    return VoucherLine(
        line_no=no,
        account=account,
        side=side,
        amount_minor=minor,
        currency="CNY",
        local_amount_minor=minor,
        party=party,
        **more,
    )


def make_voucher(
    sink: SinkHarness,
    *,
    minor: int = 10000,
    lines: Sequence[VoucherLine] | None = None,
    company: str | None = None,
    day: date | None = None,
    document: str | None = None,
    summary: str = "报销张三10月上海差旅费",
) -> Voucher:
    """An expense voucher of a document of its own: 借 660201 贷 2241."""
    lines = lines or (
        line(1, "660201", Side.DEBIT, minor, dimensions=(("department", "行政部"), ("cost_centre", "CC-ADM-01"))),
        line(2, "2241", Side.CREDIT, minor, party=sink.party),
    )
    identity = VoucherIdentity(
        company=company or sink.company,
        source="weaver:oa",
        document_id=document or uuid4().hex,
        cause="71",
        kind=VoucherKind.EXPENSE,
    )
    day = day or sink.open_day
    return Voucher(
        identity=identity,
        currency=sink.currency,
        business_date=day,
        document_date=day,
        posting_date=day,
        summary=summary,
        business_number="BX202611200001",
        lines=tuple(lines),
        attachment_count=3,
        prepared_by="王会计",
        reviewed_by="李主管",
    )


def entry_of(outcome: Outcome) -> LedgerEntry:
    """The entry of an outcome that carries one."""
    assert isinstance(outcome, Accepted | Duplicate | Conflict), outcome
    return outcome.entry


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    """Names of the outcomes' types, for readable comparisons."""
    return [type(outcome).__name__ for outcome in outcomes]


def totals(row: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """Debit and credit turnover of a journal row."""
    return (
        sum((Decimal(ln["debit"]) for ln in row["lines"]), Decimal(0)),
        sum((Decimal(ln["credit"]) for ln in row["lines"]), Decimal(0)),
    )


def other_reversal(voucher: Voucher, day: date, split: int) -> Voucher:
    """A reversal of the same voucher under another key."""
    red = red_reversal(voucher, day, "冲销")
    return replace(red, identity=replace(red.identity, split=split))
