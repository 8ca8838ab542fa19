"""Effects = what should be live minus what is live, driven through whole histories."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.fold import fold
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT, UNSENT, VoucherState
from finbridge.core.plan import AskHuman, Create, Rebuild, Registered, Reverse, Wait, Withdraw, plan
from hypothesis import given
from hypothesis import strategies as st

_S = VoucherState
_START = datetime(2026, 11, 22, 9, 0, 0)  # noqa: DTZ001 - the OA's log is in local time
_CONTENT = "h1"


def _entry(number: int, kind: EventKind) -> LogEntry:
    return LogEntry(str(number), kind, _START + timedelta(days=number))


_SUBMITTED = _entry(1, EventKind.SUBMITTED)
_APPROVED = _entry(2, EventKind.APPROVED)
_REJECTED = _entry(3, EventKind.REJECTED)
_APPROVED_AGAIN = _entry(4, EventKind.APPROVED)
_PAID = _entry(5, EventKind.PAID)


def _expense(state: VoucherState, cause: str = "2", content: str = _CONTENT, key: str = "E1") -> Registered:
    return Registered(key, VoucherKind.EXPENSE, cause, state, content)


def _payment(state: VoucherState, cause: str = "5", content: str = _CONTENT) -> Registered:
    return Registered("P1", VoucherKind.PAYMENT, cause, state, content)


def test_approval_calls_for_an_expense_voucher_dated_by_the_approval() -> None:
    (action,) = plan(fold([_SUBMITTED, _APPROVED]), _CONTENT, [])
    assert action == Create(VoucherKind.EXPENSE, _APPROVED)
    assert isinstance(action, Create) and action.posting_date == _APPROVED.local_at.date()


def test_payment_calls_for_one_payment_voucher() -> None:
    actions = plan(fold([_APPROVED, _PAID, _entry(6, EventKind.PAID)]), _CONTENT, [_expense(_S.VERIFIED)])
    assert actions == [Create(VoucherKind.PAYMENT, _PAID)]
    posted = [_expense(_S.VERIFIED), _payment(_S.POSTED)]
    assert plan(fold([_APPROVED, _PAID, _entry(6, EventKind.PAID)]), _CONTENT, posted) == []


def test_zero_calls_for_nothing() -> None:
    assert plan(fold([_APPROVED, _PAID]), _CONTENT, [], has_amount=False) == []


@pytest.mark.parametrize("state", sorted(IN_BOOKS - {_S.REVERSING}))
def test_what_is_in_the_books_and_wanted_stays(state: VoucherState) -> None:
    assert plan(fold([_APPROVED]), _CONTENT, [_expense(state)]) == []


@pytest.mark.parametrize("state", sorted(IN_BOOKS - {_S.REVERSING}))
def test_a_lost_approval_reverses_at_the_date_of_the_loss(state: VoucherState) -> None:
    assert plan(fold([_APPROVED, _REJECTED]), _CONTENT, [_expense(state)]) == [Reverse("E1", _REJECTED)]


@pytest.mark.parametrize("state", sorted(UNSENT))
def test_a_lost_approval_withdraws_what_never_left(state: VoucherState) -> None:
    assert plan(fold([_APPROVED, _REJECTED]), _CONTENT, [_expense(state)]) == [Withdraw("E1")]


@pytest.mark.parametrize("state", sorted(IN_DOUBT))
@pytest.mark.parametrize("log", [[_APPROVED], [_APPROVED, _REJECTED]])
def test_in_doubt_waits_for_the_resolver(state: VoucherState, log: list[LogEntry]) -> None:
    assert plan(fold(log), _CONTENT, [_expense(state)]) == [Wait("E1")]


@pytest.mark.parametrize("state", [_S.REVERSING, _S.REVERSED, _S.WITHDRAWN, _S.NEEDS_HUMAN])
def test_what_is_gone_or_with_a_person_is_left_alone_after_a_loss(state: VoucherState) -> None:
    assert plan(fold([_APPROVED, _REJECTED]), _CONTENT, [_expense(state)]) == []


def test_approved_again_makes_a_second_voucher_beside_the_reversed_one() -> None:
    folded = fold([_APPROVED, _REJECTED, _APPROVED_AGAIN])
    assert plan(folded, _CONTENT, [_expense(_S.REVERSED)]) == [Create(VoucherKind.EXPENSE, _APPROVED_AGAIN)]


def test_approved_again_before_the_reversal_was_planned_does_both() -> None:
    folded = fold([_APPROVED, _REJECTED, _APPROVED_AGAIN])
    actions = plan(folded, _CONTENT, [_expense(_S.POSTED)])
    assert actions == [Create(VoucherKind.EXPENSE, _APPROVED_AGAIN), Reverse("E1", _REJECTED)]


def test_a_changed_document_rebuilds_what_never_left_and_asks_about_what_was_posted() -> None:
    folded = fold([_APPROVED])
    assert plan(folded, "h2", [_expense(_S.READY)]) == [Rebuild("E1", VoucherKind.EXPENSE, _APPROVED)]
    assert plan(folded, "h2", [_expense(_S.POSTED)]) == [AskHuman("E1", "changed_after_posting")]


@pytest.mark.parametrize("state", [*sorted(UNSENT), _S.WITHDRAWN])
def test_what_is_not_sent_is_translated_again_under_the_same_key(state: VoucherState) -> None:
    """Its document may be as it was, but not what its codes mean."""
    assert plan(fold([_APPROVED]), _CONTENT, [_expense(state)]) == [Rebuild("E1", VoucherKind.EXPENSE, _APPROVED)]


def test_an_earlier_approval_that_arrives_late_makes_no_second_voucher() -> None:
    late = [_APPROVED, _entry(3, EventKind.APPROVED)]
    assert plan(fold(late), _CONTENT, [_expense(_S.POSTED, cause="3")]) == []
    assert plan(fold(late), _CONTENT, [_expense(_S.SENDING, cause="3")]) == [Wait("E1")]


def test_an_approval_that_vanished_from_the_log_is_a_question() -> None:
    assert plan(fold([_SUBMITTED]), _CONTENT, [_expense(_S.POSTED)]) == [AskHuman("E1", "approval_vanished")]


def test_a_loss_that_vanished_after_the_reversal_is_a_question() -> None:
    assert plan(fold([_APPROVED]), _CONTENT, [_expense(_S.REVERSED)]) == [
        AskHuman("E1", "approval_returned_after_reversal")
    ]


@dataclass
class _Books:
    """A register that carries every action out at once."""

    rows: dict[str, Registered] = field(default_factory=dict)
    reversed_at: list[LogEntry] = field(default_factory=list)

    def obey(self, log: list[LogEntry]) -> None:
        for action in plan(fold(log), _CONTENT, list(self.rows.values())):
            if isinstance(action, Create):
                key = f"{action.kind.value}-{action.cause.log_id}"
                assert key not in self.rows
                self.rows[key] = Registered(key, action.kind, action.cause.log_id, _S.POSTED, _CONTENT)
            elif isinstance(action, Reverse):
                row = self.rows[action.key]
                self.rows[action.key] = Registered(row.key, row.kind, row.cause, _S.REVERSED, row.content)
                self.reversed_at.append(action.cause)
            else:
                raise AssertionError(action)

    def live(self, kind: VoucherKind) -> list[Registered]:
        return [row for row in self.rows.values() if row.kind is kind and row.state is _S.POSTED]


_kinds = st.lists(
    st.sampled_from(
        [
            EventKind.SAVED,
            EventKind.SUBMITTED,
            EventKind.APPROVED,
            EventKind.REJECTED,
            EventKind.WITHDRAWN,
            EventKind.PAID,
        ]
    ),
    max_size=14,
)


@given(_kinds, st.sets(st.integers(1, 14)))
def test_however_often_one_looks_the_books_end_as_the_log_says(kinds: list[EventKind], looks: set[int]) -> None:
    """Seen after every entry, after some of them or only at the end: the same live vouchers, never two expenses."""
    log = [_entry(at + 1, kind) for at, kind in enumerate(kinds)]
    often, seldom = _Books(), _Books()
    for seen in range(1, len(log) + 1):
        often.obey(log[:seen])
        often.obey(log[:seen])  # looking twice changes nothing
        assert len(often.live(VoucherKind.EXPENSE)) == int(fold(log[:seen]).approved)
        assert len(often.live(VoucherKind.PAYMENT)) <= 1
        if seen in looks or seen == len(log):
            seldom.obey(log[:seen])
    for kind in (VoucherKind.EXPENSE, VoucherKind.PAYMENT):
        assert often.live(kind) == seldom.live(kind)
    losses = [log[at] for at in range(1, len(log)) if fold(log[:at]).approved and not fold(log[: at + 1]).approved]
    assert often.reversed_at == losses


def test_a_document_is_paid_once_whatever_entry_is_taken_for_the_first_payment() -> None:
    early, late = _entry(4, EventKind.PAID), _entry(6, EventKind.PAID)
    books = [_expense(_S.VERIFIED)]
    assert plan(fold([_APPROVED, late]), _CONTENT, books) == [Create(VoucherKind.PAYMENT, late)]
    posted = Registered("P6", VoucherKind.PAYMENT, "6", _S.POSTED, _CONTENT)
    assert plan(fold([_APPROVED, early, late]), _CONTENT, [*books, posted]) == []
    doubtful = Registered("P6", VoucherKind.PAYMENT, "6", _S.UNKNOWN, _CONTENT)
    assert plan(fold([_APPROVED, early, late]), _CONTENT, [*books, doubtful]) == [Wait("P6")]


def test_an_unsent_payment_that_the_log_does_not_call_for_any_more_is_withdrawn() -> None:
    unsent = Registered("P6", VoucherKind.PAYMENT, "6", _S.READY, _CONTENT)
    early, late = _entry(4, EventKind.PAID), _entry(6, EventKind.PAID)
    actions = plan(fold([_APPROVED, early, late]), _CONTENT, [_expense(_S.VERIFIED), unsent])
    assert actions == [Create(VoucherKind.PAYMENT, early), Withdraw("P6")]
    rejected_before = plan(fold([_APPROVED, _REJECTED, late]), _CONTENT, [_expense(_S.REVERSED), unsent])
    assert rejected_before == [Withdraw("P6")]


def test_a_changed_document_is_not_paid_before_a_person_spoke() -> None:
    actions = plan(fold([_APPROVED, _PAID]), "changed", [_expense(_S.VERIFIED)])
    assert actions == [AskHuman("E1", "changed_after_posting")]


def test_a_posted_payment_stays_when_approval_is_lost() -> None:
    log = fold([_APPROVED, _entry(3, EventKind.PAID), _entry(4, EventKind.REJECTED)])
    posted = Registered("P3", VoucherKind.PAYMENT, "3", _S.POSTED, _CONTENT)
    assert plan(log, _CONTENT, [_expense(_S.REVERSED), posted]) == []
