"""Versions compared field by field, and that personal values never leave; formats; where a document stands."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.money import to_minor
from finbridge.flows.config import load_flow
from finbridge.pages.content import PERSONAL, Change, changes, fields_of, labels
from finbridge.pages.formats import days_since, moment, money, number, tone
from finbridge.pages.situation import situation
from hypothesis import given
from hypothesis import strategies as st

INCLUDE = Path(__file__).resolve().parents[2] / "include"
HIDDEN = ("name", "dt1.account")
SECRET = "6222-secret"


def content(main: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> bytes:
    return json.dumps({"template": "101", "main": main, "details": {"dt1": rows or []}}).encode()


def test_a_change_names_its_field_and_both_values() -> None:
    before = content({"a": "1", "b": None}, [{"_row": "7", "x": "5"}, {"_row": "8", "x": "6"}])
    after = content({"a": "2", "b": ""}, [{"_row": "8", "x": "6"}, {"_row": "9", "x": "6"}])
    assert changes(before, after, ()) == [
        Change("", "", "a", "1", "2"),
        Change("dt1", "7", "x", "5", None),
        Change("dt1", "9", "x", None, "6"),
    ]


def test_a_personal_value_that_changed_is_named_and_not_shown() -> None:
    before = content({"name": SECRET}, [{"_row": "1", "account": SECRET, "x": "1"}])
    after = content({"name": "other"}, [{"_row": "1", "account": "", "x": "1"}])
    assert changes(before, after, HIDDEN) == [
        Change("", "", "name", PERSONAL, PERSONAL),
        Change("dt1", "1", "account", PERSONAL, ""),
    ]


_VALUES = st.one_of(st.none(), st.sampled_from(["", "1", "2", SECRET]))
_MAIN = st.dictionaries(st.sampled_from(["a", "b", "name"]), _VALUES)
_ROWS = st.lists(
    st.fixed_dictionaries({"_row": st.sampled_from(["1", "2", "3"]), "x": _VALUES, "account": _VALUES}),
    max_size=3,
    unique_by=lambda row: str(row["_row"]),
)
_CONTENTS = st.builds(content, _MAIN, _ROWS)


@given(_CONTENTS)
def test_nothing_changed_is_no_change(one: bytes) -> None:
    assert changes(one, one, HIDDEN) == []


@given(_CONTENTS, _CONTENTS)
def test_changes_make_the_one_into_the_other(one: bytes, other: bytes) -> None:
    fields = {(f.table, f.row, f.column): f.value for f in fields_of(one, ())}
    for change in changes(one, other, ()):
        place = (change.table, change.row, change.column)
        assert fields.get(place) == change.before
        if change.after is None:
            del fields[place]
        else:
            fields[place] = change.after
    assert fields == {(f.table, f.row, f.column): f.value for f in fields_of(other, ())}


@given(_CONTENTS, _CONTENTS)
def test_no_personal_value_is_ever_among_fields_or_changes(one: bytes, other: bytes) -> None:
    covered = [f for f in fields_of(one, HIDDEN) if f.column in ("name", "account")]
    assert {f.value for f in covered} <= {"", PERSONAL}
    named = [c for c in changes(one, other, HIDDEN) if c.column in ("name", "account")]
    assert {value for c in named for value in (c.before, c.after)} <= {None, "", PERSONAL}


def test_fields_are_called_as_the_form_calls_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = load_flow(INCLUDE / "flows" / "weaver_tryton__expense_claim.yaml")
    shipped = labels(flow)
    assert shipped[("", "hdje")] == "核定总额"
    assert shipped[("formtable_main_11_dt1", "fylx")] == "费用类型"
    assert shipped[("formtable_main_11_dt2", "")] == "收款明细"
    (tmp_path / "mappings" / Path(flow.mapping).parent).mkdir(parents=True)
    (tmp_path / "mappings" / flow.mapping).write_text("mapping: [broken", encoding="utf-8")
    monkeypatch.setenv("FINBRIDGE_INCLUDE", str(tmp_path))
    assert labels(flow) == {}, "a page is shown whatever the mapping is like"


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (1234567, "CNY", "12,345.67"),
        (-5, "CNY", "-0.05"),
        (-123456, "CNY", "-1,234.56"),
        (1234567, "JPY", "1,234,567"),
        (1234567, "KWD", "1,234.567"),
        (0, "CNY", "0.00"),
        (None, "CNY", "–"),
    ],
)
def test_amounts_have_their_currencys_decimals(minor: int | None, currency: str, shown: str) -> None:
    assert money(minor, currency) == shown


@given(st.integers(-(10**15), 10**15), st.sampled_from(["CNY", "JPY", "KWD", "CLF"]))
def test_an_amount_is_read_back_as_itself(minor: int, currency: str) -> None:
    assert to_minor(money(minor, currency).replace(",", ""), currency) == minor


def test_times_are_shown_in_the_companys_zone_and_local_ones_as_they_are() -> None:
    assert moment(datetime(2026, 10, 31, 16, 30, tzinfo=UTC), "Asia/Shanghai") == "2026-11-01 00:30:00"
    assert moment(datetime.fromisoformat("2026-10-31T16:30:00"), "Asia/Shanghai") == "2026-10-31 16:30:00"
    assert moment(date(2026, 10, 31)) == "2026-10-31"
    assert moment(None) == number(None) == "–"
    now = datetime(2026, 11, 3, 9, tzinfo=UTC)
    assert [days_since(now - timedelta(hours=hours), now) for hours in (1, 23, 24, 49, -1)] == [0, 0, 1, 2, 0]


def test_colours_tell_done_from_waiting_from_wrong() -> None:
    assert [tone(code) for code in ("verified", "unknown", "needs_human", "withdrawn", "what")] == [
        "good",
        "wait",
        "bad",
        "off",
        "off",
    ]


# ---------------------------------------------------------------------- whose turn

NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)


def row(standing: str, **columns: Any) -> dict[str, Any]:
    plain = {"end_state": "APPROVED", "changed_at": NOON, "due_at": None, "planned_at": NOON}
    return {"standing": standing, **plain, **columns}


def hold(turn: str, hours: int = 0, *, closed: bool = False) -> dict[str, Any]:
    at = NOON + timedelta(hours=hours)
    return {"turn": turn, "opened_at": at, "closed_at": at if closed else None}


def voucher(write_back: str | None = "verified", hours: int = 0) -> dict[str, Any]:
    return {"write_back": write_back, "state_since": NOON + timedelta(hours=hours)}


@pytest.mark.parametrize(
    ("found", "turns"),
    [
        (situation(row("held"), [], [hold("it", 2), hold("submitter")]), ("submitter", "it")),
        (situation(row("held"), [], [hold("it"), hold("finance", closed=True)]), ("it",)),
        (situation(row("not_approved", end_state="IN_APPROVAL"), [], []), ("approver",)),
        (situation(row("not_approved", end_state="REJECTED"), [], []), ("submitter",)),
        (situation(row("due"), [], []), ("system",)),
        (situation(row("unexplained"), [], []), ("it",)),
        (situation(row("posted"), [voucher()], []), ("nobody",)),
        (situation(row("posted"), [voucher("due")], []), ("system",)),
        (situation(row("posted"), [voucher()], [hold("nobody")]), ("nobody",)),
        (situation(row("posted"), [voucher()], [hold("finance")]), ("finance",)),
        (situation(row("reversed"), [voucher(None)], []), ("nobody",)),
        (situation(row("nothing_to_post"), [], []), ("nobody",)),
    ],
)
def test_somebody_acts_next_or_nobody_needs_to(found: Any, turns: tuple[str, ...]) -> None:
    assert found.turns == turns


def test_since_is_the_oldest_reason_or_the_last_move() -> None:
    assert situation(row("held"), [], [hold("it", 2), hold("it", 1)]).since == NOON + timedelta(hours=1)
    assert situation(row("posted"), [voucher(hours=1), voucher(hours=3)], []).since == NOON + timedelta(hours=3)
