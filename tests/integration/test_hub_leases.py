"""Leases on the hub: two workers, fencing, news while leased."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from finbridge.core.documents import EventKind
from finbridge.core.ports import Lease, Sent, Stage, WriteBackRecord, WriteBackResult
from finbridge.hub import PostgresHub

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, BEGIN, REJECTED, World, document


def test_two_workers_never_share_a_document(hub_database: HubDatabase, hub_world: World) -> None:
    names = [f"{number:04}" for number in range(300)]
    hub_world.store(*(document(name, *APPROVED) for name in names))
    start = threading.Barrier(2)

    def work(worker: str) -> list[str]:
        with hub_database.open() as hub:
            mine = World(hub, hub_world.flow)
            start.wait(timeout=30)
            taken: list[str] = []
            while works := mine.claim(Stage.PLAN, worker, limit=7):
                taken.extend(w.lease.document_id for w in works)
                hub.save_plans(mine.flow, [mine.plan(w) for w in works])
            return taken

    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(work, ("w1", "w2")))
    assert all(shares), "both worked"
    assert Counter(name for share in shares for name in share) == dict.fromkeys(names, 1)
    assert hub_world.due() == {"deliver": 300}


def test_a_claim_does_not_wait_for_locked_rows(hub_database: HubDatabase, hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED))
    with psycopg.connect(hub_database.app_dsn) as other:
        other.execute(
            "SELECT 1 FROM hub.document WHERE flow_id = %s AND document_id = '1' FOR UPDATE", [hub_world.flow]
        )
        assert [work.lease.document_id for work in hub_world.claim(Stage.PLAN)] == ["2"]
    assert [work.lease.document_id for work in hub_world.claim(Stage.PLAN)] == ["1"]


def _taken_over(world: World, stage: Stage) -> tuple[Lease, Lease]:
    """A lease of w1 that ran out, and the one under which w2 took the document over."""
    (lost,) = world.leases(stage, "w1", seconds=0.001)
    for _ in range(10_000):
        found = world.leases(stage, "w2")
        if found:
            return lost, found[0]
    raise AssertionError("the lease never ran out")


def test_a_worker_that_lost_its_lease_plans_nothing(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    (work,) = hub_world.claim(Stage.PLAN, "w1", seconds=0.001)
    while not (taken := hub_world.claim(Stage.PLAN, "w2")):
        pass
    assert hub_world.hub.save_plans(hub_world.flow, [hub_world.plan(work)]) == []
    assert hub_world.states("1") == {}
    assert hub_world.hub.save_plans(hub_world.flow, [hub_world.plan(taken[0])]) == [taken[0].lease]
    assert hub_world.states("1") == {"expense:2": "ready"}
    assert hub_world.hub.save_plans(hub_world.flow, [hub_world.plan(taken[0])]) == [], "a stored plan ends its lease"


def test_a_worker_that_lost_its_lease_sends_and_records_nothing(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    lost, mine = _taken_over(hub_world, Stage.DELIVER)
    assert mine.fence > lost.fence
    assert hub_world.hub.deliverables(hub_world.flow, [lost]) == []
    (item,) = hub_world.hub.deliverables(hub_world.flow, [mine])
    assert hub_world.hub.mark_sending({item.voucher.key: lost}) == {}
    assert hub_world.hub.renew([lost, mine], 60.0) == [mine]
    outcome = hub_world.finance.post(item.voucher)
    hub_world.hub.record(hub_world.flow, [Sent(lease=lost, key=item.voucher.key, attempt_id=None, outcome=outcome)])
    hub_world.hub.release(hub_world.flow, [lost])
    assert hub_world.states("1") == {"expense:2": "ready"}
    assert hub_world.due() == {}, "w2 still works on it"


def test_a_lease_that_ran_out_may_not_send_but_may_be_renewed(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    (lease,) = hub_world.leases(Stage.DELIVER, seconds=0.0)
    (item,) = hub_world.hub.deliverables(hub_world.flow, [lease])
    assert hub_world.hub.mark_sending({item.voucher.key: lease}) == {}
    assert hub_world.hub.renew([lease], 60.0) == [lease]
    assert list(hub_world.hub.mark_sending({item.voucher.key: lease})) == [item.voucher.key]


def test_a_worker_that_lost_its_lease_writes_nothing_back(hub_world: World) -> None:
    hub_world.post(document("1", *APPROVED))
    lost, mine = _taken_over(hub_world, Stage.WRITE_BACK)
    assert hub_world.hub.write_backs(hub_world.flow, [lost]) == []
    (item,) = hub_world.hub.write_backs(hub_world.flow, [mine])
    stale = WriteBackRecord(lease=lost, keys=item.keys, result=WriteBackResult.SAVED, verified=True)
    hub_world.hub.record_write_backs(hub_world.flow, [stale])
    assert hub_world.states("1") == {"expense:2": "posted"}


def test_one_lease_does_not_open_another_documents_voucher(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED))
    hub_world.check()
    leases = {lease.document_id: lease for lease in hub_world.leases(Stage.DELIVER)}
    key = hub_world.keys("1")["expense"]
    assert hub_world.hub.mark_sending({key: leases["2"]}) == {}
    hub_world.hub.record(
        hub_world.flow,
        [Sent(lease=leases["2"], key=key, attempt_id=None, outcome=None, not_found=True)],
    )
    assert hub_world.states("1") == {"expense:2": "ready"}


def test_a_new_version_while_leased_is_planned_right_after_release(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    leases = hub_world.leases(Stage.DELIVER)
    (item,) = hub_world.hub.deliverables(hub_world.flow, leases)
    assert hub_world.store(document("1", *APPROVED, amount="90.00", stamp="later")) == 1
    assert hub_world.due() == {}, "still leased"
    assert hub_world.hub.mark_sending({item.voucher.key: leases[0]}) == {}, "nobody has planned the new version"
    assert hub_world.hub.deliverables(hub_world.flow, leases) == []
    hub_world.hub.release(hub_world.flow, leases)
    assert hub_world.due() == {"plan": 1}
    hub_world.check()
    hub_world.deliver()
    (row,) = hub_world.hub.register_rows(hub_world.flow)
    assert (row["state"], row["debit_minor"]) == ("posted", 9000)


@pytest.mark.parametrize("seconds", [None, 300.0])
def test_news_while_planning_is_planned_again(hub_world: World, seconds: float | None) -> None:
    hub_world.store(document("1", *APPROVED))
    (work,) = hub_world.claim(Stage.PLAN)
    hub_world.store(document("1", *REJECTED))
    if seconds is None:
        hub_world.hub.save_plans(hub_world.flow, [hub_world.plan(work)])
        assert hub_world.states("1") == {"expense:2": "ready"}
    else:
        hub_world.hub.release(hub_world.flow, [work.lease], retry_after_seconds=seconds)
    assert hub_world.due() == {"plan": 1}
    hub_world.check()
    assert set(hub_world.states("1").values()) <= {"withdrawn"}
    assert hub_world.due() == {}


def test_a_put_off_keeps_the_stage(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    leases = hub_world.leases(Stage.PLAN)
    hub_world.hub.release(hub_world.flow, leases, retry_after_seconds=300.0)
    assert hub_world.due() == {}
    assert hub_world.row("1")["stage"] == "plan"
    hub_world.store(document("1", *APPROVED, EventKind.PAYMENT_REQUESTED))
    assert hub_world.due() == {"plan": 1}, "news does not wait"


def test_a_crashed_worker_delays_by_its_lease_only(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    (first,) = hub_world.leases(Stage.PLAN, seconds=0.001)
    while not (again := hub_world.leases(Stage.PLAN, "w2")):
        pass
    assert again[0].fence > first.fence
    assert hub_world.hub.account(hub_world.flow).documents == {"due": 1}


def test_two_collectors_exclude_each_other(hub: PostgresHub, hub_world: World) -> None:
    flow = hub_world.flow
    first = hub.begin_collect(flow, "w1", 60.0)
    assert first is not None
    assert first.through is None
    assert hub.begin_collect(flow, "w2", 60.0) is None
    assert hub.begin_collect(f"{flow} other", "w2", 60.0) is not None
    assert hub.end_collect(first, BEGIN)
    second = hub.begin_collect(flow, "w2", 0.0)
    assert second is not None
    assert second.through == BEGIN
    third = hub.begin_collect(flow, "w3", 60.0)
    assert third is not None
    assert not hub.end_collect(second, BEGIN.replace(hour=20)), "its right was taken over"
    assert hub.end_collect(third, BEGIN.replace(hour=8)), "a lower bound than the last is no harm"
    fourth = hub.begin_collect(flow, "w1", 60.0)
    assert fourth is not None
    assert fourth.through == BEGIN, "the watermark never goes back"
