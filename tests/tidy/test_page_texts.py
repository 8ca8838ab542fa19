"""Texts of the pages come from catalogues alone, and both languages say the same things."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from finbridge.pages.texts import CATALOGUES, LANGUAGES, catalogue

PAGES = Path(__file__).resolve().parents[2] / "plugins/finbridge/pages"
#: Attributes that people read or hear.
SPOKEN = {"title", "alt", "placeholder", "aria-label", "aria-description", "summary", "label"}
LETTERS = re.compile(r"[^\W\d_]")
#: Key literals in templates (t('a.b'), nothing('a.b')) and in Python (text(language, "a.b")).
USED = re.compile(r"""\b(?:t|nothing)\(\s*(['"])([a-z_]+(?:\.[A-Za-z0-9_]+)+)\1\s*[,)]""")


def templates() -> list[Path]:
    found = sorted((PAGES / "templates").rglob("*.html"))
    assert len(found) >= 3
    return found


class Literals(HTMLParser):
    """Collects what a reader would see that no expression made."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self._note(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in SPOKEN:
                self._note(value or "")

    def _note(self, text: str) -> None:
        if LETTERS.search(text):
            self.found.append(text.strip())


def literals(source: str) -> list[str]:
    """Letters that stand in a template outside tags, expressions, statements and comments."""
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", source, flags=re.DOTALL)
    parser = Literals()
    parser.feed(bare)
    return parser.found


def test_the_detector_sees_literals() -> None:
    assert literals('<p title="Hallo">{{ t("a.b") }} 单据 {% if x %}<b>{{ y }}</b>{% endif %}</p>') == ["Hallo", "单据"]


def test_templates_hold_no_text_of_their_own() -> None:
    assert {path.name: found for path in templates() if (found := literals(path.read_text(encoding="utf-8")))} == {}


def test_templates_hold_nothing_inline_that_the_headers_forbid() -> None:
    inline = re.compile(r"<style|<script(?![^>]*\bsrc=)|\bstyle=|\bon[a-z]+=|https?://(?!www\.w3\.org/)", flags=re.I)
    assert {p.name: found for p in templates() if (found := inline.findall(p.read_text(encoding="utf-8")))} == {}


def test_both_languages_have_the_same_keys_and_the_same_gaps_to_fill() -> None:
    chinese, english = (catalogue(language) for language in ("zh", "en"))
    assert len(chinese) > 50
    assert sorted(chinese) == sorted(english)
    names = re.compile(r"\{([a-z_]+)")
    assert {
        key: (chinese[key], english[key])
        for key in chinese
        if sorted(set(names.findall(chinese[key]))) != sorted(set(names.findall(english[key])))
    } == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_that_a_template_names_exists(language: str) -> None:
    known = catalogue("zh" if language == "zh" else "en")
    used = {key for path in templates() for _, key in USED.findall(path.read_text(encoding="utf-8"))}
    assert used
    assert sorted(used - set(known)) == []


def test_every_language_has_the_same_files() -> None:
    files = {language: sorted(p.name for p in (CATALOGUES / language).iterdir()) for language in LANGUAGES}
    assert files["zh"]
    assert files["zh"] == files["en"]


def test_english_is_not_chinese() -> None:
    chinese_letters = re.compile(r"[\u4e00-\u9fff]")
    allowed = {"frame.other_language", "find.example.finance_number"}
    assert [k for k, v in catalogue("en").items() if chinese_letters.search(v) and k not in allowed] == []
