"""The way back to the form on the hub."""

from __future__ import annotations

import pytest
from finbridge.core.documents import EventKind
from finbridge.core.outcomes import Rejected
from finbridge.core.ports import Stage, WriteBackResult

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, PAID, REJECTED, World, document


def test_number_and_date_go_back_and_are_verified(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    assert hub_world.due() == {"write_back": 1}
    leases = hub_world.leases(Stage.WRITE_BACK)
    (item,) = hub_world.hub.write_backs(hub_world.flow, leases)
    assert (item.voucher_number, item.posting_date, item.error, item.done) == (
        "记-2026-000001",
        "2026-03-02",
        "",
        False,
    )
    hub_world.hub.release(hub_world.flow, leases)
    hub_world.write_back()
    assert hub_world.states("1") == {"expense:2": "verified"}
    assert hub_world.due() == {}


def test_saved_is_not_verified(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.write_back(verified=False)
    assert hub_world.states("1") == {"expense:2": "written_back"}
    leases = hub_world.leases(Stage.WRITE_BACK)
    (item,) = hub_world.hub.write_backs(hub_world.flow, leases)
    assert item.done, "only the read-back is missing"
    hub_world.hub.release(hub_world.flow, leases, retry_after_seconds=0.0)
    leases = hub_world.leases(Stage.WRITE_BACK)
    (item,) = hub_world.hub.write_backs(hub_world.flow, leases)
    assert not item.done, "the form did not show it: it is written once more"
    hub_world.hub.release(hub_world.flow, leases)
    hub_world.write_back()
    assert hub_world.states("1") == {"expense:2": "verified"}


@pytest.mark.parametrize("result", [WriteBackResult.RETRY, WriteBackResult.UNKNOWN])
def test_a_write_back_that_failed_comes_again_later(hub_world: World, result: WriteBackResult) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.write_back(result, verified=False)
    assert hub_world.states("1") == {"expense:2": "posted"}
    assert hub_world.due() == {}
    row = hub_world.row("1")
    assert row["stage"] == "write_back"
    assert hub_world.hub.account(hub_world.flow).documents == {"posted": 1}


def test_a_form_that_moved_on_is_a_named_reason(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.write_back(WriteBackResult.NOT_ALLOWED, verified=False, detail="the document stands at 归档")
    assert hub_world.states("1") == {"expense:2": "posted"}
    assert hub_world.holds("1") == ["write_back_not_possible"]
    assert hub_world.due() == {}
    hub_world.store(document("1", *PAID))
    hub_world.check()
    hub_world.deliver()
    assert hub_world.due() == {}, "a paid document does not come back to the posting node"
    said = hub_database.server.execute(
        hub_database.name, "SELECT result, verified, detail FROM hub.write_back WHERE flow_id = %s", [hub_world.flow]
    )
    assert said == [("not_allowed", False, "the document stands at 归档")]


def test_a_form_is_tried_again_when_the_log_moves_and_it_stands_approved(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.write_back(WriteBackResult.NOT_ALLOWED, verified=False, detail="at 审批")
    hub_world.store(document("1", *APPROVED, EventKind.APPROVED))
    hub_world.check()
    assert hub_world.due() == {"write_back": 1}
    hub_world.write_back()
    assert hub_world.states("1") == {"expense:2": "verified"}
    assert hub_world.holds("1") == []


def test_finances_refusal_goes_back_as_text(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(lambda _: Rejected("E1", "cost centre is blocked"))
    (text,) = hub_world.write_back()
    assert text.endswith("E1: cost centre is blocked")
    assert hub_world.states("1") == {"expense:2": "rejected"}
    assert hub_world.due() == {}
    hub_world.store(document("1", *APPROVED, amount="90.00", stamp="later"))
    hub_world.check()
    hub_world.deliver()
    assert hub_world.write_back() == ["记-2026-000001"], "the number replaces the error text"
    assert hub_world.states("1") == {"expense:2": "verified"}


def test_what_is_taken_back_is_not_written(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    hub_world.store(document("1", *REJECTED))
    hub_world.check()
    hub_world.deliver()
    assert hub_world.due() == {}
    assert hub_world.states("1") == {"expense:2": "reversed", "reversal": "posted"}


def test_payments_are_not_written_back(hub_world: World) -> None:
    hub_world.post(document("1", *PAID))
    assert hub_world.write_back() == ["记-2026-000001"]
    assert hub_world.states("1") == {"expense:2": "verified", "payment:4": "posted"}
    assert hub_world.due() == {}


def test_a_flow_may_write_nothing_back(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    assert hub_world.due() == {"write_back": 1}
    hub_world.hub.configure_flow(hub_world.flow, write_back=False)
    assert hub_world.due() == {}
    hub_world.post(document("2", *APPROVED))
    assert hub_world.due() == {}
    assert hub_world.hub.account(hub_world.flow).documents == {"posted": 2}
