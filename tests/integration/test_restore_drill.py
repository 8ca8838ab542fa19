"""The hub restored to an older point: one sweep later nothing is lost or doubled, and what the OA forgot is named."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finbridge.cli import app
from finbridge.cli.stack.postgres import Postgres, _binaries
from finbridge.core.month import Month
from finbridge.core.ports import Judge
from finbridge.flows import check, collect
from finbridge.flows.month import MonthReport, reconcile
from finbridge.flows.recovering import Recovered, recover
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from tests.contract.sandbox_process import ROOT
from tests.hub_fixtures import APP_PASSWORD, SECRET, HubDatabase, new_hub_database
from tests.integration.claim_world import (
    PAYING_NODE,
    ClaimWorld,
    claim,
    finance_settings,
    oa_settings,
    open_world,
    row,
)
from tools.checker import Sets
from tools.checker import check as four_sets

_RECALL = {"log": [row("起草", "撤回", "11:00:00")], "node": "起草"}
_PAY = {"log": [row(PAYING_NODE, "批准", "17:31:00")], "node": "归档"}
_APPROVED_AGAIN = {"log": [row("起草", "提交", "11:10:00"), row("审批", "批准", "11:20:00")], "node": "财务过账"}
_MONTH = Month("1000", "2026-11")


@pytest.fixture
def world(hub_server: Postgres, claim_judge: Judge, tmp_path: Path) -> Iterator[ClaimWorld]:
    database = new_hub_database(hub_server)
    with open_world(tmp_path, database.app_dsn, claim_judge) as made:
        yield made
    hub_server.drop_database(database.name)


def _program(name: str, *arguments: str, server: Postgres) -> None:
    environment = os.environ | {"PGPASSWORD": server.superuser_password}
    subprocess.run([_binaries() / name, *arguments], check=True, env=environment, capture_output=True, timeout=120)


def _dump(server: Postgres, database: str, path: Path) -> None:
    _program("pg_dump", "-Fc", "-f", str(path), *_place(server), database, server=server)


def _restore(server: Postgres, path: Path) -> HubDatabase:
    """Into a fresh, empty database."""
    name = "hub_restored"
    server.create_database(name, owner="hub_owner")
    _program("pg_restore", "--exit-on-error", "-d", name, *_place(server), str(path), server=server)
    return HubDatabase(server, name)


def _place(server: Postgres) -> list[str]:
    return ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]


def _later(world: ClaimWorld, names: list[str], what: dict[str, Any]) -> None:
    world.impose([{"request_id": name, **what} for name in names])


def _four_sets(world: ClaimWorld) -> Sets:
    rules = json.loads((ROOT / "tools/checker/expense_claim.json").read_text(encoding="utf-8"))
    oa = world.oa.control("GET", "/journal?after=0&limit=100000")
    finance = world.finance.control("GET", "/journal?limit=100000")
    held = {r["document_id"]: list(r["holds"]) for r in world.hub.document_rows(world.flow.flow_id) if r["holds"]}
    return four_sets(oa, finance, rules, held)


async def _month(world: ClaimWorld) -> MonthReport:
    source, ledger = world.connect()
    await source.close()
    try:
        return await reconcile(flow=world.flow, hub=world.hub, ledger=ledger, month=_MONTH, run_id="after the restore")
    finally:
        await ledger.close()


def _keys(world: ClaimWorld, name: str) -> list[str]:
    return [entry["key"] for entry in world.vouchers(name)]


async def _plan(world: ClaimWorld) -> None:
    """The documents are read and planned; nothing is sent."""
    source, ledger = world.connect()
    try:
        await collect(flow=world.flow, hub=world.hub, source=source, translator=world.translator, worker="w")
        check(flow=world.flow, hub=world.hub, translator=world.translator, judge=world.judge, worker="w", run_id="r")
    finally:
        await asyncio.gather(source.close(), ledger.close())


def _states(world: ClaimWorld, name: str) -> dict[str, str]:
    rows = world.hub.register_rows(world.flow.flow_id)
    return {row["kind"]: row["state"] for row in rows if row["document_id"] == name and row["key"]}


def test_restore_to_an_older_point(world: ClaimWorld, hub_server: Postgres, tmp_path: Path) -> None:
    kept, paid, recalled = world.impose([claim() for _ in range(3)])
    world.settle([kept, paid, recalled])
    (planned,) = world.impose([claim()])
    while "expense" not in _states(world, planned):
        asyncio.run(_plan(world))
    assert _states(world, planned) == {"expense": "ready"} and not world.vouchers(planned)
    _dump(hub_server, _name(world), tmp_path / "hub.dump")
    # life goes on
    fresh, forgotten, undone, again = world.impose([claim() for _ in range(4)])
    _later(world, [paid], _PAY)
    _later(world, [recalled], _RECALL)
    everything = [kept, paid, recalled, planned, fresh, forgotten, undone, again]
    world.settle(everything)
    _later(world, [undone], _RECALL)
    world.settle([undone])
    _later(world, [forgotten], _RECALL)  # the hub is lost before it sees these two
    _later(world, [again], _RECALL)
    world.hub.close()
    before = world.finance.control("GET", "/journal?limit=100000")
    restored = _restore(hub_server, tmp_path / "hub.dump")
    later = replace(world, hub_dsn=restored.app_dsn)
    try:
        later.settle(everything, seconds=60)
        _check(later, before, kept=kept, paid=paid, recalled=recalled, planned=planned, fresh=fresh)
        _named(later, forgotten, undone, again)
        _later(later, [again], _APPROVED_AGAIN)  # people go on before anybody recovered
        later.settle([again])
        _recover(later, before, forgotten, undone, again)
    finally:
        later.close()
        hub_server.drop_database(restored.name)


def _name(world: ClaimWorld) -> str:
    return str(conninfo_to_dict(world.hub_dsn)["dbname"])


def _check(world: ClaimWorld, before: list[dict[str, Any]], **names: str) -> None:
    """No voucher was posted again, and the register knows all of those that the OA still calls for."""
    assert world.finance.control("GET", "/journal?limit=100000") == before
    assert {name: _states(world, document) for name, document in names.items()} == {
        "kept": {"expense": "verified"},
        "paid": {"expense": "verified", "payment": "posted"},
        "recalled": {"expense": "reversed", "reversal": "posted"},
        "planned": {"expense": "verified"},
        "fresh": {"expense": "verified"},
    }
    world.assert_posted_once([names["kept"], names["planned"], names["fresh"]])
    assert world.hub.account(world.flow.flow_id).unexplained == ()


def _named(world: ClaimWorld, forgotten: str, undone: str, again: str) -> None:
    """Posted after the dump, approval gone before the restore: no sweep calls for them, so the month names them."""
    live = {*_keys(world, forgotten), *_keys(world, again)}
    report = asyncio.run(_month(world))
    named = {one.key for one in report.named if one.what.value == "extra"}
    assert not report.green and live <= named <= {*live, *_keys(world, undone)}
    assert sorted(_four_sets(world).lost) == sorted([forgotten, again])


def _typed(world: ClaimWorld) -> str:
    """`finbridge hub recover`, with the connections in the environment."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        include = Path(folder) / "include"
        shutil.copytree(ROOT / "include", include)
        path = include / "flows" / f"{world.flow.flow_id}.yaml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("target: {system: tryton,", "target: {system: journal,"), encoding="utf-8")
        for module in ("recover_command", "codes_command"):
            patch.setattr(f"finbridge.cli.{module}.include_folder", lambda: include)
        ends = {"WEAVER": oa_settings(world.oa.port), "TRYTON": finance_settings(world.finance.port)}
        for name, end in ends.items():
            found = {"conn_type": "http", "host": end.host, "port": end.port, "login": end.login}
            found |= {"password": end.password, "extra": json.dumps(dict(end.extra))}
            patch.setenv(f"AIRFLOW_CONN_{name}_DEFAULT", json.dumps(found))
        place = conninfo_to_dict(world.hub_dsn)
        hub = {"conn_type": "postgres", "host": "127.0.0.1", "port": int(str(place["port"])), "login": "hub_app"}
        hub |= {"password": APP_PASSWORD, "schema": place["dbname"], "extra": json.dumps({"token_secret": SECRET})}
        patch.setenv("AIRFLOW_CONN_HUB_DEFAULT", json.dumps(hub))
        done = CliRunner().invoke(app, ["hub", "recover", "--flow", world.flow.flow_id])
    assert done.exit_code == 0, done.output
    return done.output


async def _recovered(world: ClaimWorld) -> Recovered:
    source, ledger = world.connect()
    await source.close()
    try:
        return await recover(flow=world.flow, desk=world.hub.recovery, ledger=ledger, actor="test")
    finally:
        await ledger.close()


def _recover(world: ClaimWorld, before: list[dict[str, Any]], forgotten: str, undone: str, again: str) -> None:
    """Their keys follow from the log: finance shows them, and each gets the reversal that it lacks."""
    told = _typed(world)
    assert "approvals that are gone: 3" in told and "taken into the register: 3" in told
    assert asyncio.run(_recovered(world)) == Recovered(), "the register knows them now"
    world.settle([forgotten, undone, again])
    added = world.finance.control("GET", "/journal?limit=100000")[len(before) :]
    assert (added[0]["document_id"], added[0]["kind"]) == (again, "expense"), "of its new approval"
    assert {(one["document_id"], one["kind"]) for one in added[1:]} == {(forgotten, "reversal"), (again, "reversal")}
    assert len(added) == 3
    assert _states(world, forgotten) == _states(world, undone) == {"expense": "reversed", "reversal": "posted"}
    assert _live(world, again) == 1 and _live(world, forgotten) == _live(world, undone) == 0
    sets = _four_sets(world)
    assert not (sets.lost or sets.doubled or sets.wrong or sets.unexplained), sets
    assert asyncio.run(_month(world)).green


def _live(world: ClaimWorld, name: str) -> int:
    """Vouchers of a document that nothing took back."""
    entries = world.vouchers(name)
    back = {entry["reverses"] for entry in entries}
    return sum(entry["kind"] == "expense" and entry["key"] not in back for entry in entries)
