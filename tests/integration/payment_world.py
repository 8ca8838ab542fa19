"""Payment statuses between finance, the hub and the e-cology stand-in: what tests of them need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
from finbridge.core.ports import Ledger
from finbridge.core.stopping import always
from finbridge.flows import PaymentStatusReport, write_payment_status
from finbridge.systems.weaver.adapter import WeaverSource
from finbridge.systems.weaver.adapter import connect as connect_weaver

from tests.integration.claim_world import PAYING_NODE, ClaimWorld, claim, oa_settings, row

PERIOD = "2026-11"
PAID = {"log": [row(PAYING_NODE, "批准", "17:31:00")], "node": "归档"}
REJECTED = {"log": [row(PAYING_NODE, "退回", "17:31:00")], "node": "起草"}
MODE = {"mode_systemid": "finbridge", "mode_password": "local-only-mode", "mode_page_size": 50, "mode_batch_size": 4}


def posted(world: ClaimWorld, count: int, **main: str) -> list[str]:
    """Claims whose expense voucher stands in finance."""
    ids = world.impose([claim(**main) for _ in range(count)])
    world.settle(ids)
    return ids


def happen(world: ClaimWorld, ids: Sequence[str], what: dict[str, Any]) -> None:
    """Paid, or sent back; finance has the voucher for it afterwards."""
    world.impose([{"request_id": name, **what} for name in ids])
    world.settle(ids)


@asynccontextmanager
async def board_of(world: ClaimWorld, **extra: object) -> AsyncIterator[WeaverSource]:
    """The OA, with the form-mode login."""
    settings = oa_settings(world.oa.port)
    settings = replace(settings, extra={**settings.extra, **MODE, **extra})
    source = connect_weaver(settings, tokens=world.hub.tokens, flow=world.flow)
    try:
        yield source
    finally:
        await source.close()


async def bring(
    world: ClaimWorld, ledger: Ledger | None = None, *, company: str = "1000", period: str = PERIOD, **how: Any
) -> PaymentStatusReport:
    """The verb once."""
    mine, finance = world.connect()
    try:
        async with board_of(world, **how.pop("extra", {})) as source:
            return await write_payment_status(
                flow=world.flow,
                hub=world.hub,
                source=source,
                ledger=ledger or finance,
                company=company,
                period=period,
                **{"may_send": always, "chunk": 3, **how},
            )
    finally:
        await mine.close()
        await finance.close()


def run(world: ClaimWorld, **how: Any) -> PaymentStatusReport:
    """:func:`bring` from a test that has no event loop."""
    return asyncio.run(bring(world, **how))


def shown(world: ClaimWorld, ids: Sequence[str]) -> dict[str, list[tuple[str, str, str, str]]]:
    """What stands in the OA's table for these: status, voucher number, day, amount, a tuple a row."""
    found: dict[str, list[tuple[str, str, str, str]]] = {name: [] for name in ids}
    for item in world.oa.control("GET", "/modes?table=uf_fkzt"):
        if item["lcid"] in found:
            found[item["lcid"]].append((item["fkzt"], item["fkpzh"], item["fkrq"], item["fkje"]))
    return found


def wanted(world: ClaimWorld, ids: Sequence[str]) -> dict[str, list[tuple[str, str, str, str]]]:
    """What must stand there, from finance's own journal."""
    by_document: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in ids}
    for entry in world.finance.control("GET", "/journal?limit=100000"):
        if entry["document_id"] in by_document:
            by_document[entry["document_id"]][entry["kind"]] = entry
    rows = {}
    for name, kinds in by_document.items():
        paid = kinds.get("payment")
        if paid:
            amount = sum(float(line["debit"]) for line in paid["lines"])
            rows[name] = [("已付", paid["number"], paid["date"], f"{amount:.4f}")]
        else:
            rows[name] = [("已冲销" if "reversal" in kinds else "未付", "", "", "0.0000")]
    return rows


def seq(world: ClaimWorld) -> int:
    """The OA journal's last number."""
    return int(world.oa.control("GET", "/stats")["journal_seq"])


def row_versions(superuser_dsn: str) -> list[tuple[Any, ...]]:
    """Physical versions of every stored status."""
    with psycopg.connect(superuser_dsn) as connection:
        statement = "SELECT document_id, xmin::text, ctid::text FROM hub.payment_status ORDER BY flow_id, document_id"
        return connection.execute(statement).fetchall()


def everybody(world: ClaimWorld) -> list[str]:
    """All documents of company 1000 in finance."""
    entries = world.finance.control("GET", "/journal?limit=100000")
    return sorted({entry["document_id"] for entry in entries if entry["company"] == "1000"})


def forget(world: ClaimWorld) -> None:
    """Let the OA show nothing, as if somebody had emptied its table."""
    rows = [{"id": item["id"], "lcid": ""} for item in world.oa.control("GET", "/modes?table=uf_fkzt") if item["lcid"]]
    world.oa.control("POST", "/modes", {"table": "uf_fkzt", "rows": rows})
