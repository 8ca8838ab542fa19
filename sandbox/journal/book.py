"""The books: what may be posted, under which number, and what a second posting of a key means.

One call of :meth:`Book.post` decides and changes memory at once; the entry is written by the caller. The key is unique
per company for ever. Equal accounting content (date, currency, reversed key, lines with account, sides and party) is a
duplicate; texts may differ, since finance systems shorten them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

KINDS = frozenset({"expense", "payment", "advance", "offset", "accrual", "transfer", "reversal"})
_AMOUNT = re.compile(r"-?\d{1,15}(\.\d{1,2})?")
_TEXTS = ("summary", "business_number", "prepared_by", "reviewed_by")
Entry = dict[str, Any]


class Rejected(Exception):
    """A business refusal with a stable code; posting the same again is refused again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(slots=True)
class Book:
    """Entries of all companies in order of posting."""

    companies: frozenset[str]
    chart: frozenset[str] | None = None
    entries: list[Entry] = field(default_factory=list)
    by_key: dict[tuple[str, str], Entry] = field(default_factory=dict)
    by_period: dict[tuple[str, str], list[Entry]] = field(default_factory=lambda: defaultdict(list))
    reversed_by: dict[tuple[str, str], str] = field(default_factory=dict)
    closed: set[tuple[str, str]] = field(default_factory=set)
    last_number: dict[tuple[str, int, str], int] = field(default_factory=lambda: defaultdict(int))

    def serves(self, company: str) -> bool:
        """Whether the company exists here (``*`` lets every code in)."""
        return company in self.companies or "*" in self.companies

    def take(self, entry: Entry) -> None:
        """Put an entry into memory: a new one, or one read from the file."""
        company, key = entry["company"], entry["key"]
        self.entries.append(entry)
        self.by_key[company, key] = entry
        self.by_period[company, entry["period"]].append(entry)
        if entry["reverses"] is not None:
            self.reversed_by[company, entry["reverses"]] = key
        word, year, number = entry["number"].rsplit("-", 2)
        series = (company, int(year), word)
        self.last_number[series] = max(self.last_number[series], int(number))

    def post(self, voucher: Mapping[str, Any]) -> tuple[dict[str, Any], Entry | None]:
        """Post one voucher.

        Returns:
            Its outcome as the API answers it, and the new entry where one was made.
        """
        key = str(voucher.get("key") or "")
        try:
            entry = self._entry(voucher, key)
            known = self.by_key.get((entry["company"], key))
            if known is not None:
                outcome = "duplicate" if content(known) == content(entry) else "conflict"
                return {"key": key, "outcome": outcome, "entry": known}, None
            if (entry["company"], entry["period"]) in self.closed:
                message = f"会计期间 {entry['period']} 已关闭 / period is closed"
                return {"key": key, "outcome": "period_closed", "code": "period_closed", "message": message}, None
            self._check_reversal(entry)
        except Rejected as error:
            return {"key": key, "outcome": "rejected", "code": error.code, "message": error.message}, None
        self._number(entry, str(voucher.get("voucher_word") or "记"))
        self.take(entry)
        return {"key": key, "outcome": "accepted", "entry": entry}, entry

    def _entry(self, voucher: Mapping[str, Any], key: str) -> Entry:
        company = str(voucher.get("company") or "")
        if not key:
            raise Rejected("missing_key", "凭证没有唯一键 / a voucher needs a key")
        if not self.serves(company):
            raise Rejected("unknown_company", f"账套 {company!r} 不存在 / unknown company")
        kind = str(voucher.get("kind") or "")
        if kind not in KINDS:
            raise Rejected("unknown_kind", f"凭证类型 {kind!r} 不存在 / unknown kind")
        day = _day(voucher.get("posting_date"))
        reverses = voucher.get("reverses")
        if (kind == "reversal") != (reverses is not None):
            raise Rejected("reversal_without_original", "红字凭证须指明原凭证 / kind and reverses do not agree")
        entry: Entry = {
            "seq": 0,
            "at": "",
            "company": company,
            "key": key,
            "kind": kind,
            "document_id": str(voucher.get("document_id") or ""),
            "number": "",
            "date": day.isoformat(),
            "period": f"{day:%Y-%m}",
            "currency": str(voucher.get("currency") or ""),
            "reverses": None if reverses is None else str(reverses),
            "state": "posted",
            "lines": self._lines(voucher.get("lines")),
            "attachment_count": _count(voucher.get("attachment_count")),
        }
        return entry | {name: str(voucher.get(name) or "") for name in _TEXTS}

    def _lines(self, raw: object) -> list[dict[str, str]]:
        if not isinstance(raw, list) or not raw or not all(isinstance(item, dict) for item in raw):
            raise Rejected("no_lines", "凭证没有分录 / a voucher needs lines")
        lines, balance = [], Decimal(0)
        for item in raw:
            debit, credit = _amount(item.get("debit")), _amount(item.get("credit"))
            account = str(item.get("account") or "")
            if (debit == 0) == (credit == 0):
                raise Rejected("bad_amount", "分录须且只能有一方金额 / exactly one side of a line carries an amount")
            if not account or (self.chart is not None and account not in self.chart):
                raise Rejected("unknown_account", f"科目 {account!r} 不存在 / unknown account")
            balance += debit - credit
            line = {name: "" if value is None else str(value) for name, value in item.items()}
            lines.append({"party": "", "department": "", **line, "debit": f"{debit:.2f}", "credit": f"{credit:.2f}"})
        if balance != 0:
            raise Rejected("unbalanced", f"借贷不平衡，差额 {balance} / unbalanced")
        return lines

    def _check_reversal(self, entry: Entry) -> None:
        if entry["reverses"] is None:
            return
        company, original_key = entry["company"], entry["reverses"]
        original = self.by_key.get((company, original_key))
        if original is None:
            raise Rejected("original_missing", "原凭证不存在 / the original is not posted")
        if (company, original_key) in self.reversed_by:
            raise Rejected("already_reversed", "原凭证已红冲 / the original is reversed already")
        if original["reverses"] is not None:
            raise Rejected("original_is_reversal", "红字凭证不能再红冲 / a reversal cannot be reversed")
        if _multiset(original, -1) != _multiset(entry, 1) or original["currency"] != entry["currency"]:
            raise Rejected("not_exact_negative", "红字凭证与原凭证不符 / not the exact negative of the original")

    def _number(self, entry: Entry, word: str) -> None:
        series = (entry["company"], int(entry["date"][:4]), word)
        entry["number"] = f"{word}-{series[1]:04}-{self.last_number[series] + 1:06}"
        entry["seq"] = len(self.entries) + 1
        entry["at"] = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def content(entry: Entry) -> tuple[object, ...]:
    """What makes two entries of one key the same."""
    return entry["date"], entry["currency"], entry["kind"], entry["reverses"], _multiset(entry, 1)


def _multiset(entry: Entry, sign: int) -> list[tuple[str, Decimal, Decimal, str]]:
    return sorted(
        (line["account"], sign * Decimal(line["debit"]), sign * Decimal(line["credit"]), line["party"])
        for line in entry["lines"]
    )


def _amount(text: object) -> Decimal:
    shown = "0" if text in {None, ""} else text
    if not isinstance(shown, str) or not _AMOUNT.fullmatch(shown):
        raise Rejected("bad_amount", f"金额 {text!r} 不是两位小数的文本 / amounts are decimal text, two places at most")
    return Decimal(shown) + 0  # no negative zero


def _count(value: object) -> int:
    text = str(value or 0)
    if not text.isdigit():
        raise Rejected("bad_attachment_count", f"附件数 {value!r} 不是整数 / not a whole number")
    return int(text)


def _day(text: object) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise Rejected("bad_date", f"过账日期 {text!r} / not a date") from None
