"""Payment statuses on the hub: what is asked, stored before it is sent, and never changed by who looked earlier."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest
from finbridge.core.documents import EventKind
from finbridge.core.payment_status import (
    IN_DOUBT,
    WAITS,
    PaymentState,
    PaymentStatus,
    PaymentWork,
    StatusOutcome,
    StoredStatus,
    Unclear,
)

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, PAID, REJECTED, World, document

AGAIN = (*REJECTED, EventKind.SUBMITTED, EventKind.APPROVED)


def work(
    world: World, *, after: str = "", limit: int = 100, late: float = 60.0, again: bool = False
) -> list[PaymentWork]:
    return world.hub.payment_statuses.work(
        flow_id=world.flow,
        company="1000",
        period="2026-03",
        after=after,
        limit=limit,
        late_seconds=late,
        again=again,
    )


def says(item: PaymentWork, **changes: Any) -> StoredStatus:
    status = PaymentStatus(
        document_id=item.document_id,
        business_number=item.business_number,
        state=PaymentState.PAID,
        number="记-2026-000009",
        paid_on=date(2026, 3, 5),
        amount_minor=10_000,
        currency="CNY",
    )
    return StoredStatus(
        document_id=item.document_id,
        business_number=item.business_number,
        says=replace(status, **changes),
        version=item.version,
    )


def put(world: World, *rows: StoredStatus) -> dict[str, int]:
    return world.hub.payment_statuses.put(world.flow, "1000", rows)


def mark(world: World, late: float = 60.0, **versions: int) -> dict[str, int]:
    return world.hub.payment_statuses.mark_sending(world.flow, versions, late)


def settle(world: World, name: str, version: int, **how: Any) -> None:
    outcome = StatusOutcome(document_id=name, version=version, **{"verified": False, **how})
    world.hub.payment_statuses.settle(world.flow, [outcome])


def row_version(database: HubDatabase, world: World, name: str) -> tuple[Any, ...] | None:
    with psycopg.connect(database.superuser_dsn) as connection:
        return connection.execute(
            "SELECT xmin::text, ctid::text FROM hub.payment_status WHERE flow_id = %s AND document_id = %s",
            [world.flow, name],
        ).fetchone()


def test_work_names_all_vouchers_of_the_months_documents_in_pages(hub_world: World) -> None:
    hub_world.post(document("a1", *APPROVED), document("a2", *PAID), document("a3", *APPROVED), document("a4", *AGAIN))
    hub_world.store(document("a3", *REJECTED, stamp="2026-03-02 10:00:00"))
    hub_world.post()
    hub_world.post(document("a5", *APPROVED, company="2000"))
    hub_world.store(document("a6", EventKind.SUBMITTED))
    hub_world.check()
    found = work(hub_world, limit=2)
    found += work(hub_world, limit=100, after=found[-1].document_id)
    assert [item.document_id for item in found] == ["a1", "a2", "a3", "a4"], "no other company, none without a voucher"
    shapes = {item.document_id: (len(item.expenses), len(item.payments), len(item.reversals)) for item in found}
    assert shapes == {"a1": (1, 0, 0), "a2": (1, 1, 0), "a3": (1, 0, 1), "a4": (1, 0, 0)}
    reversed_one = found[2]
    assert reversed_one.reversals == {reversed_one.expenses[0]: (hub_world.keys("a3")["reversal"],)}
    assert all((item.stored, item.version, item.verified, item.in_doubt) == (None, 0, False, False) for item in found)


def test_stored_before_it_is_sent_and_verified_after(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.post(document("1", *PAID))
    (item,) = work(hub_world)
    stored = put(hub_world, says(item))
    (item,) = work(hub_world)
    assert (item.version, item.stored) == (stored["1"], says(item).says)
    marked = mark(hub_world, **{"1": item.version})
    (item,) = work(hub_world)
    assert item.in_doubt and not item.verified
    assert mark(hub_world, **{"1": item.version}) == {}, "nobody sends again while it may still arrive"
    assert [again.document_id for again in work(hub_world, again=True)] == ["1"]
    settle(hub_world, "1", marked["1"], verified=True)
    (item,) = work(hub_world)
    assert item.verified and not item.in_doubt and not work(hub_world, again=True)
    before = row_version(hub_database, hub_world, "1")
    settle(hub_world, "1", item.version, verified=True)
    assert row_version(hub_database, hub_world, "1") == before, "what is so already is not written"


def test_who_looked_earlier_changes_nothing(hub_world: World) -> None:
    hub_world.post(document("1", *PAID))
    (early,) = work(hub_world)
    put(hub_world, says(early))
    assert put(hub_world, says(early, state=PaymentState.OPEN)) == {}
    (late,) = work(hub_world)
    changed = put(hub_world, says(late, number="记-2026-000010"))
    assert put(hub_world, says(late, state=PaymentState.OPEN)) == {} == mark(hub_world, **{"1": late.version})
    settle(hub_world, "1", late.version, verified=True)
    (item,) = work(hub_world)
    assert (item.version, item.verified) == (changed["1"], False)
    assert item.stored is not None and item.stored.number == "记-2026-000010"


@pytest.mark.parametrize(("in_flight", "reason"), [(True, IN_DOUBT), (False, WAITS), (False, "payment_status_refused")])
def test_only_what_may_still_arrive_keeps_others_from_sending(hub_world: World, in_flight: bool, reason: str) -> None:
    hub_world.post(document("1", *PAID))
    (item,) = work(hub_world)
    marked = mark(hub_world, **put(hub_world, says(item)))
    settle(hub_world, "1", marked["1"], reason=reason, detail="status 4", in_flight=in_flight)
    (item,) = work(hub_world)
    assert (item.reason, item.in_doubt) == (reason, in_flight)
    assert bool(work(hub_world, again=True)) == (reason != "payment_status_refused")
    (listed,) = hub_world.hub.payment_statuses.listed(hub_world.flow, "1000")
    assert (listed["document_id"], listed["reason"], listed["detail"]) == ("1", reason, "status 4")
    assert bool(mark(hub_world, **{"1": item.version})) != in_flight
    (item,) = work(hub_world)
    assert bool(mark(hub_world, late=0.0, **{"1": item.version})), "after the time-out it may be sent again"


def test_news_of_a_verified_status_is_not_in_doubt_and_of_a_flying_one_is(hub_world: World) -> None:
    hub_world.post(document("1", *PAID), document("2", *PAID))
    one, two = work(hub_world)
    marked = mark(hub_world, **put(hub_world, says(one), says(two)))
    settle(hub_world, "1", marked["1"], verified=True)
    one, two = work(hub_world)
    put(hub_world, says(one, number="x"), says(two, number="x"))
    one, two = work(hub_world)
    assert (one.in_doubt, two.in_doubt) == (False, True)


def test_what_makes_no_status_stands_in_the_list_and_is_not_sent(hub_world: World) -> None:
    hub_world.post(document("1", *PAID))
    (item,) = work(hub_world)
    unclear = replace(says(item), says=Unclear("voucher_not_in_finance", "E…"))
    stored = put(hub_world, unclear)
    assert mark(hub_world, **stored) == {}
    (item,) = work(hub_world)
    assert (item.stored, item.reason, item.version) == (None, "voucher_not_in_finance", stored["1"])
    put(hub_world, says(item))
    (item,) = work(hub_world)
    assert item.reason == "" and item.stored is not None
    shown = hub_world.hub.payment_statuses.of_document(hub_world.flow, "1")
    assert shown is not None and (shown["status"], shown["amount_minor"]) == ("paid", 10_000)
    assert hub_world.hub.payment_statuses.of_document(hub_world.flow, "nobody") is None
