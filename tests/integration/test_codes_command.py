"""`finbridge codes` against a real hub: what people type, what they read, and what is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from finbridge.cli import app
from finbridge.core.codes import MasterKind, MasterRecord
from finbridge.core.ports import CodeRow, Stage
from openpyxl import load_workbook
from typer.testing import CliRunner

from tests.hub_fixtures import APP_PASSWORD, HubDatabase
from tests.hub_world import APPROVED, World, document, held
from tests.integration.test_hub_proposals import lacks

FLOW = "weaver_tryton__expense_claim"
Run = Callable[..., str]


@pytest.fixture
def run(hub_database: HubDatabase, monkeypatch: pytest.MonkeyPatch) -> Run:
    """One command; its output. ``code`` is the exit code that is expected."""
    password = APP_PASSWORD.replace(" ", "%20")
    monkeypatch.setenv(
        "AIRFLOW_CONN_HUB_DEFAULT",
        f"postgres://hub_app:{password}@127.0.0.1:{hub_database.server.port}/{hub_database.name}",
    )

    def one(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["codes", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    return one


def row(code: str, target: str) -> CodeRow:
    return CodeRow(table="expense_account", company="", code=code, target=target, valid_from=date(2026, 1, 1))


def test_from_a_held_document_to_a_released_one(run: Run, hub_database: HubDatabase, tmp_path: Path) -> None:
    """missing, filled in by a person, dry run, propose, overtaken, rejected, proposed again, approved, released."""
    with hub_database.open() as hub:
        world = World(hub, flow=FLOW)
        accounts = [
            MasterRecord(kind=MasterKind.ACCOUNT, company=company, code=code, name=f"名称{code}", active=True)
            for company in ("1000", "2000")
            for code in ("660201", "660202")
        ]
        party = MasterRecord(kind=MasterKind.PARTY, company="", code="E0001", name="王小明", active=True)
        hub.master_data.replace("tryton:tryton_default", [*accounts, party])
        hub.load_codes(FLOW, [row("ADM|TRAVEL", "660201")], maker="wang", checker="li")
        world.store(*(document(name, *APPROVED) for name in ("1", "2", "3")))
        world.check(held([lacks("1", "ADM|FOOD"), lacks("2", "ADM|FOOD"), lacks("3", "ADM|TAXI")]))
    path = tmp_path / "missing.xlsx"
    told = run("missing", "--flow", FLOW, "--out", str(path))
    assert "expense_account  ADM|FOOD  1000: 2 单 documents" in told and "missing codes: 2" in told
    page = (book := load_workbook(path))["expense_account"]
    assert [page.cell(2, n).value for n in (1, 2, 3, 10)] == [None, "ADM|FOOD", None, "2"]
    page.cell(2, 3, "660202")
    book.save(path)
    wanted = ("propose", "--flow", FLOW, "--file", str(path), "--by", "wang")
    told = run(*wanted, "--dry-run")
    assert "新增 new: expense_account * ADM|FOOD: 660202 名称660202 [2026-03-02 …]" in told
    assert "left open: expense_account!3" in told and "unchanged: 1" in told and "王小明" not in told
    assert "共 / in all: 0" in run("proposals")
    assert "提案 / proposal 1 " in run(*wanted)
    with hub_database.open() as hub:
        overtaking = CodeRow(
            table="expense_account", company="", code="ADM|FOOD", target="660201", valid_from=date(2026, 3, 2)
        )
        hub.load_codes(FLOW, [overtaking], maker="zhao", checker="li")
    told = run("approve", "1", "--by", "li", code=1)
    assert "变更 changed: expense_account * ADM|FOOD: 660201 [2026-03-02 …] → 660202" in told
    assert "the tables changed" in told
    assert "rejected" in run("reject", "1", "--by", "li", "--note", "overtaken")
    assert "two people" not in run(*wanted)
    assert "loaded 1" in run("approve", "2", "--by", "li")
    told = run("proposals", "--all")
    assert "已驳回 rejected" in told and "已生效 approved" in told and "overtaken" in told
    assert "变更 changed" in run("proposals", "--show", "2")
    with hub_database.open() as hub:
        assert {work.lease.document_id for work in World(hub, flow=FLOW).claim(Stage.PLAN)} == {"1", "2"}
    assert "already" in run("approve", "2", "--by", "zhou", code=1)


def test_without_a_connection_the_variable_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_HUB_DEFAULT")
    assert "AIRFLOW_CONN_HUB_DEFAULT 未设置" in run("missing", "--flow", FLOW, code=1)


def test_targets_wait_for_finance_s_master_data(run: Run, tmp_path: Path, hub_database: HubDatabase) -> None:
    hub_database.server.execute(hub_database.name, "DELETE FROM hub.master_data")
    path = tmp_path / "codes.csv"
    path.write_text("table,company,code,target,valid_from,valid_to\npayable_account,,OTHER,2241,2026-01-01,\n")
    told = run("propose", "--flow", FLOW, "--file", str(path), "--by", "wang", code=1)
    assert f"finbridge codes master --flow {FLOW}" in told
