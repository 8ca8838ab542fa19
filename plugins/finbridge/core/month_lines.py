"""The lines of a voucher as one text that both sides of a month write alike, and in words how two of them differ. Pure.

`finbridge.hub.month_lines` writes the same text from the register by SQL; a test holds the two together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from finbridge.core.money import to_text

#: Of Unicode's private use: no code and no name has them, and a database can hold them.
FIELD, LINE, PAIR = "\ue000", "\ue001", "\ue002"
#: Dimensions with a place of their own in a line; all others stand in its last field, by name.
PLACED = ("department", "employee", "supplier", "customer", "project", "contract", "bank_account", "cash_flow_item")
#: What no system keeps as it was sent: control characters become blanks, and blanks at either end go.
CONTROLS = "".join(map(chr, (*range(1, 32), *range(127, 160))))
BLANKS = " " + "".join(map(chr, (0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)))
_TO_BLANK = dict.fromkeys((0, *map(ord, CONTROLS)), " ")
_NAMES = {
    "account": "科目 / account",
    "side": "借贷方向 / side",
    "local": "金额 / amount",
    "party": "往来单位 / party",
    "currency": "原币 / document currency",
    "amount": "原币金额 / amount in document currency",
    "tax_code": "税码 / tax code",
    "assignment": "分配 / assignment",
    "department": "部门 / department",
    "employee": "职员 / employee",
    "supplier": "供应商 / supplier",
    "customer": "客户 / customer",
    "project": "项目 / project",
    "contract": "合同 / contract",
    "bank_account": "银行账户 / bank account",
    "cash_flow_item": "现金流量项目 / cash flow item",
    "others": "其他辅助核算 / other dimensions",
}
_FIELDS = tuple(_NAMES)
#: Names a person, or may: told without its value.
_PERSONAL = frozenset({"party", "employee", "supplier", "customer", "bank_account", "assignment", "others"})
_SHOWN = 10  # differing lines in words


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedLine:
    """A line as finance shows it; amounts signed on their own side, ``amount`` in the document's currency."""

    account: str
    side: str
    local_minor: int
    party: str
    currency: str
    amount_minor: int
    tax_code: str = ""
    assignment: str = ""
    dimensions: Mapping[str, str]


def lines_text(lines: Iterable[BookedLine]) -> str:
    """All lines, in an order of their own: equal exactly where the same lines stand on both sides."""
    return LINE.join(sorted(map(_text, lines)))


def _text(line: BookedLine) -> str:
    named = {name: kept(value) for name, value in line.dimensions.items()}
    others = (f"{name}={value}" for name, value in sorted(named.items()) if value and name not in PLACED)
    return FIELD.join(
        (
            *(line.account, line.side, str(line.local_minor), line.party, line.currency, str(line.amount_minor)),
            *(kept(line.tax_code), kept(line.assignment)),
            *(named.get(name, "") for name in PLACED),
            PAIR.join(others),
        )
    )


def kept(text: str) -> str:
    """What every system keeps of a text."""
    return text.translate(_TO_BLANK).strip(BLANKS)


def line_changes(ours: str, theirs: str, currency: str) -> list[str]:
    """How finance's lines differ from the register's, for people; nothing that names a person.

    Args:
        ours: of the register, by `lines_text`.
        theirs: of finance.
        currency: the company's.
    """
    before, after = (Counter(_fields(line) for line in text.split(LINE) if line) for text in (ours, theirs))
    gone, come = sorted((before - after).elements()), sorted((after - before).elements())
    words = []
    for line in list(gone):
        other = max(come, key=lambda candidate: _alike(line, candidate), default=None)
        if other is None:
            break
        gone.remove(line)
        come.remove(other)
        words += [w for w in _changed(line, other, currency) if w not in words]
    words += [f"缺少分录 / line gone: {_shown(line, currency)}" for line in gone]
    words += [f"多出分录 / line more: {_shown(line, currency)}" for line in come]
    return words[:_SHOWN] + (["…"] if len(words) > _SHOWN else [])


_Fields = tuple[str, ...]


def _fields(line: str) -> _Fields:
    return tuple(line.split(FIELD))


def _alike(one: _Fields, other: _Fields) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def _changed(before: _Fields, after: _Fields, currency: str) -> list[str]:
    words = []
    for name, old, new in zip(_FIELDS, before, after, strict=True):
        if old == new:
            continue
        chinese, english = _NAMES[name].split(" / ")
        if name in _PERSONAL:
            words.append(f"{chinese}有变 / {english} changed")
        else:
            values = (_value(name, value, line, currency) for value, line in ((old, before), (new, after)))
            words.append(f"{chinese} / {english}: {' → '.join(values)}")
    return words


def _value(name: str, value: str, line: _Fields, currency: str) -> str:
    if name == "local":
        return to_text(int(value), currency)
    if name == "amount":
        return to_text(int(value), line[_FIELDS.index("currency")])
    return value or "-"


def _shown(line: _Fields, currency: str) -> str:
    account, side, local, *_ = line
    return f"{side} {account} {to_text(int(local), currency)}"
