"""The ledger's codes and what they mean: one table, code -> outcome and what an accountant reads.

The codes are those of `ledger/finbridge_bridge/refusals.py`; Tryton's message texts decide nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from enum import Enum, auto

from finbridge.core.money import to_minor, to_text
from finbridge.core.month_lines import BookedLine, lines_text
from finbridge.core.outcomes import (
    AuthFailed,
    LedgerEntry,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    TakenBack,
    Unknown,
)
from finbridge.core.vouchers import Side, Voucher, fingerprint
from finbridge.systems.tryton.models import Move

_SHOWN_LINES = 10
_Line = tuple[str, str, int, str]  # account, side, minor units, party


class Means(Enum):
    """Which outcome a code becomes."""

    REJECTED = auto()
    PERIOD_CLOSED = auto()
    AUTH = auto()
    UNPROCESSED = auto()


REFUSALS: dict[str, tuple[Means, str]] = {
    "period_closed": (Means.PERIOD_CLOSED, "会计期间已关闭 / the accounting period is closed"),
    "no_period": (Means.PERIOD_CLOSED, "财务系统尚无该会计期间 / the ledger has no such accounting period yet"),
    "unbalanced": (Means.REJECTED, "借贷不平 / debit and credit differ"),
    "no_lines": (Means.REJECTED, "凭证没有分录 / the voucher has no lines"),
    "unknown_company": (Means.REJECTED, "财务系统没有该公司或无权限 / the ledger knows no such company for this user"),
    "unknown_account": (Means.REJECTED, "科目不存在 / no such account"),
    "unknown_party": (Means.REJECTED, "往来单位不存在 / no such party"),
    "unknown_currency": (Means.REJECTED, "币种不存在 / no such currency"),
    "unknown_journal": (Means.REJECTED, "日记账不存在 / no such journal"),
    "account_not_posting": (Means.REJECTED, "科目不可记账(非末级或已停用) / the account takes no lines"),
    "party_required": (Means.REJECTED, "科目必须有往来单位 / the account wants a party"),
    "party_not_allowed": (Means.REJECTED, "科目不核算往来单位 / the account takes no party"),
    "bad_amount": (Means.REJECTED, "金额小数位不符 / more decimals than the currency has"),
    "bad_text": (Means.REJECTED, "文本含有无法保存的字符 / a text that the ledger cannot hold"),
    "bad_field": (Means.REJECTED, "凭证字段不正确 / a field of the voucher is not right"),
    "no_number_series": (Means.REJECTED, "会计年度没有凭证编号规则 / the fiscal year has no number series"),
    "original_missing": (Means.REJECTED, "找不到被冲销的凭证 / the voucher to reverse is not in the ledger"),
    "original_not_posted": (Means.REJECTED, "被冲销的凭证未过账 / the voucher to reverse is a draft"),
    "original_is_reversal": (Means.REJECTED, "红字凭证不可再冲销 / a reversal is not reversed"),
    "original_differs": (Means.REJECTED, "被冲销的凭证内容不一致 / the voucher to reverse has other content"),
    "already_reversed": (Means.REJECTED, "该凭证已被冲销 / the voucher is reversed already"),
    "invalid": (Means.REJECTED, "财务系统校验未通过 / the ledger's own checks refuse it"),
    "access_denied": (Means.AUTH, "集成用户没有凭证接口权限 / the user is not in the integration group"),
    "internal_error": (Means.UNPROCESSED, "财务系统内部错误,未处理 / a fault of the ledger; nothing was done"),
}


def refusal(code: str | None, detail: str | None) -> Outcome:
    """The outcome of a refused voucher. A code of a newer module that we do not know proves nothing."""
    known = REFUSALS.get(code or "")
    if known is None:
        return Unknown(f"无法识别的应答代码 / the ledger's code is not known: {code}")
    means, text = known
    message = f"{text}: {detail}" if detail else text
    match means:
        case Means.PERIOD_CLOSED:
            return PeriodClosed(message)
        case Means.AUTH:
            return AuthFailed(message)
        case Means.UNPROCESSED:
            return RefusedUnprocessed(message)
        case Means.REJECTED:
            return Rejected(code or "", message)


def entry_of(move: Move, *, company: str, currency: str) -> LedgerEntry:
    """A move as the flows read it; its content is computed from what the ledger shows.

    Args:
        company: our code of the company.
        currency: the company's currency, in which the ledger's amounts are.
    """
    lines = _lines_of(move, currency)
    return LedgerEntry(
        key=move.ref,
        company=company,
        number=move.number,
        finance_id=str(move.id),
        posting_date=move.date,
        content=fingerprint(move.date, lines),
        posted=move.state == "posted",
        kind=move.kind or "",
        currency=currency,
        debit_minor=sum(minor for _, side, minor, _ in lines if side == Side.DEBIT.value),
        document_id=move.document or "",
        period=move.period,
        lines=lines_text(_booked(move, currency)),
        taken_back=tuple(
            TakenBack(number or "", day, period, posted=state == "posted")
            for number, day, period, state in move.cancelled_by
        ),
        summary=move.description or "",
    )


def _booked(move: Move, currency: str) -> Iterator[BookedLine]:
    """Lines with all that the ledger shows of them."""
    for (account, side, local_minor, party), line in zip(_lines_of(move, currency), move.lines, strict=True):
        rest = dict(line[-1] or {})
        tax_code, assignment = rest.pop("tax_code", ""), rest.pop("assignment", "")
        second, amount = rest.pop("second_currency", ""), rest.pop("second_amount", "")
        # Tryton's sign is that of debit minus credit.
        sign = 1 if side == Side.DEBIT.value else -1
        yield BookedLine(
            account=account,
            side=side,
            local_minor=local_minor,
            party=party,
            currency=second or currency,
            amount_minor=sign * to_minor(amount or "0", second) if second else local_minor,
            tax_code=tax_code,
            assignment=assignment,
            dimensions={**_named(rest.pop("dimensions", "")), **rest},
        )


def _named(text: str) -> dict[str, str]:
    """Dimensions that the ledger keeps as one JSON object; whatever else stands there is shown as it is."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return {"dimensions": text}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}


def difference(voucher: Voucher, move: Move, currency: str) -> str:
    """What differs between our voucher and the ledger's move, for an accountant; empty where nothing does."""
    parts = []
    if move.state != "posted":
        parts.append("财务系统中是草稿 / a draft in the ledger")
    if move.reverses != voucher.reverses_key:
        parts.append(f"冲销对象 / reverses: {voucher.reverses_key or '-'} ≠ {move.reverses or '-'}")
    if move.date != voucher.posting_date:
        parts.append(_pair("过账日期 / posting date", voucher.posting_date, move.date))
    ours = Counter((ln.account, ln.side.value, ln.local_amount_minor, ln.party or "") for ln in voucher.lines)
    theirs = Counter(_lines_of(move, currency))
    for title, lines in (("我方 / ours", ours - theirs), ("财务 / ledger", theirs - ours)):
        if lines:
            shown = "; ".join(_shown(line, currency) for line in sorted(lines.elements())[:_SHOWN_LINES])
            parts.append(f"{title}: {shown}" + (" …" if lines.total() > _SHOWN_LINES else ""))
    return " | ".join(parts)


def _pair(title: str, ours: date, theirs: date) -> str:
    return f"{title}: {ours.isoformat()} ≠ {theirs.isoformat()}"


def _lines_of(move: Move, currency: str) -> list[_Line]:
    return [(account, side, to_minor(amount, currency), party or "") for account, side, amount, party, _ in move.lines]


def _shown(line: _Line, currency: str) -> str:
    account, side, minor, party = line
    word = "借" if side == Side.DEBIT.value else "贷"
    return f"{word} {account} {to_text(minor, currency)}" + (f" ({party})" if party else "")
