"""Every text colour of the pages can be read on its ground, in light and dark (WCAG 2 AA: a contrast of 4.5)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parents[2] / "plugins/finbridge/pages/static/finbridge.css"
#: Text colour and the grounds that it stands on.
PAIRS = {
    "fg": ("bg", "panel", "hover", "mark"),
    "muted": ("bg", "panel", "hover"),
    "brand": ("bg", "panel", "hover"),
    "brand-fg": ("brand",),
    "good": ("good-bg",),
    "wait": ("wait-bg",),
    "bad": ("bad-bg", "bg"),
    "off": ("off-bg",),
}
AA = 4.5


def themes() -> dict[str, dict[str, str]]:
    """Theme to its colours, as the style sheet declares them."""
    text = CSS.read_text(encoding="utf-8")
    found = {}
    selectors = {
        "light": ":root {",
        "system dark": ':root:not([data-theme="light"]) {',
        "dark": ':root[data-theme="dark"] {',
    }
    for name, selector in selectors.items():
        block = re.search(re.escape(selector) + r"(.*?)\}", text, flags=re.S)
        assert block is not None, name
        found[name] = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block.group(1)))
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_knows_black_white_and_grey() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark", "system dark"])
def test_texts_can_be_read(theme: str) -> None:
    colours = themes()[theme]
    weak = {
        f"{text} on {ground}": round(contrast(colours[text], colours[ground]), 2)
        for text, grounds in PAIRS.items()
        for ground in grounds
        if contrast(colours[text], colours[ground]) < AA
    }
    assert weak == {}


def test_both_ways_into_the_dark_are_the_same() -> None:
    assert themes()["dark"] == themes()["system dark"]
