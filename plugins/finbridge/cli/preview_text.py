"""A preview as text for a terminal: columns that stand below each other, also with Chinese in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from finbridge.core.money import to_text
from finbridge.core.ports import Problem
from finbridge.core.preview import Preview
from finbridge.hub.reasons import reason

_WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "would_post": "将过账",
        "would_reverse": "将红字冲销",
        "posted": "已过账",
        "held": "挂起，不过账",
        "nothing_to_do": "无需处理",
        "not_approved": "未审批通过",
        "not_found": "未找到",
        "expense": "报销凭证",
        "payment": "付款凭证",
        "reversal": "红字凭证",
        "new": "新凭证",
        "company": "公司",
        "reason": "原因",
        "attachments": "附件",
        "period": "会计期间",
        "head": "行|科目|借方|贷方|往来单位|部门|员工|摘要",
        "total": "合计",
    },
    "en": {
        "would_post": "would be posted",
        "would_reverse": "would be reversed (red)",
        "posted": "posted",
        "held": "held, not posted",
        "nothing_to_do": "nothing to do",
        "not_approved": "not approved",
        "not_found": "not found",
        "expense": "expense voucher",
        "payment": "payment voucher",
        "reversal": "red reversal",
        "new": "new",
        "company": "company",
        "reason": "reason",
        "attachments": "attachments",
        "period": "period",
        "head": "line|account|debit|credit|party|department|employee|summary",
        "total": "total",
    },
}
#: Columns of amounts stand to the right.
_RIGHT = frozenset({2, 3})


def lines_of(found: Preview, lang: str) -> list[str]:
    """One document: what would become of it, why, and its vouchers."""
    words = _WORDS[lang]
    named = " ".join(part for part in (found.document_id, found.business_number) if part)
    company = f"  {words['company']} {found.company}" if found.company else ""
    lines = [f"{named}{company}: {words[found.verdict.value]}"]
    lines += [f"  {words['reason']}: {_problem(problem, lang)}" for problem in found.problems]
    for voucher in found.vouchers:
        lines += ["", *_voucher(voucher, words)]
    return lines


def _problem(problem: Problem, lang: str) -> str:
    why = reason(problem.code)
    text = why.zh if lang == "zh" else why.en
    where = " ".join(part for part in (problem.field, problem.detail) if part)
    return f"{text} [{problem.code}]" + (f" {where}" if where else "")


def _voucher(voucher: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    currency = voucher["currency"]
    state = words.get(voucher["state"], voucher["state"])
    head = [
        *(words[voucher["kind"]], state, voucher["number"] or voucher["voucher_word"], voucher["posting_date"]),
        f"{words['period']} {voucher['period']}",
        *(currency, f"{words['attachments']} {voucher['attachment_count']}", voucher["key"]),
    ]
    rows = [words["head"].split("|")]
    for line in voucher["lines"]:
        amount = to_text(line["local_amount_minor"], currency)
        sides = [amount, ""] if line["side"] == "D" else ["", amount]
        rows.append(
            [
                *(str(line["line_no"]), line["account"], *sides),
                *(line["party"], line["department"], line["employee"], line["summary"]),
            ]
        )
    sums = [to_text(voucher["debit_minor"], currency), to_text(voucher["credit_minor"], currency)]
    rows.append(["", words["total"], *sums, "", "", "", ""])
    return [" · ".join(head), voucher["summary"], *table(rows)]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns below each other; a Chinese character is two wide."""
    wide = [max(width(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            " " * (wide[at] - width(cell)) + cell if at in _RIGHT else cell + " " * (wide[at] - width(cell))
            for at, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
