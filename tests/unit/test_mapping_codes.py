"""Code tables: the files that the project ships, reading them, and the ranges that a look-up sees."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from pathlib import Path

import pytest
from finbridge.core.ports import CodeRow
from finbridge.mapping.codes import for_keys, ranges, read_code_files
from finbridge.mapping.yamlfile import ConfigError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mapping_world import code, expense_codes

HEADER = "table,company,code,target,valid_from,valid_to,note\n"


def targets(table: str, on: date) -> dict[str, str]:
    return {
        row.code: row.target
        for row in expense_codes()
        if row.table == table and row.valid_from <= on and (row.valid_to is None or on < row.valid_to)
    }


# ---------------------------------------------------------------- what the project ships


def test_cost_centres_of_every_kind_are_known() -> None:
    kinds = targets("cost_centre_kind", date(2026, 11, 22))
    assert {
        kind: sum(k == kind for k in kinds.values()) >= 3 for kind in ("ADM", "SAL", "PRD", "RND")
    } == dict.fromkeys(("ADM", "SAL", "PRD", "RND"), True)
    assert kinds["CC-ADM-01"] == "ADM"


def test_accounts_follow_kind_and_expense_type() -> None:
    first = {"ADM": "6602", "SAL": "6601", "PRD": "5101", "RND": "5301"}
    last = {"TRAVEL": "01", "OFFICE": "02", "ENTERTAIN": "03", "WELFARE": "04", "ALLOWANCE": "05"}
    expected = {f"{kind}|{type_}": first[kind] + last[type_] for kind, type_ in itertools.product(first, last)}
    assert targets("expense_account", date(2026, 11, 22)) == expected


def test_only_travel_and_office_on_special_invoices_are_deductible() -> None:
    rules = targets("vat_deductible", date(2026, 11, 22))
    assert len(rules) == 15
    assert {key for key, answer in rules.items() if answer == "yes"} == {"TRAVEL|SPECIAL", "OFFICE|SPECIAL"}
    assert set(rules.values()) == {"yes", "no"}
    assert targets("vat_deductible", date(2019, 3, 31)) == {}  # the rule's own first day is 2019-04-01


def test_parties_and_their_accounts_are_known() -> None:
    parties = targets("party", date(2026, 11, 22))
    assert set(parties) == {f"E{i:04d}" for i in range(1, 41)} | {f"S{i:04d}" for i in range(1, 11)}
    assert targets("payable_account", date(2026, 11, 22)) == {"EMPLOYEE": "2241", "SUPPLIER": "2202"}


# ---------------------------------------------------------------- reading


def test_files_are_read_with_days_and_companies(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("\ufeff" + HEADER + "t,1000,A|B,x,2026-01-01,2026-02-01,说明\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text("table,company,code,target,valid_from,valid_to\nt,,C,y,2026-01-01,\n")
    (tmp_path / "readme.txt").write_text("no code table")
    assert read_code_files(tmp_path) == [
        CodeRow(table="t", company="", code="C", target="y", valid_from=date(2026, 1, 1)),
        CodeRow(
            table="t",
            company="1000",
            code="A|B",
            target="x",
            valid_from=date(2026, 1, 1),
            valid_to=date(2026, 2, 1),
        ),
    ]


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("table,company,code,target\nt,,a,b\n", 1, "valid_from, valid_to"),
        (HEADER.replace("note", "remark"), 1, "remark"),
        (HEADER + "t,,a,x,2026-01-01,,\nt,,b,,2026-01-01,,\n", 3, "target"),
        (HEADER + "t,, a,x,2026-01-01,,\n", 2, "code"),
        (HEADER + "t,,a,x,2026/01/01,,\n", 2, "valid_from"),
        (HEADER + "t,,a,x,2026-01-01,soon,\n", 2, "valid_to"),
        (HEADER + "t,,a,x,2026-01-02,2026-01-02,\n", 2, "valid_to"),
        (HEADER + "t,,a,x\n", 2, "(row)"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_column(tmp_path: Path, text: str, line: int, field: str) -> None:
    (tmp_path / "codes.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_code_files(tmp_path)
    assert (caught.value.file.name, caught.value.line, caught.value.field) == ("codes.csv", line, field)


# ---------------------------------------------------------------- ranges

DAY = date(2026, 1, 1)
days = st.integers(0, 12).map(lambda n: DAY + timedelta(days=n))


@st.composite
def rows(draw: st.DrawFn) -> CodeRow:
    start = draw(days)
    end = draw(st.none() | st.integers(1, 5).map(lambda n: start + timedelta(days=n)))
    return code(
        "t",
        draw(st.sampled_from("AB")),
        draw(st.sampled_from("xy")),
        start,
        end,
        company=draw(st.sampled_from(["", "1", "2"])),
    )


def wanted(given_rows: list[CodeRow], company: str, key: str, on: date) -> set[str | None]:
    """What a person would read off: own rows first; two targets are nobody's."""
    valid = [r for r in given_rows if r.code == key and r.valid_from <= on and (r.valid_to is None or on < r.valid_to)]
    found = [r.target for r in valid if r.company == company] or [r.target for r in valid if r.company == ""]
    return {None} if len(set(found)) > 1 else set(found)


@given(st.lists(rows(), max_size=8))
def test_for_one_company_and_day_there_is_one_range_at_most(given_rows: list[CodeRow]) -> None:
    cut = ranges(given_rows)
    for company, key, n in itertools.product(("1", "2", "3"), "AB", range(20)):
        on = DAY + timedelta(days=n)
        found = [
            target
            for _, owner, code_, target, start, end, others in cut
            if code_ == key and start <= on < end and (owner == company or (owner == "" and company not in others))
        ]
        assert len(found) <= 1
        assert set(found) == wanted(given_rows, company, key, on)


def test_a_bar_inside_a_part_finds_nothing_instead_of_another_code() -> None:
    given_rows = [
        code("pair", "A|B", "x"),
        code("pair", "A|B|C", "y"),
        code("one", "A|B", "z"),
        code("other", "A", "w"),
    ]
    kept = for_keys(given_rows, {"pair": frozenset({2}), "one": frozenset({1})})
    assert [row.target for row in kept] == ["x", "z"]
