"""A whole run of the DAG in this process, on real parts: OA stand-in, hub, mapping, Great Expectations, a ledger.

Airflow's executor is left out (tests/e2e has it); the tasks are the ones that Airflow would run.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from finbridge.mapping import read_code_files

from tests.contract.sandbox_process import SandboxProcess
from tests.hub_fixtures import SECRET, HubDatabase
from tools.demo.claims import Claim, Company
from tools.demo.people import People

ROOT = Path(__file__).resolve().parents[2]
FLOW_ID = "weaver_tryton__expense_claim"
GOOD, UNKNOWN, WRONG_VAT = 6, 2, 2


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patched:
        yield patched


@pytest.fixture(scope="module")
def weaver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path_factory.mktemp("weaver"))) as process:
        yield process


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("journal")
    with SandboxProcess("sandbox.journal", "--data", str(folder), "--control-port", "0") as process:
        (folder / "port").write_text(str(process.ready["port"]))
        yield folder


@pytest.fixture(scope="module")
def dag(
    tmp_path_factory: pytest.TempPathFactory,
    patch: pytest.MonkeyPatch,
    weaver: SandboxProcess,
    journal: Path,
    hub_database: HubDatabase,
) -> Any:
    """The flow's DAG with the journal as its ledger, and connections to what runs here."""
    include = tmp_path_factory.mktemp("include") / "include"
    shutil.copytree(ROOT / "include", include)
    flow_file = next((include / "flows").glob("*.yaml"))
    text = flow_file.read_text(encoding="utf-8")
    target = "{system: journal, connection: journal_default}"
    flow_file.write_text(text.replace("{system: tryton, connection: tryton_default}", target), encoding="utf-8")
    patch.setenv("FINBRIDGE_INCLUDE", str(include))
    patch.setenv(
        "AIRFLOW_CONN_WEAVER_DEFAULT",
        f'{{"conn_type": "weaver", "host": "127.0.0.1", "port": {weaver.ready["port"]}, "login": "900",'
        f' "extra": {{"appid": "finbridge", "rate_per_second": 500, "rate_burst": 50}}}}',
    )
    patch.setenv(
        "AIRFLOW_CONN_JOURNAL_DEFAULT", f"journal://finbridge:finbridge@127.0.0.1:{(journal / 'port').read_text()}"
    )
    server = hub_database.server
    patch.setenv(
        "AIRFLOW_CONN_HUB_DEFAULT",
        f'{{"conn_type": "postgres", "host": "127.0.0.1", "port": {server.port}, "schema": "{hub_database.name}",'
        f' "login": "hub_app", "password": "suite of the tests", "extra": {{"token_secret": "{SECRET}"}}}}',
    )
    with hub_database.open() as hub:
        hub.load_codes(FLOW_ID, read_code_files(ROOT / "include/codes/weaver_tryton"), maker="m", checker="c")
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags").dags[f"{FLOW_ID}__sweep"]


@pytest.fixture(scope="module")
def documents(weaver: SandboxProcess) -> dict[str, list[str]]:
    """Claims that people sent in and the manager approved, by what is wrong with them."""
    company = Company(3, datetime.now(ZoneInfo("Asia/Shanghai")).date())
    makers: dict[str, list[Callable[[], Claim]]] = {
        "good": [company.claim] * GOOD,
        "unknown_code": [company.with_unknown_code] * UNKNOWN,
        "vat_mismatch": [company.with_broken_vat] * WRONG_VAT,
    }

    async def send_in() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        async with People(f"http://127.0.0.1:{weaver.ready['port']}") as people:
            for what, claims in makers.items():
                for make in claims:
                    request_id = await people.create(make())
                    await people.approve(request_id)
                    found.setdefault(what, []).append(request_id)
        return found

    return asyncio.run(send_in())


@pytest.fixture(scope="module")
def runs(dag: Any, documents: dict[str, list[str]]) -> list[Any]:
    """The DAG run twice."""
    assert documents
    return [dag.test(), dag.test()]


def xcom(run: Any, task_id: str) -> dict[str, int]:
    ti = run.get_task_instance(task_id)
    found = ti.xcom_pull(task_ids=task_id)
    assert isinstance(found, dict)
    return found


def test_both_runs_are_green(runs: list[Any]) -> None:
    assert [run.state for run in runs] == ["success", "success"]


def test_the_first_run_posts_the_good_ones_and_holds_the_others(
    runs: list[Any], documents: dict[str, list[str]], hub_database: HubDatabase
) -> None:
    with hub_database.open() as hub:
        rows = {row["document_id"]: row for row in hub.document_rows(FLOW_ID)}
    assert {name: rows[name]["standing"] for name in documents["good"]} == dict.fromkeys(documents["good"], "posted")
    for reason in ("unknown_code", "vat_mismatch"):
        assert {name: (rows[name]["standing"], rows[name]["holds"]) for name in documents[reason]} == {
            name: ("held", [reason]) for name in documents[reason]
        }
    assert len(rows) == GOOD + UNKNOWN + WRONG_VAT


def test_the_second_run_posts_nothing(runs: list[Any]) -> None:
    assert xcom(runs[0], "deliver")["accepted"] == GOOD
    assert xcom(runs[0], "write_back")["verified"] >= GOOD
    assert xcom(runs[1], "deliver")["sent"] == 0
    assert xcom(runs[1], "check")["vouchers"] == 0


def test_the_numbers_stand_on_the_forms(
    runs: list[Any], weaver: SandboxProcess, documents: dict[str, list[str]]
) -> None:
    assert runs
    entries = weaver.control("GET", "/journal?after=0&limit=1000")
    latest = {entry["request_id"]: entry for entry in entries}
    assert all(latest[name]["main"]["pzh"] and latest[name]["node"] == "付款" for name in documents["good"])
    assert not any(latest[name]["main"]["pzh"] for name in documents["unknown_code"] + documents["vat_mismatch"])


def test_each_task_leaves_its_links_to_the_pages(runs: list[Any]) -> None:
    shown = {}
    for task_id in ("collect", "check", "deliver", "write_back", "account"):
        ti = runs[0].get_task_instance(task_id)
        keys = ("today", "quality", "held")
        left = {key: ti.xcom_pull(task_ids=task_id, key=f"_link_finbridge_{key}") for key in keys}
        shown[task_id] = {key: link for key, link in left.items() if link}
    assert shown["check"] == {"quality": f"/finbridge/quality?flow={FLOW_ID}", "held": "/finbridge/held"}
    assert all(set(links) == {"today", "held"} for name, links in shown.items() if name != "check")
    assert shown["deliver"]["today"].startswith("/finbridge/today?date=20")
