"""Charts: whatever the numbers, the SVG is well formed and nothing is drawn outside of it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from finbridge.pages.charts import SMALL, STRIP, WIDE, Bar, Caption, Frame, columns, finite, parts, round_up, trend
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

SVG = "{http://www.w3.org/2000/svg}"
Draw = Callable[..., Markup]
CHARTS: list[tuple[Draw, Frame]] = [(columns, WIDE), (trend, SMALL), (parts, STRIP)]
NUMBERS = st.none() | st.integers() | st.floats(allow_nan=True, allow_infinity=True)
BARS = st.lists(st.builds(Bar, NUMBERS, st.text(max_size=8), st.text(max_size=20)), max_size=40)


def drawn(svg: Markup) -> ET.Element:
    return ET.fromstring(str(svg))


def boxes(root: ET.Element) -> list[tuple[float, float, float, float]]:
    found = [[float(r.attrib[name]) for name in ("x", "y", "width", "height")] for r in root.iter(f"{SVG}rect")]
    return [(x, y, width, height) for x, y, width, height in found]


@pytest.mark.parametrize(("draw", "frame"), CHARTS)
@settings(max_examples=60)
@given(bars=BARS, title=st.text(max_size=30), description=st.text(max_size=30))
def test_any_numbers_give_a_picture_within_its_bounds(
    draw: Draw, frame: Frame, bars: list[Bar], title: str, description: str
) -> None:
    root = drawn(draw(Caption("c", title, description), bars))
    assert [float(n) for n in root.attrib["viewBox"].split()] == [0, 0, frame.width, frame.height]
    for x, y, width, height in boxes(root):
        assert x >= 0 and y >= 0 and width >= 0 and height >= 0
        assert x + width <= frame.width + 0.02
        assert y + height <= frame.height + 0.02
    assert len(boxes(root)) <= len(bars)


@pytest.mark.parametrize(("draw", "_frame"), CHARTS)
def test_a_screen_reader_is_told_what_it_shows(draw: Draw, _frame: Frame) -> None:
    root = drawn(draw(Caption("hours", "已过账 <Posted>", "3 & 4"), [Bar(3, "9", "9: 3"), Bar(4, "10", "10: 4")]))
    assert root.attrib["role"] == "img"
    ids = root.attrib["aria-labelledby"].split()
    by_id = {child.attrib["id"]: child.text for child in root if "id" in child.attrib}
    assert [by_id[name] for name in ids] == ["已过账 <Posted>", "3 & 4"]
    assert [r.findtext(f"{SVG}title") for r in root.iter(f"{SVG}rect")] == ["9: 3", "10: 4"]


def test_nothing_that_the_headers_forbid() -> None:
    for draw, _ in CHARTS:
        svg = str(draw(Caption("c", '"><script>x</script>', "d"), [Bar(1, "<b>", "' onload='x", 'x" style="y')]))
        root = drawn(Markup(svg))
        assert not [e for e in root.iter() if e.tag == f"{SVG}script" or "style" in e.attrib or "onload" in e.attrib]


def test_heights_follow_the_values() -> None:
    low, high = boxes(drawn(columns(Caption("c", "t", "d"), [Bar(5), Bar(10)])))
    assert high[3] == pytest.approx(2 * low[3], abs=0.02)
    assert low[1] + low[3] == pytest.approx(high[1] + high[3], abs=0.02)  # both stand on the ground


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=9).filter(any))
def test_a_strip_is_filled_and_shows_everything_there_is(values: list[int]) -> None:
    found = boxes(drawn(parts(Caption("c", "t", "d"), [Bar(value) for value in values])))
    assert len(found) == sum(1 for value in values if value)
    assert sum(width for _, _, width, _ in found) == pytest.approx(STRIP.width, abs=0.1)
    assert all(width >= 1 for _, _, width, _ in found)


def test_a_missing_value_is_a_gap_and_zero_a_tick_on_the_ground() -> None:
    found = drawn(trend(Caption("c", "t", "d"), [Bar(None), Bar(0), Bar(4, tone="bad")]))
    assert [r.attrib["class"] for r in found.iter(f"{SVG}rect")] == ["ground", "bad"]


@given(st.floats(0, 1e300))
def test_the_axis_ends_on_a_round_number_above(value: float) -> None:
    top = round_up(value)
    assert top >= value
    assert math.isfinite(top)
    assert top <= max(1.0, value * 10.0001)


def test_what_is_no_number_has_no_length() -> None:
    assert [finite(v) for v in (None, -1, math.nan, math.inf, -math.inf, 10**400, 2)] == [0, 0, 0, 0, 0, 0, 2]
