"""Lines as one text: equal where the same lines stand, whatever their order; and in words how two differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from finbridge.core.month_lines import FIELD, LINE, BookedLine, kept, line_changes, lines_text
from finbridge.core.vouchers import Voucher, VoucherLine
from hypothesis import given
from hypothesis import strategies as st


def booked_line(line: VoucherLine) -> BookedLine:
    """A line as finance shows it that took it whole."""
    return BookedLine(
        account=line.account,
        side=line.side.value,
        local_minor=line.local_amount_minor,
        party=line.party or "",
        currency=line.currency,
        amount_minor=line.amount_minor,
        tax_code=line.tax_code or "",
        assignment=line.assignment or "",
        dimensions=dict(line.dimensions),
    )


def text_of(voucher: Voucher) -> str:
    """All lines of a voucher as finance would show them."""
    return lines_text(map(booked_line, voucher.lines))


FULL = BookedLine(
    account="660201",
    side="D",
    local_minor=71_000,
    party="E0001",
    currency="USD",
    amount_minor=10_000,
    tax_code="J1",
    dimensions={"department": "D1", "employee": "E0001", "cost_centre": "CC"},
)
OTHER = replace(FULL, account="2241", side="C", dimensions={})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"account": "660202"}, "科目 / account: 660201 → 660202"),
        ({"side": "C"}, "借贷方向 / side: D → C"),
        ({"local_minor": 71_001}, "金额 / amount: 710.00 → 710.01"),
        ({"currency": "EUR"}, "原币 / document currency: USD → EUR"),
        ({"amount_minor": 9_999}, "原币金额 / amount in document currency: 100.00 → 99.99"),
        ({"tax_code": ""}, "税码 / tax code: J1 → -"),
        ({"party": "E0002"}, "往来单位有变 / party changed"),
        ({"dimensions": {**FULL.dimensions, "department": "D2"}}, "部门 / department: D1 → D2"),
        ({"dimensions": {**FULL.dimensions, "employee": "E9"}}, "职员有变 / employee changed"),
        ({"dimensions": {**FULL.dimensions, "cost_centre": "C2"}}, "其他辅助核算有变 / other dimensions changed"),
    ],
)
def test_one_changed_field_is_named_and_no_person_is(change: dict[str, object], words: str) -> None:
    ours = lines_text([FULL, OTHER])
    theirs = lines_text([OTHER, replace(FULL, **change)])  # type: ignore[arg-type]  # names are those of BookedLine
    assert line_changes(ours, theirs, "CNY") == [words]
    assert not any("E000" in word for word in line_changes(ours, theirs, "CNY"))
    assert line_changes(ours, lines_text([OTHER, FULL]), "CNY") == []


def test_lines_that_went_or_came_are_named() -> None:
    ours, theirs = lines_text([FULL, OTHER]), lines_text([FULL])
    assert line_changes(ours, theirs, "CNY") == ["缺少分录 / line gone: C 2241 710.00"]
    assert line_changes(theirs, ours, "CNY") == ["多出分录 / line more: C 2241 710.00"]
    many = lines_text([replace(FULL, account=str(n)) for n in range(30)])
    assert len(line_changes("", many, "CNY")) == 11


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters=FIELD + LINE + "\ue002"), max_size=6)
_LINES = st.builds(
    BookedLine,
    account=st.sampled_from(["1", "2"]),
    side=st.sampled_from(["D", "C"]),
    local_minor=st.integers(-3, 3),
    party=st.sampled_from(["", "P"]),
    currency=st.just("CNY"),
    amount_minor=st.integers(-3, 3),
    tax_code=_TEXTS,
    assignment=_TEXTS,
    dimensions=st.dictionaries(st.sampled_from(["department", "project", "a", "b"]), _TEXTS),
)


def _stored(line: BookedLine) -> tuple[object, ...]:
    named = {name: kept(value) for name, value in line.dimensions.items() if kept(value)}
    fields = (line.account, line.side, line.local_minor, line.party, line.amount_minor)
    return (*fields, kept(line.tax_code), kept(line.assignment), tuple(sorted(named.items())))


@given(st.lists(_LINES, max_size=5), st.lists(_LINES, max_size=5), st.randoms(use_true_random=False))
def test_the_text_is_equal_exactly_where_the_same_lines_stand(
    ours: list[BookedLine], theirs: list[BookedLine], random: object
) -> None:
    same = Counter(map(_stored, ours)) == Counter(map(_stored, theirs))
    assert (lines_text(ours) == lines_text(theirs)) == same
    assert bool(line_changes(lines_text(ours), lines_text(theirs), "CNY")) != same
    shuffled = list(ours)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert lines_text(shuffled) == lines_text(ours)
