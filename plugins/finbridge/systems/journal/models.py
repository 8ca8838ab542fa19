"""Wire shapes of the journal sandbox's API (`sandbox/journal/README.md`)."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from finbridge.core.ids import is_key
from finbridge.core.money import to_minor, to_text
from finbridge.core.month_lines import BookedLine, lines_text
from finbridge.core.outcomes import LedgerEntry, TakenBack
from finbridge.core.vouchers import Side, Voucher, VoucherLine, fingerprint


class Wire(BaseModel):
    """Base of all wire shapes."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Line(Wire):
    """A line of an entry; amounts are decimal text, 红字 is negative on its own side. What is not named: dimensions."""

    model_config = ConfigDict(extra="allow", frozen=True)

    account: str
    debit: str
    credit: str
    party: str = ""
    summary: str = ""
    tax_code: str = ""
    assignment: str = ""
    document_currency: str = ""
    document_amount: str = ""

    def shown(self, currency: str) -> tuple[str, str, int, str]:
        """Account, side, local amount in minor units, party: what a fingerprint is made of.

        Raises:
            ValueError: an amount is no plain decimal.
        """
        debit = to_minor(self.debit, currency)
        side, amount = (Side.DEBIT, debit) if debit else (Side.CREDIT, to_minor(self.credit, currency))
        return self.account, side.value, amount, self.party

    def booked(self, currency: str) -> BookedLine:
        """All that stands on the line.

        Raises:
            ValueError: an amount is no plain decimal.
        """
        account, side, local_minor, party = self.shown(currency)
        second = self.document_currency
        return BookedLine(
            account=account,
            side=side,
            local_minor=local_minor,
            party=party,
            currency=second or currency,
            amount_minor=to_minor(self.document_amount, second) if second else local_minor,
            tax_code=self.tax_code,
            assignment=self.assignment,
            dimensions={name: str(value) for name, value in (self.model_extra or {}).items()},
        )


class ReversedBy(Wire):
    """The voucher that took an entry back."""

    key: str
    number: str
    date: date
    period: str


class Entry(Wire):
    """A posted voucher as finance holds it."""

    seq: int
    company: str
    key: str
    number: str
    date: date
    currency: str
    state: str
    lines: list[Line]
    kind: str = ""
    document_id: str = ""
    period: str = ""
    summary: str = ""
    reverses: str | None = None
    reversed_by: ReversedBy | None = None

    @property
    def by_people(self) -> bool:
        """Keyed in finance itself: its key is none of ours."""
        return not is_key(self.key)

    def ledger_entry(self, company: str) -> LedgerEntry:
        """As the core knows it; ``company`` is our code, which need not be finance's.

        Raises:
            ValueError: an amount is no plain decimal.
        """
        lines = [line.shown(self.currency) for line in self.lines]
        back = self.reversed_by
        people = back is not None and not is_key(back.key)
        return LedgerEntry(
            key=self.key,
            company=company,
            number=self.number,
            finance_id=str(self.seq),
            posting_date=self.date,
            content=fingerprint(self.date, lines),
            posted=self.state == "posted",
            kind=self.kind,
            currency=self.currency,
            debit_minor=sum(minor for _, side, minor, _ in lines if side == Side.DEBIT.value),
            document_id=self.document_id,
            period=self.period,
            lines=lines_text(line.booked(self.currency) for line in self.lines),
            taken_back=(TakenBack(back.number, back.date, back.period),) if back and people else (),
            summary=self.summary,
        )


class Result(Wire):
    """What finance says of one voucher of a batch."""

    key: str
    outcome: str
    entry: Entry | None = None
    code: str = ""
    message: str = ""


class EntriesReply(Wire):
    """Answer of a look-up; ``next`` continues a period, ``open`` says whether it takes vouchers."""

    entries: list[Entry]
    next: int | None = None
    open: bool | None = None


class LoginReply(Wire):
    """Answer of login; ``expires_in`` in seconds."""

    token: str
    expires_in: float


class _Results(Wire):
    results: list[Any]


_RESULT = TypeAdapter(Result)


def read_results(body: object) -> dict[str, list[Result]]:
    """Results by key, in order for a key that was sent twice. What has no readable shape is left out: it says nothing.

    Raises:
        ValueError: the answer is no list of results at all.
    """
    found: dict[str, list[Result]] = {}
    for item in _Results.model_validate(body).results:
        try:
            result = _RESULT.validate_python(item)
        except ValidationError:
            continue
        found.setdefault(result.key, []).append(result)
    return found


def voucher_body(voucher: Voucher, company: str) -> dict[str, Any]:
    """A voucher as the API takes it, in local amounts; ``company`` is finance's code."""
    return {
        "key": voucher.key,
        "company": company,
        "kind": voucher.identity.kind.value,
        "document_id": voucher.identity.document_id,
        "posting_date": voucher.posting_date.isoformat(),
        "currency": voucher.currency,
        "summary": voucher.summary,
        "voucher_word": voucher.voucher_word,
        "attachment_count": voucher.attachment_count,
        "prepared_by": voucher.prepared_by,
        "reviewed_by": voucher.reviewed_by,
        "business_number": voucher.business_number,
        "reverses": voucher.reverses_key,
        "lines": [_line_body(line, voucher.currency) for line in voucher.lines],
    }


def _line_body(line: VoucherLine, currency: str) -> dict[str, str]:
    amount, zero = to_text(line.local_amount_minor, currency), to_text(0, currency)
    debit, credit = (amount, zero) if line.side is Side.DEBIT else (zero, amount)
    optional = {"party": line.party, "summary": line.summary, "tax_code": line.tax_code, "assignment": line.assignment}
    if line.currency != currency:
        optional |= {
            "document_currency": line.currency,
            "document_amount": to_text(line.amount_minor, line.currency),
        }
    return {
        **dict(line.dimensions),
        **{name: value for name, value in optional.items() if value},
        "account": line.account,
        "debit": debit,
        "credit": credit,
    }


def difference(voucher: Voucher, entry: Entry) -> str:
    """What differs between the voucher and what stands in the books, for a person to read."""
    parts = []
    if voucher.posting_date != entry.date:
        parts.append(f"过账日期 / posting date: {voucher.posting_date} sent, {entry.date} in the books")
    ours = [(ln.account, ln.side.value, ln.local_amount_minor, ln.party or "") for ln in voucher.lines]
    theirs = [line.shown(entry.currency) for line in entry.lines]
    for name, lines, others in (("只在凭证 / sent", ours, theirs), ("只在账簿 / in the books", theirs, ours)):
        only = _without(lines, others)
        if only:
            shown = "; ".join(f"{a} {s} {to_text(m, voucher.currency)} {p}".strip() for a, s, m, p in only[:10])
            parts.append(f"{name}: {shown}" + (f" (+{len(only) - 10})" if len(only) > 10 else ""))
    return " | ".join(parts) or "币种或类型不同 / currency, kind or reversed voucher differ"


def _without(
    lines: list[tuple[str, str, int, str]], others: list[tuple[str, str, int, str]]
) -> list[tuple[str, str, int, str]]:
    """Multiset difference."""
    rest = list(others)
    only = []
    for line in lines:
        if line in rest:
            rest.remove(line)
        else:
            only.append(line)
    return only
