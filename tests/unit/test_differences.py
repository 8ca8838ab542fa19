"""What finance holds against what we sent: every field that differs is named, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from finbridge.core.differences import as_finance_holds, compared, differences, explained, in_words
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.month_lines import BookedLine, lines_text
from finbridge.core.outcomes import Conflict, Duplicate, LedgerEntry, Rejected, TakenBack
from finbridge.core.vouchers import Side, Voucher, VoucherLine, fingerprint
from finbridge.pages.words import compared_in_words
from hypothesis import given
from hypothesis import strategies as st

_DAY = date(2026, 11, 20)
_Line = tuple[str, Side, int, str]


def voucher(*lines: _Line) -> Voucher:
    return Voucher(
        identity=VoucherIdentity("1000", "weaver:oa", "7", "2", VoucherKind.EXPENSE),
        currency="CNY",
        business_date=_DAY,
        document_date=_DAY,
        posting_date=_DAY,
        summary="报销张三10月差旅费",
        business_number="BX-7",
        lines=tuple(
            VoucherLine(
                line_no=number,
                account=account,
                side=side,
                amount_minor=minor,
                currency="CNY",
                local_amount_minor=minor,
                party=party or None,
                dimensions=(("department", "D1"), ("shop", "S1")),
            )
            for number, (account, side, minor, party) in enumerate(lines, start=1)
        ),
    )


def entry(sent: Voucher, day: date = _DAY, **changes: object) -> LedgerEntry:
    """What finance shows of a voucher."""
    booked = lines_text(
        BookedLine(
            account=ln.account,
            side=ln.side.value,
            local_minor=ln.local_amount_minor,
            party=ln.party or "",
            currency=ln.currency,
            amount_minor=ln.amount_minor,
            dimensions=dict(ln.dimensions),
        )
        for ln in sent.lines
    )
    shown = [(ln.account, ln.side.value, ln.local_amount_minor, ln.party or "") for ln in sent.lines]
    made = LedgerEntry(
        key=sent.key,
        company="1000",
        number="记-1",
        finance_id="1",
        posting_date=day,
        content=fingerprint(day, shown),
        lines=booked,
        summary=sent.summary,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # names are those of LedgerEntry


SENT = (("660201", Side.DEBIT, 10000, ""), ("222101", Side.DEBIT, 600, ""), ("2241", Side.CREDIT, 10600, "E0007"))
CHANGES: dict[str, tuple[tuple[_Line, ...], str]] = {
    "account": ((("660202", *SENT[0][1:]), *SENT[1:]), "第 1 行 科目 / line 1 account: 660201 → 660202"),
    "side": ((SENT[0], ("222101", Side.CREDIT, 600, ""), SENT[2]), "第 2 行 借贷方向 / line 2 side: 借 → 贷"),
    "amount": ((*SENT[:2], ("2241", Side.CREDIT, 10599, "E0007")), "第 3 行 金额 / line 3 amount: 106.00 → 105.99"),
    "party": ((*SENT[:2], ("2241", Side.CREDIT, 10600, "E0008")), "第 3 行 往来单位 / line 3 party: E0007 → E0008"),
    "missing": (
        (SENT[0], SENT[2]),
        "第 2 行 财务缺少分录 / line 2 line missing in finance: 借 222101 6.00 → -",
    ),
    "more": (
        (*SENT, ("1002", Side.CREDIT, 1, "")),
        "财务多出分录 / line more in finance: - → 贷 1002 0.01",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_line_is_named_by_its_field(name: str) -> None:
    lines, words = CHANGES[name]
    sent = voucher(*SENT)
    found = differences(sent, entry(voucher(*lines)))
    assert [one.field for one in found] == [name] and in_words(found) == words
    outcome = compared(sent, entry(voucher(*lines)))
    assert isinstance(outcome, Conflict) and outcome.difference == words


def test_header_and_texts() -> None:
    sent = voucher(*SENT)
    other = entry(sent, date(2026, 12, 1), posted=False, summary="差旅费")
    found = differences(sent, other)
    assert [(one.field, one.ours, one.theirs) for one in found] == [
        ("state", "posted", "draft"),
        ("posting_date", "2026-11-20", "2026-12-01"),
        ("summary", "报销张三10月差旅费", "差旅费"),
    ]
    text_only = entry(sent, summary="差旅费")
    assert isinstance(compared(sent, text_only), Duplicate), "a system may shorten a text"
    taken = entry(sent, taken_back=(TakenBack("记-9", date(2026, 11, 25), "2026-11"),))
    assert in_words(differences(sent, taken)) == "财务已冲销 / taken back in finance: - → 记-9 2026-11-25"


def test_where_finance_shows_no_lines_the_hashes_are_shown() -> None:
    sent = voucher(*SENT)
    (one,) = differences(sent, entry(sent, lines="", content="f" * 64))
    assert (one.field, one.theirs) == ("content", "f" * 12)


def test_finance_own_words_stay_where_no_field_says_it() -> None:
    sent = voucher(*SENT)
    told = explained(sent, Conflict(entry(sent), "冲销对象 / reverses: A ≠ B"))
    assert isinstance(told, Conflict) and told.difference == "冲销对象 / reverses: A ≠ B"
    refused = Rejected("x", "y")
    assert explained(sent, refused) is refused


def test_lines_most_alike_stand_beside_each_other() -> None:
    held = entry(voucher(("660201", Side.DEBIT, 9000, ""), ("2241", Side.CREDIT, 9000, "E0007")))
    assert [(one.field, one.line) for one in differences(voucher(*SENT), held)] == [
        ("amount", 1),
        ("amount", 3),
        ("missing", 2),
    ]


@pytest.mark.parametrize("name", CHANGES)
def test_a_page_shows_the_fields_in_one_language(name: str) -> None:
    words = CHANGES[name][1]
    ((field, *values),) = compared_in_words(words, "en")
    assert field.isascii() and " → ".join(values) == words.partition(": ")[2]
    assert not compared_in_words("冲销对象 / reverses: A ≠ B", "en")


_LINES = st.lists(
    st.tuples(
        st.sampled_from(["660201", "2241", "1002"]),
        st.sampled_from(Side),
        st.integers(-999, 999).filter(bool),
        st.sampled_from(["", "E1", "E2"]),
    ),
    max_size=6,
)


@given(_LINES, _LINES)
def test_nothing_differs_exactly_where_the_content_is_the_same(ours: list[_Line], theirs: list[_Line]) -> None:
    sent, held = voucher(*ours), entry(voucher(*theirs))
    assert bool(differences(sent, held)) is (sorted(ours) != sorted(theirs))
    if theirs:
        taken_over = as_finance_holds(sent, held)
        assert taken_over.key == sent.key and taken_over.content == held.content
        assert not differences(taken_over, held)


def test_lines_that_finance_does_not_show_are_not_made_up() -> None:
    sent = voucher(*SENT)
    with pytest.raises(ValueError, match="does not show"):
        as_finance_holds(sent, entry(sent, lines=""))
    with pytest.raises(ValueError, match="fingerprint"):
        as_finance_holds(sent, entry(sent, content="f" * 64))
