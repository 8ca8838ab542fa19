"""Accounts, cost centres and parties as the real Tryton shows them, and all the way into a checked proposal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from finbridge.cli import app
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.codes import MasterKind, MasterRecord
from finbridge.core.errors import GiveUp
from finbridge.mapping import read_code_files
from openpyxl import load_workbook
from typer.testing import CliRunner

from tests.airflow_people import AirflowPeople, airflow_people, log_in
from tests.contract.tryton_harness import TrytonHarness
from tests.hub_fixtures import SECRET, HubDatabase

ROOT = Path(__file__).resolve().parents[2]
FLOW = "weaver_tryton__expense_claim"


async def read(sink: TrytonHarness, company: str, **extra: object) -> list[MasterRecord]:
    ledger = await sink.connect(**extra)
    try:
        return [record async for page in ledger.master_data(company) for record in page]
    finally:
        await ledger.close()


async def test_finance_shows_what_it_has(ledger_server: LedgerServer) -> None:
    sink = TrytonHarness(ledger_server)
    found = {(r.kind, r.company, r.code): r for r in await read(sink, "1000")}
    assert found == {(r.kind, r.company, r.code): r for r in await read(sink, "1000", page_size=7)}, (
        "pages change nothing"
    )
    assert found[MasterKind.ACCOUNT, "1000", "660201"].active
    assert not found[MasterKind.ACCOUNT, "1000", "6602"].active, "a heading takes no lines"
    assert found[MasterKind.PARTY, "", "E0001"].name == "员工0001"
    assert found[MasterKind.COST_CENTRE, "1000", "CC-ADM-01"].name == "总经办"
    with pytest.raises(GiveUp, match="unknown_company"):
        await read(sink, "9999")


async def test_what_was_closed_is_shown_as_closed(ledger_server: LedgerServer) -> None:
    sink = TrytonHarness(ledger_server)
    change = "UPDATE {} SET {} WHERE code = '{}'"
    changes = [
        (change.format("party_party", "active = {}", "S0010"), "false", "true"),
        (change.format("finbridge_cost_centre", "active = {}", "CC-RND-03"), "false", "true"),
        (change.format("account_account", "closed = {}", "660205"), "true", "false"),
    ]
    with psycopg.connect(sink.server.dsn(), autocommit=True) as connection:
        try:
            for statement, value, _ in changes:
                connection.execute(statement.format(value))
            found = {r.code: r.active for r in await read(sink, "2000")}
            assert [found[code] for code in ("S0010", "CC-RND-03", "660205", "S0009")] == [False, False, False, True]
        finally:
            for statement, _, value in changes:
                connection.execute(statement.format(value))


@pytest.fixture
def people() -> Iterator[AirflowPeople]:
    with airflow_people() as found:
        yield found


def test_from_finance_to_an_approved_code(
    ledger_server: LedgerServer,
    hub_database: HubDatabase,
    people: AirflowPeople,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """master, export, a person's change in Excel, propose, approve: by the commands alone."""
    server = hub_database.server
    monkeypatch.setenv(
        "AIRFLOW_CONN_HUB_DEFAULT",
        f"postgres://hub_app:suite%20of%20the%20tests@127.0.0.1:{server.port}/{hub_database.name}"
        f"?token_secret={SECRET.replace(' ', '%20')}",
    )
    monkeypatch.setenv(
        "AIRFLOW_CONN_TRYTON_DEFAULT",
        f"tryton://{ledger_server.user}:{ledger_server.password}@127.0.0.1:{ledger_server.port}/http"
        f"?database={ledger_server.database}",
    )
    rows = read_code_files(ROOT / "include/codes/weaver_tryton")
    with hub_database.open() as hub:
        hub.load_codes(FLOW, rows, maker="wang", checker="li")
    runner = CliRunner()

    def run(*arguments: str, code: int = 0, by: str = "wang") -> str:
        log_in(monkeypatch, people, by)
        done = runner.invoke(app, ["codes", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    told = run("master", "--flow", FLOW)
    assert "parties 5" in told and "员工" not in told, "counts alone: parties are people"
    path = tmp_path / "codes.xlsx"
    run("export", "--flow", FLOW, "--out", str(path))
    assert "没有变化" in run("propose", "--flow", FLOW, "--file", str(path))
    page = (book := load_workbook(path))["expense_account"]
    names = {line[1]: line[3] for line in page.iter_rows(min_row=2, values_only=True)}
    assert names["ADM|TRAVEL"] == "差旅费", "the account's name stands beside it"
    page.append([None, "ADM|TRAINING", "6602", None, "2026-01-01"])
    book.save(path)
    refused = run("propose", "--flow", FLOW, "--file", str(path), code=1)
    assert "closed or a heading in company 1000, 2000" in refused
    page.cell(page.max_row, 3, "660202")
    book.save(path)
    told = run("propose", "--flow", FLOW, "--file", str(path), "--note", "training")
    assert "新增 new: expense_account * ADM|TRAINING: 660202 办公费" in told
    assert "none of those who may approve" in run("approve", "1", by="wang", code=1)
    assert "wang" in run("proposals")
    assert "loaded 1" in run("approve", "1", by="admin")
    assert "缺失代码 / missing codes: 0" in run("missing", "--flow", FLOW)
    with hub_database.open() as hub:
        assert len(hub.codes(FLOW)) == len(rows) + 1
