"""The shipped claim flow on real processes: the straight way, what is held and why, and a batch that is stopped."""

from __future__ import annotations

import asyncio
import shutil
import time
from datetime import date
from pathlib import Path

import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.ports import CodeRow, Judge
from finbridge.flows import account, check, collect
from finbridge.quality import load_judge

from tests.hub_fixtures import HubDatabase, new_hub_database
from tests.integration.claim_world import INCLUDE, LINES, PAYEES, PAYING_NODE, ClaimWorld, claim, open_world, row

#: Six ways to be bad: reason code of the hold, and how many of the 37.
BAD = {
    "unknown_code": 7,  # a cost centre that nobody mapped
    "vat_mismatch": 6,  # tax that does not follow from gross and rate
    "bad_amount": 6,  # an amount with a thousands separator
    "approved_above_claimed": 6,  # more approved than claimed
    "payable_not_approved_total": 6,  # payees do not get what was approved
    "unknown_company": 6,  # a company that the flow does not serve
}


def _bad(reason: str) -> dict[str, object]:
    item = claim()
    line, payee = item["details"][LINES][0], item["details"][PAYEES][0]
    if reason == "unknown_code":
        line["cbzx"] = "CC-XYZ-99"
    elif reason == "vat_mismatch":
        line["se"] = "16.00"
    elif reason == "bad_amount":
        item["main"]["hdje"] = "1,106.00"
    elif reason == "approved_above_claimed":
        item["main"]["bzje"] = "100.00"
    elif reason == "payable_not_approved_total":
        payee["zfje"] = "99.00"
    else:
        item["main"]["gsdm"] = "9999"
    return item


def _two_hundred() -> tuple[list[dict[str, object]], list[str | None]]:
    """Items in the order of the OA, the bad ones scattered among the good ones, and why each is bad."""
    reasons: list[str | None] = [reason for reason, count in BAD.items() for _ in range(count)]
    reasons += [None] * (200 - len(reasons))
    scattered = [reasons[at * 37 % 200] for at in range(200)]
    return [claim() if reason is None else _bad(reason) for reason in scattered], scattered


def test_37_bad_of_200_are_held_with_their_reasons_and_163_are_posted(claim_world: ClaimWorld) -> None:
    items, reasons = _two_hundred()
    ids = claim_world.impose(items)
    claim_world.settle(ids)
    good = [name for name, reason in zip(ids, reasons, strict=True) if reason is None]
    bad = {name: reason for name, reason in zip(ids, reasons, strict=True) if reason is not None}
    assert (len(good), len(bad)) == (163, 37)
    claim_world.assert_posted_once(good)
    for name, reason in bad.items():
        assert not claim_world.vouchers(name), (name, reason)
        assert reason in claim_world.held(name), (reason, claim_world.held(name))
    found = account(flow=claim_world.flow, hub=claim_world.hub)
    assert found.green and dict(found.documents_by_state) == {"held": 37, "posted": 163}


def test_a_broken_batch_rule_posts_none(claim_judge: Judge, hub_database: HubDatabase, tmp_path: Path) -> None:
    """More documents in a batch than a run may load: a rule over the real rows that the shipped suite has too."""
    strict = tmp_path / "expectations"
    shutil.copytree(INCLUDE / "expectations", strict)
    suite = strict / "expense_claim.documents.yaml"
    text = suite.read_text(encoding="utf-8")
    shipped = "{min_value: 1, max_value: 100000}"
    assert text.count(shipped) == 1
    suite.write_text(text.replace(shipped, "{min_value: 1, max_value: 150}"), encoding="utf-8")
    database = new_hub_database(hub_database.server)
    with open_world(tmp_path, database.app_dsn, load_judge(strict)) as world:
        ids = world.impose([claim() for _ in range(200)])

        async def once() -> None:
            source, ledger = world.connect()
            try:
                await world.sweep(source, ledger)
            finally:
                await source.close()
                await ledger.close()

        with pytest.raises(GiveUp, match="row_count") as caught:
            asyncio.run(once())
        assert caught.value.code == "broken_batch_rule"
        assert not world.finance.control("GET", "/journal?limit=1000")
        assert world.hub.account(world.flow.flow_id).vouchers == {}
        assert set(world.open(ids).values()) == {"plan"}, "given back, put off, not lost"
        world.hub.retry(world.flow.flow_id, ids, actor="a person")
        world.judge = claim_judge
        world.settle(ids)
        world.assert_posted_once(ids[:3])
    hub_database.server.drop_database(database.name)


async def _plan_only(world: ClaimWorld, name: str) -> None:
    """The document is read and planned, nothing is sent."""
    source, ledger = world.connect()
    try:
        until = time.monotonic() + 30
        while not _register(world, name):
            assert time.monotonic() < until, world.open([name])
            await collect(flow=world.flow, hub=world.hub, source=source, translator=world.translator, worker="test")
            check(
                flow=world.flow, hub=world.hub, translator=world.translator, judge=world.judge, worker="t", run_id="t"
            )
            await asyncio.sleep(0.1)
    finally:
        await source.close()
        await ledger.close()


def _register(world: ClaimWorld, name: str) -> list[tuple[str, str]]:
    rows = world.hub.register_rows(world.flow.flow_id)
    return [(found["key"], found["state"]) for found in rows if found["document_id"] == name and found["key"]]


def test_a_corrected_code_reaches_what_is_ready_and_not_what_is_posted(claim_world: ClaimWorld) -> None:
    """The code stands on no line: it decides which account another table names."""

    def load(target: str) -> None:
        code = CodeRow(
            table="cost_centre_kind", company="", code="CC-COR-01", target=target, valid_from=date(2020, 1, 1)
        )
        assert claim_world.hub.load_codes(claim_world.flow.flow_id, [code], maker="wang", checker="li") == 1

    def of_that_centre() -> str:
        item = claim()
        item["details"][LINES][0]["cbzx"] = "CC-COR-01"
        return claim_world.impose([item])[0]

    load("ADM")
    before = of_that_centre()
    claim_world.settle([before])
    ready = of_that_centre()
    asyncio.run(_plan_only(claim_world, ready))
    ((key, _),) = _register(claim_world, ready)
    load("SAL")
    claim_world.settle([before, ready])
    claim_world.assert_posted_once([before, ready])
    assert _register(claim_world, ready) == [(key, "verified")], "one identity, whatever its code means"
    accounts = {name: claim_world.vouchers(name)[0]["lines"][0]["account"] for name in (before, ready)}
    assert accounts == {before: "660201", ready: "660101"}


def test_recall_before_the_send_posts_nothing_and_after_it_is_reversed_red(claim_world: ClaimWorld) -> None:
    before, after = claim_world.impose([claim(), claim()])
    recall = {"log": [row("起草", "撤回", "11:00:00")], "node": "起草"}
    claim_world.impose([{"request_id": before, **recall}])
    claim_world.settle([before, after])
    claim_world.impose([{"request_id": after, **recall}])
    claim_world.settle([after])
    assert not claim_world.vouchers(before)
    posted, red = claim_world.vouchers(after)
    assert (posted["kind"], red["kind"], red["reverses"]) == ("expense", "reversal", posted["key"])
    assert [(ln["account"], ln["debit"]) for ln in red["lines"]] == [
        (ln["account"], f"-{ln['debit']}" if ln["debit"] != "0.00" else "0.00") for ln in posted["lines"]
    ]
    assert claim_world.hub.account(claim_world.flow.flow_id).unexplained == ()


def test_payment_after_posting_makes_one_payment_voucher(claim_world: ClaimWorld) -> None:
    (name,) = claim_world.impose([claim()])
    claim_world.settle([name])
    claim_world.impose([{"request_id": name, "log": [row(PAYING_NODE, "批准", "17:31:00")], "node": "归档"}])
    claim_world.settle([name])
    assert [entry["kind"] for entry in claim_world.vouchers(name)] == ["expense", "payment"]


def test_a_document_archived_before_the_write_back_is_a_named_hold(claim_world: ClaimWorld) -> None:
    item = {**claim(), "node": "归档"}
    (name,) = claim_world.impose([item])
    claim_world.settle([name])
    assert [entry["kind"] for entry in claim_world.vouchers(name)] == ["expense"]
    assert claim_world.held(name) == ["write_back_not_possible"]


def test_a_refusal_by_finance_stands_on_the_form_and_in_a_list(claim_world: ClaimWorld) -> None:
    (name,) = claim_world.impose([claim()])
    with claim_world.finance.faults({"endpoint": "post", "fault": "rejected", "code": "vendor_blocked"}):
        claim_world.settle([name])
    form = claim_world.form(name)
    assert claim_world.held(name) == ["rejected"] and not claim_world.vouchers(name)
    assert "vendor_blocked" in form["main"]["jzxx"] and form["main"]["pzh"] == ""
