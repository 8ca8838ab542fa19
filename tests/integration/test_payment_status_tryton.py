"""Payment status from the real ledger back to the OA: numbers, days and amounts are Tryton's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.ports import Judge

from tests.contract.sandbox_process import ROOT
from tests.hub_fixtures import HubDatabase
from tests.integration.payment_world import PAID, REJECTED, happen, posted, row_versions, run, seq, shown
from tests.integration.tryton_world import TrytonWorld, open_tryton_world
from tools.checker import check


@pytest.fixture
def world(
    hub_database: HubDatabase, claim_judge: Judge, ledger_server: LedgerServer, tmp_path: Path
) -> Iterator[TrytonWorld]:
    with open_tryton_world(tmp_path, hub_database.app_dsn, claim_judge, ledger_server) as made:
        yield made


def in_the_books(world: TrytonWorld, ids: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Document -> kind -> entry of the ledger's own journal."""
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in ids}
    for entry in world.journal():
        if entry["document_id"] in found:
            found[entry["document_id"]][entry["kind"]] = entry
    return found


def test_open_paid_and_reversed_as_tryton_has_them(world: TrytonWorld, hub_database: HubDatabase) -> None:
    ids = posted(world, 3)
    happen(world, ids[1:2], PAID)
    happen(world, ids[2:], REJECTED)
    books = in_the_books(world, ids)
    assert [sorted(books[name]) for name in ids] == [["expense"], ["expense", "payment"], ["expense", "reversal"]]
    report = run(world)
    assert (report.documents, report.open, report.paid, report.reversed) == (3, 1, 1, 1)
    assert (report.sent, report.verified, report.not_written) == (3, 3, 0)
    payment = books[ids[1]]["payment"]
    assert payment["number"].startswith("记-2026-")
    assert shown(world, ids) == {
        ids[0]: [("未付", "", "", "0.0000")],
        ids[1]: [("已付", payment["number"], payment["date"], "106.0000")],
        ids[2]: [("已冲销", "", "", "0.0000")],
    }
    before, versions = seq(world), row_versions(hub_database.superuser_dsn)
    assert run(world).sent == 0
    assert (seq(world), row_versions(hub_database.superuser_dsn)) == (before, versions)
    happen(world, ids[:1], PAID)
    report = run(world)
    assert (report.sent, report.verified, report.unchanged) == (1, 1, 2)
    (row,) = shown(world, ids[:1])[ids[0]]
    assert row[1] == in_the_books(world, ids)[ids[0]]["payment"]["number"]
    assert_the_checker_agrees(world)


def assert_the_checker_agrees(world: TrytonWorld) -> None:
    """From both journals, by rules of its own, with the month named: all of it and as of now."""
    rules = json.loads((ROOT / "tools/checker/expense_claim.json").read_text(encoding="utf-8"))
    oa = world.oa.control("GET", "/journal?after=0&limit=100000")
    names = {entry["request_id"] for entry in oa}
    finance = [entry for entry in world.journal() if entry["document_id"] in names]
    sets = check(oa, finance, rules, {}, [("1000", "2026-11")])
    assert (dict(sets.lost), dict(sets.doubled), dict(sets.wrong), dict(sets.unexplained)) == ({}, {}, {}, {})
    assert sets.statuses == 3
