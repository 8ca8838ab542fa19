"""Voucher records, named after GB/T 24589 and the accounting model. Frozen; amounts in minor units."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from finbridge.core.ids import VoucherIdentity, VoucherKind


class Side(StrEnum):
    """借 or 贷."""

    DEBIT = "D"
    CREDIT = "C"


class LandAs(StrEnum):
    """How far finance takes the voucher when it arrives."""

    DRAFT = "draft"
    REVIEWED = "reviewed"
    POSTED = "posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherLine:
    """One line 分录. Amounts are signed: a 红字 line is negative on its own side.

    ``dimensions`` are the typed 辅助核算 (department, employee, supplier, customer, project, contract,
    bank_account, cash_flow_item) plus company-defined ones.
    """

    line_no: int
    account: str
    side: Side
    amount_minor: int
    currency: str
    local_amount_minor: int
    rate: str = "1"
    summary: str = ""
    party: str | None = None
    tax_code: str | None = None
    assignment: str | None = None
    dimensions: tuple[tuple[str, str], ...] = ()
    source_lines: tuple[str, ...] = ()  # ids of the document lines this line came from (n:m)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingStamp:
    """Which mapping made a voucher."""

    mapping_id: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """One accounting entry with its lines; dates are local dates of the company."""

    identity: VoucherIdentity
    currency: str
    business_date: date
    document_date: date
    posting_date: date
    summary: str
    business_number: str
    lines: tuple[VoucherLine, ...]
    voucher_word: str = "记"
    attachment_count: int = 0
    prepared_by: str = ""
    reviewed_by: str = ""
    land_as: LandAs = LandAs.POSTED
    reverses_key: str | None = None
    reverses_number: str | None = None
    group: str | None = None
    mapping: MappingStamp | None = None
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.identity.key())

    @property
    def period(self) -> str:
        """Accounting period ``YYYY-MM`` of the posting date."""
        return f"{self.posting_date:%Y-%m}"

    @property
    def debit_minor(self) -> int:
        """Turnover of the debit side in local currency."""
        return sum(line.local_amount_minor for line in self.lines if line.side is Side.DEBIT)

    @property
    def credit_minor(self) -> int:
        """Turnover of the credit side in local currency."""
        return sum(line.local_amount_minor for line in self.lines if line.side is Side.CREDIT)

    @property
    def content(self) -> str:
        """The voucher's fingerprint (see :func:`fingerprint`)."""
        return fingerprint(
            self.posting_date,
            [(ln.account, ln.side.value, ln.local_amount_minor, ln.party or "") for ln in self.lines],
        )


def fingerprint(posting_date: date, lines: list[tuple[str, str, int, str]]) -> str:
    """SHA-256 over posting date and the multiset of (account, side, local amount in minor units, party).

    Computed alike from what we send and from what finance shows, so that ``duplicate`` and ``conflict`` are told apart
    by content, not by texts that a finance system may shorten.
    """
    canonical = json.dumps([posting_date.isoformat(), sorted(lines)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def red_reversal(original: Voucher, posting_date: date, summary: str) -> Voucher:
    """红字冲销: the same accounts and sides with negative amounts, so that turnover stays right."""
    identity = VoucherIdentity(
        company=original.identity.company,
        source=original.identity.source,
        document_id=original.identity.document_id,
        cause=original.key,
        kind=VoucherKind.REVERSAL,
        split=original.identity.split,
    )
    lines = tuple(
        VoucherLine(
            line_no=ln.line_no,
            account=ln.account,
            side=ln.side,
            amount_minor=-ln.amount_minor,
            currency=ln.currency,
            local_amount_minor=-ln.local_amount_minor,
            rate=ln.rate,
            summary=summary,
            party=ln.party,
            tax_code=ln.tax_code,
            assignment=ln.assignment,
            dimensions=ln.dimensions,
            source_lines=ln.source_lines,
        )
        for ln in original.lines
    )
    return Voucher(
        identity=identity,
        currency=original.currency,
        business_date=original.business_date,
        document_date=posting_date,
        posting_date=posting_date,
        summary=summary,
        business_number=original.business_number,
        lines=lines,
        voucher_word=original.voucher_word,
        prepared_by=original.prepared_by,
        reviewed_by=original.reviewed_by,
        land_as=original.land_as,
        reverses_key=original.key,
        mapping=original.mapping,
    )
