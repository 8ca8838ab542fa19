"""The form of a workflow from the OA stand-in, by the command; and a mapping by label that rests on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from finbridge.cli import app
from finbridge.core.errors import GiveUp
from finbridge.flows.config import load_flow
from finbridge.systems.weaver.forms import shown
from typer.testing import CliRunner

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.weaver_harness import WeaverHarness
from tests.hub_fixtures import HubDatabase

ROOT = Path(__file__).resolve().parents[2]
FLOW = (ROOT / "include/flows/weaver_tryton__expense_claim.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def weaver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeaverHarness]:
    folder: Path = tmp_path_factory.mktemp("oa")
    with SandboxProcess("sandbox.weaver", "--data", str(folder)) as process:
        yield WeaverHarness(process, MemoryTokens())


async def test_the_newest_document_shows_the_form(weaver: WeaverHarness) -> None:
    source = weaver.connect()
    try:
        assert await source.form("999") is None
        weaver.add(4)
        form = await source.form("101")
        assert form is not None
        assert (form.workflow, form.label, form.main.name) == ("101", "费用报销单", "formtable_main_11")
        main = {column.name: column for column in form.main.columns}
        assert (main["djbh"].label, main["djbh"].db_type, main["djbh"].sample) == ("单据编号", "varchar2(60)", "BX1")
        assert main["djbh"].editable, "it is this account's turn"
        assert [(table.title, table.name) for table in form.details] == [
            ("明细1", "formtable_main_11_dt1"),
            ("明细2", "formtable_main_11_dt2"),
        ]
        assert {column.label for column in form.details[1].columns} == {"收款人类型", "收款人", "收款账号", "支付金额"}
    finally:
        await source.close()


async def test_a_detail_without_rows_is_looked_for_in_older_documents(weaver: WeaverHarness) -> None:
    weaver.add(2)
    item = {
        "key": "bare",
        "workflow_id": "101",
        "request_name": "bare",
        "creator": "7",
        "main": {"djbh": "BX2"},
        "details": {},
        "node": "财务过账",
        "log": [{"node": "起草", "operate_type": "提交", "operator": "7", "date": "2099-01-01", "time": "09:00:00"}],
    }
    weaver.process.control("POST", "/impose", {"items": [item]})
    source = weaver.connect()
    try:
        form = await source.form("101")
        assert form is not None and len(form.documents) > 1
        assert {column.label for column in form.details[1].columns} >= {"收款账号"}
        assert next(column for column in form.main.columns if column.name == "djbh").sample == "BX2", "the newest"
    finally:
        await source.close()


@pytest.mark.parametrize("raw", [b"<html>", b"[]", b"{}", b'{"data": null}', b'{"data": {"workflowBaseInfo": {}}}'])
def test_a_form_of_another_shape_stops(raw: bytes) -> None:
    with pytest.raises(GiveUp, match="the form of request 7 has another shape"):
        shown(raw, "7")


def test_from_the_form_to_a_flow_by_label(
    weaver: WeaverHarness, hub_database: HubDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaver.add(2)
    monkeypatch.setenv(
        "AIRFLOW_CONN_WEAVER_DEFAULT", f"weaver://900@127.0.0.1:{weaver.process.port}/http?appid=finbridge"
    )
    monkeypatch.setenv(
        "AIRFLOW_CONN_HUB_DEFAULT",
        f"postgres://hub_app:suite%20of%20the%20tests@127.0.0.1:{hub_database.server.port}/{hub_database.name}"
        "?token_secret=x",
    )
    bound = tmp_path / "bindings/test/claim.yaml"
    done = CliRunner().invoke(app, ["oa", "fields", "--workflow", "101", "--bind", str(bound)])
    assert done.exit_code == 0, done.output
    assert "单据编号" in done.output and "张三" not in done.output and "6222021234567890" not in done.output
    monkeypatch.setenv("FINBRIDGE_INCLUDE", str(tmp_path))
    monkeypatch.setenv("FINBRIDGE_ENVIRONMENT", "test")
    flow = tmp_path / "flow.yaml"
    text = FLOW.replace("document_type: expense_claim\n", "document_type: expense_claim\nbindings: claim\n")
    text = text.replace("business_number: djbh\n", "business_number: {label: 单据编号}\n", 1)
    text = text.replace("formtable_main_11_dt2.skzh]", "{label: 收款账号, detail: 明细2}]")
    flow.write_text(text, encoding="utf-8")
    loaded = load_flow(flow)
    assert loaded.business_number_field == "djbh"
    assert loaded.personal_fields == ("sqrxm", "formtable_main_11_dt2.skzh")
    none = CliRunner().invoke(app, ["oa", "fields", "--workflow", "998"])
    assert none.exit_code == 1 and "sees no document of workflow 998" in none.output
