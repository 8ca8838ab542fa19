"""Outcomes on the hub: put off, refused, named; keys that collide; the trail."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IllegalTransition
from finbridge.core.outcomes import (
    Accepted,
    AuthFailed,
    Conflict,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
)
from finbridge.core.ports import Sent, Stage
from finbridge.core.vouchers import Voucher
from finbridge.hub import PostgresHub

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, PAID, REJECTED, World, document, held, planned, problem_of, voucher


@pytest.mark.parametrize(
    "outcome",
    [Locked(1.5), Throttled(7.0), NotSent("refused"), RefusedUnprocessed("503"), AuthFailed("401")],
    ids=lambda outcome: type(outcome).__name__,
)
def test_what_finance_did_not_touch_is_ready_later(hub_world: World, outcome: Outcome) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: outcome)
    assert hub_world.states("1") == {"expense:2": "ready"}
    assert hub_world.holds("1") == []
    row = next(hub_world.hub.register_rows(hub_world.flow))
    waits = row["retry_at"] - row["state_since"]
    wanted = {Locked: 1.5, Throttled: 7.0, NotSent: 1.0, RefusedUnprocessed: 1.0, AuthFailed: 60.0}[type(outcome)]
    assert waits == timedelta(seconds=wanted)
    assert hub_world.row("1")["due_at"] == row["retry_at"]


def test_a_closed_period_is_named_and_tried_again(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: PeriodClosed("period 2026-03 is closed"))
    assert hub_world.states("1") == {"expense:2": "waiting_period"}
    assert hub_world.holds("1") == ["period_closed"]
    row = next(hub_world.hub.register_rows(hub_world.flow))
    assert row["retry_at"] - row["state_since"] == timedelta(minutes=15)
    _pass_time(hub_database, hub_world.flow)
    hub_world.deliver(lambda _: PeriodClosed("period 2026-03 is closed"))
    assert hub_world.states("1") == {"expense:2": "waiting_period"}
    opened = _holds(hub_database, hub_world.flow)
    assert len(opened) == 1, "the same reason stands once"
    _pass_time(hub_database, hub_world.flow)
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "posted"}
    assert hub_world.holds("1") == []
    assert hub_world.hub.account(hub_world.flow).documents == {"posted": 1}


def _pass_time(database: HubDatabase, flow: str) -> None:
    """Let the waiting time be over, as the clock would."""
    database.server.execute(
        database.name, "UPDATE hub.voucher SET retry_at = now() WHERE flow_id = %s AND retry_at > now()", [flow]
    )
    database.server.execute(
        database.name, "UPDATE hub.document SET due_at = now() WHERE flow_id = %s AND due_at > now()", [flow]
    )


def _holds(database: HubDatabase, flow: str) -> list[tuple[str, str, bool]]:
    return database.server.execute(
        database.name,
        "SELECT code, detail, closed_at IS NULL FROM hub.hold WHERE flow_id = %s ORDER BY hold_id",
        [flow],
    )


def test_rejections_are_named_without_personal_data(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: Rejected("PARTY", "account 6222020200001111 of 张三丰 is blocked"))
    assert _holds(hub_database, hub_world.flow) == [("rejected", "PARTY: account *** of *** is blocked", True)]
    kept = hub_database.server.execute(
        hub_database.name,
        "SELECT state_reason FROM hub.voucher WHERE flow_id = %s UNION ALL "
        "SELECT detail FROM hub.attempt JOIN hub.voucher USING (key) WHERE flow_id = %s UNION ALL "
        "SELECT string_agg(reason, ' ') FROM hub.trail WHERE flow_id = %s",
        [hub_world.flow] * 3,
    )
    assert len(kept) == 3
    assert not [text for (text,) in kept if "张三丰" in text or "6222" in text]


def test_a_rejected_voucher_is_rebuilt_when_the_document_changes(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: Rejected("E1", "no"))
    assert hub_world.holds("1") == ["rejected"]
    hub_world.store(document("1", *APPROVED, amount="90.00", stamp="later"))
    hub_world.check()
    assert hub_world.holds("1") == []
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "posted"}
    (row,) = hub_world.hub.register_rows(hub_world.flow)
    assert row["debit_minor"] == row["credit_minor"] == 9000


def test_a_person_may_ask_for_another_try(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: Rejected("E1", "no"))
    assert hub_world.hub.retry(hub_world.flow, ["1", "unheard of"], actor="li") == 1
    hub_world.check()
    assert hub_world.states("1") == {"expense:2": "ready"}
    assert hub_world.states("2") == {"expense:2": "rejected"}
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "posted"}
    assert hub_world.holds("1") == []


@pytest.mark.parametrize("outcome", [Rejected("E1", "no"), PeriodClosed("closed")], ids=["rejected", "closed"])
def test_a_reversal_can_be_asked_for_again(hub_world: World, outcome: Outcome) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.store(document("1", *REJECTED))
    hub_world.check()
    hub_world.deliver(lambda _: outcome)
    assert hub_world.due() == {}
    hub_world.hub.retry(hub_world.flow, ["1"], actor="li")
    hub_world.check()
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "reversed", "reversal": "posted"}
    assert hub_world.holds("1") == []


def test_a_conflict_stops_and_a_payment_stays_behind_it(hub_world: World) -> None:
    hub_world.store(document("1", *PAID))
    hub_world.check()

    def conflict(sent: Voucher) -> Outcome:
        entry = hub_world.finance.post(sent)
        assert isinstance(entry, Accepted)
        return Conflict(entry.entry, "sent 100.00, finance holds 99.00")

    hub_world.deliver(conflict)
    assert hub_world.states("1") == {"expense:2": "needs_human", "payment:4": "ready"}
    assert hub_world.holds("1") == ["conflict"]
    assert hub_world.due() == {}
    assert hub_world.hub.account(hub_world.flow).held == {"conflict": 1}


def test_a_bug_of_the_caller_is_loud_and_loses_nothing(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER)
    items = hub_world.hub.deliverables(hub_world.flow, leases)
    attempts = hub_world.hub.mark_sending({items[0].voucher.key: items[0].lease})
    results = [
        Sent(
            lease=item.lease,
            key=item.voucher.key,
            attempt_id=attempts.get(item.voucher.key),
            outcome=hub_world.finance.post(item.voucher),
        )
        for item in items
    ]
    with pytest.raises(IllegalTransition):
        hub_world.hub.record(hub_world.flow, results)
    assert hub_world.states("1") == {"expense:2": "posted"}
    assert hub_world.states("2") == {"expense:2": "ready"}
    hub_world.hub.record(hub_world.flow, results[:1])  # told twice: nothing changes
    assert hub_world.states("1") == {"expense:2": "posted"}


def test_the_same_key_for_another_identity_stops_the_flow(
    hub_world: World, hub: PostgresHub, hub_database: HubDatabase
) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    key = hub_world.keys("1")["expense"]
    hub_database.server.execute(hub_database.name, "UPDATE hub.voucher SET cause = 'forged' WHERE key = %s", [key])
    hub_world.store(document("1", *APPROVED, amount="90.00", stamp="later"))
    (work,) = hub_world.claim(Stage.PLAN)
    same = voucher(work, hub_world.source, VoucherKind.EXPENSE, work.events[1])
    plan = dataclasses.replace(hub_world.plan(work), vouchers=(same,))
    with pytest.raises(GiveUp) as stopped:
        hub.save_plans(hub_world.flow, [plan])
    assert stopped.value.code == "key_collision"
    assert hub_world.states("1") == {"expense:forged": "ready"}


def test_two_flows_cannot_own_one_voucher(hub: PostgresHub, hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    other = World(hub, flow=f"{hub_world.flow} again")
    other.store(document("1", *APPROVED))
    with pytest.raises(GiveUp, match="key_collision"):
        other.check(lambda work, _: planned(work, hub_world.source))


def test_every_transition_leaves_a_trail(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.store(document("1", *REJECTED))
    hub_world.check()
    hub_world.deliver()
    rows = hub_database.server.execute(
        hub_database.name,
        "SELECT actor, action, from_state, to_state, mapping FROM hub.trail "
        "WHERE flow_id = %s AND key = %s ORDER BY trail_id",
        [hub_world.flow, hub_world.keys("1")["expense"]],
    )
    assert [row[1:4] for row in rows] == [
        ("translated", None, "translated"),
        ("check_passed", "translated", "ready"),
        ("mark_sending", "ready", "sending"),
        ("accepted", "sending", "posted"),
        ("approval_lost", "posted", "reversing"),
        ("reversal_posted", "reversing", "reversed"),
    ]
    assert {row[0] for row in rows} == {"w1"}
    assert {row[4] for row in rows} == {f"expense_claim 1 {'0' * 64}"}


def test_held_documents_do_not_stop_the_others(hub_world: World) -> None:
    names = [f"{number:03}" for number in range(40)]
    hub_world.store(*(document(name, *APPROVED) for name in names))
    bad = names[::4]
    hub_world.check(held(problem_of(name) for name in bad))
    hub_world.deliver()
    account = hub_world.hub.account(hub_world.flow)
    assert account.documents == {"held": 10, "posted": 30}
    assert account.held == {"unknown_code": 10}
    assert account.vouchers == {"posted": 30}
    assert account.unexplained == ()
