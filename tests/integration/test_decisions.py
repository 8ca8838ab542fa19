"""What a person decides about a voucher that waits for one: by command, under their own name, checked and traced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from finbridge.cli import app
from finbridge.core.errors import RetryLater
from finbridge.hub import open_hub
from typer.testing import CliRunner

from tests.airflow_people import AirflowPeople, airflow_people, log_in
from tests.contract.sandbox_process import ROOT
from tests.hub_fixtures import APP_PASSWORD, SECRET, HubDatabase
from tests.integration.claim_world import ClaimWorld, claim, row
from tests.page_world import page_client

FLOW = "weaver_tryton__expense_claim"
_DAY = "2026-11-20"
Run = Callable[..., str]


@pytest.fixture(scope="module")
def people() -> Iterator[AirflowPeople]:
    with airflow_people() as found:
        yield found


@pytest.fixture
def run(
    claim_world: ClaimWorld,
    hub_database: HubDatabase,
    monkeypatch: pytest.MonkeyPatch,
    people: AirflowPeople,
    tmp_path: Path,
) -> Run:
    """One `finbridge decide` typed by ``by``. Li and Zhou may decide."""
    include = tmp_path / "include"
    shutil.copytree(ROOT / "include", include)
    path = include / "flows" / f"{FLOW}.yaml"
    text = path.read_text(encoding="utf-8").replace("target: {system: tryton,", "target: {system: journal,")
    path.write_text(text.replace("people: [admin]", "people: [Li, zhou]"), encoding="utf-8")
    monkeypatch.setattr("finbridge.cli.decide_command.include_folder", lambda: include)
    finance = {"conn_type": "journal", "host": "http://127.0.0.1", "port": claim_world.finance.port}
    monkeypatch.setenv(
        "AIRFLOW_CONN_TRYTON_DEFAULT", json.dumps({**finance, "login": "finbridge", "password": "finbridge"})
    )
    hub = {"conn_type": "postgres", "host": "127.0.0.1", "port": hub_database.server.port, "login": "hub_app"}
    hub |= {"password": APP_PASSWORD, "schema": hub_database.name, "extra": {"token_secret": SECRET}}
    monkeypatch.setenv("AIRFLOW_CONN_HUB_DEFAULT", json.dumps(hub | {"extra": json.dumps(hub["extra"])}))

    def one(command: str, *arguments: str, reason: str = "已与财务核对", by: str = "li", code: int = 0) -> str:
        log_in(monkeypatch, people, by)
        why = [] if command == "list" else ["--reason", reason]
        done = CliRunner().invoke(app, ["decide", command, "--flow", FLOW, *why, *arguments])
        assert done.exit_code == code, done.output
        return done.output

    return one


async def _until_in_doubt(world: ClaimWorld, name: str) -> None:
    source, ledger = world.connect()
    until = time.monotonic() + 40
    try:
        while not [r for r in _rows(world, name) if r["state"] == "unknown"]:
            assert time.monotonic() < until
            with contextlib.suppress(RetryLater):
                await world.sweep(source, ledger)
    finally:
        await source.close()
        await ledger.close()


def _rows(world: ClaimWorld, name: str) -> list[dict[str, Any]]:
    return [r for r in world.hub.register_rows(FLOW) if r["document_id"] == name and r["key"]]


def _voucher(world: ClaimWorld, name: str) -> dict[str, Any]:
    (found,) = _rows(world, name)
    return found


def _keyed(name: str, key: str, amount: str, **more: object) -> dict[str, object]:
    """What an accountant posts in finance."""
    lines = [{"account": "660201", "debit": amount, "credit": "0"}]
    lines += [{"account": "2241", "debit": "0", "credit": amount, "party": "E0007"}]
    head = {"company": "1000", "kind": "expense", "document_id": name, "posting_date": _DAY, "currency": "CNY"}
    return {**head, "key": key, "summary": "手工凭证", "reverses": None, "lines": lines, **more}


def _post(world: ClaimWorld, voucher: dict[str, object]) -> dict[str, Any]:
    (result,) = world.finance.control("POST", "/vouchers", {"vouchers": [voucher]})["results"]
    assert result["outcome"] == "accepted", result
    found: dict[str, Any] = result["entry"]
    return found


def _conflict(world: ClaimWorld, amount: str = "100.00") -> tuple[str, str, dict[str, Any]]:
    """A document whose key holds another voucher in finance: its id, its key, finance's entry."""
    (name,) = world.impose([claim()])
    away: dict[str, object] = {"endpoint": "find", "fault": "http_503"}
    with world.finance.faults({"endpoint": "post", "fault": "timeout"}, away):
        asyncio.run(_until_in_doubt(world, name))
    key = _voucher(world, name)["key"]
    entry = _post(world, _keyed(name, key, amount))
    world.settle([name])
    assert _voucher(world, name)["state"] == "needs_human" and world.held(name) == ["conflict"]
    return name, key, entry


def _trail(database: HubDatabase, key: str) -> list[tuple[Any, ...]]:
    return database.server.execute(
        database.name,
        "SELECT actor, action, from_state, to_state, reason FROM hub.trail WHERE key = %s "
        "AND action IN ('accepted_as_held', 'look_again', 'taken_back') ORDER BY trail_id",
        [key],
    )


def test_accept_what_finance_holds(claim_world: ClaimWorld, run: Run, hub_database: HubDatabase) -> None:
    name, key, entry = _conflict(claim_world)
    listed = run("list")
    assert key in listed and "line 3 amount: 106.00 → 100.00" in listed and "摘要 / text:" in listed
    with page_client(lambda: open_hub(hub_database.app_dsn, secret=SECRET), FLOW) as client:
        for language, words in (("en", ("We sent", "line 3 amount")), ("zh", ("我方", "第 3 行 金额"))):
            shown = client.get(f"/document/{FLOW}/{name}", headers={"Accept-Language": language}).text
            assert all(word in shown for word in (*words, "<td>106.00</td><td>100.00</td>", "finbridge decide list")), (
                shown
            )
            assert words[1] in client.get("/held", headers={"Accept-Language": language}).text
    run("accept", key, by="wang", code=1)  # may not
    run("accept", key, reason="  ", code=1)
    assert "已决定 / decided: accept" in run("accept", key)
    assert "decided before, nothing done" in run("accept", key, by="zhou")
    assert "decision does not apply" in run("look-again", key, code=1)
    assert _trail(hub_database, key) == [("li", "accepted_as_held", "needs_human", "posted", "已与财务核对")]
    claim_world.settle([name])
    assert claim_world.held(name) == [] and _voucher(claim_world, name)["state"] == "verified"
    assert claim_world.form(name)["main"]["pzh"] == entry["number"]
    # taken back later: exactly what finance holds, not what we once sent
    claim_world.impose([{"request_id": name, "log": [row("起草", "撤回", "11:00:00")], "node": "起草"}])
    claim_world.settle([name])
    posted, red = claim_world.vouchers(name)
    assert (posted["key"], red["kind"], red["reverses"]) == (key, "reversal", key)
    assert sorted(line["debit"] for line in red["lines"]) == ["-100.00", "0.00"]


def test_a_decision_on_what_finance_changed_since_is_refused(claim_world: ClaimWorld, run: Run) -> None:
    name, key, entry = _conflict(claim_world)
    back = _keyed(name, "手工-1", "-100.00", kind="reversal", reverses=key)
    assert _post(claim_world, back)["reverses"] == key
    assert "decide `reversed`" in run("accept", key, code=1)
    assert _voucher(claim_world, name)["state"] == "needs_human"
    assert "decided: look-again" in run("look-again", key)
    claim_world.settle([name])
    assert f"taken back in finance: - → {_number(claim_world, '手工-1')} {_DAY}" in run("list")
    run("reversed", key)
    claim_world.settle([name])
    assert claim_world.held(name) == ["approval_returned_after_reversal"]
    assert _voucher(claim_world, name)["state"] == "reversed"
    # its new approval makes a new voucher, by its own key
    log = [row("起草", "撤回", "11:00:00"), row("起草", "提交", "11:10:00"), row("审批", "批准", "11:20:00")]
    claim_world.impose([{"request_id": name, "log": log, "node": "财务过账"}])
    claim_world.settle([name])
    states = {r["state"] for r in _rows(claim_world, name)}
    assert states == {"reversed", "verified"} and claim_world.held(name) == []
    new = claim_world.vouchers(name)[-1]
    assert new["key"] != key and claim_world.form(name)["main"]["pzh"] == new["number"] != entry["number"]


def _number(world: ClaimWorld, key: str) -> str:
    (found,) = [e for e in world.finance.control("GET", "/journal?limit=100000") if e["key"] == key]
    return str(found["number"])


def test_look_again_decides_by_the_ordinary_rules(claim_world: ClaimWorld, run: Run, hub_database: HubDatabase) -> None:
    name, key, _ = _conflict(claim_world, "99.00")
    run("look-again", key)
    claim_world.settle([name])
    assert _voucher(claim_world, name)["state"] == "needs_human", "finance holds what it held"
    run("look-again", key, by="zhou")
    claim_world.settle([name])
    assert [line[:2] for line in _trail(hub_database, key)] == [("li", "look_again"), ("zhou", "look_again")]
    assert len(claim_world.vouchers(name)) == 1


def test_a_voucher_that_people_reversed_in_finance(
    claim_world: ClaimWorld, run: Run, hub_database: HubDatabase
) -> None:
    (name,) = claim_world.impose([claim()])
    claim_world.settle([name])
    key = _voucher(claim_world, name)["key"]
    assert "does not show that people took this voucher back" in run("reversed", key, code=1)
    (entry,) = claim_world.vouchers(name)
    lines = [{**ln, "debit": _minus(ln["debit"]), "credit": _minus(ln["credit"])} for ln in entry["lines"]]
    _post(claim_world, _keyed(name, "手工-2", "0", kind="reversal", reverses=key) | {"lines": lines})
    run("reversed", key)
    assert "decided before" in run("reversed", key)
    claim_world.settle([name])
    assert _voucher(claim_world, name)["state"] == "reversed"
    assert claim_world.held(name) == ["approval_returned_after_reversal"]
    assert len(_trail(hub_database, key)) == 1
    assert "no voucher with key" in run("reversed", "E000000000000000", code=1)


def _minus(amount: str) -> str:
    return amount if float(amount) == 0 else f"-{amount}"
