"""What finance holds under our key against what we sent, field by field: for a person who decides on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from finbridge.core.money import to_text
from finbridge.core.month_lines import FIELD, LINE, PAIR, PLACED, kept
from finbridge.core.outcomes import Conflict, Duplicate, LedgerEntry, Outcome
from finbridge.core.vouchers import Side, Voucher, VoucherLine

#: Fields of a difference, as people name them.
FIELDS = {
    "state": "过账状态 / state",
    "posting_date": "过账日期 / posting date",
    "summary": "摘要 / text",
    "account": "科目 / account",
    "side": "借贷方向 / side",
    "amount": "金额 / amount",
    "party": "往来单位 / party",
    "missing": "财务缺少分录 / line missing in finance",
    "more": "财务多出分录 / line more in finance",
    "content": "内容 / content",
    "taken_back": "财务已冲销 / taken back in finance",
}
_SIDES = {Side.DEBIT.value: "借", Side.CREDIT.value: "贷"}
_SHOWN = 20
_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: what we sent, what finance holds. ``line`` is ours, 0 of the header; amounts as text."""

    field: str
    ours: str
    theirs: str
    line: int = 0

    def words(self) -> str:
        """``第 2 行 金额 / line 2 amount: 100.00 → 99.00``."""
        chinese, english = FIELDS[self.field].split(" / ")
        if self.line:
            chinese, english = f"第 {self.line} 行 {chinese}", f"line {self.line} {english}"
        return f"{chinese} / {english}: {self.ours or _NOTHING} → {self.theirs or _NOTHING}"


#: Account, side, local amount in minor units, party: what a fingerprint is made of.
_Line = tuple[str, str, int, str]


def differences(voucher: Voucher, entry: LedgerEntry) -> tuple[Difference, ...]:
    """All fields that differ, header first. A text alone is shown and makes no conflict."""
    found = list(_header(voucher, entry))
    if entry.lines:
        found += _lines(voucher, [(f[0], f[1], int(f[2]), f[3]) for f in _fields(entry)])
    if entry.content != voucher.content and not any(one.field != "summary" for one in found):
        found.append(Difference("content", voucher.content[:12], entry.content[:12]))
    return tuple(found)


def compared(voucher: Voucher, entry: LedgerEntry) -> Duplicate | Conflict:
    """Content decides: the same, posted, is a success; another is a conflict that a person reads."""
    if entry.content == voucher.content and entry.posted:
        return Duplicate(entry)
    return Conflict(entry, in_words(differences(voucher, entry)))


def explained(voucher: Voucher, outcome: Outcome) -> Outcome:
    """A conflict with every field that differs; where it lies in none of them, in finance's own words."""
    if not isinstance(outcome, Conflict):
        return outcome
    return Conflict(outcome.entry, in_words(differences(voucher, outcome.entry)) or outcome.difference)


def in_words(found: Sequence[Difference]) -> str:
    """One text in both languages, a field after the other."""
    return " | ".join([one.words() for one in found[:_SHOWN]] + (["…"] if len(found) > _SHOWN else []))


def _header(voucher: Voucher, entry: LedgerEntry) -> Iterator[Difference]:
    if not entry.posted:
        yield Difference("state", "posted", "draft")
    if entry.posting_date != voucher.posting_date:
        yield Difference("posting_date", voucher.posting_date.isoformat(), entry.posting_date.isoformat())
    if entry.summary and kept(entry.summary) != kept(voucher.summary):
        yield Difference("summary", voucher.summary, entry.summary)
    for back in entry.taken_back:
        if back.posted:
            yield Difference("taken_back", "", f"{back.number} {back.posting_date.isoformat()}".strip())


def _lines(voucher: Voucher, theirs: list[_Line]) -> Iterator[Difference]:
    """Our lines beside those of finance's that are most like them."""
    ours = [((ln.account, ln.side.value, ln.local_amount_minor, ln.party or ""), ln.line_no) for ln in voucher.lines]
    left, open_ones, changed = list(theirs), list[tuple[_Line, int]](), list[tuple[int, _Line, _Line]]()
    for line, number in ours:
        if line in left:
            left.remove(line)
        else:
            open_ones.append((line, number))
    while open_ones and left:
        mine, other = max(((mine, other) for mine in open_ones for other in left), key=_alike_pair)
        if not _alike(mine[0], other):
            break
        open_ones.remove(mine)
        left.remove(other)
        changed.append((mine[1], mine[0], other))
    for number, line, other in sorted(changed):
        yield from _changed(line, other, number, voucher.currency)
    for line, number in open_ones:
        yield Difference("missing", _shown(line, voucher.currency), "", number)
    for line in left:
        yield Difference("more", "", _shown(line, voucher.currency))


def _alike_pair(pair: tuple[tuple[_Line, int], _Line]) -> int:
    return _alike(pair[0][0], pair[1])


def _alike(one: _Line, other: _Line) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def _changed(ours: _Line, theirs: _Line, number: int, currency: str) -> Iterator[Difference]:
    shown = [(line[0], _SIDES.get(line[1], line[1]), to_text(line[2], currency), line[3]) for line in (ours, theirs)]
    for name, mine, other in zip(("account", "side", "amount", "party"), *shown, strict=True):
        if mine != other:
            yield Difference(name, mine, other, number)


def _shown(line: _Line, currency: str) -> str:
    account, side, minor, party = line
    return f"{_SIDES.get(side, side)} {account} {to_text(minor, currency)} {party}".rstrip()


def _fields(entry: LedgerEntry) -> list[list[str]]:
    return [text.split(FIELD) for text in entry.lines.split(LINE) if text]


def as_finance_holds(voucher: Voucher, entry: LedgerEntry) -> Voucher:
    """The voucher with the date and the lines that finance shows: what a later reversal must take back.

    Raises:
        ValueError: finance does not show whole lines, or they are not what its fingerprint says.
    """
    if not entry.lines:
        raise ValueError("finance does not show its lines")
    lines = tuple(_line(number, fields, voucher) for number, fields in enumerate(_fields(entry), start=1))
    made = replace(voucher, posting_date=entry.posting_date, lines=lines)
    if made.content != entry.content:
        raise ValueError("finance's lines are not what its fingerprint says")
    return made


def _line(number: int, fields: list[str], voucher: Voucher) -> VoucherLine:
    account, side, local, party, currency, amount, tax_code, assignment, *placed, others = fields
    named = [(name, value) for name, value in zip(PLACED, placed, strict=True) if value]
    named += [(pair.partition("=")[0], pair.partition("=")[2]) for pair in others.split(PAIR) if pair]
    return VoucherLine(
        line_no=number,
        account=account,
        side=Side(side),
        amount_minor=int(amount),
        currency=currency,
        local_amount_minor=int(local),
        rate=next((ln.rate for ln in voucher.lines if ln.currency == currency), "1"),
        summary=voucher.summary,
        party=party or None,
        tax_code=tax_code or None,
        assignment=assignment or None,
        dimensions=tuple(named),
    )
