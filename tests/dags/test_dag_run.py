"""A whole run of the DAG in this process, on real parts: OA stand-in, hub, mapping, Great Expectations, a ledger.

Airflow's executor is left out (tests/e2e has it); the tasks are the ones that Airflow would run.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.sandbox_process import SandboxProcess
from tests.dags.dag_world import FLOW_ID, GOOD, UNKNOWN, WRONG_VAT
from tests.hub_fixtures import HubDatabase


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
