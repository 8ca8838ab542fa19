"""Money in minor units, rounded half up once."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from finbridge.core.money import Money, decimals, to_minor, to_text
from hypothesis import given
from hypothesis import strategies as st

_CURRENCIES = st.sampled_from(["CNY", "EUR", "JPY", "KWD", "CLF"])


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("26.85120450862128", "EUR", 2685),
        ("0.005", "EUR", 1),
        ("0.0049999999999999", "EUR", 0),
        ("-0.005", "EUR", -1),
        ("2.675", "CNY", 268),  # 2.67 where somebody used a float
        ("1.005", "CNY", 101),
        ("12", "JPY", 12),
        ("12.5", "JPY", 13),
        ("1.2345", "KWD", 1235),
        ("1.23455", "CLF", 12346),
        ("+3", "CNY", 300),
        ("9999999999999999.99", "CNY", 999999999999999999),
    ],
)
def test_parse(text: str, currency: str, minor: int) -> None:
    assert to_minor(text, currency) == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1,000.00",
        "1e3",
        "1E3",
        "NaN",
        "Infinity",
        "-Infinity",
        "1_000",
        "１２",
        "¥1",
        "0x10",
        "1.2.3",
        "1" * 40,
    ],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        to_minor(text, "CNY")


@given(st.integers(-(10**15), 10**15), _CURRENCIES)
def test_text_and_back(minor: int, currency: str) -> None:
    text = to_text(minor, currency)
    assert to_minor(text, currency) == minor
    assert len(text.partition(".")[2]) == decimals(currency)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=16), _CURRENCIES)
def test_parse_is_round_half_up(value: Decimal, currency: str) -> None:
    exact = value.scaleb(decimals(currency)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    assert to_minor(format(value, "f"), currency) == int(exact)


def test_sums_stay_in_one_currency() -> None:
    assert Money(1, "CNY") + Money(2, "CNY") == Money(3, "CNY")
    assert -Money(5, "CNY") == Money(-5, "CNY")
    assert str(Money(-5, "CNY")) == "-0.05 CNY"
    with pytest.raises(ValueError, match="EUR"):
        Money(1, "CNY") + Money(1, "EUR")
