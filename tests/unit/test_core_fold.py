"""The fold of an approval log: a pure function of a set of entries."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest
from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.fold import EndState, Folded, fold, order, recorded
from hypothesis import given
from hypothesis import strategies as st

_START = datetime(2026, 11, 22, 9, 0, 0)  # noqa: DTZ001 - the OA's log is in local time
_SHORT = {
    "v": EventKind.SAVED,
    "s": EventKind.SUBMITTED,
    "t": EventKind.STEP,
    "A": EventKind.APPROVED,
    "R": EventKind.REJECTED,
    "W": EventKind.WITHDRAWN,
    "Q": EventKind.PAYMENT_REQUESTED,
    "P": EventKind.PAID,
    "i": EventKind.IGNORED,
}


def _log(text: str, seconds: int = 1) -> list[LogEntry]:
    """One entry a letter, in this order; ``seconds`` lie between two."""
    return [
        LogEntry(str(100 + at), _SHORT[letter], _START + timedelta(seconds=seconds * at))
        for at, letter in enumerate(text)
    ]


def _fold(text: str) -> Folded:
    return fold(_log(text))


@pytest.mark.parametrize(
    ("log", "end_state", "exceptions"),
    [
        ("", "NONE", ""),
        ("i", "NONE", ""),
        ("v", "DRAFT", ""),
        ("vs", "IN_APPROVAL", ""),
        ("t", "IN_APPROVAL", ""),
        ("sA", "APPROVED", ""),
        ("sAt", "APPROVED", ""),  # a step after the final approval changes nothing
        ("sAi", "APPROVED", ""),
        ("sR", "REJECTED", ""),
        ("sRt", "IN_APPROVAL", ""),
        ("sW", "WITHDRAWN", ""),
        ("sRW", "WITHDRAWN", ""),
        ("sAv", "DRAFT", ""),
        ("sAs", "IN_APPROVAL", ""),
        ("sAR", "REJECTED", ""),
        ("sARsA", "APPROVED", ""),
        ("sAQ", "PAYMENT_REQUESTED", ""),
        ("sAQP", "PAID", ""),
        ("sAPQ", "PAID", "PAID_BEFORE_OR_WITHOUT_REQUEST"),
        ("sAP", "PAID", "PAID_BEFORE_OR_WITHOUT_REQUEST"),
        ("sQ", "IN_APPROVAL", "PAYMENT_REQUESTED_NOT_APPROVED"),
        ("sQA", "PAYMENT_REQUESTED", "PAYMENT_REQUESTED_NOT_APPROVED"),
        ("sQP", "PAID_UNAPPROVED", "PAYMENT_REQUESTED_NOT_APPROVED|PAID_NOT_APPROVED"),
        ("sP", "PAID_UNAPPROVED", "PAID_NOT_APPROVED|PAID_BEFORE_OR_WITHOUT_REQUEST"),
        ("sAQPP", "PAID", "PAID_TWICE"),
        ("sAQPRP", "PAID_UNAPPROVED", "REJECTED_AFTER_PAID|PAID_NOT_APPROVED|PAID_TWICE"),
        ("sAQR", "REJECTED", "REJECTED_AFTER_PAYMENT_REQUESTED"),
        ("sAQW", "WITHDRAWN", "REJECTED_AFTER_PAYMENT_REQUESTED"),
        ("sAQs", "IN_APPROVAL", "SUBMITTED_AFTER_PAYMENT_REQUESTED"),
        ("sAQv", "DRAFT", "SAVED_AFTER_PAYMENT_REQUESTED"),
        ("sQR", "REJECTED", "PAYMENT_REQUESTED_NOT_APPROVED"),  # nothing was lost
        ("sAQPR", "PAID_UNAPPROVED", "REJECTED_AFTER_PAID"),
        ("sAQPv", "PAID_UNAPPROVED", "SAVED_AFTER_PAID"),
        ("sAQPRsA", "PAID", "REJECTED_AFTER_PAID|SUBMITTED_AFTER_PAID"),
        ("sAQRs", "IN_APPROVAL", "REJECTED_AFTER_PAYMENT_REQUESTED"),
        ("sAQRsA", "PAYMENT_REQUESTED", "REJECTED_AFTER_PAYMENT_REQUESTED"),
    ],
)
def test_end_states_and_exceptions(log: str, end_state: str, exceptions: str) -> None:
    folded = _fold(log)
    assert (folded.end_state.value, "|".join(folded.exceptions)) == (end_state, exceptions)


def test_an_approval_that_comes_twice_keeps_the_first_as_cause() -> None:
    folded = _fold("sAA")
    assert folded.approval is not None and folded.approval.log_id == "101"
    assert folded.approvals == {"101", "102"}


def test_after_a_loss_a_new_approval_is_a_new_cause_and_the_loss_is_remembered() -> None:
    folded = _fold("sARsA")
    assert folded.approval is not None and folded.approval.log_id == "104"
    assert folded.approvals == {"104"}
    assert folded.lost is not None and folded.lost.log_id == "102"


def test_a_rejection_that_took_nothing_away_is_not_the_loss() -> None:
    folded = _fold("sARR")
    assert folded.lost is not None and folded.lost.log_id == "102"


def test_only_what_was_paid_while_approved_is_a_payment() -> None:
    folded = _fold("sPAPP")
    assert folded.payment is not None and folded.payment.log_id == "103"
    assert folded.payments == {"103", "104"}
    assert _fold("sP").payment is None


def test_a_payment_outlives_the_approval() -> None:
    folded = _fold("sAQPR")
    assert folded.approval is None and folded.payment is not None


def test_log_ids_are_numbers_not_texts() -> None:
    entries = [LogEntry("9", EventKind.APPROVED, _START), LogEntry("10", EventKind.APPROVED, _START)]
    assert [entry.log_id for entry in order(entries)] == ["9", "10"]
    folded = fold(entries)
    assert folded.approval is not None and folded.approval.log_id == "9"


def test_exceptions_follow_the_order_in_which_the_oa_recorded_a_second() -> None:
    """Voucher and end state are those of the workflow's order; the exception says what the OA's record shows."""
    entries = [
        LogEntry("1", EventKind.SUBMITTED, _START),
        LogEntry("2", EventKind.PAYMENT_REQUESTED, _START + timedelta(seconds=5)),
        LogEntry("3", EventKind.APPROVED, _START + timedelta(seconds=5)),
    ]
    folded = fold(entries)
    assert folded.end_state is EndState.PAYMENT_REQUESTED and folded.approval is not None
    assert folded.exceptions == ("PAYMENT_REQUESTED_NOT_APPROVED",)
    assert [entry.log_id for entry in order(entries)] == ["1", "3", "2"]
    assert [entry.log_id for entry in recorded(entries)] == ["1", "2", "3"]


_entries = st.lists(
    st.tuples(st.sampled_from(EventKind), st.integers(0, 5)),
    max_size=12,
).map(
    lambda rows: [
        LogEntry(str(at + 1), kind, _START + timedelta(seconds=second)) for at, (kind, second) in enumerate(rows)
    ]
)


@given(_entries, st.randoms(use_true_random=False), st.integers(1, 3))
def test_copies_and_order_of_arrival_change_nothing(entries: list[LogEntry], random: Random, copies: int) -> None:
    many = entries * copies
    random.shuffle(many)
    assert fold(many) == fold(entries)


@given(_entries, st.randoms(use_true_random=False))
def test_the_order_inside_a_second_moves_no_voucher_and_no_end_state(entries: list[LogEntry], random: Random) -> None:
    """Log ids dealt out anew: same kinds at the same seconds, another order of recording."""
    ids = [entry.log_id for entry in entries]
    random.shuffle(ids)
    other = [LogEntry(log_id, e.kind, e.local_at) for log_id, e in zip(ids, entries, strict=True)]
    one, two = fold(entries), fold(other)
    assert one.end_state is two.end_state
    for mine, theirs in ((one.approval, two.approval), (one.payment, two.payment), (one.lost, two.lost)):
        assert (mine and (mine.kind, mine.local_at)) == (theirs and (theirs.kind, theirs.local_at))
    assert len(one.approvals) == len(two.approvals) and len(one.payments) == len(two.payments)


@given(_entries)
def test_the_parts_of_a_fold_agree(entries: list[LogEntry]) -> None:
    folded = fold(entries)
    assert folded.approved == (folded.approval is not None)
    assert (folded.approval is not None) == bool(folded.approvals)
    assert (folded.payment is not None) == bool(folded.payments)
    if folded.approval is not None:
        assert folded.approval.log_id in folded.approvals
        assert folded.end_state in (EndState.APPROVED, EndState.PAYMENT_REQUESTED, EndState.PAID)
    else:
        assert folded.end_state not in (EndState.APPROVED, EndState.PAYMENT_REQUESTED, EndState.PAID)
    paid = any(entry.kind is EventKind.PAID for entry in entries)
    assert (folded.end_state in (EndState.PAID, EndState.PAID_UNAPPROVED)) == paid
    assert len(set(folded.exceptions)) == len(folded.exceptions)


@given(_entries, st.integers(0, 12))
def test_ignored_entries_move_nothing(entries: list[LogEntry], at: int) -> None:
    extra = LogEntry("9999", EventKind.IGNORED, _START + timedelta(seconds=at))
    assert fold([*entries, extra]) == fold(entries)


def test_an_order_inside_one_second_that_tells_two_ends_is_called_unclear() -> None:
    recorded_last = _log("sAWA", seconds=0)  # by log id approved in the end; a workflow's order ends withdrawn
    assert fold(recorded_last).unclear
    assert not fold(_log("sAWA", seconds=1)).unclear
    assert not fold(_log("sAQ", seconds=0)).unclear
