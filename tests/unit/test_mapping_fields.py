"""Typed fields and transforms: the SQL against the pure reference, over values that people and systems really write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from finbridge.core.money import decimals, to_minor
from finbridge.mapping.fieldtypes import FieldType, mistake, parse, raw_sql, refused_sql, value_sql
from finbridge.mapping.sqltext import ident, quote
from finbridge.mapping.transforms import DATE, DECIMAL, INTEGER, MONEY, TEXT, TRANSFORMS, Transform
from hypothesis import example, given, settings
from hypothesis import strategies as st

CURRENCIES = ("CNY", "JPY", "KWD", "CLF")
KINDS = [
    FieldType(name="money"),
    FieldType(name="money", rounding="half_up"),
    FieldType(name="money", blank="0.00"),
    FieldType(name="money", required=False),
    FieldType(name="integer"),
    FieldType(name="decimal", required=False),
    FieldType(name="date"),
    FieldType(name="enum", values=("SPECIAL", "ORDINARY", "it's")),
    FieldType(name="text"),
    FieldType(name="text", required=False),
    FieldType(name="text", pattern="[A-Z][0-9]{4}"),
]


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


def digits(most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", max_size=most)


amounts = st.builds(
    lambda sign, whole, part: f"{sign}{whole}{part and '.' + part}", st.sampled_from(["", "-"]), digits(14), digits(21)
)
ODD = (
    *(
        "",
        " ",
        "\u3000",
        "\u00a0",
        "1,000.00",
        "１２.５０",
        "12．5",
        "￥12",
        "+1",
        ".5",
        "5.",
        "-",
        "1e3",
        "1E-2",
        "NaN",
    ),
    *("Infinity", "1_000", "0x10", "007", "-0", "-0.00", "--1", "−5", " 1", "1 ", "1\n", "12.5%", "null", "0.005"),
    *("2026-02-29", "2024-02-29", "2026-2-1", "2026/02/01", "2026-13-01", "0001-01-01", "SPECIAL", "special", "E0001"),
)
texts = st.one_of(
    amounts, st.sampled_from(ODD), st.dates().map(str), st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.name}-{k.rounding}-{k.blank}-{k.required}-{bool(k.pattern)}")
@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.one_of(st.none(), texts), min_size=1, max_size=40), currency=st.sampled_from(CURRENCIES))
def test_a_field_reads_as_its_reference_says(
    connection: duckdb.DuckDBPyConnection, kind: FieldType, values: list[str | None], currency: str
) -> None:
    places = decimals(currency)
    raw = raw_sql("raw", kind)
    rows = f"SELECT unnest(?::VARCHAR[]) AS raw, unnest(range(?)) AS i, 'e{places}' AS e"
    typed = f"SELECT i, raw, {value_sql(raw, kind, 'e')} AS v FROM ({rows})"
    sql = f"SELECT v, {refused_sql(raw, 'v', kind)} FROM ({typed}) ORDER BY i"
    found = connection.execute(sql, [values, len(values)]).fetchall()
    expected = [parse(text, kind, currency, places) for text in values]
    assert found == [(value, error is not None) for value, error in expected]


@settings(max_examples=150, deadline=None)
@given(text=amounts, currency=st.sampled_from(CURRENCIES))
@example(text="0.005", currency="CNY")
@example(text="-0.005", currency="CNY")
@example(text="2.675", currency="CNY")
@example(text="1.00499999999999999999", currency="CNY")
@example(text="41.8640949752556", currency="CNY")
@example(text="9999999999999.995", currency="CNY")
@example(text="0.5", currency="JPY")
def test_money_rounds_half_up_and_only_where_it_is_told_to(
    connection: duckdb.DuckDBPyConnection, text: str, currency: str
) -> None:
    places = decimals(currency)
    value, error = parse(text, FieldType(name="money", rounding="half_up"), currency, places)
    exact, refused = parse(text, FieldType(name="money"), currency, places)
    sql = value_sql("raw", FieldType(name="money", rounding="half_up"), f"'e{places}'")
    assert connection.execute(f"SELECT {sql} FROM (SELECT ? AS raw)", [text]).fetchone() == (value,)
    if error is None:
        assert value == to_minor(text, currency)
        assert abs(Decimal(value).scaleb(-places) - Decimal(text)) * 2 <= Decimal(1).scaleb(-places)
    if refused is None:
        assert exact == value
        assert Decimal(exact).scaleb(-places) == Decimal(text)


@pytest.mark.parametrize(
    ("kind", "text", "code", "words"),
    [
        ("money", "", "missing_value", "blank"),
        ("money", " ", "bad_amount", "blanks around"),
        ("money", "100.00 ", "bad_amount", "blanks around"),
        ("money", "１００.00", "bad_amount", "full-width"),
        ("money", "￥100", "bad_amount", "currency sign"),
        ("money", "1,000.00", "bad_amount", "thousands"),
        ("money", "1e3", "bad_amount", "exponent"),
        ("money", "1.005", "bad_amount", "more decimals"),
        ("money", "12345678901234", "bad_amount", "not a plain number"),
        ("money", "一百元", "bad_amount", "not a plain number"),
        ("integer", "3.5", "bad_integer", "more decimals"),
        ("integer", "三", "bad_integer", "not a plain number"),
        ("decimal", "6%", "bad_decimal", "not a plain number"),
        ("date", "2026/10/15", "bad_date", "yyyy-MM-dd"),
        ("date", "2026-02-30", "bad_date", "yyyy-MM-dd"),
        ("enum", "专票", "unknown_value", "listed"),
        ("text", "\u3000", "missing_value", "blank"),
        ("text", "张三", "bad_text", "expected form"),
    ],
)
def test_a_mistake_names_its_class_and_never_the_value(kind: str, text: str, code: str, words: str) -> None:
    found = mistake(kind, text)
    assert found.startswith(f"{code}: ")
    assert words in found
    assert text.strip() == "" or text not in found


# ---------------------------------------------------------------- transforms

MINOR = st.integers(-(10**15), 10**15)
ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    MONEY: MINOR,
    DECIMAL: st.decimals("-1.5", "20", places=6, allow_nan=False) | st.just(Decimal("-0.999999")),
    INTEGER: st.integers(-(10**9), 10**9),
    TEXT: st.sampled_from(["yes", "no", "EMPLOYEE", "张三", "a|b", ""]),
    DATE: st.dates(date(1900, 1, 1), date(2199, 12, 31)),
}
SQL_TYPES = {MONEY: "BIGINT", DECIMAL: "DECIMAL(18,6)", INTEGER: "BIGINT", TEXT: "VARCHAR", DATE: "DATE"}


def run(connection: duckdb.DuckDBPyConnection, transform: Transform, rows: Sequence[Sequence[Any]]) -> list[Any]:
    names = [ident(f"a{i}") for i in range(len(transform.takes))]
    casts = [f"unnest(?::{SQL_TYPES[kind]}[]) AS {name}" for kind, name in zip(transform.takes, names, strict=True)]
    sql = f"SELECT {transform.sql.format(*names)} FROM (SELECT {', '.join(casts)}, unnest(range(?)) AS i) ORDER BY i"
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [row[0] for row in connection.execute(sql, [*columns, len(rows)]).fetchall()]


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=lambda t: t.name)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_transform_computes_as_its_reference(
    connection: duckdb.DuckDBPyConnection, transform: Transform, data: st.DataObject
) -> None:
    row = st.tuples(*(st.one_of(st.none(), ARGUMENTS[kind]) for kind in transform.takes))
    rows = data.draw(st.lists(row, min_size=1, max_size=30))
    assert run(connection, transform, rows) == [transform.reference(*args) for args in rows]


@pytest.mark.parametrize(
    ("gross", "rate", "tax"),
    [
        ("1050.00", "0.09", "86.70"),
        ("553.00", "0.09", "45.66"),
        ("100.00", "0.03", "2.91"),
        ("1060.00", "0.06", "60.00"),
    ],
)
def test_the_tax_in_a_gross_amount_is_the_tax_office_s(
    connection: duckdb.DuckDBPyConnection, gross: str, rate: str, tax: str
) -> None:
    minor, cents = to_minor(gross, "CNY"), to_minor(tax, "CNY")
    rows = [(minor, Decimal(rate)), (-minor, Decimal(rate))]
    assert run(connection, TRANSFORMS["tax_in_gross"], rows) == [cents, -cents]


_EDGE = 10**11  # up to here 64 bits are enough


@pytest.mark.parametrize("gross", [0, 1, -1, _EDGE, _EDGE + 1, -_EDGE, -_EDGE - 1, 10**15, -(10**15)])
@pytest.mark.parametrize("rate", ["0", "0.000001", "0.13", "1", "1.000001", "-0.000001", "-0.5", "-1", "999999.999999"])
def test_the_tax_in_a_gross_amount_is_the_same_on_both_sides_of_the_edge(
    connection: duckdb.DuckDBPyConnection, gross: int, rate: str
) -> None:
    transform, value = TRANSFORMS["tax_in_gross"], Decimal(rate)
    assert run(connection, transform, [(gross, value)]) == [transform.reference(gross, value)]


def test_every_transform_says_what_it_means_in_both_languages() -> None:
    assert len(TRANSFORMS) >= 10
    for transform in TRANSFORMS.values():
        assert transform.meaning
        assert len(transform.takes) >= 1


def test_texts_are_quoted() -> None:
    assert quote("it's") == "'it''s'"
    assert ident('a"b') == '"a""b"'
