"""Small charts as inline SVG: no script, no style attribute, nothing from elsewhere; colours come from the style sheet.

Each chart is one image with a title and a description, so that a screen reader says what the eye sees; each bar also
has a title of its own, shown where a pointer rests on it. Numbers that are no numbers (NaN, infinite) are gaps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_GAP = 0.18  # of a bar's step
_FEW = 16  # no bar is wider than this part of the whole, however few there are
_LETTER = 7.0  # the width of a letter of a label, with its share of the gap to the next label
_MOST = 1e15  # beyond any count or amount, and far from where sums of lengths lose their meaning
_UNWRITABLE = re.compile("[^\\t\\n\\u0020-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Bar:
    """One value. ``label`` stands below the bar, ``says`` is what it says when pointed at, ``tone`` its colour."""

    value: float | None
    label: str = ""
    says: str = ""
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Caption:
    """What a screen reader says. ``name`` is unique on the page: ids begin with it."""

    name: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a chart draws, in its own units."""

    width: float
    height: float
    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0

    @property
    def inner_width(self) -> float:
        """Without the margins."""
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> float:
        """Without the margins."""
        return self.height - self.top - self.bottom

    @property
    def base(self) -> float:
        """Where zero is."""
        return self.height - self.bottom


#: Wide enough for a day's hours with an axis.
WIDE = Frame(760, 150, left=46, right=6, top=12, bottom=22)
#: One line of a table.
SMALL = Frame(180, 26, left=1, right=1, top=2, bottom=2)
#: A whole in its parts.
STRIP = Frame(760, 14)


def columns(caption: Caption, bars: Sequence[Bar], frame: Frame = WIDE) -> Markup:
    """Columns on an axis that ends on a round value."""
    top = round_up(max((finite(bar.value) for bar in bars), default=0.0))
    axis = [
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            _n(frame.left), _n(frame.width - frame.right), _n(y), _n(y)
        )
        + Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
            _n(frame.left - 6), _n(y + 4), f"{value:,.0f}"
        )
        for value, y in ((0.0, frame.base), (top / 2, frame.base - frame.inner_height / 2), (top, frame.top))
        if value == round(value)
    ]
    every = _labels_every(bars, frame)
    labels = [
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            _n(middle), _n(frame.height - 6), _plain(bar.label)
        )
        for number, (bar, middle) in enumerate(zip(bars, _middles(len(bars), frame), strict=True))
        if number % every == 0 and bar.label
    ]
    return _image(caption, "columns", frame, [*axis, *_rectangles(bars, top, frame), *labels])


def trend(caption: Caption, bars: Sequence[Bar], frame: Frame = SMALL) -> Markup:
    """Columns without an axis, for one line of a table; zero is a short tick on the ground."""
    top = max((finite(bar.value) for bar in bars), default=0.0)
    return _image(caption, "trend", frame, list(_rectangles(bars, top, frame, ground=1.0)))


def parts(caption: Caption, bars: Sequence[Bar], frame: Frame = STRIP) -> Markup:
    """One strip, divided by the values; a value above nothing is never too thin to see."""
    values = [finite(bar.value) for bar in bars]
    shares = _shares(values, frame.width)
    drawn: list[Markup] = []
    x = 0.0
    for bar, share in zip(bars, shares, strict=True):
        if share:
            drawn.append(_rectangle(x, 0.0, share, frame.height, bar))
        x += share
    return _image(caption, "parts", frame, drawn)


def finite(value: float | None) -> float:
    """The value as a length: what is missing, negative or no number has none."""
    try:
        found = float(value or 0.0)
    except OverflowError:
        return 0.0
    return min(found, _MOST) if math.isfinite(found) and found > 0 else 0.0


def round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 … at or above; 1 for nothing."""
    if value <= 1:
        return 1.0
    step = 10.0 ** math.floor(math.log10(value))
    for factor in (1, 2, 5, 10):
        if factor * step >= value:
            return factor * step
    return value  # the rounding of the logarithm


def _shares(values: Sequence[float], width: float) -> list[float]:
    """Widths that add up to the whole; what is there gets at least two units, taken from the widest."""
    largest = max(values, default=0.0)
    if not largest:
        return [0.0] * len(values)
    scaled = [value / largest for value in values]  # first, so that sums of huge values stay finite
    total = sum(scaled)
    least = min(2.0, width / len(values))
    widths = [max(least, width * value / total) if value else 0.0 for value in scaled]
    surplus = sum(widths) - width
    widest = widths.index(max(widths))
    widths[widest] = max(least, widths[widest] - surplus)
    rest = sum(widths)
    return [share * width / rest for share in widths]


def _rectangles(bars: Sequence[Bar], top: float, frame: Frame, ground: float = 0.0) -> Iterator[Markup]:
    if not bars:
        return
    step = frame.inner_width / len(bars)
    wide = min(step * (1 - _GAP), frame.inner_width / _FEW)
    for number, bar in enumerate(bars):
        length = frame.inner_height * min(1.0, finite(bar.value) / top) if top else 0.0
        if bar.value is None or not (length or ground):
            continue
        shown = Bar(bar.value, bar.label, bar.says, bar.tone if length else "ground")
        high = max(length, ground)
        yield _rectangle(frame.left + (number + 0.5) * step - wide / 2, frame.base - high, wide, high, shown)


def _rectangle(x: float, y: float, width: float, height: float, bar: Bar) -> Markup:
    says = Markup("<title>{}</title>").format(_plain(bar.says)) if bar.says else Markup("")
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(
        bar.tone, _n(x), _n(y), _n(width), _n(height), says
    )


def _labels_every(bars: Sequence[Bar], frame: Frame) -> int:
    """Every how many columns a label fits; at least two letters wide."""
    widest = max((len(bar.label) for bar in bars), default=0) + 1
    return max(1, math.ceil(max(widest, 3) * _LETTER * len(bars) / frame.inner_width))


def _middles(count: int, frame: Frame) -> list[float]:
    step = frame.inner_width / count if count else 0.0
    return [frame.left + (number + 0.5) * step for number in range(count)]


def _image(caption: Caption, kind: str, frame: Frame, drawn: Sequence[Markup]) -> Markup:
    head = Markup(
        '<svg class="chart {kind}" role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'preserveAspectRatio="{fit}" aria-labelledby="{name}-t {name}-d">'
        '<title id="{name}-t">{title}</title><desc id="{name}-d">{description}</desc>'
    ).format(
        kind=kind,
        fit="xMinYMid meet" if kind == "columns" else "none",  # words are not stretched
        width=_n(frame.width),
        height=_n(frame.height),
        name=caption.name,
        title=_plain(caption.title),
        description=_plain(caption.description),
    )
    return head + Markup("").join(drawn) + Markup("</svg>")


def _plain(text: str) -> Markup:
    """Escaped, without characters that XML knows no way to write."""
    return escape(_UNWRITABLE.sub("", text))


def _n(value: float) -> str:
    """Two decimals at most: ``12.5``."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
