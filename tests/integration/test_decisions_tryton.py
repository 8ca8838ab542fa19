"""Decisions of people against the real ledger: what was accepted can be taken back, what was cancelled is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.cli.stack.postgres import Postgres
from finbridge.core.decisions import Choice, Decided
from finbridge.core.outcomes import Accepted
from finbridge.core.ports import Judge
from finbridge.core.vouchers import Voucher
from finbridge.flows import check, collect
from finbridge.flows.deciding import decide

from tests.contract.tryton_harness import Accountant
from tests.hub_fixtures import new_hub_database
from tests.integration.claim_world import claim, row
from tests.integration.tryton_world import TrytonWorld, open_tryton_world


@pytest.fixture
def world(
    hub_server: Postgres, claim_judge: Judge, ledger_server: LedgerServer, tmp_path: Path
) -> Iterator[TrytonWorld]:
    database = new_hub_database(hub_server)
    with open_tryton_world(tmp_path, database.app_dsn, claim_judge, ledger_server) as made:
        # a source of its own: the ledger is shared, and documents of other tests have the same ids
        made.flow = replace(made.flow, source_connection="of_decisions")
        yield made
    hub_server.drop_database(database.name)


def _voucher(world: TrytonWorld, name: str) -> dict[str, Any]:
    (found,) = [r for r in world.hub.register_rows(world.flow.flow_id) if r["document_id"] == name and r["key"]]
    return found


async def _planned(world: TrytonWorld) -> None:
    source, ledger = world.connect()
    try:
        await collect(flow=world.flow, hub=world.hub, source=source, translator=world.translator, worker="w")
        check(flow=world.flow, hub=world.hub, translator=world.translator, judge=world.judge, worker="w", run_id="r")
    finally:
        await asyncio.gather(source.close(), ledger.close())


async def _post(world: TrytonWorld, voucher: Voucher) -> None:
    """Somebody posts under our key, past the suite."""
    source, ledger = world.connect()
    (outcome,) = await ledger.post([voucher])
    await asyncio.gather(source.close(), ledger.close())
    assert isinstance(outcome, Accepted), outcome


async def _decide(world: TrytonWorld, key: str, choice: Choice) -> Decided:
    source, ledger = world.connect()
    try:
        return await decide(
            flow=world.flow,
            desk=world.hub.decisions,
            ledger=ledger,
            key=key,
            choice=choice,
            person="li",
            reason="已与财务核对",
        )
    finally:
        await asyncio.gather(source.close(), ledger.close())


def test_accepted_and_taken_back_and_cancelled_by_an_accountant(world: TrytonWorld) -> None:
    disputed, cancelled = world.impose([claim(), claim()])
    while {world.open([name])[name] for name in (disputed, cancelled)} != {"deliver"}:
        asyncio.run(_planned(world))
    key, other = _voucher(world, disputed)["key"], _voucher(world, cancelled)["key"]
    ours = world.hub.decisions.voucher(world.flow.flow_id, key)
    asyncio.run(_post(world, _ten_less(ours)))
    world.settle([disputed, cancelled])
    shown = _voucher(world, disputed)
    assert shown["state"] == "needs_human" and "金额 / line 1 amount: 100.00 → 90.00" in shown["state_reason"]
    assert "摘要 / text: " in shown["state_reason"] and "→ 补记" in shown["state_reason"]
    assert not asyncio.run(_decide(world, key, Choice.ACCEPT)).again
    assert asyncio.run(_decide(world, key, Choice.ACCEPT)).again
    world.settle([disputed])
    (entry,) = world.vouchers(disputed)
    assert world.form(disputed)["main"]["pzh"] == entry["number"]
    world.impose([{"request_id": disputed, "log": [row("起草", "撤回", "11:00:00")], "node": "起草"}])
    world.settle([disputed])
    assert [one["kind"] for one in world.vouchers(disputed)] == ["expense", "reversal"], world.held(disputed)
    # the other one: Tryton's own cancel
    Accountant(world.ledger.server, "1000").cancel(("external_ref", "=", other))
    asyncio.run(_decide(world, other, Choice.REVERSED))
    world.settle([cancelled])
    assert _voucher(world, cancelled)["state"] == "reversed"
    assert world.held(cancelled) == ["approval_returned_after_reversal"]


def _ten_less(voucher: Voucher) -> Voucher:
    """The first line and the last one hold ten less."""
    first, *rest, last = voucher.lines
    less = [
        replace(line, amount_minor=line.amount_minor - 1000, local_amount_minor=line.local_amount_minor - 1000)
        for line in (first, last)
    ]
    return replace(voucher, lines=(less[0], *rest, less[1]), summary="补记")
