"""Names of makers and checkers: whatever looks like one name is one, and what hides something is refused."""

from __future__ import annotations

import unicodedata

import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.people import SAMPLE_CHECKER, SAMPLE_MAKER, is_system, person, same_person
from finbridge.hub.codes import check_four_eyes
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "other",
    [
        "wang.wei",
        " WANG.WEI ",
        "Ｗａｎｇ．Ｗｅｉ",  # full width
        "𝐰𝐚𝐧𝐠.𝓌𝑒𝑖",  # mathematical letters
        "wáng.wěi",
        "wang.we\u0131",  # dotless i
        "w\u0430ng.wei",  # Cyrillic a: refused as a name, and the same to the eye
        "wang\u200b.wei",
        "wang.wei\ufe0f",
        "ᴡᴀɴɢ.ᴡᴇɪ",  # small capitals, all of them Latin
        "wɑnɡ.wei",
    ],
)
def test_what_looks_like_one_name_is_one(other: str) -> None:
    assert same_person("Wang.Wei", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("coco", "сосо"),  # all Cyrillic: no mixed script, but one to the eye
        ("TAHO", "ТАНО"),
        ("opax", "орах"),
        ("HTO", "ΗΤΟ"),
        ("ηλιας", "ΗΛΙΑΣ"),
        ("王小明", "王 小明"),
        ("straße", "STRASSE"),
    ],
)
def test_whole_names_of_another_alphabet(one: str, other: str) -> None:
    assert same_person(one, other) and same_person(other, one)
    with pytest.raises(GiveUp) as refused:
        check_four_eyes(one, other)
    assert refused.value.code == "four_eyes"


@pytest.mark.parametrize(
    ("one", "other"),
    [("wang", "li"), ("wang", "wang2"), ("王小明", "王晓明"), ("lu", "lv"), ("zhangl", "zhang1"), ("иван", "anna")],
)
def test_two_people_stay_two(one: str, other: str) -> None:
    assert not same_person(one, other)
    check_four_eyes(one, other)


@pytest.mark.parametrize(
    "name",
    [
        "wang\u200bwei",  # zero width space
        "wang\u00adwei",  # soft hyphen
        "wang\u2060wei",
        "\u202egnaw",  # right to left
        "wang\ufe0f",
        "wang\u3164",  # Hangul filler: a letter that shows nothing
        "wang\x00",
        "wang\x7f",
        "wa\tng\x1b",
        "w\u0430ng",  # Cyrillic a
        "w\u03b1ng",  # Greek alpha
        "wang✓",
        "wang‐wei",  # a hyphen that is none
        "王а",
        "w" * 101,
    ],
)
def test_names_that_hide_something_are_refused(name: str) -> None:
    with pytest.raises(GiveUp) as refused:
        person(name)
    assert refused.value.code == "odd_name"
    with pytest.raises(GiveUp):
        check_four_eyes("li", name)
    with pytest.raises(GiveUp):
        check_four_eyes(name, "li")


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("wang.wei", "wang.wei"),
        (" Wang  Wei ", "Wang Wei"),
        ("Ｗａｎｇ", "Wang"),
        ("王小明", "王小明"),
        ("王小明 (Finance)", "王小明 (Finance)"),
        ("王　小明", "王 小明"),
        ("阿卜杜拉·买买提", "阿卜杜拉·买买提"),
        ("佐々木タロー", "佐々木タロー"),
        ("Иван Петров", "Иван Петров"),
        ("Łukasz Żak", "Łukasz Żak"),
        ("o'neil-smith_2@corp", "o'neil-smith_2@corp"),
        (SAMPLE_MAKER, SAMPLE_MAKER),
    ],
)
def test_names_as_people_have_them(name: str, stored: str) -> None:
    assert person(name) == stored == person(stored)


@pytest.mark.parametrize("name", ["", "  ", "\u3000"])
def test_nobody_is_nobody(name: str) -> None:
    with pytest.raises(GiveUp, match="say who you are"):
        person(name)
    with pytest.raises(GiveUp, match="two people"):
        check_four_eyes("wang", name)


def test_the_suite_s_own_names_are_nobody_else_s() -> None:
    check_four_eyes(SAMPLE_MAKER, SAMPLE_CHECKER)
    assert is_system(SAMPLE_MAKER) and is_system("SYSTEM:x") and is_system("ѕystem:x") and not is_system("systema")


@given(st.text(max_size=30))
def test_a_name_that_is_taken_hides_nothing(name: str) -> None:
    try:
        clean = person(name)
    except GiveUp:
        return
    assert person(clean) == clean == unicodedata.normalize("NFKC", clean)
    assert same_person(name, clean) and same_person(clean, clean.upper()) and same_person(clean, clean.casefold())
    assert not any(unicodedata.category(char)[0] in "CZ" and char != " " for char in clean)
