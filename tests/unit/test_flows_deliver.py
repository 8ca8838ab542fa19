"""Deliver: resolve first, read again, mark, send, record; nothing is ever sent in doubt."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ids import VoucherKind
from finbridge.core.outcomes import (
    AuthFailed,
    LedgerEntry,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
)
from finbridge.core.ports import Stage
from finbridge.core.vouchers import Voucher
from finbridge.flows import delivering

from tests.unit.flow_fakes import make_flow
from tests.unit.flow_world import World


async def _ready(*names: str, amount: str = "100") -> World:
    """Approved documents whose vouchers are ready to go."""
    world = World()
    for name in names:
        world.oa.put(name, amount, "提交", "批准")
    await world.collect()
    world.check()
    assert world.due(Stage.DELIVER) == len(names)
    return world


def _key(world: World, name: str) -> str:
    return next(iter(world.hub.docs[name].vouchers))


async def test_a_ready_voucher_is_posted_once() -> None:
    world = await _ready("1", "2")
    report = await world.deliver()
    assert (report.sent, report.accepted) == (2, 2)
    assert (await world.deliver()).sent == 0
    assert [world.live("1"), world.live("2")] == [1, 1]


async def test_a_recall_between_collect_and_send_is_caught_by_the_second_read() -> None:
    world = await _ready("1", "2")

    def recall(name: str) -> None:
        if name == "1" and world.oa.documents["1"].node != "起草":
            world.oa.put("1", "100", "撤回", node="起草")

    world.oa.hooks.append(recall)
    report = await world.deliver()
    assert (report.changed_before_send, report.accepted) == (1, 1)
    assert world.live("1") == 0 and world.live("2") == 1
    assert world.due(Stage.PLAN) == 1
    await world.settle()
    assert world.hub.states("1") == [("expense", "withdrawn")]


async def test_an_edit_between_collect_and_send_is_translated_again_before_it_goes() -> None:
    world = await _ready("1")
    world.oa.put("1", "175")
    assert (await world.deliver()).sent == 0
    await world.settle()
    (live,) = world.ledger.live("1")
    assert live.debit_minor == 175


async def test_a_document_gone_before_the_send_is_held_and_not_posted() -> None:
    world = await _ready("1")
    del world.oa.documents["1"]
    await world.settle()
    assert not world.ledger.entries and set(world.hub.docs["1"].holds) == {"document_gone"}


async def test_news_that_came_in_meanwhile_stops_the_send() -> None:
    """The second read sees nothing yet, but the inbox knows more by the time of the mark."""
    world = await _ready("1")
    mark = world.hub.mark_sending

    def late(leases: object) -> object:
        world.hub.docs["1"].news = True
        return mark(leases)  # type: ignore[arg-type]  # passes what it was given

    world.hub.mark_sending = late  # type: ignore[assignment,method-assign]  # the test steps in here
    report = await world.deliver()
    assert (report.sent, report.leases_lost) == (0, 1) and not world.ledger.sends


async def test_a_lost_lease_sends_nothing() -> None:
    world = await _ready("1", "2")
    world.oa.hooks.append(lambda name: world.hub.steal("1") if name == "1" else None)
    report = await world.deliver()
    assert (report.sent, report.leases_lost) == (1, 1)
    assert list(world.ledger.sends) == [_key(world, "2")]


async def test_a_lease_that_ran_out_during_the_read_sends_nothing() -> None:
    world = await _ready("1")

    def slow(name: str) -> None:
        world.oa.hooks.clear()
        world.clock.sleep(delivering.LEASE_SECONDS + 1)

    world.oa.hooks.append(slow)
    report = await world.deliver()
    assert (report.sent, report.leases_lost) == (0, 1) and not world.ledger.sends
    world.clock.sleep(delivering.RETRY_SECONDS)
    assert (await world.deliver()).accepted == 1


async def test_long_batches_prolong_their_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "SEND_BATCH", 2)
    monkeypatch.setattr(delivering, "RENEW_AFTER_SECONDS", 0.0)
    world = await _ready(*"123456")
    renewed: list[int] = []
    renew = world.hub.renew

    def losing(leases: Sequence[object], seconds: float) -> object:
        renewed.append(len(leases))
        if len(renewed) == 2:
            world.hub.steal("5")
        return renew(leases, seconds)  # type: ignore[arg-type]  # passes what it was given

    world.hub.renew = losing  # type: ignore[assignment,method-assign]  # the test steps in here
    report = await world.deliver()
    assert (report.sent, report.leases_lost) == (5, 1)
    assert renewed[:2] == [6, 6] and 5 in renewed  # the lost one is asked for no more, once its loss is known


# ---------------------------------------------------------------- doubt


async def test_an_answer_that_is_lost_is_looked_up_and_never_sent_again() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["lost"]
    report = await world.deliver()
    assert (report.sent, report.unknown, report.resolved_found, report.duplicate) == (1, 1, 1, 1)
    assert world.ledger.sends[_key(world, "1")] == 1
    assert world.hub.states("1") == [("expense", "posted")]


async def test_a_send_that_never_arrived_waits_out_the_settle_window_before_it_goes_again() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["dropped"]
    report = await world.deliver()
    assert (report.unknown, report.still_in_doubt) == (1, 1)
    key = _key(world, "1")
    for _ in range(59):
        world.clock.sleep(1)
        assert (await world.deliver()).sent == 0
    assert world.ledger.looks[key] > 3, "asked again and again meanwhile"
    world.clock.sleep(60)
    report = await world.deliver()
    assert (report.resolved_not_found, report.accepted) == (1, 1)
    assert world.ledger.sends[key] == 2 and world.live("1") == 1


async def test_an_arrival_during_the_window_is_found() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["dropped"]
    await world.deliver()
    voucher = world.hub.docs["1"].vouchers[_key(world, "1")].voucher
    world.ledger._one(voucher)  # the request was only slow
    world.clock.sleep(60)
    report = await world.deliver()
    assert (report.resolved_found, report.sent) == (1, 0) and world.live("1") == 1


async def test_doubt_never_ends_by_age() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["dropped"]
    await world.deliver()

    async def silent(company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        raise RetryLater("ledger_away", "财务系统不可用 / away", after_seconds=5)

    world.ledger.find = silent  # type: ignore[method-assign]  # the test steps in here
    for _ in range(50):
        world.clock.sleep(86400)
        assert (await world.deliver()).sent == 0
    assert world.hub.states("1") == [("expense", "unknown")]


async def test_another_content_under_our_key_is_a_conflict_for_a_person() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["lost"]
    key = _key(world, "1")

    def tamper(vouchers: Sequence[Voucher]) -> None:
        entry = LedgerEntry(key, "1000", "记-77", "7", vouchers[0].posting_date, "other content")
        world.ledger.entries[key] = entry

    world.ledger.before_post = tamper
    world.ledger.script["1"] = ["dropped"]
    await world.settle()
    assert world.hub.states("1") == [("expense", "needs_human")] and set(world.hub.docs["1"].holds) == {"Conflict"}


async def test_found_but_not_posted_is_not_posted() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["dropped"]
    voucher = world.hub.docs["1"].vouchers[_key(world, "1")].voucher
    world.ledger.entries[voucher.key] = LedgerEntry(
        voucher.key, "1000", "", "9", voucher.posting_date, voucher.content, posted=False
    )
    await world.deliver()
    assert world.hub.states("1") == [("expense", "needs_human")]


async def test_a_recall_while_in_doubt_is_reversed_after_the_resolver_spoke() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["dropped"]
    await world.deliver()
    world.ledger._one(world.hub.docs["1"].vouchers[_key(world, "1")].voucher)
    world.clock.sleep(9)
    world.oa.put("1", "100", "撤回", node="起草")
    await world.settle()
    assert world.live("1") == 0
    assert world.hub.states("1") == [("expense", "reversed"), ("reversal", "posted")]


async def test_a_recall_while_in_doubt_withdraws_what_never_arrived() -> None:
    world = await _ready("1")
    world.ledger.script["1"] = ["dropped"]
    await world.deliver()
    world.clock.sleep(9)
    world.oa.put("1", "100", "撤回", node="起草")
    await world.settle()
    assert world.hub.states("1") == [("expense", "withdrawn")] and not world.ledger.entries


async def test_a_sender_that_died_after_the_mark_is_resolved_by_another_worker() -> None:
    world = await _ready("1")

    def die(vouchers: Sequence[Voucher]) -> None:
        raise KeyboardInterrupt

    world.ledger.before_post = die
    world.hub.release = lambda *_, **__: None  # type: ignore[method-assign]  # a dead worker releases nothing
    with pytest.raises(KeyboardInterrupt):
        await world.deliver()
    del world.hub.release
    assert world.hub.states("1") == [("expense", "sending")]
    world.ledger.before_post = None
    world.clock.sleep(61)
    report = await world.deliver()
    assert (report.resolved_not_found, report.accepted) == (1, 1)
    assert world.ledger.sends == {_key(world, "1"): 1}


async def test_a_document_in_doubt_does_not_stop_the_others() -> None:
    world = await _ready("1", "2", "3")
    world.ledger.script["2"] = ["dropped"]
    await world.deliver()
    assert [world.live(name) for name in "123"] == [1, 0, 1]


async def test_a_voucher_that_makes_the_connector_fail_does_not_block_the_others() -> None:
    """All of its batch are in doubt; the next times they go in ever smaller company, and at last only it is left."""
    world = await _ready(*"12345678")

    def choke(vouchers: Sequence[Voucher]) -> None:
        if any(voucher.identity.document_id == "5" for voucher in vouchers):
            raise ZeroDivisionError

    world.ledger.before_post = choke
    with pytest.raises(ZeroDivisionError):
        await world.deliver()
    assert not world.ledger.entries
    for _ in range(12):
        world.clock.sleep(3600)  # look-ups lie further and further apart
        with contextlib.suppress(ZeroDivisionError):
            await world.deliver()
    assert [world.live(name) for name in "12345678"] == [1, 1, 1, 1, 0, 1, 1, 1]
    assert max(world.ledger.sends.values()) == 1
    world.clock.sleep(86400)
    with pytest.raises(ZeroDivisionError):
        await world.deliver()


# ---------------------------------------------------------------- outcomes


@pytest.mark.parametrize(
    ("outcome", "delay"),
    [
        (Locked(after_seconds=3), 3),
        (Throttled(after_seconds=7), 7),
        (NotSent("refused"), 1),
        (RefusedUnprocessed("busy"), 1),
    ],
)
async def test_what_finance_did_not_take_goes_again_after_its_pause(outcome: Outcome, delay: float) -> None:
    world = await _ready("1", "2")
    world.ledger.script["1"] = [outcome]
    report = await world.deliver()
    assert (report.put_off, report.accepted) == (1, 1)
    world.clock.sleep(delay - 0.5)
    assert (await world.deliver()).documents == 0
    world.clock.sleep(0.5)
    assert (await world.deliver()).accepted == 1
    assert world.live("1") == 1


async def test_refused_credentials_stop_the_flow_and_lose_nothing() -> None:
    world = await _ready("1", "2")
    world.ledger.script["1"] = [AuthFailed("401")]
    with pytest.raises(GiveUp, match="401"):
        await world.deliver()
    assert world.hub.states("1") == [("expense", "ready")] and world.live("2") == 1
    await world.settle()
    assert world.live("1") == 1


@pytest.mark.parametrize(
    ("outcome", "state", "hold"),
    [
        (Rejected("unknown_party", "no such party"), "rejected", "Rejected"),
        (PeriodClosed("2026-11 is closed"), "waiting_period", "PeriodClosed"),
    ],
)
async def test_a_business_refusal_is_a_named_hold(outcome: Outcome, state: str, hold: str) -> None:
    world = await _ready("1")
    world.ledger.script["1"] = [outcome]
    await world.deliver()
    assert world.hub.states("1") == [("expense", state)] and set(world.hub.docs["1"].holds) == {hold}


async def test_the_oa_going_away_before_the_send_gives_everything_back() -> None:
    world = await _ready("1")

    def away(name: str) -> None:
        raise RetryLater("oa_away", "OA 不可用 / away", after_seconds=11)

    world.oa.hooks.append(away)
    with pytest.raises(RetryLater):
        await world.deliver()
    world.oa.hooks.clear()
    assert not world.ledger.sends and world.due(Stage.DELIVER) == 0
    world.clock.sleep(11)
    assert (await world.deliver()).accepted == 1


# ---------------------------------------------------------------- turns


async def test_a_payment_goes_after_its_expense_and_waits_where_that_is_refused() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准", "付款")
    world.oa.put("2", "100", "提交", "批准", "付款")
    world.ledger.script["2"] = [Rejected("unknown_party", "no such party")]
    order: list[VoucherKind] = []
    world.ledger.before_post = lambda vouchers: order.extend(v.identity.kind for v in vouchers)
    await world.collect()
    world.check()
    await world.deliver()
    assert order == [VoucherKind.EXPENSE, VoucherKind.EXPENSE, VoucherKind.PAYMENT]
    assert (world.live("1", VoucherKind.PAYMENT), world.live("2", VoucherKind.PAYMENT)) == (1, 0)


async def test_a_reversal_goes_without_reading_the_document_again() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await world.settle()
    world.clock.sleep(9)
    world.oa.put("1", "100", "退回", node="起草")
    await world.collect()
    world.check()
    reads = world.oa.calls["read"]
    assert (await world.deliver()).accepted == 1 and world.oa.calls["read"] == reads
    assert world.live("1") == 0


async def test_two_companies_are_asked_apart() -> None:
    base = make_flow()
    second = type(base.companies["1000"])(code="2000", currency="CNY", time_zone="Asia/Shanghai", ledger_company="2000")
    world = World(flow=make_flow(companies={**base.companies, "2000": second}))
    asked: list[tuple[str, int]] = []
    find = world.ledger.find

    async def listen(company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        asked.append((company, len(keys)))
        return await find(company, keys)

    world.ledger.find = listen  # type: ignore[method-assign]  # the test steps in here
    for name, company in (("1", "1000"), ("2", "2000"), ("3", "2000")):
        world.oa.put(name, "100", "提交", "批准", company=company)
        world.ledger.script[name] = ["lost"]
    await world.settle()
    assert sorted(asked) == [("1000", 1), ("2000", 2)] and [world.live(n) for n in "123"] == [1, 1, 1]
