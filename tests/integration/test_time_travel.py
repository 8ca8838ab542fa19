"""An outcome that nobody knew stays resolvable: 25 hours and 40 days later, with every session and token long gone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.cli.stack.postgres import Postgres
from finbridge.core.ports import Judge

from tests.fault_proxy import Fault, FaultProxy
from tests.hub_fixtures import HubDatabase, new_hub_database
from tests.integration.claim_world import ClaimWorld, claim
from tests.integration.tryton_world import TrytonWorld, open_tryton_world
from tests.time_travel import pass_time

SPANS = {"25 hours": timedelta(hours=25), "40 days": timedelta(days=40)}
#: Longer than the tests: only travel in time ends it.
_SETTLE_SECONDS = 3600.0
_AWAY: dict[str, object] = {"endpoint": "find", "fault": "http_503"}
#: What the wire did to the send -> whether finance had committed.
_LOST: dict[str, tuple[dict[str, object], int]] = {
    "committed, the answer lost": ({"endpoint": "post", "fault": "timeout", "after_commit": True}, 1),
    "cut before the commit": ({"endpoint": "post", "fault": "timeout"}, 0),
}


def _states(world: ClaimWorld, name: str) -> list[str]:
    rows = world.hub.register_rows(world.flow.flow_id)
    return [row["state"] for row in rows if row["document_id"] == name and row["key"]]


def _attempts(database: HubDatabase, name: str) -> list[str]:
    found = database.server.execute(
        database.name,
        "SELECT t.outcome FROM hub.attempt t JOIN hub.voucher v USING (key) WHERE v.document_id = %s "
        "ORDER BY t.started_at",
        [name],
    )
    return [outcome for (outcome,) in found]


def _later(world: ClaimWorld, database: HubDatabase, span: timedelta) -> None:
    """It is later everywhere: in the hub, at the OA, and nobody is logged in any more."""
    clock = datetime.fromisoformat(world.oa.control("GET", "/clock")["now"])
    world.oa.control("POST", "/clock", {"now": (clock + span).isoformat()})
    pass_time(database.superuser_dsn, span)


async def _once(world: ClaimWorld) -> None:
    source, ledger = world.connect()
    try:
        await world.sweep(source, ledger)
    finally:
        await source.close()
        await ledger.close()


@pytest.mark.parametrize("lost", _LOST)
@pytest.mark.parametrize("span", SPANS)
def test_finance_is_asked_by_key_at_any_age(
    claim_world: ClaimWorld, hub_database: HubDatabase, monkeypatch: pytest.MonkeyPatch, span: str, lost: str
) -> None:
    world = claim_world
    monkeypatch.setattr(world, "flow", replace(world.flow, settle_seconds=_SETTLE_SECONDS))
    rule, committed = _LOST[lost]
    (name,) = world.impose([claim()])
    with world.finance.faults(rule, _AWAY):
        asyncio.run(_once(world))
    assert _states(world, name) == ["unknown"] and len(world.vouchers(name)) == committed
    if not committed:  # finance is there again, and the send may still be on its way
        pass_time(hub_database.superuser_dsn, timedelta(minutes=10))
        asyncio.run(_once(world))
        assert _states(world, name) == ["unknown"] and not world.vouchers(name), "never sent again blindly"
    world.finance.control("POST", "/access", {"expire_tokens": True})
    _later(world, hub_database, SPANS[span])
    world.settle([name])
    world.assert_posted_once([name])
    assert _attempts(hub_database, name) == (["unknown"] if committed else ["unknown", "accepted"])


@pytest.mark.parametrize("span", SPANS)
def test_a_worker_that_never_came_back_left_a_voucher_that_is_found(
    claim_world: ClaimWorld, hub_database: HubDatabase, span: str
) -> None:
    """It had sent, and died before it could store what finance said; nothing ran until now."""
    world = claim_world
    (name,) = world.impose([claim()])

    class Dead(BaseException):
        """No handler of the flow sees it."""

    def die(*_: Any, **__: Any) -> None:
        raise Dead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.hub, "record", die)
        patch.setattr(world.hub, "release", die)
        with pytest.raises(Dead):
            asyncio.run(_once(world))
    assert _states(world, name) == ["sending"] and len(world.vouchers(name)) == 1
    world.finance.control("POST", "/access", {"expire_tokens": True})
    _later(world, hub_database, SPANS[span])
    world.settle([name])
    world.assert_posted_once([name])
    assert _attempts(hub_database, name) == ["duplicate"], "the open attempt takes what finance says"


def test_the_real_ledger_is_asked_after_40_days(
    claim_judge: Judge, hub_server: Postgres, ledger_server: LedgerServer, tmp_path: Path
) -> None:
    database = new_hub_database(hub_server)
    with open_tryton_world(tmp_path, database.app_dsn, claim_judge, ledger_server) as world:
        # a source of its own: the ledger is shared, and documents of other tests have the same ids
        world.flow = replace(world.flow, settle_seconds=_SETTLE_SECONDS, source_connection="of_another_time")
        asyncio.run(_lose_both(world, database))
    hub_server.drop_database(database.name)


async def _lose_both(world: TrytonWorld, database: HubDatabase) -> None:
    committed = await _lose(world, Fault.LOSE_ANSWER)
    cut = await _lose(world, Fault.CUT_REQUEST)
    world.ledger.forget_sessions()
    await asyncio.to_thread(_later, world, database, SPANS["40 days"])
    await asyncio.to_thread(world.settle, [committed, cut])
    for name in (committed, cut):
        (entry,) = world.vouchers(name)
        assert entry["kind"] == "expense" and world.form(name)["main"]["pzh"] == entry["number"]
    assert _attempts(database, committed) == ["unknown"] and _attempts(database, cut) == ["unknown", "accepted"]


async def _lose(world: TrytonWorld, fault: Fault) -> str:
    """A claim whose outcome nobody knows."""
    async with FaultProxy(world.ledger.server.port).running() as proxy:
        world.port = proxy.port
        source, ledger = world.connect()
        try:
            await ledger.find("1000", ["-"])  # logged in while the line is sound
            (name,) = await asyncio.to_thread(world.impose, [claim()])
            proxy.fault = fault
            await world.sweep(source, ledger)
        finally:
            await asyncio.gather(source.close(), ledger.close())
    world.port = None
    assert proxy.hits and _states(world, name) == ["unknown"]
    return name
