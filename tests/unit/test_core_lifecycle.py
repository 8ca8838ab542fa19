"""The life of a voucher: every arrow of the delivery promise, and no other."""

from __future__ import annotations

from datetime import date

import pytest
from finbridge.core.lifecycle import (
    IN_BOOKS,
    IN_DOUBT,
    NAMED_LISTS,
    UNSENT,
    Effect,
    IllegalTransition,
    Signal,
    VoucherState,
    step,
)
from finbridge.core.outcomes import (
    OUTCOME_NAME,
    Accepted,
    AuthFailed,
    Conflict,
    Duplicate,
    LedgerEntry,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
    Unknown,
    outcome_name,
)
from hypothesis import given
from hypothesis import strategies as st

_S = VoucherState
_ENTRY = LedgerEntry("K", "1000", "记-1", "1", date(2026, 11, 22), "c")
_OUTCOMES: list[Outcome] = [
    Accepted(_ENTRY),
    Duplicate(_ENTRY),
    Conflict(_ENTRY, "d"),
    Rejected("code", "m"),
    PeriodClosed("m"),
    Locked(),
    Throttled(),
    AuthFailed("m"),
    NotSent("m"),
    RefusedUnprocessed("m"),
    Unknown("m"),
]
_EVENTS: list[Signal | Outcome] = [*Signal, *_OUTCOMES]
_AFTER_SEND = {
    "accepted": _S.POSTED,
    "duplicate": _S.POSTED,
    "conflict": _S.NEEDS_HUMAN,
    "rejected": _S.REJECTED,
    "period_closed": _S.WAITING_PERIOD,
    "locked": _S.READY,
    "throttled": _S.READY,
    "auth": _S.READY,
    "not_sent": _S.READY,
    "refused_unprocessed": _S.READY,
    "unknown": _S.UNKNOWN,
}


def test_the_list_of_outcomes_is_the_promise() -> None:
    assert set(OUTCOME_NAME.values()) == set(_AFTER_SEND)
    assert {type(outcome) for outcome in _OUTCOMES} == set(OUTCOME_NAME)


@pytest.mark.parametrize("outcome", _OUTCOMES, ids=outcome_name)
def test_what_an_answer_makes_of_a_sent_voucher(outcome: Outcome) -> None:
    assert step(_S.SENDING, outcome).state is _AFTER_SEND[outcome_name(outcome)]


@pytest.mark.parametrize("outcome", _OUTCOMES, ids=outcome_name)
def test_only_a_read_by_key_leaves_unknown(outcome: Outcome) -> None:
    if isinstance(outcome, Accepted | Duplicate | Conflict | Unknown):
        assert step(_S.UNKNOWN, outcome).state is _AFTER_SEND[outcome_name(outcome)]
    else:
        with pytest.raises(IllegalTransition):
            step(_S.UNKNOWN, outcome)


@pytest.mark.parametrize("state", sorted(set(_S) - IN_DOUBT))
@pytest.mark.parametrize("outcome", _OUTCOMES, ids=outcome_name)
def test_an_answer_to_what_was_never_marked_is_a_bug(state: VoucherState, outcome: Outcome) -> None:
    with pytest.raises(IllegalTransition):
        step(state, outcome)


def test_the_straight_way() -> None:
    state, seen = _S.TRANSLATED, []
    way: list[Signal | Outcome] = [
        Signal.CHECK_PASSED,
        Signal.MARK_SENDING,
        Accepted(_ENTRY),
        Signal.WRITE_BACK_SENT,
        Signal.WRITE_BACK_VERIFIED,
        Signal.APPROVAL_LOST,
        Signal.REVERSAL_POSTED,
    ]
    for event in way:
        state = step(state, event).state
        seen.append(state)
    assert seen == [_S.READY, _S.SENDING, _S.POSTED, _S.WRITTEN_BACK, _S.VERIFIED, _S.REVERSING, _S.REVERSED]


def test_a_lost_sender_leaves_doubt_and_doubt_asks_finance() -> None:
    lost = step(_S.SENDING, Signal.SENDER_LOST)
    assert lost.state is _S.UNKNOWN and lost.effects == (Effect.RESOLVE,)
    assert step(_S.UNKNOWN, Unknown("still")).effects == (Effect.RESOLVE,)
    assert step(_S.UNKNOWN, Signal.NOT_FOUND).state is _S.READY


def test_a_person_moves_only_what_waits_for_one_and_takes_back_what_is_in_the_books() -> None:
    assert step(_S.NEEDS_HUMAN, Signal.LOOK_AGAIN).effects == (Effect.RESOLVE,)
    assert step(_S.NEEDS_HUMAN, Signal.ACCEPTED_AS_HELD).state is _S.POSTED
    for state in _S:
        for signal in (Signal.LOOK_AGAIN, Signal.ACCEPTED_AS_HELD, Signal.TAKEN_BACK):
            live = signal is Signal.TAKEN_BACK and state in IN_BOOKS - {_S.REVERSING}
            if state is _S.NEEDS_HUMAN or live:
                assert signal is not Signal.TAKEN_BACK or step(state, signal).state is _S.REVERSED
            else:
                with pytest.raises(IllegalTransition):
                    step(state, signal)


@given(st.lists(st.sampled_from(_EVENTS), max_size=30))
def test_nothing_is_sent_out_of_doubt_or_out_of_the_books(events: list[Signal | Outcome]) -> None:
    """Between two sends of one voucher finance has always said that it holds nothing, whatever comes in what order."""
    state, in_doubt = _S.TRANSLATED, False
    for event in events:
        try:
            after = step(state, event).state
        except IllegalTransition:
            continue
        if event is Signal.MARK_SENDING:
            assert not in_doubt and state is _S.READY
            in_doubt = True
        elif in_doubt and after is not _S.UNKNOWN:
            said_nothing_there = event is Signal.NOT_FOUND
            assert said_nothing_there or not isinstance(event, Signal)
            in_doubt = False
        if state in IN_BOOKS:
            assert after in IN_BOOKS or after is _S.REVERSED
        assert state is not _S.REVERSED
        state = after


def test_the_groups_of_states_do_not_overlap() -> None:
    assert not IN_BOOKS & UNSENT and not IN_BOOKS & IN_DOUBT and not UNSENT & IN_DOUBT
    assert not NAMED_LISTS & (IN_BOOKS | IN_DOUBT)
    rest = set(_S) - IN_BOOKS - UNSENT - IN_DOUBT
    assert rest == {_S.NEEDS_HUMAN, _S.REVERSED, _S.WITHDRAWN}


@pytest.mark.parametrize("state", list(_S))
def test_recall_withdraws_what_never_left_and_reverses_what_is_in_the_books(state: VoucherState) -> None:
    if state in UNSENT:
        assert step(state, Signal.RECALLED).state is _S.WITHDRAWN
        assert step(state, Signal.REBUILT).state is _S.TRANSLATED
    else:
        with pytest.raises(IllegalTransition):
            step(state, Signal.RECALLED)
    if state in IN_BOOKS - {_S.REVERSING}:
        assert step(state, Signal.APPROVAL_LOST).state is _S.REVERSING
    else:
        with pytest.raises(IllegalTransition):
            step(state, Signal.APPROVAL_LOST)


@pytest.mark.parametrize("state", list(_S))
@pytest.mark.parametrize("event", _EVENTS, ids=str)
def test_step_is_total_and_pure(state: VoucherState, event: Signal | Outcome) -> None:
    """Each pair has one answer: the same step twice, or an IllegalTransition that names both."""
    try:
        first = step(state, event)
    except IllegalTransition as error:
        assert state.value in str(error)
    else:
        assert first == step(state, event)
