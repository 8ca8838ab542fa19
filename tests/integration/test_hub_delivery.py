"""Delivery on the hub: order of a document's vouchers, doubt, named lists, reversal."""

from __future__ import annotations

import dataclasses

from finbridge.core.documents import EventKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.outcomes import (
    Accepted,
    PeriodClosed,
    Rejected,
    Unknown,
)
from finbridge.core.periods import CompanyPeriod
from finbridge.core.ports import DocumentWork, Lease, Planned, Sent, Stage
from finbridge.core.vouchers import Side

from tests.hub_world import APPROVED, PAID, REJECTED, World, document, planned, problem_of


def test_a_voucher_comes_out_as_it_went_in(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    (work,) = hub_world.claim(Stage.PLAN)
    plan = hub_world.plan(work)
    hub_world.hub.save_plans(hub_world.flow, [plan])
    leases = hub_world.leases(Stage.DELIVER)
    (item,) = hub_world.hub.deliverables(hub_world.flow, leases)
    assert item.voucher == plan.vouchers[0]
    assert item.state is VoucherState.READY
    assert item.content == work.content
    assert item.last_sent_at is None


def test_a_payment_waits_for_its_expense(hub_world: World) -> None:
    hub_world.store(document("1", *PAID))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER)
    first = hub_world.hub.deliverables(hub_world.flow, leases)
    assert [item.voucher.identity.kind.value for item in first] == ["expense"]
    payment = hub_world.keys("1")["payment"]
    assert hub_world.hub.mark_sending({payment: leases[0]}) == {}
    hub_world.send(first)
    second = hub_world.hub.deliverables(hub_world.flow, leases)
    assert [item.voucher.identity.kind.value for item in second] == ["payment"]
    hub_world.send(second)
    hub_world.hub.release(hub_world.flow, leases)
    assert hub_world.states("1") == {"expense:2": "posted", "payment:4": "posted"}


def test_a_payment_waits_while_its_expense_is_refused(hub_world: World) -> None:
    hub_world.store(document("1", *PAID))
    hub_world.check()
    hub_world.deliver(lambda _: Rejected("E1", "vendor blocked"))
    assert hub_world.states("1") == {"expense:2": "rejected", "payment:4": "ready"}
    assert hub_world.due() == {"write_back": 1}
    assert hub_world.hub.account(hub_world.flow).documents == {"held": 1}


def test_a_payment_waits_while_its_expense_cannot_be_made(hub_world: World) -> None:
    hub_world.store(document("1", *PAID))

    def only_the_payment(work: DocumentWork, source: str) -> Planned:
        plan = planned(work, source, holds=(problem_of("1"),))
        return dataclasses.replace(plan, vouchers=tuple(v for v in plan.vouchers if v.identity.kind == "payment"))

    hub_world.check(only_the_payment)
    assert hub_world.states("1") == {"payment:4": "ready"}
    assert hub_world.due() == {}


def test_a_payment_goes_alone_where_the_log_gives_no_expense(hub_world: World) -> None:
    hub_world.post(document("1", *PAID, EventKind.REJECTED))
    assert hub_world.states("1") == {"payment:4": "posted"}
    assert hub_world.hub.account(hub_world.flow).documents == {"paid_only": 1}


def test_lost_approval_reverses_in_red_and_the_next_approval_posts_anew(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.store(document("1", *REJECTED))
    hub_world.check()
    assert hub_world.states("1") == {"expense:2": "reversing", "reversal": "ready"}
    hub_world.store(document("1", *REJECTED, EventKind.SUBMITTED, EventKind.APPROVED))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER)
    (red,) = hub_world.hub.deliverables(hub_world.flow, leases)
    assert red.voucher.reverses_number == "记-2026-000001"
    assert [(line.side, line.amount_minor) for line in red.voucher.lines] == [
        (Side.DEBIT, -10000),
        (Side.CREDIT, -10000),
    ]
    hub_world.send([red])
    (new,) = hub_world.hub.deliverables(hub_world.flow, leases)
    assert new.voucher.identity.cause == "5"
    hub_world.send([new])
    hub_world.hub.release(hub_world.flow, leases)
    assert hub_world.states("1") == {"expense:2": "reversed", "reversal": "posted", "expense:5": "posted"}
    rows = {row["key"]: row for row in hub_world.hub.register_rows(hub_world.flow)}
    original = next(row for row in rows.values() if row["state"] == "reversed")
    assert original["reversed_by_key"] == red.voucher.key
    assert rows[red.voucher.key]["reverses_key"] == original["key"]
    assert hub_world.hub.account(hub_world.flow).documents == {"posted": 1}


def test_a_new_expense_waits_for_a_reversal_that_is_held(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.store(document("1", *REJECTED, EventKind.SUBMITTED, EventKind.APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: PeriodClosed("2026-03 is closed"))
    assert hub_world.states("1") == {"expense:2": "reversing", "reversal": "waiting_period", "expense:5": "ready"}
    assert hub_world.due() == {}
    assert hub_world.hub.account(hub_world.flow).documents == {"held": 1}


def test_a_period_that_is_open_again_releases_all_that_wait_for_it_and_no_others(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: PeriodClosed("closed"))
    hub, flow = hub_world.hub, hub_world.flow
    (which,) = hub.waiting_periods(flow)
    elsewhere = CompanyPeriod(which.company, "1999-01")
    assert hub.note_periods(flow, {elsewhere: True, which: False}) == 0
    assert hub_world.due() == {}
    assert hub.note_periods(flow, {which: True}) == 2
    assert hub_world.due() == {"deliver": 2}
    assert hub_world.states("1") == {"expense:2": "waiting_period"}, "only a deliver makes it ready"
    assert hub.note_periods(flow, {which: True}) == 0, "said twice changes nothing"
    assert hub.note_periods(flow, {which: False}) == 0
    assert hub_world.due() == {}, "closed again before anybody sent"
    hub.note_periods(flow, {which: True})
    assert len(hub_world.deliver()) == 2
    assert hub.waiting_periods(flow) == []
    assert hub_world.states("2") == {"expense:2": "posted"}


def test_a_period_that_opens_under_a_lease_leaves_the_lease_alone(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER)
    hub_world.send(hub_world.hub.deliverables(hub_world.flow, leases), lambda _: PeriodClosed("closed"))
    (which,) = hub_world.hub.waiting_periods(hub_world.flow)
    assert hub_world.hub.note_periods(hub_world.flow, {which: True}) == 1
    assert hub_world.due() == {}, "still leased"
    hub_world.hub.release(hub_world.flow, leases)
    assert hub_world.due() == {"deliver": 1}


# ---------------------------------------------------------------- doubt


def test_a_lost_sender_leaves_its_voucher_in_doubt(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER, seconds=0.05)
    (item,) = hub_world.hub.deliverables(hub_world.flow, leases)
    hub_world.hub.mark_sending({item.voucher.key: leases[0]})
    assert hub_world.hub.deliverables(hub_world.flow, leases) == [], "its own send is on its way"
    (lease,) = _wait_for_lease(hub_world, "w2")
    (doubtful,) = hub_world.hub.deliverables(hub_world.flow, [lease])
    assert doubtful.state is VoucherState.UNKNOWN
    assert doubtful.last_sent_at is not None
    assert hub_world.hub.mark_sending({item.voucher.key: lease}) == {}, "in doubt: never sent again blindly"
    entry = hub_world.finance.post(item.voucher)
    assert isinstance(entry, Accepted)
    hub_world.hub.record(
        hub_world.flow,
        [Sent(lease=leases[0], key=item.voucher.key, attempt_id=None, outcome=Rejected("X", "from the orphan"))],
    )
    assert hub_world.states("1") == {"expense:2": "unknown"}, "the orphan's word counts no more"
    hub_world.hub.record(hub_world.flow, [Sent(lease=lease, key=item.voucher.key, attempt_id=None, outcome=entry)])
    hub_world.hub.release(hub_world.flow, [lease])
    assert hub_world.states("1") == {"expense:2": "posted"}


def _wait_for_lease(world: World, worker: str) -> list[Lease]:
    for _ in range(10_000):
        leases = world.leases(Stage.DELIVER, worker)
        if leases:
            return leases
    raise AssertionError("the lease never ran out")


def test_not_found_makes_it_ready_again(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER)
    (item,) = hub_world.hub.deliverables(hub_world.flow, leases)
    hub_world.send([item], lambda _: Unknown("time-out"))
    (doubtful,) = hub_world.hub.deliverables(hub_world.flow, leases)
    assert doubtful.state is VoucherState.UNKNOWN
    missing = Sent(lease=leases[0], key=item.voucher.key, attempt_id=None, outcome=None, not_found=True)
    hub_world.hub.record(hub_world.flow, [missing])
    (ready,) = hub_world.hub.deliverables(hub_world.flow, leases)
    assert ready.state is VoucherState.READY
    hub_world.send([ready])
    assert hub_world.states("1") == {"expense:2": "posted"}


def test_in_doubt_is_looked_up_later_and_later(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: Unknown("time-out"))
    first = hub_world.row("1")
    assert first["stage"] == "deliver"
    assert hub_world.due() == {}, "not at once: finance may still be at it"
    assert hub_world.hub.account(hub_world.flow).documents == {"due": 1}


def test_a_plan_that_waited_for_finance_is_made_again(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: Unknown("time-out"))
    hub_world.store(document("1", *REJECTED))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER, seconds=60) or _wait_for_lease(hub_world, "w1")
    (item,) = hub_world.hub.deliverables(hub_world.flow, leases)
    hub_world.hub.record(
        hub_world.flow,
        [Sent(lease=leases[0], key=item.voucher.key, attempt_id=None, outcome=None, not_found=True)],
    )
    assert hub_world.hub.deliverables(hub_world.flow, leases) == [], "the approval is lost: it must not be sent"
    assert hub_world.hub.mark_sending({item.voucher.key: leases[0]}) == {}
    hub_world.hub.release(hub_world.flow, leases)
    hub_world.check()
    assert hub_world.states("1") == {"expense:2": "withdrawn"}
    assert hub_world.hub.account(hub_world.flow).documents == {"not_approved": 1}
