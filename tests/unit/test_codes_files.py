"""Code tables as spreadsheets: round trips change nothing, oddities are refused with their place."""

from __future__ import annotations

import csv
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.codes import (
    ChangeKind,
    MasterKind,
    MissingCode,
    changes_hash,
    changes_json,
    changes_of,
    difference,
    overlaps,
)
from finbridge.core.ports import CodeRow
from finbridge.flows import codes as verbs
from finbridge.flows.codes_file import neutral, plain, sheet_titles
from finbridge.mapping import read_code_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from tests.unit.codes_world import AT, NEW_YEAR, ROOT, TABLES, Store, master, refused, room_of, row, sheet

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.fixture
def shipped() -> Store:
    return Store(rows=read_code_files(ROOT / "include/codes/weaver_tryton"))


# ---------------------------------------------------------------- tables of the mapping


def test_the_mapping_says_what_targets_are() -> None:
    assert {name: (table.target, set(table.parts)) for name, table in TABLES.items()} == {
        "cost_centre_kind": (None, {1}),
        "expense_account": (MasterKind.ACCOUNT, {2}),
        "vat_deductible": (None, {2}),
        "payable_account": (MasterKind.ACCOUNT, {1}),
        "party": (MasterKind.PARTY, {1}),
    }


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("ending", ["xlsx", "csv"])
def test_the_shipped_tables_come_back_unchanged(shipped: Store, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"codes.{ending}"
    room = room_of(shipped)
    assert verbs.export(room, path) == len(shipped.rows) > 80
    found = verbs.propose(room, path, maker="wang")
    assert {change.kind for change in found.changes} == {ChangeKind.SAME}
    assert (found.proposal, found.unnamed, found.left_open) == (None, 0, ())


def test_the_csv_files_beside_the_mapping_can_be_proposed(shipped: Store) -> None:
    found = verbs.propose(
        room_of(Store(), checks=False), ROOT / "include/codes/weaver_tryton/expense_account.csv", maker="wang"
    )
    assert found.proposal is not None and len(found.proposal.changes) == 20


def test_an_export_explains_itself_and_shows_names(tmp_path: Path) -> None:
    store = Store(rows=[row(target="660201"), row("=1+1|x", "-5")], known=master("660201"))
    verbs.export(room_of(store), tmp_path / "codes.xlsx")
    book = load_workbook(tmp_path / "codes.xlsx")
    assert book.sheetnames == ["说明 README", *sorted(TABLES)]
    assert "Rows are never deleted" in "".join(str(cell.value) for cell in book["说明 README"]["A"])
    page = book["expense_account"]
    assert [cell.value for cell in page[1]][:4] == ["公司 company", "代码 code", "目标 target", "目标名称 target name"]
    lines = {line[1].value: line for line in page.iter_rows(min_row=2)}
    assert [cell.value for cell in lines["ADM|TRAVEL"]][2:4] == ["660201", "名称660201"]
    assert lines["ADM|TRAVEL"][1].number_format == "@"
    formula = lines["'=1+1|x"]
    assert (formula[1].data_type, formula[2].value) == ("s", "'-5")


def test_no_cell_of_a_csv_begins_like_a_formula(tmp_path: Path) -> None:
    rows = [
        row(code, code)
        for code in ("=cmd|'/c calc'!A1", "+1", "-1", "@x", "'=1", "\t=1", "＝1", "＋1", "－1", "＠x", "\r=1", "ok")
    ]
    verbs.export(room_of(Store(rows=rows)), tmp_path / "codes.csv")
    with (tmp_path / "codes.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert cells and not [cell for cell in cells if cell.startswith(FORMULA)]
    assert {plain(cell) for cell in cells} >= {row.code for row in rows}


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)
CODE = TEXT | st.sampled_from(
    [
        "0012",
        "12",
        "=1+1",
        "'",
        "''x",
        "-5",
        "@a",
        "1E+05",
        "＝1+1",
        "＠x",
        "＇",
        "TRUE",
        "2026-01-01",
        "#N/A",
        "a,b",
        "_x0041_",
        "&amp;",
    ]
)


@st.composite
def code_rows(draw: st.DrawFn) -> list[CodeRow]:
    """Rows of a few codes, none valid twice."""
    made = []
    for _ in range(draw(st.integers(1, 12))):
        start = draw(st.dates(date(1990, 1, 1), date(2100, 1, 1)))
        end = draw(st.none() | st.dates(start + timedelta(days=1), date(9999, 12, 31)))
        made.append(
            CodeRow(
                table=draw(st.sampled_from(["payable_account", "party", "x" * 40, "x" * 39 + "y"])),
                company=draw(st.sampled_from(["", "1000", "2000"])),
                code=draw(CODE),
                target=draw(CODE),
                valid_from=start,
                valid_to=end,
            )
        )
    kept: dict[tuple[str, str, str], CodeRow] = {(r.table, r.company, r.code): r for r in made}
    return list(kept.values())


@given(rows=code_rows(), ending=st.sampled_from(["xlsx", "csv"]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_exported_comes_back_unchanged(rows: list[CodeRow], ending: str, tmp_path: Path) -> None:
    room = room_of(Store(rows=rows))
    path = tmp_path / f"codes.{ending}"
    verbs.export(room, path)
    found = verbs.propose(room, path, maker="wang")
    assert [change.row for change in found.changes] == sorted(
        rows, key=lambda r: (r.table, r.company, r.code, r.valid_from)
    )
    assert {change.kind for change in found.changes} == {ChangeKind.SAME}


@given(st.text())
def test_neutral_texts_come_back(text: str) -> None:
    assert plain(neutral(text)) == text
    assert not neutral(text).startswith(FORMULA)


@pytest.mark.parametrize("begin", FORMULA)
@pytest.mark.parametrize("ending", ["xlsx", "csv"])
def test_what_begins_like_a_formula_goes_out_harmless_and_comes_back(begin: str, ending: str, tmp_path: Path) -> None:
    text = f"{begin}HYPERLINK(1)"
    assert neutral(text) == f"'{text}" and plain(neutral(text)) == text
    if begin.isspace():
        return  # read back, control characters are refused with their cell
    rows = [row(text, text, table="payable_account")]
    path = tmp_path / f"codes.{ending}"
    verbs.export(room_of(Store(rows=rows)), path)
    found = verbs.propose(room_of(Store(rows=rows)), path, maker="wang")
    assert [(change.kind, change.row) for change in found.changes] == [(ChangeKind.SAME, rows[0])]


@given(st.sets(st.text("ab", min_size=1, max_size=50), max_size=12))
def test_every_table_gets_a_sheet_of_its_own(tables: set[str]) -> None:
    titles = sheet_titles(tables)
    assert sorted(titles.values()) == sorted(tables)
    assert all(len(title) <= 31 for title in titles)


@given(rows=code_rows(), wanted=code_rows())
def test_a_stored_proposal_is_what_was_proposed(rows: list[CodeRow], wanted: list[CodeRow]) -> None:
    changes = difference(rows, wanted)
    assert changes_of(changes_json(changes)) == tuple(changes)
    assert changes_hash(changes_of(changes_json(changes))) == changes_hash(changes)
    assert all(change.kind is ChangeKind.SAME for change in difference(rows, rows))


@given(st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(2, 12)), max_size=6))
def test_overlaps_are_days_on_which_two_rows_are_valid(spans: list[tuple[int, int | None]]) -> None:
    rows = list(
        {
            s: row(valid_from=date(2026, 1, s), valid_to=date(2026, 1, e) if e else None)
            for s, e in spans
            if e is None or e > s
        }.values()
    )
    days = [date(2026, 1, day) for day in range(1, 15)]
    twice = any(sum(r.valid_from <= day and (r.valid_to is None or day < r.valid_to) for r in rows) > 1 for day in days)
    assert bool(overlaps(rows)) == twice


# ---------------------------------------------------------------- what is taken


def test_days_and_headings_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = sheet(
        tmp_path / "in.xlsx",
        [
            [None, "ADM|A", "660201", datetime(2026, 1, 1), None],  # noqa: DTZ001 - as Excel holds a day
            ["1000", "ADM|B", "660201", "2026/1/1", date(2026, 7, 1)],
            ["", "ADM|C", "660201", "2026年1月1日", "2026.12.31"],
            [None, None, None, None, None],
        ],
    )
    store = Store(known=master("660201"))
    found = verbs.propose(room_of(store), path, maker="wang", note="new")
    assert [change.row for change in found.changes] == [
        row("ADM|A"),
        row("ADM|C", valid_to=date(2026, 12, 31)),
        row("ADM|B", company="1000", valid_to=date(2026, 7, 1)),
    ]
    assert store.made == [found.proposal]


def test_a_number_is_taken_only_where_one_code_can_be_meant(tmp_path: Path) -> None:
    store = Store(rows=[row("0012", "2241", table="payable_account")], known=master("2241", "2202"))
    path = sheet(tmp_path / "in.xlsx", [[1000, 12, 2202, NEW_YEAR, None]], title="payable_account")
    (change,) = verbs.propose(room_of(store), path, maker="wang").changes
    assert change.row == row("0012", "2202", table="payable_account", company="1000")
    other = sheet(tmp_path / "other.xlsx", [[None, 13, 2202, NEW_YEAR, None]], title="payable_account")
    assert "payable_account!B2: 数字 13" in refused(room_of(store), other)
    store.rows.append(row("012", "2241", table="payable_account"))
    assert "payable_account!B2: 数字 12" in refused(room_of(store), path)


def test_a_number_format_of_zeros_says_how_many_digits(tmp_path: Path) -> None:
    path = sheet(tmp_path / "in.xlsx", [[None, 13, "2202", NEW_YEAR, None]], title="payable_account")
    book = load_workbook(path)
    book["payable_account"]["B2"].number_format = "0000"
    book.save(path)
    (change,) = verbs.propose(room_of(Store(), checks=False), path, maker="wang").changes
    assert change.row.code == "0013"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_csv_is_read_as_excel_writes_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text("对照表,公司,代码,目标,起始日,截止日\r\nparty,,供应商甲,S001,2026/1/1,\r\n", encoding=encoding)
    (change,) = verbs.propose(room_of(Store(), checks=False), path, maker="wang").changes
    assert change.row == row("供应商甲", "S001", table="party")


# ---------------------------------------------------------------- what is missing


def lacking(code: str, company: str, documents: int, **more: Any) -> MissingCode:
    values = {"reason": "unknown_code", "amount_minor": 12_345, "without_amount": 0, "table": "expense_account", **more}
    return MissingCode(code=code, company=company, documents=documents, first_day=NEW_YEAR, held_since=AT, **values)


@pytest.mark.parametrize("ending", ["xlsx", "csv"])
def test_the_list_of_missing_codes_can_be_filled_in_and_proposed(tmp_path: Path, ending: str) -> None:
    store = Store(
        rows=[row("ADM|A")],
        lacking=[
            lacking("ADM|0099", "1000", 3),
            lacking("ADM|0099", "2000", 2),
            lacking("ADM|B", "1000", 1, amount_minor=None, without_amount=1),
            lacking("ADM|A", "1000", 1, reason="ambiguous_code"),
            lacking("EMPLOYEE", "2000", 1, table="payable_account"),
        ],
        known=master("660201", "2241"),
    )
    room = room_of(store)
    path = tmp_path / f"missing.{ending}"
    assert verbs.export_missing(room, path) == 3
    found = verbs.propose(room, path, maker="wang")
    assert (found.changes, len(found.left_open)) == ((), 3), "nothing is filled in yet"
    fill(path, {"ADM|0099": "660201", "EMPLOYEE": "2241"})
    found = verbs.propose(room, path, maker="wang")
    assert [(change.row.table, change.row.company, change.row.code) for change in found.changes] == [
        ("expense_account", "", "ADM|0099"),  # this table has rows for every company alone
        ("payable_account", "2000", "EMPLOYEE"),
    ]
    assert len(found.left_open) == 1


def fill(path: Path, targets: dict[str, str]) -> None:
    """Write targets beside their codes, as a person does."""
    if path.suffix == ".xlsx":
        book = load_workbook(path)
        for page in book.worksheets[1:]:
            for number in range(2, page.max_row + 1):
                page.cell(number, 3, targets.get(str(page.cell(number, 2).value)))
        book.save(path)
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    for line in lines[1:]:
        line[3] = targets.get(line[2], "")
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(lines)


def test_a_blank_target_of_a_known_code_is_no_deletion(tmp_path: Path) -> None:
    path = sheet(tmp_path / "in.xlsx", [["", "ADM|A", None, NEW_YEAR, None]])
    assert "expense_account!C2: 空白" in refused(room_of(Store(rows=[row("ADM|A")])), path)
