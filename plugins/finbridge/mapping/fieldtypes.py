"""Typed source fields: SQL for the value and for what is wrong, and a Python reference for both.

What is ambiguous is refused, never guessed: full-width digits, thousands separators, exponents, blanks around, more
decimals than the currency has (unless the mapping says ``rounding: half_up``). An error names a class of value, never
the value itself.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from finbridge.core.money import to_minor
from finbridge.mapping.sqltext import case, quote

_WHOLE = "-?(0|[1-9][0-9]{0,12})"  # 13 digits before the point: sums of many lines still fit 64 bits
#: An amount's text with the currency's decimals as an exponent behind it, e.g. ``12.50e2``.
_MONEY = {
    "half_up": f"{_WHOLE}([.][0-9]{{1,20}})?e[0-4]",
    "exact": f"{_WHOLE}(([.][0-9]{{1,2}}0*)?e2|([.]0+)?e0|([.][0-9]{{1,3}}0*)?e3|([.][0-9]{{1,4}}0*)?e4)",
}
_RATE = "-?(0|[1-9][0-9]{0,5})([.][0-9]{1,6}0*)?"
_INTEGER = "-?(0|[1-9][0-9]{0,17})"
_DAY = "[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
_BLANK = r"\t\n\f\r\p{Z}"  # as in RE2
_SOMETHING = f"[^{_BLANK}]"
MISSING = "missing_value: 未填写 / blank"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """A field's declaration as far as its value goes. ``blank`` replaces an empty text, ``rounding`` is for money."""

    name: str  # text, date, money, integer, decimal, enum
    required: bool = True
    blank: str | None = None
    rounding: str = "exact"
    values: tuple[str, ...] = ()
    pattern: str = ""


def raw_sql(raw: str, kind: FieldType) -> str:
    """The text that is parsed: the column's, or what the mapping puts in place of a blank one."""
    if kind.blank is None:
        return raw
    return case([(filled_sql(raw, kind), raw)], quote(kind.blank))


def value_sql(raw: str, kind: FieldType, scale: str) -> str:
    """The typed value or NULL. ``scale`` is SQL for the currency's decimals as an exponent (e2)."""
    types = {"integer": (_INTEGER, "BIGINT"), "decimal": (_RATE, "DECIMAL(18,6)"), "date": (_DAY, "DATE")}
    if kind.name == "money":
        # The cast of a decimal text with an exponent rounds half away from zero on its digits (tests compare).
        good = f"regexp_full_match({raw} || {scale}, {quote(_MONEY[kind.rounding])})"
        return case([(good, f"CAST({raw} || {scale} AS BIGINT)")])
    if kind.name in types:
        pattern, type_ = types[kind.name]
        return case([(f"regexp_full_match({raw}, {quote(pattern)})", f"TRY_CAST({raw} AS {type_})")])
    if kind.name == "enum":
        return case([(f"{raw} IN ({', '.join(quote(value) for value in kind.values)})", raw)])
    good = f"regexp_full_match({raw}, {quote(kind.pattern)})" if kind.pattern else filled_sql(raw, kind)
    return case([(good, raw)])


def filled_sql(raw: str, kind: FieldType) -> str:
    """Whether a text is not blank. Blanks alone are blank only in a text; elsewhere they are a mistake."""
    return f"regexp_matches({raw}, {quote(_SOMETHING)})" if kind.name == "text" else f"{raw} <> ''"


def refused_sql(raw: str, value: str, kind: FieldType) -> str:
    """Whether the text was refused (a blank one only where a value is needed). Never NULL."""
    if kind.required:
        return f"{value} IS NULL"
    return f"{value} IS NULL AND coalesce({filled_sql(raw, kind)}, false)"


# ---------------------------------------------------------------- classes of mistakes

_SHAPE = (
    (r"^\s|\s$", "首尾有空白 / blanks around the value"),
    ("[０-９．，－＋％￥¥]", "含全角字符或货币符号 / full-width characters or a currency sign"),
)
_NUMBER = (
    *_SHAPE,
    (",", "含千分位 / thousands separator"),
    ("^[-+]?[0-9.]+[eE]", "科学计数法 / exponent"),
    ("^-?(0|[1-9][0-9]{0,12})[.][0-9]+$", "小数位过多 / more decimals than allowed"),
    ("", "不是允许的数字 / not a plain number in range"),
)
#: By field type: the problem's code, and (regular expression, class): the first that is found in the text names it.
CLASSES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "money": ("bad_amount", _NUMBER),
    "integer": ("bad_integer", _NUMBER),
    "decimal": ("bad_decimal", _NUMBER),
    "date": ("bad_date", (*_SHAPE, ("", "不是 yyyy-MM-dd 的日期 / not a day written yyyy-MM-dd"))),
    "enum": ("unknown_value", (*_SHAPE, ("", "不在允许的值之内 / not one of the listed values"))),
    "text": ("bad_text", (*_SHAPE, ("", "格式不符 / not in the expected form"))),
}


def mistake(type_: str, text: str) -> str:
    """``code: class`` of a text that a field of this type refused."""
    if _is_blank(text, type_):
        return MISSING
    code, classes = CLASSES[type_]
    return next(f"{code}: {name}" for regex, name in classes if re.search(regex, text))


# ---------------------------------------------------------------- the reference


def parse(text: str | None, kind: FieldType, currency: str, decimals: int) -> tuple[Any, str | None]:
    """(value, ``code: class`` of the mistake) as the SQL gives them: the pure reference."""
    if _is_blank(text, kind.name) and kind.blank is not None:
        text = kind.blank
    if text is None or _is_blank(text, kind.name):
        return None, MISSING if kind.required else None
    value = _value(text, kind, currency, decimals)
    if value is not None:
        return value, None
    return None, mistake(kind.name, text)


def _is_blank(text: str | None, type_: str) -> bool:
    return not text or (type_ == "text" and all(c in "\t\n\f\r" or unicodedata.category(c)[0] == "Z" for c in text))


def _value(text: str, kind: FieldType, currency: str, decimals: int) -> Any:
    if kind.name == "money":
        return to_minor(text, currency) if re.fullmatch(_MONEY[kind.rounding], f"{text}e{decimals}") else None
    if kind.name == "integer":
        return int(text) if re.fullmatch(_INTEGER, text) else None
    if kind.name == "decimal":
        return Decimal(text) if re.fullmatch(_RATE, text) else None
    if kind.name == "date":
        return _day(text)
    if kind.name == "enum":
        return text if text in kind.values else None
    return text if not kind.pattern or re.fullmatch(kind.pattern, text) else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(_DAY, text) else None
    except ValueError:
        return None
