"""Money as whole minor units plus currency (ISO 4217). Never a float.

Rounding is ROUND_HALF_UP, once per amount, before anything is summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

_DECIMALS_OTHER_THAN_TWO = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND"), 0),
    **dict.fromkeys(("VUV", "XAF", "XOF", "XPF", "UYI"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def decimals(currency: str) -> int:
    """Number of decimals of a currency by ISO 4217 (2 where the standard says nothing else)."""
    return _DECIMALS_OTHER_THAN_TWO.get(currency, 2)


def to_minor(text: str, currency: str) -> int:
    """Parse a plain decimal text into minor units, rounding half up.

    Raises:
        ValueError: not a finite plain decimal (thousands separators, exponents and blanks are refused, never guessed).
    """
    if not text or text != text.strip() or "e" in text.lower() or "_" in text or not text.isascii():
        raise ValueError(f"not a plain decimal: {text!r}")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a plain decimal: {text!r}") from None
    if not value.is_finite():
        raise ValueError(f"not a finite decimal: {text!r}")
    try:
        return int(value.scaleb(decimals(currency)).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    except InvalidOperation:  # more digits than any amount has
        raise ValueError(f"not a decimal that is an amount: {len(text)} characters") from None


def to_text(amount_minor: int, currency: str) -> str:
    """Minor units as plain text with exactly the currency's decimals: ``(-5, "CNY") -> "-0.05"``."""
    places = decimals(currency)
    return str(Decimal(amount_minor).scaleb(-places).quantize(Decimal(1).scaleb(-places)))


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of one currency."""

    amount_minor: int
    currency: str

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount_minor, self.currency)

    def __str__(self) -> str:
        return f"{to_text(self.amount_minor, self.currency)} {self.currency}"
