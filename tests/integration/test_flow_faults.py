"""What a line and two systems can do to a voucher: exactly one in the books, its number on the form, nothing silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from finbridge.flows import collect

from tests.integration.claim_world import LINES, PAYEES, ClaimWorld, claim

_CLAIMS = 4
FINANCE_FAULTS: dict[str, dict[str, Any]] = {
    "time-out before the commit": {"fault": "timeout"},
    "time-out after the commit": {"fault": "timeout", "after_commit": True},
    "504 before the commit": {"fault": "http_504"},
    "504 after the commit": {"fault": "http_504", "after_commit": True},
    "500 after the commit": {"fault": "http_500", "after_commit": True},
    "429 with Retry-After": {"fault": "http_429", "retry_after": 1},
    "429 without": {"fault": "http_429", "count": 2},
    "503": {"fault": "http_503"},
    "cut before the commit": {"fault": "reset"},
    "cut after the commit": {"fault": "reset", "after_commit": True},
    "closed after the commit": {"fault": "close", "after_commit": True},
    "half an answer": {"fault": "truncate"},
    "a web page with status 200": {"fault": "html", "after_commit": True},
    "an error body with status 200": {"fault": "error_body", "after_commit": True},
    "slower than the time-out": {"fault": "delay", "seconds": 2.0},
    "record locked": {"fault": "locked", "count": 2},
    "session expired": {"fault": "token_expired"},
    "half of the batch done, the rest refused": {"fault": "partial_batch", "done": 2},
    "half of the batch done, then cut": {"fault": "partial_batch", "done": 2, "then": "reset"},
    "half of the batch done, the answer says nothing of the rest": {
        "fault": "partial_batch",
        "done": 2,
        "then": "short",
    },
}
OA_FAULTS: dict[str, dict[str, Any]] = {
    "list: 504": {"endpoint": "getAllWorkflowRequestList", "fault": "http_504"},
    "list: a web page": {"endpoint": "getAllWorkflowRequestList", "fault": "html"},
    "list: rows move while paging": {"endpoint": "getAllWorkflowRequestList", "fault": "page_drift", "count": 3},
    "list: rows doubled": {"endpoint": "getAllWorkflowRequestList", "fault": "doubled_rows", "count": 2},
    "list: rows reordered": {"endpoint": "getAllWorkflowRequestList", "fault": "reordered_rows", "count": 2},
    "list: wrong count": {"endpoint": "getAllWorkflowRequestCount", "fault": "wrong_count", "count": 1},
    "detail: 504": {"endpoint": "getWorkflowRequest", "fault": "http_504"},
    "detail: cut": {"endpoint": "getWorkflowRequest", "fault": "reset"},
    "detail: half an answer": {"endpoint": "getWorkflowRequest", "fault": "truncate"},
    "detail: silent": {"endpoint": "getWorkflowRequest", "fault": "timeout"},
    "detail: token expires in the middle": {"endpoint": "getWorkflowRequest", "fault": "token_expired"},
    "detail: log rows doubled and reordered": {
        "endpoint": "getWorkflowRequest",
        "fault": "doubled_log_rows",
        "count": 6,
    },
    "detail: 429": {"endpoint": "getWorkflowRequest", "fault": "http_429", "retry_after": 1},
    "status before the write: 504": {"endpoint": "getRequestStatus", "fault": "http_504"},
    "write: 504 before": {"endpoint": "submitRequest", "fault": "http_504"},
    "write: 504 after": {"endpoint": "submitRequest", "fault": "http_504", "after_commit": True},
    "write: answer lost": {"endpoint": "submitRequest", "fault": "timeout", "after_commit": True},
    "write: cut before": {"endpoint": "submitRequest", "fault": "reset"},
    "write: a web page": {"endpoint": "submitRequest", "fault": "html", "after_commit": True},
    "write: refused by a busy OA": {"endpoint": "submitRequest", "fault": "http_429"},
}


def _play(world: ClaimWorld, rule: dict[str, Any], *, at_finance: bool) -> None:
    """Claims under a fault: settled, posted once each, written back, and the fault was really shown."""
    ids = world.impose([claim() for _ in range(_CLAIMS)])
    process = world.finance if at_finance else world.oa
    with process.faults({"endpoint": "post" if at_finance else "*", **rule}):
        world.settle(ids)
        (shown,) = process.control("GET", "/faults")
    assert shown["shown"] >= 1, "the fault never fired: the test proves nothing"
    world.assert_posted_once(ids)


@pytest.mark.parametrize("name", FINANCE_FAULTS)
def test_finance(name: str, claim_world: ClaimWorld) -> None:
    _play(claim_world, FINANCE_FAULTS[name], at_finance=True)


@pytest.mark.parametrize("name", OA_FAULTS)
def test_oa(name: str, claim_world: ClaimWorld) -> None:
    _play(claim_world, OA_FAULTS[name], at_finance=False)


def test_finance_cannot_be_asked_while_in_doubt(claim_world: ClaimWorld) -> None:
    """The answer is lost and the look-up fails three times: nothing is sent again before finance has spoken."""
    ids = claim_world.impose([claim() for _ in range(_CLAIMS)])
    rules = (
        {"endpoint": "post", "fault": "timeout", "after_commit": True},
        {"endpoint": "find", "fault": "http_504", "count": 3},
    )
    before = claim_world.finance.control("GET", "/stats")["calls"].get("post", 0)
    with claim_world.finance.faults(*rules):
        claim_world.settle(ids)
    assert claim_world.finance.control("GET", "/stats")["calls"]["post"] == before + 1
    claim_world.assert_posted_once(ids)


def test_a_voucher_keyed_by_hand_under_our_key_is_a_conflict(claim_world: ClaimWorld) -> None:
    """Somebody entered other amounts with our key while we were in doubt: nothing of ours is posted, a person reads."""
    (name,) = claim_world.impose([claim()])
    with claim_world.finance.faults({"endpoint": "post", "fault": "reset", "count": 1}):
        asyncio.run(_one_sweep(claim_world))
    (key,) = (
        found["key"]
        for found in claim_world.hub.register_rows(claim_world.flow.flow_id)
        if found["document_id"] == name
    )
    line = {"party": "", "department": ""}
    other = {
        "company": "1000",
        "key": key,
        "kind": "expense",
        "document_id": name,
        "posting_date": "2026-11-20",
        "currency": "CNY",
        "lines": [
            {"account": "660201", "debit": "1.00", "credit": "0.00", **line},
            {"account": "2241", "debit": "0.00", "credit": "1.00", **line, "party": "E0007"},
        ],
    }
    (result,) = claim_world.finance.control("POST", "/vouchers", {"vouchers": [other]})["results"]
    assert result["outcome"] == "accepted"
    claim_world.settle([name])
    assert claim_world.held(name) == ["conflict"] and len(claim_world.vouchers(name)) == 1
    assert claim_world.form(name)["main"]["pzh"] == ""


async def _one_sweep(world: ClaimWorld) -> None:
    source, ledger = world.connect()
    try:
        await world.sweep(source, ledger)
    finally:
        await source.close()
        await ledger.close()


def test_a_closed_period_waits_and_goes_when_it_opens(claim_world: ClaimWorld) -> None:
    """Closed between check and post: a named list, then posted once the period is open and a person asks again."""
    ids = claim_world.impose([claim() for _ in range(_CLAIMS)])
    with claim_world.finance.faults({"endpoint": "post", "fault": "period_closes"}):
        asyncio.run(_one_sweep(claim_world))
    assert {tuple(claim_world.held(name)) for name in ids} == {("period_closed",)}
    assert not any(claim_world.vouchers(name) for name in ids)
    for company in ("1000",):
        claim_world.finance.control("POST", "/periods", {"company": company, "period": "2026-11", "open": True})
    claim_world.hub.retry(claim_world.flow.flow_id, ids, actor="a person")
    claim_world.settle(ids)
    claim_world.assert_posted_once(ids)


def test_what_shares_a_second_with_its_reading_is_read_again(claim_world: ClaimWorld) -> None:
    """Two hundred documents in one second; they are read in it, and then, still in it, some get another amount."""
    ids = claim_world.oa.control("POST", "/impose", {"items": [claim() for _ in range(200)]})["request_ids"]
    asyncio.run(_only_collect(claim_world))
    smaller = claim(bzje="53.00", hdje="53.00")
    smaller["details"][LINES][0] |= {"sqje": "53.00", "hdje": "53.00", "se": "3.00"}
    smaller["details"][PAYEES][0]["zfje"] = "53.00"
    change = {"main": smaller["main"], "details": smaller["details"]}
    claim_world.oa.control("POST", "/impose", {"items": [{"request_id": name, **change} for name in ids[:5]]})
    claim_world.impose([])
    claim_world.settle(ids)
    claim_world.assert_posted_once(ids)
    for name in ids[:6]:
        credit = claim_world.vouchers(name)[0]["lines"][-1]["credit"]
        assert credit == ("106.00" if name == ids[5] else "53.00")


async def _only_collect(world: ClaimWorld) -> None:
    source, ledger = world.connect()
    try:
        await collect(flow=world.flow, hub=world.hub, source=source, translator=world.translator, worker="test")
    finally:
        await source.close()
        await ledger.close()
