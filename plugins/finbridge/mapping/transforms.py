"""Named transforms: each an SQL expression and a pure Python reference that tests compare. A mapping only names them.

Amounts are whole minor units (BIGINT), decimals DECIMAL, everything else text or date; NULL in, NULL out unless said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

MONEY, DECIMAL, INTEGER, TEXT, DATE = "money", "decimal", "integer", "text", "date"
RATE_SCALE = 6  # decimals that a field of type decimal may carry


@dataclass(frozen=True, slots=True)
class Transform:
    """``sql`` has a place ``{0}``, ``{1}``, … for each argument; ``takes`` and ``gives`` are field types."""

    name: str
    takes: tuple[str, ...]
    gives: str
    sql: str
    reference: Callable[..., Any]
    meaning: str


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """NULL in, NULL out, as in SQL."""

    def wrapped(*args: Any) -> Any:
        return None if any(arg is None for arg in args) else function(*args)

    return wrapped


def tax_in_gross(gross_minor: int, rate: Decimal) -> int | None:
    """gross ÷ (1 + rate) × rate, rounded half up to minor units; no value where it does not fit 64 bits."""
    if 1 + rate <= 0:
        return 0
    exact = Decimal(gross_minor) * rate / (1 + rate)
    tax = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return tax if -(2**63) <= tax < 2**63 else None


# Whole numbers only: numerator and denominator are scaled by 10^RATE_SCALE, and half of the denominator is added (with
# the result's sign) before the division that cuts towards zero. No binary fraction ever touches an amount.
_RATE = f"CAST({{1}} * {10**RATE_SCALE} AS HUGEINT)"
_ONE = 10**RATE_SCALE
# What every invoice has (up to 10^11 minor units, a rate of 0 to 1) fits 64 bits, which takes a seventh of the time.
_NARROW = _RATE.replace("HUGEINT", "BIGINT")
_TAX_IN_GROSS = (
    f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL THEN NULL"
    f" WHEN {{0}} BETWEEN -{10**11} AND {10**11} AND {{1}} BETWEEN 0 AND 1 THEN"
    f" (2 * {{0}} * {_NARROW} + sign({{0}}) * sign({{1}}) * ({_ONE} + {_NARROW})) // (2 * ({_ONE} + {_NARROW}))"
    f" WHEN {_ONE} + {_RATE} <= 0 THEN 0 ELSE "
    f"TRY_CAST((2 * CAST({{0}} AS HUGEINT) * {_RATE} + sign({{0}}) * sign({{1}}) * ({_ONE} + {_RATE}))"
    f" // (2 * ({_ONE} + {_RATE})) AS BIGINT) END"
)


def _year_month(day: date) -> str:
    return f"{day.year}年{day.month}月"


def _text_if(text: str | None, tested: str | None, wanted: str | None) -> str | None:
    return text if tested is not None and tested == wanted else None


_ALL = (
    Transform(
        "minus", (MONEY, MONEY), MONEY, "({0} - {1})", _strict(lambda a, b: a - b), "第一个减第二个 / difference"
    ),
    Transform("plus", (MONEY, MONEY), MONEY, "({0} + {1})", _strict(lambda a, b: a + b), "相加 / sum of two"),
    Transform("negated", (MONEY,), MONEY, "(-{0})", _strict(lambda a: -a), "变号 / the other sign"),
    Transform(
        "distance",
        (MONEY, MONEY),
        MONEY,
        "abs({0} - {1})",
        _strict(lambda a, b: abs(a - b)),
        "差的绝对值 / absolute difference",
    ),
    Transform(
        "amount_if",
        (MONEY, TEXT, TEXT),
        MONEY,
        "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL WHEN {1} = {2} THEN {0} ELSE 0 END",
        lambda amount, tested, wanted: None if amount is None or tested is None else amount if tested == wanted else 0,
        "条件成立取金额,否则 0 / the amount where the second equals the third, else 0",
    ),
    Transform(
        "tax_in_gross",
        (MONEY, DECIMAL),
        MONEY,
        _TAX_IN_GROSS,
        _strict(tax_in_gross),
        "价税合计中的税额,四舍五入 / the tax inside a gross amount, half up",
    ),
    Transform(
        "text_if",
        (TEXT, TEXT, TEXT),
        TEXT,
        "CASE WHEN {1} = {2} THEN {0} END",
        _text_if,
        "条件成立取文本,否则空 / the text where the second equals the third, else nothing",
    ),
    Transform(
        "first_of",
        (TEXT, TEXT),
        TEXT,
        "coalesce({0}, {1})",
        lambda a, b: b if a is None else a,
        "第一个有值的 / the first that has a value",
    ),
    Transform(
        "joined",
        (TEXT, TEXT),
        TEXT,
        "({0} || '|' || {1})",
        _strict(lambda a, b: f"{a}|{b}"),
        "用 | 连接 / joined with |",
    ),
    Transform(
        "year_month",
        (DATE,),
        TEXT,
        "(year({0}) || '年' || month({0}) || '月')",
        _strict(_year_month),
        "yyyy年M月 / year and month in Chinese",
    ),
    Transform("iso_date", (DATE,), TEXT, "strftime({0}, '%Y-%m-%d')", _strict(lambda d: d.isoformat()), "yyyy-MM-dd"),
)
TRANSFORMS: Mapping[str, Transform] = {transform.name: transform for transform in _ALL}
