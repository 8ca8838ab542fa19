"""What a document may do now, what is due next and when to try again: pure decisions of the hub."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.outcomes import AuthFailed, Locked, NotSent, Throttled
from finbridge.core.ports import Stage
from finbridge.hub.documents import DocumentRow
from finbridge.hub.register import VoucherRow
from finbridge.hub.scheduling import SETTLED, TURN, deliver_at, next_due, waits_for_others
from finbridge.hub.timing import Timing
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
E, P, R = VoucherKind.EXPENSE, VoucherKind.PAYMENT, VoucherKind.REVERSAL
S = VoucherState


def row(kind: VoucherKind, state: VoucherState, cause: str = "1", **more: object) -> VoucherRow:
    return VoucherRow(
        flow_id="f",
        document_id="d",
        key=f"{kind.value}-{cause}",
        company="1000",
        kind=kind,
        cause=cause,
        source_content="c",
        fingerprint="p",
        reverses_key=None,
        mapping=None,
        posting_date=date(2026, 11, 22),
        state=state,
        state_reason="",
        state_since=NOW,
        **more,  # type: ignore[arg-type]  # fields with defaults
    )


def doc(*, approved: bool = True, news: bool = False, blocked: bool = False) -> DocumentRow:
    return DocumentRow(
        flow_id="f",
        document_id="d",
        company="1000",
        content="c",
        stage="deliver",
        due_at=NOW,
        revision=2 if news else 1,
        planned_revision=1,
        lease_revision=1,
        lease_owner="w1",
        lease_fence=7,
        alive=True,
        waits=False,
        blocked=blocked,
        approved=approved,
        end_state=None,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("others", "waits"),
    [
        ([(E, S.POSTED)], False),
        ([(E, S.VERIFIED)], False),
        ([(E, S.READY)], True),
        ([(E, S.SENDING)], True),
        ([(E, S.UNKNOWN)], True),
        ([(E, S.WAITING_PERIOD)], True),
        ([(E, S.REJECTED)], True),
        ([(E, S.NEEDS_HUMAN)], True),
        ([(E, S.WITHDRAWN)], True),  # approved, and no expense is in the books
        ([(E, S.REVERSED)], True),
        ([(E, S.POSTED), (R, S.READY)], True),
        ([(E, S.POSTED), (R, S.POSTED)], False),
        ([], False),
    ],
)
def test_a_payment_waits_for_what_comes_before_it(others: list[tuple[VoucherKind, VoucherState]], waits: bool) -> None:
    payment = row(P, S.READY)
    rows = [payment, *(row(kind, state, str(number)) for number, (kind, state) in enumerate(others))]
    assert waits_for_others(payment, rows, doc()) is waits


@pytest.mark.parametrize("state", [S.WITHDRAWN, S.REVERSED])
def test_a_payment_whose_approval_was_lost_later_goes(state: VoucherState) -> None:
    payment = row(P, S.READY)
    assert not waits_for_others(payment, [payment, row(E, state)], doc(approved=False))


def test_a_payment_waits_where_a_hold_keeps_the_expense_from_being_made() -> None:
    payment = row(P, S.READY)
    assert waits_for_others(payment, [payment], doc(blocked=True))
    assert not waits_for_others(payment, [payment], doc(blocked=True, approved=False))


@pytest.mark.parametrize("state", [S.UNKNOWN, S.SENDING, S.NEEDS_HUMAN])
def test_a_second_expense_waits_while_finance_may_hold_the_first(state: VoucherState) -> None:
    second = row(E, S.READY, "5")
    assert waits_for_others(second, [row(E, state, "2"), second], doc())
    assert not waits_for_others(second, [row(E, S.WITHDRAWN, "2"), second], doc())
    assert not waits_for_others(second, [row(E, state, "5"), second], doc()), "parts of one event do not wait"


def test_news_comes_before_everything() -> None:
    assert next_due(doc(news=True), [row(E, S.UNKNOWN)]) == (Stage.PLAN, NOW)


def test_finance_comes_before_the_form_and_the_earliest_before_the_later() -> None:
    posted = row(E, S.POSTED, write_back="due")
    assert next_due(doc(), [posted, row(P, S.READY)]) == (Stage.DELIVER, NOW)
    assert next_due(doc(), [posted]) == (Stage.WRITE_BACK, NOW)
    later = NOW + timedelta(minutes=15)
    assert next_due(doc(), [posted, row(P, S.WAITING_PERIOD, retry_at=later)]) == (Stage.WRITE_BACK, NOW)
    assert next_due(doc(), [row(E, S.VERIFIED), row(P, S.WAITING_PERIOD, retry_at=later)]) == (Stage.DELIVER, later)
    assert next_due(doc(), [row(E, S.VERIFIED, write_back="verified")]) == (None, None)
    past = NOW - timedelta(hours=1)
    assert next_due(doc(), [row(E, S.READY, retry_at=past)]) == (Stage.DELIVER, NOW)


@given(
    states=st.lists(st.tuples(st.sampled_from(list(TURN)), st.sampled_from(list(VoucherState))), max_size=4),
    approved=st.booleans(),
    blocked=st.booleans(),
)
def test_whatever_is_due_can_be_done_and_nothing_in_doubt_is_forgotten(
    states: list[tuple[VoucherKind, VoucherState]], approved: bool, blocked: bool
) -> None:
    rows = [row(kind, state, str(number)) for number, (kind, state) in enumerate(states)]
    document = doc(approved=approved, blocked=blocked)
    stage, due_at = next_due(document, rows)
    assert (stage is None) == (due_at is None)
    doubtful = any(r.state in (S.UNKNOWN, S.SENDING) for r in rows)
    sendable = [r for r in rows if r.state is S.READY and deliver_at(r, rows, document) is not None]
    assert (stage is Stage.DELIVER) >= doubtful
    for first in sendable:
        assert all(TURN[r.kind] >= TURN[first.kind] or r.state in SETTLED for r in rows)


def test_waiting_times_double_and_end() -> None:
    timing = Timing()
    seconds = [(timing.put_off(NOW, NotSent(""), tries) - NOW).total_seconds() for tries in (1, 2, 3, 4, 20, 400)]
    assert seconds == [1, 2, 4, 8, 300, 300]
    assert timing.put_off(NOW, Locked(1.5), 1) == NOW + timedelta(seconds=1.5)
    assert timing.put_off(NOW, Throttled(600), 1) == NOW + timedelta(seconds=600)
    assert timing.put_off(NOW, AuthFailed(""), 1) == NOW + timedelta(seconds=60)
    looks = [(timing.doubt(NOW, NOW - timedelta(seconds=age)) - NOW).total_seconds() for age in (0, 3, 20, 9999)]
    assert looks == [1, 3, 20, 60]
    assert timing.doubt(NOW, None) == NOW + timedelta(seconds=60)
    forms = [(timing.write_back(NOW, tries) - NOW).total_seconds() for tries in (1, 2, 3, 50)]
    assert forms == [2, 4, 8, 900]
