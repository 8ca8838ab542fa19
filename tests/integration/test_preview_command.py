"""`finbridge preview`: one document's voucher on a terminal, from connections of the environment; nothing changes."""

from __future__ import annotations

import json

import pytest
from finbridge.cli import app
from finbridge.cli.preview_text import table, width
from typer.testing import CliRunner

from tests.hub_fixtures import APP_PASSWORD, SECRET, HubDatabase
from tests.integration.claim_world import LINES, ClaimWorld, claim
from tests.integration.test_manual_runs import journals, number_of, versions


@pytest.fixture
def environment(claim_world: ClaimWorld, hub_database: HubDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    oa = {
        "conn_type": "weaver",
        "host": "127.0.0.1",
        "port": claim_world.oa.port,
        "login": "900",
        "extra": {"appid": "finbridge", "rate_per_second": 500, "rate_burst": 50},
    }
    hub = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": hub_database.server.port,
        "schema": hub_database.name,
        "login": "hub_app",
        "password": APP_PASSWORD,
        "extra": {"token_secret": SECRET},
    }
    monkeypatch.setenv("AIRFLOW_CONN_WEAVER_DEFAULT", json.dumps(oa))
    monkeypatch.setenv("AIRFLOW_CONN_HUB_DEFAULT", json.dumps(hub))


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["preview", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.usefixtures("environment")
def test_the_voucher_of_one_document_with_its_sides(claim_world: ClaimWorld, hub_database: HubDatabase) -> None:
    item = claim()
    (name,) = claim_world.impose([item])
    before = versions(hub_database), journals(claim_world)
    code, text = run("--request", name)
    assert code == 0
    assert f"{name} {number_of(item)}  公司 1000: 将过账" in text
    head, *lines, total = [line for line in text.splitlines() if line.startswith(("行", "1", "2", "3", "  "))]
    assert head.split() == ["行", "科目", "借方", "贷方", "往来单位", "部门", "员工", "摘要"]
    assert [line.split()[2] for line in lines] == ["100.00", "6.00", "106.00"]
    assert total.split() == ["合计", "106.00", "106.00"]
    debit, credit = (width(head[: head.index(side) + 2]) for side in ("借方", "贷方"))
    assert lines[0][:debit].endswith(" 100.00") and lines[1][:debit].endswith(" 6.00")
    assert lines[2][:debit].split() == ["3", "2241"] and lines[2][:credit].endswith(" 106.00")
    english = run("--request", number_of(item), "--lang", "en", "--flow", claim_world.flow.flow_id)
    assert english[0] == 0 and "would be posted" in english[1] and "debit" in english[1]
    assert (versions(hub_database), journals(claim_world)) == before


@pytest.mark.usefixtures("environment")
def test_what_holds_a_document_is_said_in_words(claim_world: ClaimWorld) -> None:
    item = claim()
    item["details"][LINES][0]["cbzx"] = "CC-XYZ-99"
    (name,) = claim_world.impose([item])
    code, text = run("--request", name)
    assert code == 1 and "挂起，不过账" in text and "对照表中没有该代码，请维护对照表 [unknown_code]" in text
    assert "张三" not in text
    assert run("--request", "BX-NOBODY", "--lang", "en")[1].strip() == "BX-NOBODY: not found"


def test_without_connections_it_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WEAVER_DEFAULT", raising=False)
    result = CliRunner().invoke(app, ["preview", "--request", "1"])
    assert result.exit_code == 1 and "AIRFLOW_CONN_WEAVER_DEFAULT" in result.output
    result = CliRunner().invoke(app, ["preview", "--request", "1", "--flow", "nobody"])
    assert result.exit_code == 1 and "weaver_tryton__expense_claim" in result.output


def test_columns_stand_below_each_other_also_with_chinese() -> None:
    lines = table([["行", "科目", "借方", "贷方"], ["1", "660201", "1,060.00", ""], ["10", "应付", "", "5.00"]])
    assert lines == [
        "行  科目        借方  贷方",
        "1   660201  1,060.00",
        "10  应付              5.00",
    ]
