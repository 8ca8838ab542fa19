"""Where approved documents stand: every state, sums that add up, the day of the company, fresh approvals as folded."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.fold import fold
from finbridge.core.outcomes import Outcome, PeriodClosed, Rejected, Unknown
from finbridge.core.ports import CollectedDocument, Stage
from finbridge.core.vouchers import Voucher
from finbridge.hub.view_today import STATES, Place, Scope, Today

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, BEGIN, REJECTED, World, document, held, problem_of

ZONE = "Asia/Shanghai"
DAY = BEGIN.date()


def places(world: World, day: date = DAY) -> list[Place]:
    """Two companies, and one place for all others."""
    return [
        Place(flow_id=world.flow, company=company, currency="CNY", zone=ZONE, day=day)
        for company in ("1000", "2000", "")
    ]


def today_of(world: World, day: date = DAY) -> Today:
    return world.hub.views.today(places(world, day))


def claim(
    name: str, amount: str, *kinds: EventKind, company: str = "1000", shown: str | None = None
) -> CollectedDocument:
    """A document whose form shows its total."""
    made = document(name, *(kinds or APPROVED), amount=amount, company=company)
    return replace(made, amount_minor=int((shown or amount).replace(".", "")))


def counted(rows: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """State -> (documents, minor units), all companies together."""
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        documents, amount = found.get(row["state"], (0, 0))
        found[row["state"]] = (documents + row["documents"], amount + row["amount_minor"])
    return found


def answers(world: World, by_document: Mapping[str, Outcome]) -> Callable[[Voucher], Outcome]:
    """Finance posts, except for these documents."""
    return lambda voucher: by_document.get(voucher.identity.document_id) or world.finance.post(voucher)


@pytest.fixture
def busy(hub_world: World) -> World:
    """One document in each state, each with an amount of its own."""
    world = hub_world
    world.store(claim("written", "1.00"))
    world.check()
    world.deliver()
    world.write_back()
    world.store(
        claim("posted", "2.00"),
        claim("rejected", "4.00"),
        claim("closed", "8.00"),
        claim("doubt", "16.00"),
        claim("held", "32.00"),
        claim("recalled", "1024.00", *REJECTED),
        claim("draft", "2048.00", EventKind.SAVED),
        claim("elsewhere", "64.00", company="2000"),
    )
    world.check(held([problem_of("held")]))
    odd: dict[str, Outcome] = {
        "rejected": Rejected("party", "no such party"),
        "closed": PeriodClosed("closed"),
        "doubt": Unknown("no answer"),
    }
    world.deliver(answers(world, odd))
    world.store(claim("ready", "128.00", shown="130.00"))
    world.check()
    world.store(claim("fresh", "256.00"))
    return world


def test_each_approved_document_stands_in_one_state_with_its_amount(busy: World) -> None:
    today = today_of(busy)
    assert counted(today.day) == {
        "written_back": (1, 100),
        "posted": (2, 200 + 6400),
        "held": (2, 400 + 3200),
        "waiting_period": (1, 800),
        "unknown": (1, 1600),
        "ready": (1, 12800),
        "planning": (1, 25600),
    }
    assert set(counted(today.day)) <= set(STATES)
    assert sum(today.approved.values()) == sum(documents for documents, _ in counted(today.day).values()) == 9
    assert today.approved == {(busy.flow, "1000"): 8, (busy.flow, "2000"): 1}


def test_the_form_and_the_voucher_are_compared(busy: World) -> None:
    rows = today_of(busy).day
    form, booked = (sum(row[name] for row in rows) for name in ("approved_minor", "amount_minor"))
    assert form - booked == 200  # the form shows 130.00, the voucher has 128.00
    assert [(row["state"], row["differing"]) for row in rows if row["differing"]] == [("ready", 1)]
    listed = busy.hub.views.standing_documents(places(busy), "day", differing=True)
    assert [row["document_id"] for row in listed] == ["ready"]


def test_what_is_done_is_not_open(busy: World) -> None:
    day, backlog = (counted(rows) for rows in (today_of(busy).day, today_of(busy).open))
    assert backlog == {state: found for state, found in day.items() if state != "written_back"}
    assert counted(today_of(busy, DAY + timedelta(days=1)).open) == backlog
    assert counted(today_of(busy, DAY + timedelta(days=1)).day) == {}
    assert counted(today_of(busy, DAY - timedelta(days=1)).open) == {}


def test_the_list_behind_each_number_has_as_many_documents(busy: World) -> None:
    scopes: dict[Scope, list[dict[str, Any]]] = {"day": today_of(busy).day, "open": today_of(busy).open}
    for scope, rows in scopes.items():
        for row in rows:
            listed = busy.hub.views.standing_documents(
                places(busy), scope, state=row["state"], company=row["company"], flow_id=row["flow_id"]
            )
            assert len(listed) == row["documents"]
            assert {found["state"] for found in listed} == {row["state"]}
    assert busy.hub.views.standing_documents(places(busy), "day", state="held")[0]["codes"]


def test_postings_of_the_day_by_the_company_s_clock(busy: World) -> None:
    posted = [
        row for row in busy.hub.register_rows(busy.flow) if row["state"] in ("posted", "written_back", "verified")
    ]
    local = datetime.now(UTC).astimezone(ZoneInfo(ZONE))
    today = today_of(busy, local.date())
    assert sum(today.hours.values()) == len(posted) == 3
    assert set(today.hours) <= {local.hour, (local.hour - 1) % 24}
    assert today.lags["vouchers"] == 3
    assert 0 <= today.lags["p50"] <= today.lags["p95"] <= today.lags["most"]
    assert today_of(busy, local.date() - timedelta(days=2)).hours == {}


def test_a_company_that_the_flow_does_not_serve_is_not_left_out(hub_world: World) -> None:
    stranger = claim("1", "5.00", company="9999")
    hub_world.store(replace(stranger, problem=problem_of("1", "unknown_company")))
    hub_world.check()
    (row,) = today_of(hub_world).day
    assert (row["company"], row["state"], row["amount_minor"], row["currency"]) == ("9999", "held", 500, "CNY")


def test_a_document_that_nothing_explains_shows(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.post(claim("1", "5.00"))
    with psycopg.connect(hub_database.superuser_dsn) as connection:
        connection.execute(
            "UPDATE hub.voucher SET state = 'withdrawn' WHERE flow_id = %s AND document_id = '1'", [hub_world.flow]
        )
        connection.execute(
            "UPDATE hub.document SET stage = NULL, due_at = NULL WHERE flow_id = %s AND document_id = '1'",
            [hub_world.flow],
        )
    assert counted(today_of(hub_world).day) == {"unexplained": (1, 500)}
    assert counted(today_of(hub_world).open) == {"unexplained": (1, 500)}


def test_fresh_approvals_are_those_that_the_fold_finds(hub_world: World) -> None:
    seed = 20261122
    chance = random.Random(seed)
    kinds = [EventKind.APPROVED] * 3 + [k for k in EventKind if k not in (EventKind.PAID, EventKind.PAYMENT_REQUESTED)]
    documents = []
    for number in range(150):
        entries = tuple(
            LogEntry(
                f"{position:02}", chance.choice(kinds), BEGIN + timedelta(hours=chance.randrange(40)), "n", "o", "7"
            )
            for position in range(chance.randrange(7))
        )
        documents.append(replace(document(f"{number:03}", events=entries), amount_minor=1))
    hub_world.store(*documents)
    assert hub_world.due() == {Stage.PLAN.value: len(documents)}
    expected = {
        found.document_id: folded.approval.local_at.date()
        for found in documents
        if (folded := fold(found.events)).approval is not None
    }
    assert len(expected) > 20
    for day in (DAY, DAY + timedelta(days=1)):
        listed = hub_world.hub.views.standing_documents(places(hub_world, day), "day", state="planning")
        wanted = {name for name, approved in expected.items() if approved == day}
        assert {row["document_id"] for row in listed} == wanted, f"seed {seed}"
