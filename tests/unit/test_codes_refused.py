"""What a spreadsheet may do to codes is refused with its place, and targets are held against finance."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from finbridge.core.codes import (
    ChangeKind,
    MasterKind,
    MasterRecord,
)
from finbridge.core.errors import GiveUp
from finbridge.flows import codes as verbs

from tests.unit.codes_world import NEW_YEAR, Store, master, refused, room_of, row, sheet

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
