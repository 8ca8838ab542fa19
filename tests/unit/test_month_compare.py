"""The comparison: three sets in, differences out. Planted faults are named, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, VoucherState
from finbridge.core.month import (
    HELD_BY_FINANCE,
    Called,
    Difference,
    InFinance,
    InRegister,
    Month,
    SideSum,
    Standing,
    What,
    cut_off,
    end_day,
    first_day,
    months_asked,
    period_before,
)
from finbridge.core.month_compare import Tally, compare, unbalanced
from finbridge.core.month_lines import BookedLine, lines_text
from hypothesis import given
from hypothesis import strategies as st

PERIOD, OTHER = "2026-10", "2026-11"
_S = VoucherState
_NO_REASON = Standing()


def sides(key: str, minor: int = 100, kind: VoucherKind = VoucherKind.EXPENSE) -> tuple[Called, InRegister, InFinance]:
    """One voucher on which all sides agree."""
    called = Called(
        key=key,
        document_id=f"d{key}",
        business_number=f"BX{key}",
        kind=kind,
        period=PERIOD,
        currency="CNY",
        amount_minor=minor,
    )
    registered = InRegister(
        key=key,
        document_id=f"d{key}",
        business_number=f"BX{key}",
        kind=kind,
        cause="1",
        state=_S.VERIFIED,
        period=PERIOD,
        currency="CNY",
        debit_minor=minor,
        fingerprint=f"f{key}",
    )
    found = InFinance(
        key=key,
        number=f"记-{key}",
        kind=kind.value,
        period=PERIOD,
        currency="CNY",
        debit_minor=minor,
        content=f"f{key}",
        posted=True,
        document_id=f"d{key}",
        listed=True,
    )
    return called, registered, found


def one(
    called: Called | None, registered: InRegister | None, found: InFinance | None, standing: Standing = _NO_REASON
) -> Difference | None:
    """The difference of a single key."""
    owner = called or registered
    standings = {owner.document_id: standing} if owner else {}
    differences = compare(
        [called] if called else [], [registered] if registered else [], [found] if found else [], PERIOD, standings
    )
    return differences[0] if differences else None


def named(difference: Difference | None) -> str:
    return difference.what.value if difference else "-"


def test_where_all_sides_agree_there_is_nothing() -> None:
    assert one(*sides("1")) is None


@pytest.mark.parametrize(
    ("standing", "state", "what"),
    [
        (Standing(), None, "missing"),
        (Standing(holds=("unknown_code",)), None, "held"),
        (Standing(due=True), None, "unsent"),
        (Standing(due=True, arrived=True), None, "due"),
        (Standing(empty=frozenset({"expense"})), None, "zero"),
        (Standing(), _S.READY, "missing"),
        (Standing(due=True), _S.READY, "unsent"),
        (Standing(due=True, waits=True), _S.READY, "waiting_period"),  # behind one that waits
        (Standing(), _S.WAITING_PERIOD, "waiting_period"),
        (Standing(), _S.REJECTED, "held"),
        (Standing(due=True), _S.SENDING, "in_doubt"),
        (Standing(due=True, arrived=True), _S.UNKNOWN, "in_doubt"),  # news of the document say nothing of finance
        (Standing(holds=("unknown_code",)), _S.UNKNOWN, "in_doubt"),  # nor does a list
        (Standing(holds=("bad_amount",), due=True), _S.VERIFIED, "missing"),  # no reason explains what was posted
        (Standing(due=True), _S.REVERSED, "missing"),
    ],
)
def test_what_finance_does_not_show_has_a_reason_or_is_missing(
    standing: Standing, state: VoucherState | None, what: str
) -> None:
    called, registered, _ = sides("1")
    assert named(one(called, replace(registered, state=state) if state else None, None, standing)) == what


def test_what_nobody_calls_for_and_finance_does_not_show_is_no_difference() -> None:
    _, registered, _ = sides("1")
    assert one(None, replace(registered, state=_S.WITHDRAWN), None) is None


@pytest.mark.parametrize("state", sorted(IN_DOUBT))
def test_what_is_in_doubt_is_red_until_finance_shows_it_posted(state: VoucherState) -> None:
    called, registered, found = sides("1")
    doubted = replace(registered, state=state)
    for call in (called, None):  # taken back in the OA meanwhile: it may be in the books all the same
        difference = one(call, doubted, None, Standing(due=True))
        assert difference is not None
        assert (difference.what, difference.explained, difference.key) == (What.IN_DOUBT, False, "1")
        assert "重新触发月结" in difference.detail and "trigger the month again" in difference.detail
    assert named(one(called, doubted, replace(found, posted=False))) == "in_doubt"
    shown = one(called, doubted, found)
    assert shown is not None and (shown.what, shown.explained) == (What.UNKNOWN, True)
    assert named(one(called, replace(doubted, new=True), None)) == "due"
    assert compare([], [doubted], [], OTHER) == []


def test_what_was_extra_is_explained_once_people_reversed_it() -> None:
    called, registered, found = sides("1")
    draft = replace(found, taken_back="草稿 draft (2026-10-30, 2026-10)")
    undone = replace(found, taken_back="记-9 (2026-11-03, 2026-11)", undone=True)
    unsent = replace(registered, state=_S.WITHDRAWN)
    for voucher in (None, unsent, registered):
        difference = one(None, voucher, undone)
        assert difference is not None
        assert (difference.what, difference.explained) == (What.EXTRA_REVERSED, True)
        assert "记-9" in difference.detail and difference.finance_minor == 100
        assert not (one(None, voucher, draft) or difference).explained  # a draft takes nothing back
    # Of another month, or altered there: whether it is called for is not known here.
    assert named(one(None, replace(registered, period=OTHER), undone)) == "reversed_in_finance"
    assert named(one(None, registered, replace(undone, listed=False))) == "reversed_in_finance"
    assert named(one(None, registered, replace(undone, debit_minor=101))) == "reversed_in_finance"
    # What a document calls for is not extra: its reversal is nobody's order.
    assert named(one(called, registered, undone)) == "reversed_in_finance"
    assert named(one(called, None, undone)) == "extra"
    assert named(one(called, unsent, undone)) == "extra"


def test_what_finance_shows_without_a_source_is_extra() -> None:
    called, registered, found = sides("1")
    assert named(one(None, None, found)) == "extra"
    assert named(one(called, None, found)) == "extra"
    assert named(one(called, None, found, Standing(due=True))) == "unknown"
    assert named(one(None, registered, found)) == "extra"
    assert named(one(None, replace(registered, new=True), found)) == "due"
    for state in set(_S) - HELD_BY_FINANCE - IN_DOUBT - {_S.NEEDS_HUMAN}:
        assert named(one(called, replace(registered, state=state), found)) == "extra", state


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"debit_minor": 101}, "amount"),
        ({"content": "other"}, "party"),
        ({"posted": False}, "draft"),
        ({"period": OTHER, "listed": False, "content": "other"}, "period"),
        ({"currency": "USD"}, "currency"),
        ({"kind": "payment"}, "kind"),
        ({"period": OTHER, "listed": False}, f"period: {PERIOD} → {OTHER}"),
        ({"document_id": "another"}, "document: d1 → another"),
    ],
)
def test_what_was_changed_in_finance_is_altered_and_says_how(change: dict[str, object], word: str) -> None:
    called, registered, found = sides("1")
    difference = one(called, registered, replace(found, **change))  # type: ignore[arg-type]  # names are those of InFinance
    assert difference is not None
    assert (difference.what, difference.explained) == (What.ALTERED, False)
    assert word in difference.detail


def test_a_voucher_of_another_period_that_finance_shows_here_is_altered() -> None:
    _, registered, found = sides("1")
    moved = replace(found, content="other")
    difference = one(None, replace(registered, period=OTHER), moved)
    assert difference is not None and difference.what is What.ALTERED
    assert (difference.oa_minor, difference.finance_minor) == (None, 100)


def test_lines_are_compared_with_all_that_finance_shows() -> None:
    called, registered, found = sides("1")
    line = BookedLine(
        account="1",
        side="D",
        local_minor=100,
        party="",
        currency="USD",
        amount_minor=14,
        dimensions={"department": "D1"},
    )
    booked = replace(registered, lines=lines_text([line]))
    assert one(called, booked, replace(found, lines=booked.lines)) is None
    moved = lines_text([replace(line, amount_minor=15, dimensions={"department": "D2"})])
    difference = one(called, booked, replace(found, lines=moved))
    assert difference is not None and difference.what is What.ALTERED
    assert "0.14 → 0.15" in difference.detail and "department: D1 → D2" in difference.detail
    dated = one(called, booked, replace(found, lines=booked.lines, content="other"))
    assert dated is not None and dated.detail == "过账日期有变 / posting date changed"


def test_what_people_reversed_in_finance_is_named_in_its_month_and_in_that_of_the_reversal() -> None:
    called, registered, found = sides("1")
    back = replace(found, taken_back="记-2026-000009 (2026-11-03, 2026-11)")
    difference = one(called, registered, back)
    assert difference is not None
    assert (difference.what, difference.explained, difference.key) == (What.REVERSED, False, "1")
    assert (difference.oa_minor, difference.finance_minor) == (100, 100)
    assert "记-2026-000009" in difference.detail and "被财务红冲" in difference.detail
    # The same voucher, seen from the month in which it was reversed.
    differences = compare([], [registered], [replace(back, listed=False)], OTHER)
    assert [(d.what, d.key, d.oa_minor, d.finance_minor) for d in differences] == [(What.REVERSED, "1", None, None)]
    # What was reversed there and reversed again, or was never ours, is no news of that month.
    assert compare([], [registered], [replace(found, listed=False)], OTHER) == []
    assert compare([], [], [replace(back, listed=False)], OTHER) == []


def test_what_both_took_back_is_held_once_a_list_says_so() -> None:
    called, registered, found = sides("1")
    back, reversing = replace(found, taken_back="记-9"), replace(registered, state=_S.REVERSING)
    assert named(one(called, reversing, back)) == "reversed_in_finance"
    assert named(one(called, reversing, back, Standing(holds=("already_reversed",)))) == "held"
    assert named(one(called, registered, back, Standing(holds=("already_reversed",)))) == "reversed_in_finance"
    accepted = replace(registered, state=_S.REVERSED)
    assert named(one(called, accepted, back, Standing(holds=("approval_returned_after_reversal",)))) == "held"
    assert named(one(called, accepted, back, Standing(holds=("unknown_code",)))) == "reversed_in_finance"
    assert named(one(called, replace(registered, state=_S.REVERSED), back)) == "reversed_in_finance"


def test_a_form_with_another_amount_is_explained_only_by_an_open_reason() -> None:
    called, registered, found = sides("1")
    assert named(one(replace(called, amount_minor=90), registered, found)) == "altered"
    standing = Standing(holds=("changed_after_posting",))
    assert named(one(replace(called, amount_minor=90), registered, found, standing)) == "held"


def test_a_sum_that_no_difference_explains_is_told() -> None:
    sums = [
        SideSum(side="oa", kind="expense", currency="CNY", vouchers=2, amount_minor=200),
        SideSum(side="finance", kind="expense", currency="CNY", vouchers=1, amount_minor=100),
    ]
    (told,) = unbalanced(sums, [])
    assert (told.what, told.explained) == (What.SUMS, False)
    missing = one(*sides("1")[:2], None)
    assert missing is not None and unbalanced(sums, [missing]) == []


# ---------------------------------------------------------------- whatever the sets are

_KEYS = st.sets(st.integers(0, 60).map(str), max_size=40)
_HELD_BACK = st.sampled_from(["held", "due", "zero", "waiting_period", "unknown"])
_PLANTED = st.sampled_from(["missing", "extra", "altered", "moved", "unsent", "in_doubt"])


def build(
    good: set[str], back: Mapping[str, str], planted: Mapping[str, str]
) -> tuple[list[Called], list[InRegister], list[InFinance], dict[str, Standing]]:
    """Sets with what is held back for a reason and what was planted."""
    called, registered, found = [], [], []
    standings: dict[str, Standing] = {}
    for key in sorted(good | back.keys() | planted.keys()):
        call, voucher, entry = sides(key, minor=(int(key) + 1) * 7 - 100)
        how = planted.get(key) or back.get(key) or "good"
        if how != "extra":
            called.append(call)
        if how in ("waiting_period", "unknown", "in_doubt"):
            state = _S.WAITING_PERIOD if how == "waiting_period" else _S.SENDING
            registered.append(replace(voucher, state=state))
        elif how not in ("extra", "held", "due", "unsent", "zero"):
            registered.append(voucher)
        if how == "altered":
            found.append(replace(entry, debit_minor=entry.debit_minor + 1, content="changed"))
        elif how == "moved":
            found.append(replace(entry, period=OTHER, listed=False, content="changed"))
        elif how in ("good", "extra", "unknown"):
            found.append(entry)
        reasons = {
            "held": Standing(holds=("x",)),
            "due": Standing(due=True, arrived=True),
            "unsent": Standing(due=True),
            "zero": Standing(empty=frozenset({"expense"})),
        }
        standings[f"d{key}"] = reasons.get(how, Standing())
    return called, registered, found, standings


def summed(called: list[Called], found: list[InFinance]) -> list[SideSum]:
    mine = [("oa", c.kind.value, c.currency, c.amount_minor) for c in called]
    mine += [("finance", f.kind, f.currency, f.debit_minor) for f in found if f.listed]
    names = sorted({row[:3] for row in mine})
    return [
        SideSum(
            side=side,
            kind=kind,
            currency=currency,
            vouchers=sum(row[:3] == (side, kind, currency) for row in mine),
            amount_minor=sum(row[3] for row in mine if row[:3] == (side, kind, currency)),
        )
        for side, kind, currency in names
    ]


@given(_KEYS, st.dictionaries(st.integers(100, 160).map(str), _HELD_BACK, max_size=20),
       st.dictionaries(st.integers(200, 260).map(str), _PLANTED, max_size=10))  # fmt: skip
def test_exactly_what_was_planted_is_unexplained_and_the_sums_add_up(
    good: set[str], back: dict[str, str], planted: dict[str, str]
) -> None:
    called, registered, found, standings = build(good, back, planted)
    differences = compare(called, registered, found, PERIOD, standings)
    told = {d.key: d.what.value for d in differences if not d.explained}
    assert told == {key: "altered" if how == "moved" else how for key, how in planted.items()}
    assert {d.key: d.what.value for d in differences if d.explained} == back
    assert unbalanced(summed(called, found), differences) == []
    tally = Tally()
    for difference in differences:
        tally.take(difference)
    assert (tally.unexplained, tally.explained) == (len(planted), len(back))


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_sets_does_not_matter(random: object) -> None:
    called, registered, found, standings = build({"1", "2"}, {"3": "held"}, {"4": "missing", "5": "extra"})
    expected = compare(called, registered, found, PERIOD, standings)
    for side in (called, registered, found):
        random.shuffle(side)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert compare(called, registered, found, PERIOD, standings) == expected


_ANY_STATE = st.sampled_from(list(_S))


_FLAG = st.booleans()


@given(st.lists(st.tuples(_FLAG, st.none() | _ANY_STATE, st.none() | _FLAG, _FLAG, _FLAG), max_size=12))
def test_the_sums_add_up_in_whatever_state_things_are(
    rows: list[tuple[bool, VoucherState | None, bool | None, bool, bool]],
) -> None:
    """Any mix of sides and states: no amount is lost between the list and the totals."""
    called, registered, found = [], [], []
    for number, (calls, state, shows, same, new) in enumerate(rows):
        call, voucher, entry = sides(str(number), minor=number * 11 + 1)
        called += [call] if calls else []
        registered += [replace(voucher, state=state, new=new)] if state else []
        found += [entry if same else replace(entry, debit_minor=-5, content="?")] if shows else []
    differences = compare(called, registered, found, PERIOD)
    assert unbalanced(summed(called, found), differences) == []


# ---------------------------------------------------------------- days


def test_periods_and_the_cut_off() -> None:
    assert (first_day("2026-12").isoformat(), end_day("2026-12").isoformat()) == ("2026-12-01", "2027-01-01")
    assert end_day("2027-02").isoformat() == "2027-03-01"
    assert period_before(first_day("2027-01")) == "2026-12"
    assert cut_off("2026-10", 5, 18, "Asia/Shanghai").isoformat() == "2026-11-05T18:00:00+08:00"
    for text in ("2026-1", "2026-13", "202610", "2026-10-01", ""):
        with pytest.raises(ValueError, match=r"period|isoformat|month"):
            first_day(text)


def test_the_months_asked_for() -> None:
    zones = {"1000": "Asia/Shanghai", "2000": "America/New_York"}
    moment = datetime(2026, 10, 31, 16, 30, tzinfo=UTC)  # the first of November in Shanghai, still October in New York
    assert months_asked(zones, "all", None, moment) == [Month("1000", "2026-10"), Month("2000", "2026-09")]
    assert months_asked(zones, "2000", "2026-05", moment) == [Month("2000", "2026-05")]
    assert Month("1000", "2026-10").label == "公司 1000 · 会计期间 2026-10"
    with pytest.raises(ValueError, match="9999"):
        months_asked(zones, "9999", None, moment)
    with pytest.raises(ValueError, match="month"):
        months_asked(zones, "all", "2026-13", moment)
