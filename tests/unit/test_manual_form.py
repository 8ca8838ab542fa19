"""The form of a manual run: whatever a person types is taken as it stands or refused in both languages."""

from __future__ import annotations

from typing import Any

import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.preview import MOST_DOCUMENTS, Asked
from finbridge.flows.manual_form import FORM_ERRORS, LONGEST_NUMBER, parse_form, parse_numbers
from hypothesis import given
from hypothesis import strategies as st

COMPANIES = ["1000", "2000"]
WINDOW = {"approved_from": "2026-10-01", "approved_to": "2026-10-31"}
number = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"], exclude_characters=",;，、；"),
    min_size=1,
    max_size=20,
)
between = st.sampled_from(["\n", ",", "，", "、", ";", "；", " , ", "\r\n", "\t", ",\n\n , "])


@given(numbers=st.lists(number, max_size=30), data=st.data())
def test_numbers_come_out_as_they_were_typed_whatever_stands_between(numbers: list[str], data: st.DataObject) -> None:
    text = "".join(one + data.draw(between) for one in numbers)
    assert parse_numbers(text) == tuple(dict.fromkeys(numbers))


@given(st.text())
def test_any_text_gives_numbers_that_can_be_stored(text: str) -> None:
    try:
        found = parse_form({"document_numbers": text}, COMPANIES).numbers
    except GiveUp as error:
        assert error.code in ("nothing_asked", "number_too_long")
        return
    assert found
    for one in found:
        assert one == one.strip()
        assert "\x00" not in one
        one.encode("utf-8")


@given(
    form=st.fixed_dictionaries(
        {},
        optional={
            "document_numbers": st.none() | st.text(max_size=20),
            "approved_from": st.none() | st.dates().map(str) | st.text(max_size=5),
            "approved_to": st.none() | st.dates().map(str) | st.just("2026-13-01"),
            "company": st.none() | st.sampled_from(["", *COMPANIES, "9999"]),
            "live": st.none() | st.booleans(),
            "reason": st.none() | st.text(max_size=10),
        },
    )
)
def test_a_form_is_numbers_or_a_window_and_never_live_without_a_reason(form: dict[str, Any]) -> None:
    try:
        asked = parse_form(form, COMPANIES)
    except GiveUp as error:
        assert " / " in error.staff and not error.staff.isascii(), "in both languages"
        return
    assert bool(asked.numbers) != (asked.window is not None)
    assert not asked.live or asked.reason.strip()
    if asked.window is not None:
        assert asked.window.since <= asked.window.until
    row = {"asked": asked.as_json(), "live": asked.live, "reason": asked.reason}
    assert Asked.of_run(row) == asked, "as the hub gives it back"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, "nothing_asked"),
        ({"document_numbers": " ,\n "}, "nothing_asked"),
        ({"document_numbers": "BX-1", **WINDOW}, "both_asked"),
        ({"document_numbers": "BX-1", "company": "1000"}, "both_asked"),
        ({"approved_from": "2026-10-01"}, "window_incomplete"),
        ({"company": "1000"}, "window_incomplete"),
        ({**WINDOW, "approved_to": "10/31"}, "window_incomplete"),
        ({**WINDOW, "approved_to": "2026-09-30"}, "window_backwards"),
        ({**WINDOW, "company": "9999"}, "unknown_company"),
        ({"document_numbers": "BX-1", "live": True}, "reason_missing"),
        ({"document_numbers": "BX-1", "live": True, "reason": "  \n "}, "reason_missing"),
        ({"document_numbers": "BX-1", "live": "true"}, "live_not_boolean"),
        ({"document_numbers": "BX-1", "reason": "因" * 501}, "reason_too_long"),
        ({"document_numbers": "9" * (LONGEST_NUMBER + 1)}, "number_too_long"),
        ({"document_numbers": ",".join(map(str, range(MOST_DOCUMENTS + 1)))}, "window_too_large"),
    ],
)
def test_what_is_wrong_is_named(form: dict[str, Any], code: str) -> None:
    with pytest.raises(GiveUp) as caught:
        parse_form(form, COMPANIES)
    assert caught.value.code == code
    assert code in FORM_ERRORS


def test_what_is_right_is_taken() -> None:
    asked = parse_form({"document_numbers": "BX-1，BX-2\n7", "live": True, "reason": " 月末\n补记 "}, COMPANIES)
    assert (asked.numbers, asked.live, asked.reason) == (("BX-1", "BX-2", "7"), True, "月末 补记")
    window = parse_form({**WINDOW, "document_numbers": None, "live": False}, COMPANIES).window
    assert window is not None and (str(window.since), str(window.until), window.company) == (*WINDOW.values(), "")
