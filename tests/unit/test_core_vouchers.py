"""Voucher records: turnover, fingerprint, 红字."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from random import Random

from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.vouchers import Side, Voucher, VoucherLine, fingerprint, red_reversal
from hypothesis import given
from hypothesis import strategies as st

_DAY = date(2026, 11, 22)
_lines = st.builds(
    VoucherLine,
    line_no=st.integers(1, 99),
    account=st.sampled_from(["660201", "2241", "22210101"]),
    side=st.sampled_from(Side),
    amount_minor=st.integers(-(10**6), 10**6),
    currency=st.just("CNY"),
    local_amount_minor=st.integers(-(10**6), 10**6),
    party=st.sampled_from([None, "E0001", "S0001"]),
    dimensions=st.just((("department", "行政部"),)),
)


def _voucher(lines: tuple[VoucherLine, ...]) -> Voucher:
    return Voucher(
        identity=VoucherIdentity("1000", "weaver:oa", "90001", "7", VoucherKind.EXPENSE),
        currency="CNY",
        business_date=_DAY,
        document_date=_DAY,
        posting_date=_DAY,
        summary="报销",
        business_number="BX-1",
        lines=lines,
    )


def test_period_and_key_come_from_the_record_itself() -> None:
    voucher = _voucher(())
    assert voucher.period == "2026-11"
    assert voucher.key == voucher.identity.key()


@given(st.lists(_lines, max_size=6), st.randoms(use_true_random=False))
def test_the_fingerprint_is_over_a_multiset(lines: list[VoucherLine], random: Random) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert _voucher(tuple(lines)).content == _voucher(tuple(shuffled)).content


@given(st.lists(_lines, min_size=1, max_size=6), st.integers(0, 5), st.integers(1, 9))
def test_every_amount_date_account_side_and_party_is_in_the_fingerprint(
    lines: list[VoucherLine], at: int, cents: int
) -> None:
    voucher = _voucher(tuple(lines))
    at %= len(lines)
    line = lines[at]
    for other in (
        replace(line, local_amount_minor=line.local_amount_minor + cents),
        replace(line, account=line.account + "1"),
        replace(line, side=Side.CREDIT if line.side is Side.DEBIT else Side.DEBIT),
        replace(line, party="X9999"),
    ):
        assert _voucher((*lines[:at], other, *lines[at + 1 :])).content != voucher.content
    assert replace(voucher, posting_date=date(2026, 11, 23)).content != voucher.content
    assert replace(voucher, summary="别的摘要").content == voucher.content


def test_an_absent_party_and_an_empty_one_are_the_same_to_finance() -> None:
    assert (
        fingerprint(_DAY, [("2241", "C", 1, "")])
        == _voucher(
            (
                VoucherLine(
                    line_no=1,
                    account="2241",
                    side=Side.CREDIT,
                    amount_minor=1,
                    currency="CNY",
                    local_amount_minor=1,
                    party=None,
                ),
            )
        ).content
    )


@given(st.lists(_lines, max_size=6))
def test_a_red_reversal_takes_turnover_back_on_the_same_side(lines: list[VoucherLine]) -> None:
    original = _voucher(tuple(lines))
    red = red_reversal(original, date(2026, 12, 1), "红字冲销")
    assert red.debit_minor == -original.debit_minor and red.credit_minor == -original.credit_minor
    assert [(ln.account, ln.side, ln.party, ln.dimensions) for ln in red.lines] == [
        (ln.account, ln.side, ln.party, ln.dimensions) for ln in original.lines
    ]
    assert [ln.amount_minor for ln in red.lines] == [-ln.amount_minor for ln in original.lines]
    assert (red.reverses_key, red.posting_date, red.period) == (original.key, date(2026, 12, 1), "2026-12")
    assert red.identity.kind is VoucherKind.REVERSAL and red.identity.cause == original.key
    assert red.key != original.key and red.key[0] == "R"
