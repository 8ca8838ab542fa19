"""Payment status from finance back to the OA, on the stand-ins and PostgreSQL, faults on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.payment_status import IN_DOUBT, NOT_IN_FINANCE, REFUSED, WAITS
from finbridge.flows import require_settled

from tests.hub_fixtures import HubDatabase
from tests.integration.claim_world import ClaimWorld
from tests.integration.payment_world import (
    PAID,
    REJECTED,
    board_of,
    bring,
    everybody,
    forget,
    happen,
    posted,
    row_versions,
    run,
    seq,
    shown,
    wanted,
)

SAVE, LIST = "saveOrUpdateModeData", "getModeDataPageList"


@pytest.fixture(scope="module")
def month(claim_world: ClaimWorld) -> list[str]:
    """Three documents in finance: open, paid, reversed."""
    ids = posted(claim_world, 3)
    happen(claim_world, ids[1:2], PAID)
    happen(claim_world, ids[2:], REJECTED)
    return ids


@pytest.fixture
def unseen(claim_world: ClaimWorld, month: list[str]) -> list[str]:
    """The same, and the OA shows nothing of them."""
    run(claim_world)  # nothing of an earlier test is on its way
    forget(claim_world)
    return month


def test_a_month_is_brought_once_and_a_second_run_changes_nothing(
    claim_world: ClaimWorld, hub_database: HubDatabase
) -> None:
    ids = posted(claim_world, 8)
    happen(claim_world, ids[:3], PAID)
    happen(claim_world, ids[3:5], REJECTED)
    other = posted(claim_world, 1, gsdm="2000")
    report = run(claim_world)
    assert (report.documents, report.open, report.paid, report.reversed) == (8, 3, 3, 2)
    assert (report.sent, report.verified, report.unchanged, report.not_written) == (8, 8, 0, 0)
    assert shown(claim_world, ids) == wanted(claim_world, ids)
    assert shown(claim_world, other) == {other[0]: []}, "another company's month"
    before, versions = seq(claim_world), row_versions(hub_database.superuser_dsn)
    report = run(claim_world)
    assert (report.documents, report.unchanged, report.sent, report.verified) == (8, 8, 0, 0)
    assert (seq(claim_world), row_versions(hub_database.superuser_dsn)) == (before, versions)
    happen(claim_world, ids[5:6], PAID)
    before = seq(claim_world)
    report = run(claim_world)
    assert (report.sent, report.verified, report.unchanged) == (1, 1, 7)
    assert shown(claim_world, ids) == wanted(claim_world, ids)
    [entry] = claim_world.oa.control("GET", f"/journal?after={before}")
    assert (entry["kind"], entry["main"]["lcid"], entry["main"]["fkzt"]) == ("mode_save", ids[5], "已付")


def test_what_a_person_changed_in_the_oa_is_put_right(claim_world: ClaimWorld, unseen: list[str]) -> None:
    name = unseen[0]
    run(claim_world)
    [row] = [r for r in claim_world.oa.control("GET", "/modes?table=uf_fkzt") if r["lcid"] == name]
    claim_world.oa.control("POST", "/modes", {"table": "uf_fkzt", "rows": [{"id": row["id"], "fkzt": "已付"}]})
    assert run(claim_world).sent == 1
    assert shown(claim_world, [name]) == wanted(claim_world, [name])


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "timeout", "after_commit": False},
        {"fault": "timeout", "after_commit": True},
        {"fault": "reset", "after_commit": True},
        {"fault": "html", "after_commit": True},
        {"fault": "http_504", "after_commit": False},
        {"fault": "http_429", "retry_after": 0},
        {"fault": "mode_refused"},
        {"fault": "mode_partial", "done": 2},
        {"fault": "error_body", "body": {"status": "4", "message": "保存后出错"}, "after_commit": True},
    ],
    ids=lambda fault: f"{fault['fault']}-{fault.get('after_commit', '')}",
)
def test_after_a_fault_each_document_has_one_row_and_the_right_one(
    claim_world: ClaimWorld, unseen: list[str], fault: dict[str, Any]
) -> None:
    with claim_world.oa.faults({"endpoint": SAVE, **fault, "count": 1}):
        report = run(claim_world)
    assert (report.in_doubt, report.put_off, report.not_written) == (0, 0, 0), report
    assert shown(claim_world, unseen) == wanted(claim_world, unseen)


def test_an_answer_that_comes_too_late_makes_a_second_row_that_is_taken_away(
    claim_world: ClaimWorld, unseen: list[str]
) -> None:
    run(claim_world)
    late = [{"lcid": name, "fkzt": "未付", "fkje": "0", "bz": "CNY"} for name in unseen[:2]]
    claim_world.oa.control("POST", "/modes", {"table": "uf_fkzt", "rows": late})
    assert [len(rows) for rows in shown(claim_world, unseen).values()] == [2, 2, 1]
    report = run(claim_world)
    assert (report.healed, report.sent) == (2, 0)
    assert shown(claim_world, unseen) == wanted(claim_world, unseen)


def test_what_stays_in_doubt_is_named_and_the_task_is_tried_again(claim_world: ClaimWorld, unseen: list[str]) -> None:
    with claim_world.oa.faults({"endpoint": SAVE, "fault": "close", "probability": 1}):
        report = run(claim_world)
    assert (report.in_doubt, set(report.listed)) == (
        len(everybody(claim_world)),
        {(name, IN_DOUBT) for name in everybody(claim_world)},
    )
    with pytest.raises(RetryLater):
        require_settled(report)
    listed = claim_world.hub.payment_statuses.listed(claim_world.flow.flow_id, "1000")
    assert {(r["document_id"], r["reason"]) for r in listed} == {(name, IN_DOUBT) for name in everybody(claim_world)}
    report = run(claim_world)
    require_settled(report)
    assert shown(claim_world, unseen) == wanted(claim_world, unseen)
    assert claim_world.hub.payment_statuses.listed(claim_world.flow.flow_id, "1000") == []


def test_what_the_oa_does_not_take_now_waits(claim_world: ClaimWorld, unseen: list[str]) -> None:
    with claim_world.oa.faults({"endpoint": SAVE, "fault": "http_429", "retry_after": 0, "probability": 1}):
        report = run(claim_world, chunk=100, extra={"mode_batch_size": 100})
    assert report.put_off == len(report.listed) == report.documents
    assert {reason for _, reason in report.listed} == {WAITS} and shown(claim_world, unseen[:1]) == {unseen[0]: []}
    assert run(claim_world).verified == report.documents


def test_a_refusal_is_named_and_stops_nobody_else(claim_world: ClaimWorld, unseen: list[str]) -> None:
    long = "长" * 5
    refuse = {"endpoint": SAVE, "fault": "mode_refused", "message": f"字段{long}过长"}
    with claim_world.oa.faults({**refuse, "count": 2}):  # the batch, and the first of those sent alone
        report = run(claim_world, chunk=100, extra={"mode_batch_size": 100})
    [(name, reason)] = report.listed
    count = report.documents
    assert (report.not_written, reason, report.sent, report.verified) == (1, REFUSED, 2 * count, count - 1)
    require_settled(report)
    [row] = claim_world.hub.payment_statuses.listed(claim_world.flow.flow_id, "1000")
    assert (row["document_id"], row["reason"]) == (name, REFUSED) and long in row["detail"]
    assert shown(claim_world, [name]) == {name: []}
    assert run(claim_world).verified == 1


def test_while_the_oa_refuses_to_be_read_nothing_is_sent(claim_world: ClaimWorld, unseen: list[str]) -> None:
    before = seq(claim_world)
    with claim_world.oa.faults({"endpoint": LIST, "fault": "mode_refused", "probability": 1}), pytest.raises(GiveUp):
        run(claim_world)
    with (
        claim_world.oa.faults({"endpoint": LIST, "fault": "http_504", "probability": 1}),
        pytest.raises(RetryLater),
    ):
        run(claim_world)
    assert seq(claim_world) == before


def test_a_pause_lets_nothing_leave(claim_world: ClaimWorld, unseen: list[str]) -> None:
    before = seq(claim_world)
    report = run(claim_world, may_send=lambda: False)
    assert (report.paused, report.sent, seq(claim_world)) == (1, 0, before)
    assert run(claim_world).sent >= len(unseen)


async def test_two_workers_make_one_row_each(claim_world: ClaimWorld, unseen: list[str]) -> None:
    await asyncio.gather(*(bring(claim_world, chunk=size) for size in (2, 4, 100)))
    assert shown(claim_world, unseen) == wanted(claim_world, unseen)


def test_a_voucher_that_finance_does_not_hold_is_named(claim_world: ClaimWorld, unseen: list[str]) -> None:
    name = unseen[0]
    with claim_world.finance.faults({"endpoint": "find", "fault": "late_entries", "seconds": 3600, "probability": 1}):
        report = run(claim_world)
    assert (name, NOT_IN_FINANCE) in report.listed and shown(claim_world, [name]) == {name: []}
    report = run(claim_world)
    assert report.unclear == 0 and shown(claim_world, [name]) == wanted(claim_world, [name])


async def test_a_source_without_the_section_says_so(claim_world: ClaimWorld) -> None:
    async with board_of(claim_world, mode_systemid="") as source:
        with pytest.raises(GiveUp, match="mode_systemid"):
            await source.shown(["1"])
