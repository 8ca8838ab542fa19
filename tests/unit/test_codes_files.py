"""Code tables as spreadsheets: round trips change nothing, oddities are refused with their place."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.codes import (
    ChangeKind,
    CodeChange,
    CodeRecord,
    MasterKind,
    MasterRecord,
    MissingCode,
    Proposal,
    ProposalState,
    changes_hash,
    changes_json,
    changes_of,
    difference,
    overlaps,
)
from finbridge.core.errors import GiveUp
from finbridge.core.ports import CodeRow
from finbridge.flows import codes as verbs
from finbridge.flows.codes import Room
from finbridge.flows.codes_file import FileError, neutral, plain, sheet_titles
from finbridge.flows.codes_tables import CodeTable, tables_of
from finbridge.flows.config import load_flow
from finbridge.mapping import read_code_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

ROOT = Path(__file__).resolve().parents[2]
FLOW = load_flow(ROOT / "include/flows/weaver_tryton__expense_claim.yaml")
TABLES = tables_of(ROOT / "include/mappings" / FLOW.mapping)
AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NEW_YEAR = date(2026, 1, 1)
HEADINGS = ["公司", "code", "目标 target", "Valid From", "valid_to"]


@dataclass
class Store:
    """The hub as the verbs see it."""

    rows: list[CodeRow] = field(default_factory=list)
    lacking: list[MissingCode] = field(default_factory=list)
    known: list[MasterRecord] = field(default_factory=list)
    made: list[Proposal] = field(default_factory=list)

    def records(self, flow_id: str) -> list[CodeRecord]:
        return [CodeRecord(row=row, maker="wang", checker="li", changed_at=AT) for row in self.rows]

    def missing(self, flow_id: str) -> list[MissingCode]:
        return self.lacking

    def propose(self, flow_id: str, changes: Sequence[CodeChange], *, maker: str, note: str = "") -> Proposal:
        self.made.append(
            Proposal(
                proposal_id=len(self.made) + 1,
                flow_id=flow_id,
                maker=maker,
                made_at=AT,
                note=note,
                changes=tuple(changes),
                sha256=changes_hash(changes),
                state=ProposalState.OPEN,
            )
        )
        return self.made[-1]

    def all(self, system: str) -> list[MasterRecord]:
        return self.known

    def replace(self, system: str, records: Sequence[MasterRecord]) -> dict[str, int]:
        self.known = list(records)
        return {"changed": len(records), "gone": 0}


def master(*codes: str, kind: MasterKind = MasterKind.ACCOUNT, active: bool = True) -> list[MasterRecord]:
    return [
        MasterRecord(kind=kind, company=company, code=code, name=f"名称{code}", active=active)
        for code in codes
        for company in ("1000", "2000")
    ]


def room_of(store: Store, *, checks: bool = True, tables: dict[str, CodeTable] | None = None) -> Room:
    return Room(flow=FLOW, tables=tables or TABLES, codes=store, master=store, checks_targets=checks)


def row(code: str = "ADM|TRAVEL", target: str = "660201", **more: Any) -> CodeRow:
    values = {"table": "expense_account", "company": "", "valid_from": NEW_YEAR, "valid_to": None, **more}
    return CodeRow(code=code, target=target, **values)


@pytest.fixture
def shipped() -> Store:
    return Store(rows=read_code_files(ROOT / "include/codes/weaver_tryton"))


def sheet(path: Path, lines: Sequence[Sequence[object]], *, title: str = "expense_account") -> Path:
    """A workbook with one table below the usual headings."""
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = title
    page.append(HEADINGS)
    for line in lines:
        page.append(list(line))
    book.save(path)
    return path


def refused(room: Room, path: Path) -> str:
    with pytest.raises(FileError) as caught:
        verbs.propose(room, path, maker="wang")
    return "\n".join(caught.value.mistakes)


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
    rows = [row(code, code) for code in ("=cmd|'/c calc'!A1", "+1", "-1", "@x", "'=1", "\t=1", "ok")]
    verbs.export(room_of(Store(rows=rows)), tmp_path / "codes.csv")
    with (tmp_path / "codes.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert cells and not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)
CODE = TEXT | st.sampled_from(
    ["0012", "12", "=1+1", "'", "''x", "-5", "@a", "1E+05", "TRUE", "2026-01-01", "#N/A", "a,b", "_x0041_", "&amp;"]
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
    assert not neutral(text).startswith(("=", "+", "-", "@", "\t", "\r"))


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


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        (["", "ADM|A", "=660201", NEW_YEAR, None], "!C2", "formula"),
        (["", "ADM|A", "#N/A", NEW_YEAR, None], "!C2", "error value"),
        (["", "ADM|A", 660201, NEW_YEAR, None], "!C2", "leading zeros"),
        (["", "ADM|A", 6602.01, NEW_YEAR, None], "!C2", "not a text"),
        (["", "ADM|A", True, NEW_YEAR, None], "!C2", "not a text"),
        (["", "ADM|A", 12345678901234567890, NEW_YEAR, None], "!C2", "leading zeros"),
        (["", "ADM|A", "6.602E+05", NEW_YEAR, None], "!C2", "digits were lost"),
        (["", "ADM|A", "660201 ", NEW_YEAR, None], "!C2", "blanks around"),
        (["", "ADM|\u0001A".replace("\u0001", "\t"), "660201", NEW_YEAR, None], "!B2", "control characters"),
        (["", NEW_YEAR, "660201", NEW_YEAR, None], "!B2", "not a text"),
        (["", None, "660201", NEW_YEAR, None], "!B2", "blank"),
        (["", "TRAVEL", "660201", NEW_YEAR, None], "!B2", "2 parts"),
        (["3000", "ADM|A", "660201", NEW_YEAR, None], "!A2", "serves no company"),
        (["", "ADM|A", "660201", 46000, None], "!D2", "not a day"),
        (["", "ADM|A", "660201", "1/2/2026", None], "!D2", "not a day"),
        (["", "ADM|A", "660201", "2026-02-30", None], "!D2", "not a day"),
        (["", "ADM|A", "660201", datetime(2026, 1, 1, 8), None], "!D2", "not a day"),  # noqa: DTZ001 - as Excel
        (["", "ADM|A", "660201", None, None], "!D2", "blank"),
        (["", "ADM|A", "660201", NEW_YEAR, NEW_YEAR], "!E2", "not after the first day"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, line: list[object], place: str, words: str) -> None:
    store = Store()
    text = refused(room_of(store, checks=False), sheet(tmp_path / "in.xlsx", [line]))
    assert f"expense_account{place}: " in text and words in text
    assert store.made == [], "nothing is stored"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = refused(
        room_of(Store(), checks=False),
        sheet(tmp_path / "in.xlsx", [["", "ADM|A", 1.5, NEW_YEAR, None], ["", "ADM|B", "1", "x", "y"]]),
    )
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        "expense_account!C2",
        "expense_account!D3",
        "expense_account!E3",
    ]


def test_lost_zeros_are_seen_in_a_csv_too(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("table,company,code,target,valid_from,valid_to\nparty,,12,S1,2026-01-01,\n", encoding="utf-8")
    store = Store(rows=[row("0012", "S1", table="party")])
    assert "line 2, code: 12 可能丢失了前导零（已有 0012）" in refused(room_of(store), path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("table,company,code,target,valid_from,valid_to\nparty,,a,b\n", "blank"),
        ("table,company,code,target,valid_from,valid_to\nparty,,a,b,2026-01-01,,more\n", "more values than headings"),
        ("table,company,code,target,valid_from\n", "missing column"),
        ("company,code,target,valid_from,valid_to\n", "missing column"),
        ("table,company,code,code,target,valid_from,valid_to\n", "stands twice"),
        ("table,company,code,target,valid_from,valid_to,tarqet\n", "heading not known: tarqet"),
        ("table,company,code,target,valid_from,valid_to\nnone,,a,b,2026-01-01,\n", "no such code table: 'none'"),
        ('table,company,code,target,valid_from,valid_to\nparty,"a"b,c,d,2026-01-01,\n', "not valid CSV"),
    ],
)
def test_a_wrong_csv_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(text, encoding="utf-8")
    assert words in refused(room_of(Store(), checks=False), path)


def test_a_wrong_workbook_is_named(tmp_path: Path) -> None:
    room = room_of(Store(), checks=False)
    assert "no such code table" in refused(room, sheet(tmp_path / "in.xlsx", [], title="Sheet1"))
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK\x03\x04 no zip")
    assert "not an Excel workbook" in refused(room, broken)
    for path in (tmp_path / "none.xlsx", tmp_path / "codes.txt"):
        path.parent.mkdir(exist_ok=True)
        with pytest.raises(GiveUp):
            verbs.propose(room, path, maker="wang")
    with pytest.raises(GiveUp, match="only"):
        verbs.export(room, tmp_path / "codes.ods")


def test_contradictions_and_overlaps_are_named(tmp_path: Path) -> None:
    store = Store(rows=[row("ADM|A")])
    room = room_of(store, checks=False)
    twice = sheet(tmp_path / "a.xlsx", [["", "ADM|B", "1", NEW_YEAR, None], ["", "ADM|B", "2", NEW_YEAR, None]])
    assert "expense_account!3: 与 expense_account!2 矛盾" in refused(room, twice)
    july = sheet(tmp_path / "b.xlsx", [["", "ADM|A", "2", date(2026, 7, 1), None]])
    assert "overlaps the row from 2026-01-01 (对照表 / the table)" in refused(room, july)
    both = [["", "ADM|A", "660201", NEW_YEAR, date(2026, 7, 1)], ["", "ADM|A", "2", date(2026, 7, 1), None]]
    found = verbs.propose(room, sheet(tmp_path / "c.xlsx", both), maker="wang")
    assert [change.kind for change in found.changes] == [ChangeKind.ENDED, ChangeKind.NEW]


# ---------------------------------------------------------------- targets


def test_a_target_that_finance_does_not_know_is_refused(tmp_path: Path) -> None:
    path = sheet(tmp_path / "in.xlsx", [["", "ADM|A", "660209", NEW_YEAR, None]])
    store = Store()
    with pytest.raises(GiveUp) as caught:
        verbs.propose(room_of(store), path, maker="wang")
    assert caught.value.code == "master_data_missing" and "finbridge codes master" in caught.value.staff
    store.known = master("660201")
    assert "finance has none in company 1000, 2000" in refused(room_of(store), path)
    store.known = master("660209")[:1]
    assert "finance has none in company 2000" in refused(room_of(store), path)
    store.known = master("660209", active=False)
    assert "closed or a heading in company 1000, 2000" in refused(room_of(store), path)
    store.known = master("660209")
    assert verbs.propose(room_of(store), path, maker="wang").proposal is not None


def test_a_row_that_stays_or_ends_is_not_held_against_finance(tmp_path: Path) -> None:
    """An account that was closed must not keep people from ending its rows."""
    store = Store(rows=[row("ADM|A", "1"), row("ADM|B", "2")], known=master("660201"))
    lines = [["", "ADM|A", "1", NEW_YEAR, date(2026, 7, 1)], ["", "ADM|B", "2", NEW_YEAR, None]]
    found = verbs.propose(room_of(store), sheet(tmp_path / "in.xlsx", lines), maker="wang")
    assert [change.kind for change in found.changes] == [ChangeKind.ENDED, ChangeKind.SAME]


def test_parties_are_known_to_all_companies(tmp_path: Path) -> None:
    party = MasterRecord(kind=MasterKind.PARTY, company="", code="E0099", name="某人", active=True)
    path = sheet(tmp_path / "in.xlsx", [["2000", "E0099", "E0099", NEW_YEAR, None]], title="party")
    assert verbs.propose(room_of(Store(known=[party])), path, maker="wang").proposal is not None
    gone = [replace(party, active=False)]
    assert "party E0099" in refused(room_of(Store(known=gone)), path)


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
