"""What the OA calls for: whole histories of one document, and what must stand in finance after them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.fold import fold
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.month import Called, InRegister, MonthDocument, What
from finbridge.core.month_calls import AGAIN, amount_unread, called_for, in_approval
from hypothesis import given
from hypothesis import strategies as st

_S, _E = VoucherState, EventKind
_START = datetime(2026, 10, 20, 9, 0)  # noqa: DTZ001 - the OA's log is in local time
SOURCE = "weaver:oa"


def key(cause: str, kind: VoucherKind = VoucherKind.EXPENSE) -> str:
    return VoucherIdentity("1000", SOURCE, "7", cause, kind).key()


def log(*kinds: EventKind, days: int = 1) -> tuple[LogEntry, ...]:
    return tuple(
        LogEntry(str(n), kind, _START + timedelta(days=days * (n - 1))) for n, kind in enumerate(kinds, start=1)
    )


def voucher(
    cause: str, state: VoucherState, kind: VoucherKind = VoucherKind.EXPENSE, reverses: str | None = None
) -> InRegister:
    return InRegister(
        key=key(cause, kind),
        document_id="7",
        business_number="BX7",
        kind=kind,
        cause=cause,
        state=state,
        period="2026-10",
        currency="CNY",
        debit_minor=-10_600 if reverses else 10_600,
        fingerprint="f",
        reverses_key=reverses,
    )


def document(events: tuple[LogEntry, ...], *register: InRegister, amount: int | None = 10_600) -> MonthDocument:
    return MonthDocument(
        document_id="7",
        business_number="BX7",
        company="1000",
        currency="CNY",
        amount_minor=amount,
        events=events,
        register=register,
    )


def shown(calls: list[Called]) -> list[tuple[str, str, int]]:
    return sorted((call.kind.value, call.period, call.amount_minor) for call in calls)


APPROVED = log(_E.SUBMITTED, _E.APPROVED)
LOST = log(_E.SUBMITTED, _E.APPROVED, _E.WITHDRAWN)


def test_an_approval_calls_for_one_expense_voucher_in_its_month_with_or_without_a_register() -> None:
    (call,) = called_for(document(APPROVED), SOURCE)
    assert (call.key, call.kind, call.period, call.amount_minor) == (key("2"), VoucherKind.EXPENSE, "2026-10", 10_600)
    assert called_for(document(APPROVED, voucher("2", _S.VERIFIED)), SOURCE) == [call]


def test_what_is_not_approved_calls_for_nothing() -> None:
    assert called_for(document(log(_E.SUBMITTED)), SOURCE) == []
    assert called_for(document(LOST), SOURCE) == []
    assert called_for(document(LOST, voucher("2", _S.WITHDRAWN)), SOURCE) == []


@pytest.mark.parametrize("state", [_S.POSTED, _S.VERIFIED, _S.REVERSING, _S.REVERSED])
def test_what_was_posted_and_is_not_approved_any_more_calls_for_a_red_voucher(state: VoucherState) -> None:
    calls = called_for(document(LOST, voucher("2", state)), SOURCE)
    assert shown(calls) == [("expense", "2026-10", 10_600), ("reversal", "2026-10", -10_600)]
    red = next(call for call in calls if call.kind is VoucherKind.REVERSAL)
    assert red.key == VoucherIdentity("1000", SOURCE, "7", key("2"), VoucherKind.REVERSAL).key()


def test_the_red_voucher_belongs_to_the_month_of_the_loss() -> None:
    (_, red) = called_for(
        document(log(_E.SUBMITTED, _E.APPROVED, _E.REJECTED, days=10), voucher("2", _S.POSTED)), SOURCE
    )
    assert red.period == "2026-11"


def test_approved_again_after_a_reversal_under_a_new_entry_calls_for_three_vouchers() -> None:
    events = log(_E.SUBMITTED, _E.APPROVED, _E.REJECTED, _E.SUBMITTED, _E.APPROVED)
    red = voucher(key("2"), _S.POSTED, VoucherKind.REVERSAL, reverses=key("2"))
    calls = called_for(document(events, voucher("2", _S.REVERSED), red), SOURCE)
    assert shown(calls) == [
        ("expense", "2026-10", 10_600),
        ("expense", "2026-10", 10_600),
        ("reversal", "2026-10", -10_600),
    ]
    assert {call.key for call in calls} == {key("2"), key("5"), red.key}


def test_an_approval_that_came_back_after_its_reversal_is_called_for_once_more() -> None:
    calls = called_for(document(APPROVED, voucher("2", _S.REVERSED)), SOURCE)
    assert {call.key for call in calls} >= {key("2"), key("2") + AGAIN}
    assert sum(call.amount_minor for call in calls) == 10_600


def test_a_second_approval_is_served_by_the_first_ones_voucher() -> None:
    events = log(_E.SUBMITTED, _E.APPROVED, _E.APPROVED)
    (call,) = called_for(document(events, voucher("3", _S.POSTED)), SOURCE)
    assert call.key == key("3")


def test_a_payment_in_the_books_stays_when_the_approval_is_lost() -> None:
    events = log(_E.SUBMITTED, _E.APPROVED, _E.PAID, _E.REJECTED)
    paid = voucher("3", _S.POSTED, VoucherKind.PAYMENT)
    calls = called_for(document(events, voucher("2", _S.POSTED), paid), SOURCE)
    assert shown(calls) == [
        ("expense", "2026-10", 10_600),
        ("payment", "2026-10", 10_600),
        ("reversal", "2026-10", -10_600),
    ]


def test_a_second_payment_of_a_document_is_called_for_by_nobody() -> None:
    posted = voucher("2", _S.POSTED)
    first, second = (voucher(cause, _S.POSTED, VoucherKind.PAYMENT) for cause in ("3", "4"))
    for kinds in ((_E.SUBMITTED, _E.APPROVED, _E.PAID), (_E.SUBMITTED, _E.APPROVED, _E.PAID, _E.PAID)):
        calls = called_for(document(log(*kinds), posted, first, second), SOURCE)
        assert {call.key for call in calls} == {posted.key, first.key}
    lost = called_for(document(LOST, posted, first, second), SOURCE)
    assert [call.key for call in lost if call.kind is VoucherKind.PAYMENT] == [first.key]


def test_the_amount_is_the_forms_and_the_registers_only_where_the_form_has_none() -> None:
    (call,) = called_for(document(APPROVED, voucher("2", _S.POSTED), amount=99), SOURCE)
    assert call.amount_minor == 99
    (call,) = called_for(document(APPROVED, voucher("2", _S.POSTED), amount=None), SOURCE)
    assert call.amount_minor == 10_600


def test_a_document_in_approval_is_named_in_the_month_it_was_sent_in() -> None:
    waiting = in_approval(document(log(_E.SUBMITTED)), "2026-10")
    assert waiting is not None and (waiting.what, waiting.explained, waiting.oa_minor) == (
        What.IN_APPROVAL,
        True,
        10_600,
    )
    assert in_approval(document(log(_E.SUBMITTED)), "2026-11") is None
    assert in_approval(document(APPROVED), "2026-10") is None


_STATES = st.sampled_from([_S.READY, _S.POSTED, _S.VERIFIED, _S.REVERSED, _S.WITHDRAWN, _S.SENDING])


@given(st.lists(st.sampled_from(list(_E)), max_size=8), st.dictionaries(st.integers(1, 8), _STATES, max_size=3))
def test_the_net_of_what_is_called_for_is_what_the_log_says(
    kinds: list[EventKind], posted: dict[int, VoucherState]
) -> None:
    """Whatever happened: expense and reversal together are the form's amount if it is approved now, else nothing."""
    events = log(*kinds)
    causes = {e.log_id for e in events if e.kind is _E.APPROVED}
    register = [voucher(str(n), state) for n, state in posted.items() if str(n) in causes]
    calls = called_for(document(events, *register), SOURCE)
    assert len({call.key for call in calls}) == len(calls)
    net = sum(call.amount_minor for call in calls if call.kind is not VoucherKind.PAYMENT)
    assert net == (10_600 if fold(events).approved else 0)


def test_a_voucher_is_never_silently_compared_with_itself() -> None:
    approved = log(_E.SUBMITTED, _E.APPROVED)
    posted = voucher("2", _S.VERIFIED)
    told = {
        amount: amount_unread(made := document(approved, posted, amount=amount), called_for(made, SOURCE))
        for amount in (None, 0, 10_600)
    }
    assert told[0] is None
    assert told[10_600] is None
    unread = told[None]
    assert unread is not None
    assert (unread.what, unread.explained, unread.oa_minor) == (What.AMOUNT_UNREAD, False, None)
    assert "重试" in unread.detail
    assert "retry" in unread.detail
    waits = document(approved, voucher("2", _S.READY), amount=None)
    assert amount_unread(waits, called_for(waits, SOURCE)) is None  # another difference names it
