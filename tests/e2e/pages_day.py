"""A company's day for the tests of pages: the shipped flow between both stand-ins, every standing in it."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finbridge.quality import load_judge

from tests.hub_fixtures import HubDatabase
from tests.integration.claim_world import INCLUDE, LINES, PAYEES, PAYING_NODE, ClaimWorld, claim, open_world, row

FLOW = "weaver_tryton__expense_claim"
_CENTRES = ("CC-ADM-01", "CC-ADM-02", "CC-SAL-01", "CC-SAL-02", "CC-ADM-03", "CC-SAL-03")
_TYPES = ("TRAVEL", "OFFICE", "TRAVEL", "ENTERTAIN")
_REASONS = ("上海客户拜访", "办公用品采购", "北京项目出差", "客户招待")
POSTED = 18


@dataclass(frozen=True, slots=True)
class Day:
    """OA request ids by what became of them. ``business``: request id to business number."""

    posted: tuple[str, ...]
    paid: str
    reversed: str
    edited: str
    in_approval: str
    rejected: str
    closed_period: str
    held: dict[str, str]
    business: dict[str, str]


def fill(database: HubDatabase) -> Day:
    """Play the day into a hub; OA and finance are gone afterwards, the hub stays."""
    judge = load_judge(INCLUDE / "expectations")
    with (
        tempfile.TemporaryDirectory(prefix="finbridge-day-") as folder,
        open_world(Path(folder), database.app_dsn, judge) as world,
    ):
        return _play(world)


def item(number: int, **main: str) -> dict[str, Any]:
    """A claim with two lines: a deductible one and, by its number, another; amounts that tell documents apart."""
    made = claim(djbh=f"BX2026112{number:04}", gsdm="2000" if number % 3 == 2 else "1000")
    first, second = 106_000 + number * 1060, 12_345 * (number % 4)
    lines = [_line(first, _TYPES[number % 4], _CENTRES[number % 6], deductible=True)]
    if second:
        lines.append(_line(second, "WELFARE", _CENTRES[(number + 1) % 6], deductible=False))
    total = _yuan(first + second)
    made["main"] |= {"bzje": total, "hdje": total, "sy": _REASONS[number % 4], **main}
    made["details"][LINES] = lines
    made["details"][PAYEES][0]["zfje"] = total
    return made


def _line(cents: int, kind: str, centre: str, *, deductible: bool) -> dict[str, str]:
    tax = round(cents * 6 / 106) if deductible else 0
    return {
        "fylx": kind,
        "cbzx": centre,
        "fyrq": "2026-11-20",
        "sqje": _yuan(cents),
        "hdje": _yuan(cents),
        "se": _yuan(tax),
        "sl": "0.06" if deductible else "",
        "fpzl": "SPECIAL" if deductible else "NONE",
        "fph": "",
    }


def _yuan(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _play(world: ClaimWorld) -> Day:
    items = [item(number) for number in range(POSTED)]
    paid, lost, edited, waiting = (item(number) for number in range(100, 104))
    edited |= {"log": [row("起草", "提交", "09:30:00")], "node": "审批"}
    waiting |= {"log": [row("起草", "提交", "09:40:00")], "node": "审批"}
    held = _held()
    ids = world.impose([*items, paid, lost, edited, waiting, *held.values()])
    world.settle(ids)
    names = dict(zip((*range(POSTED), "paid", "lost", "edited", "waiting", *held), ids, strict=True))
    _change(world, paid, lost, edited)
    world.settle(ids)
    refused, late = item(200), item(201, gsdm="1000")
    rejected = _tried_once(world, refused, fault={"endpoint": "post", "fault": "rejected", "code": "account_blocked"})
    world.finance.control("POST", "/periods", {"company": "1000", "period": "2026-11", "open": False})
    closed = _tried_once(world, late)
    everything = {
        **dict(zip(ids, (*items, paid, lost, edited, waiting, *held.values()), strict=True)),
        rejected: refused,
        closed: late,
    }
    return Day(
        posted=tuple(ids[:POSTED]),
        paid=names["paid"],
        reversed=names["lost"],
        edited=names["edited"],
        in_approval=names["waiting"],
        rejected=rejected,
        closed_period=closed,
        held={reason: names[reason] for reason in held},
        business={document_id: made["main"]["djbh"] for document_id, made in everything.items()},
    )


def _held() -> dict[str, dict[str, Any]]:
    """One document for each of five reasons."""
    unknown, tax, amount, payee, company = (item(number) for number in range(300, 305))
    unknown["details"][LINES][0]["cbzx"] = "CC-XYZ-99"
    tax["details"][LINES][0]["se"] = "160.00"
    amount["main"]["hdje"] = "1,106.00"
    payee["details"][PAYEES][0]["zfje"] = "99.00"
    company["main"]["gsdm"] = "9999"
    return {
        "unknown_code": unknown,
        "vat_mismatch": tax,
        "bad_amount": amount,
        "payable_not_approved_total": payee,
        "unknown_company": company,
    }


def _change(world: ClaimWorld, paid: dict[str, Any], lost: dict[str, Any], edited: dict[str, Any]) -> None:
    """One is paid, one is sent back after posting, one was edited and approved meanwhile."""
    paid |= {"log": [row(PAYING_NODE, "批准", "11:00:00")], "node": "归档"}
    lost |= {"log": [row("审批", "退回", "11:10:00")], "node": "起草"}
    edited["main"] |= {"sqrxm": "李四丰", "sy": "广州展会", "bzje": "5300.00", "hdje": "5300.00"}
    edited["details"][PAYEES][0]["zfje"] = "5300.00"
    edited["details"][LINES] = [_line(530_000, "TRAVEL", "CC-SAL-01", deductible=True)]
    edited |= {"log": [row("审批", "批准", "10:30:00")], "node": "财务过账"}
    world.impose([paid, lost, edited])


def _tried_once(world: ClaimWorld, made: dict[str, Any], fault: dict[str, Any] | None = None) -> str:
    """Swept once, and again while the OA's second is not over; with a fault of finance meanwhile."""
    if fault is not None:
        world.finance.control("POST", "/faults", [fault])
    (document_id,) = world.impose([made])

    async def until_held() -> None:
        source, ledger = world.connect()
        try:
            for _ in range(50):
                await world.sweep(source, ledger)
                if world.open([document_id]) == {} or world.held(document_id):
                    return
                await asyncio.sleep(0.1)
        finally:
            await source.close()
            await ledger.close()
        raise AssertionError(f"{made['main']['djbh']} is not held")

    asyncio.run(until_held())
    if fault is not None:
        world.finance.control("DELETE", "/faults")
    return document_id
