"""One flow's DAG between an OA stand-in and a journal, for tests of DAGs: a world for each module that asks for it."""

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
