"""Check: what is decided, held, judged and stored; nothing of a broken batch goes on."""

from __future__ import annotations

import pytest
from finbridge.core.documents import EventKind
from finbridge.core.errors import GiveUp
from finbridge.core.ids import VoucherKind
from finbridge.core.ports import Stage

from tests.unit.flow_fakes import FakeJudge, make_flow
from tests.unit.flow_world import World


async def _planned(world: World) -> None:
    await world.collect()
    world.check()


async def test_good_ones_go_on_and_bad_ones_are_held_with_all_their_reasons() -> None:
    world = World(judge=FakeJudge(bad={"666": "vat_mismatch"}))
    for name, amount in {"1": "100", "2": "x", "3": "666", "4": "0", "5": "200"}.items():
        world.oa.put(name, amount, "提交", "批准")
    await world.collect()
    report = world.check()
    assert (report.documents, report.vouchers, report.held, report.empty, report.validations) == (5, 2, 2, 1, 2)
    assert world.hub.docs["2"].holds == {"bad_amount": "not a number"}
    assert world.hub.docs["3"].holds == {"vat_mismatch": "by d"}
    assert world.hub.docs["4"].empty == (VoucherKind.EXPENSE, VoucherKind.PAYMENT)
    assert len(world.hub.verdicts) == 2
    await world.settle()
    assert [world.live(str(at)) for at in range(1, 6)] == [1, 0, 0, 0, 1]
    assert world.green()


async def test_a_broken_batch_rule_posts_nothing_and_comes_back_later() -> None:
    for suite in ("d", "v"):
        world = World(judge=FakeJudge(broken=suite))
        for at in range(5):
            world.oa.put(str(at), "100", "提交", "批准")
        await world.collect()
        with pytest.raises(GiveUp, match=f"{suite}: row_count") as caught:
            world.check()
        assert caught.value.code == "broken_batch_rule"
        await world.deliver()
        assert not world.ledger.entries and not any(doc.vouchers for doc in world.hub.docs.values())
        assert len(world.hub.verdicts) == 2, "the evidence is stored before the stop"
        assert world.due(Stage.PLAN) == 0, "put off, not hammered"
        world.judge.broken = None
        world.clock.sleep(301)
        await world.settle()
        assert len(world.ledger.entries) == 5


async def test_a_document_on_which_the_engine_fails_does_not_block_the_others() -> None:
    world = World()
    for at in range(9):
        world.oa.put(str(at), "boom" if at == 4 else "100", "提交", "批准")
    await world.settle()
    assert [world.live(str(at)) for at in range(9)] == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert world.hub.docs["4"].holds == {"translation_failed": "ZeroDivisionError"}


async def test_an_engine_that_fails_on_every_document_is_no_documents_fault() -> None:
    world = World()
    for at in range(3):
        world.oa.put(str(at), "boom", "提交", "批准")
    await world.collect()
    with pytest.raises(ZeroDivisionError):
        world.check()
    assert not any(doc.holds for doc in world.hub.docs.values())
    assert all(doc.lease is None for doc in world.hub.docs.values()), "given back at once"


async def test_rejected_withdrawn_and_resubmitted_claims_make_no_voucher() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "退回", node="起草")
    world.oa.put("2", "100", "提交", "撤回", node="起草")
    world.oa.put("3", "100", "提交", "退回", "提交", node="审批")
    await world.settle()
    assert not world.ledger.sends and world.judge.calls.total() == 0, "no rows, nothing to judge"


async def test_losing_the_approval_withdraws_what_never_left() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await _planned(world)
    world.clock.sleep(9)
    world.oa.put("1", "100", "撤回", node="起草")
    await _planned(world)
    assert world.hub.states("1") == [("expense", "withdrawn")]
    await world.settle()
    assert not world.ledger.entries


async def test_losing_the_approval_after_posting_reverses_and_approving_again_posts_anew() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await world.settle()
    world.clock.sleep(86400)
    world.oa.put("1", "100", "撤回", node="起草")
    await world.settle()
    assert world.live("1") == 0 and world.hub.states("1") == [("expense", "reversed"), ("reversal", "posted")]
    world.oa.put("1", "120", "提交", "批准")
    await world.settle()
    (live,) = world.ledger.live("1")
    assert live.debit_minor == 120 and len(world.ledger.vouchers) == 3
    (red,) = [v for v in world.ledger.vouchers.values() if v.reverses_key]
    assert red.summary == "红字冲销 BX-1" and red.posting_date.day == 23


async def test_a_change_before_the_send_is_translated_again_under_the_same_key() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await _planned(world)
    (key,) = world.hub.docs["1"].vouchers
    world.clock.sleep(9)
    world.oa.put("1", "250")
    await _planned(world)
    assert list(world.hub.docs["1"].vouchers) == [key]
    await world.settle()
    assert world.ledger.vouchers[key].debit_minor == 250


async def test_a_change_to_something_bad_takes_the_ready_voucher_back() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await _planned(world)
    world.clock.sleep(9)
    world.oa.put("1", "x")
    await world.settle()
    assert world.hub.states("1") == [("expense", "withdrawn")] and not world.ledger.entries
    assert set(world.hub.docs["1"].holds) == {"bad_amount"}
    world.oa.put("1", "300")
    await world.settle()
    assert world.live("1") == 1 and not world.hub.docs["1"].holds


async def test_a_log_entry_nobody_knows_stops_what_was_ready() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await _planned(world)
    world.clock.sleep(9)
    world.oa.put("1", "100", "加签")
    await world.settle()
    assert world.hub.states("1") == [("expense", "withdrawn")]
    assert set(world.hub.docs["1"].holds) == {"unknown_log_entry"} and world.green()


async def test_a_posted_document_that_changes_is_a_question() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await world.settle()
    world.oa.put("1", "999")
    await world.settle()
    assert set(world.hub.docs["1"].holds) == {"changed_after_posting"} and len(world.ledger.entries) == 1


async def test_paying_makes_one_payment_voucher_and_none_for_zero() -> None:
    world = World()
    for name, amount in {"1": "100", "2": "0"}.items():
        world.oa.put(name, amount, "提交", "批准")
    await world.settle()
    for name, amount in {"1": "100", "2": "0"}.items():
        world.oa.put(name, amount, "付款", "付款")
    await world.settle()
    assert (world.live("1", VoucherKind.PAYMENT), world.live("2", VoucherKind.PAYMENT)) == (1, 0)
    assert set(world.hub.docs["1"].holds) == {"paid_twice"}


async def test_a_flow_that_makes_no_payment_vouchers_says_so() -> None:
    world = World(flow=make_flow(makes={EventKind.APPROVED: "expense"}))
    world.oa.put("1", "100", "提交", "批准", "付款")
    await world.settle()
    assert world.hub.docs["1"].empty == (VoucherKind.PAYMENT,) and len(world.ledger.entries) == 1


async def test_paid_without_approval_is_listed_and_books_nothing() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "付款")
    await world.settle()
    assert set(world.hub.docs["1"].holds) == {"paid_not_approved"} and not world.ledger.entries


async def test_a_missing_payment_request_is_an_exception_only_where_the_oa_records_requests() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准", "付款")
    await world.settle()
    assert world.hub.docs["1"].holds == {}
    rules = (*world.flow.log_rules, *make_flow().log_rules[:1])
    request = type(rules[0])(
        event=EventKind.PAYMENT_REQUESTED, node=rules[0].node, operation=rules[0].node, operator=rules[0].node
    )
    other = World(flow=make_flow(log_rules=(*make_flow().log_rules, request)))
    other.oa.put("1", "100", "提交", "批准", "付款")
    await other.settle()
    assert set(other.hub.docs["1"].holds) == {"paid_before_or_without_request"}


async def test_a_worker_that_lost_its_document_stores_nothing() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    world.oa.put("2", "100", "提交", "批准")
    await world.collect()
    save = world.hub.save_plans

    def stolen(flow_id: str, plans: list[object]) -> object:
        world.hub.steal("1")
        return save(flow_id, plans)  # type: ignore[arg-type]  # passes what it was given

    world.hub.save_plans = stolen  # type: ignore[assignment,method-assign]  # the test steps in here
    report = world.check()
    assert (report.documents, report.leases_lost) == (1, 1)
    assert not world.hub.docs["1"].vouchers and world.hub.docs["2"].vouchers


async def test_batches_follow_each_other_until_nothing_is_due() -> None:
    world = World(flow=make_flow(batch_size=4))
    for at in range(10):
        world.oa.put(str(at), "100", "提交", "批准")
    await world.collect()
    report = world.check()
    assert (report.documents, world.translator.calls) == (10, 3)
