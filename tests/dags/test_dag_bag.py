"""The DAGs as Airflow loads them: that all are there, what they promise, and that parsing changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted(path.stem for path in (ROOT / "include" / "flows").glob("*.yaml"))
KINDS = ("wake", "sweep")
OPERATIONS = ("finbridge__check_connections", "finbridge__housekeeping")
TASKS = ["collect", "check", "deliver", "write_back", "account"]


@pytest.fixture(scope="module")
def every_dag() -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="module")
def dags(every_dag: dict[str, Any]) -> dict[str, Any]:
    """The automatic way of each flow."""
    return {name: dag for name, dag in every_dag.items() if name.rpartition("__")[2] in KINDS}


def test_operations_have_their_dags_bounded_and_described(every_dag: dict[str, Any]) -> None:
    assert set(OPERATIONS) == {name for name in every_dag if name.startswith("finbridge__")}
    for name in OPERATIONS:
        dag = every_dag[name]
        assert (dag.max_active_runs, dag.catchup) == (1, False)
        assert "中文" in dag.doc_md
        assert "English" in dag.doc_md
        for task in dag.tasks:
            assert timedelta(0) < task.execution_timeout < dag.dagrun_timeout
            assert task.owner == "finance-integration"


def test_every_task_tells_when_it_fails_and_when_it_works_again(every_dag: dict[str, Any]) -> None:
    from finbridge.tasks.alarms import on_failure, on_success

    tasks = [task for dag in every_dag.values() for task in dag.tasks]
    assert len(tasks) >= len(TASKS) * len(KINDS) + len(OPERATIONS)
    assert all(task.on_failure_callback == [on_failure] for task in tasks)
    assert all(task.on_success_callback == [on_success] for task in tasks)


def test_each_flow_has_exactly_its_two_dags(dags: dict[str, Any]) -> None:
    declared = [yaml.safe_load((ROOT / f"include/flows/{name}.yaml").read_text())["flow"] for name in FLOWS]
    assert declared, "no flow seen"
    assert sorted(dags) == sorted(f"{flow}__{kind}" for flow in declared for kind in KINDS)
    assert "weaver_tryton__expense_claim__wake" in dags


def test_the_same_five_tasks_in_one_chain(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert [task.task_id for task in dag.topological_sort()] == TASKS
        assert all(len(task.downstream_task_ids) <= 1 for task in dag.tasks)


def test_runs_are_bounded_in_number_and_tasks_in_time(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.max_active_runs == 2
        assert dag.catchup is False
        assert dag.dagrun_timeout is None, "a pause would count: tests/dags/test_long_pause.py"
        for task in dag.tasks:
            assert timedelta(0) < task.execution_timeout <= timedelta(minutes=30)
            assert 1 <= task.retries <= 3
            assert task.retry_delay <= timedelta(seconds=30)


def test_people_find_owner_tags_and_both_languages(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert all(task.owner == "finance-integration" for task in dag.tasks)
        assert {"weaver", "tryton", "expense_claim"} <= set(dag.tags)
        assert "中文" in dag.doc_md
        assert "English" in dag.doc_md
        for name in TASKS:
            assert name in dag.doc_md


def test_each_system_has_a_pool_of_its_own_that_the_settings_file_makes(dags: dict[str, Any]) -> None:
    settings = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text(encoding="utf-8"))["airflow"]
    pools = {pool["pool_name"] for pool in settings["pools"]}
    for dag in dags.values():
        used = {task.task_id: task.pool for task in dag.tasks}
        assert (used["collect"], used["deliver"], used["write_back"]) == ("weaver", "tryton", "weaver")
        assert set(used.values()) - {"default_pool"} <= pools


def test_connections_of_the_flows_stand_in_the_settings_file(dags: dict[str, Any]) -> None:
    assert dags
    settings = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text(encoding="utf-8"))["airflow"]
    known = {connection["conn_id"]: connection["conn_type"] for connection in settings["connections"]}
    for name in FLOWS:
        flow = yaml.safe_load((ROOT / f"include/flows/{name}.yaml").read_text(encoding="utf-8"))
        for side in ("source", "target"):
            assert known[flow[side]["connection"]] == flow[side]["system"]
    assert known["hub_default"] == "postgres"


def test_the_watcher_wakes_and_the_clock_sweeps(dags: dict[str, Any]) -> None:
    wake, sweep = (dags[f"weaver_tryton__expense_claim__{kind}"] for kind in KINDS)
    (asset,) = wake.timetable.asset_condition.objects
    (watcher,) = asset.watchers
    classpath, arguments = watcher.trigger.serialize()
    assert classpath == "finbridge.tasks.triggers.DocumentsDueTrigger"
    assert arguments == {"flow_id": "weaver_tryton__expense_claim", "hub_conn_id": "hub_default"}
    assert sweep.timetable.expression == "*/15 * * * *"


# ---------------------------------------------------------------------- in fresh processes

_PARSE = """
import json, sys
from pathlib import Path
from airflow.sdk import DAG
found, text = [], {}
for path in sorted(Path("dags").glob("*.py")):
    scope = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)
    found += [value.dag_id for value in scope.values() if isinstance(value, DAG)]
    for value in scope.values():
        if isinstance(value, DAG):
            text[value.dag_id] = value
print(json.dumps({"dags": sorted(set(found)), "modules": sorted(sys.modules)}))
"""
_SERIALISE = """
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag("dags")
print(json.dumps({name: DagSerialization.to_dict(bag.dags[name]) for name in sorted(bag.dags)}, sort_keys=True))
"""
HEAVY = ("great_expectations", "pandas", "numpy", "duckdb", "psycopg", "alembic")
CONNECTORS = ("finbridge.core.transport", "finbridge.hub", "finbridge.quality")


def _run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def test_parsing_imports_nothing_heavy_and_no_connector() -> None:
    seen = json.loads(_run(_PARSE))
    assert len(seen["dags"]) >= len(FLOWS) * len(KINDS) + len(OPERATIONS)
    assert set(OPERATIONS) <= set(seen["dags"])
    modules = set(seen["modules"])
    assert "finbridge.systems.weaver.operators" in modules, "the guard looks at the wrong process"
    assert modules & set(HEAVY) == set()
    assert modules & set(CONNECTORS) == set()
    parts = {name.rpartition(".")[2] for name in modules if name.startswith("finbridge.systems.")}
    assert parts & {"adapter", "client", "hook"} == set()


def test_the_same_files_give_the_same_dags_byte_for_byte() -> None:
    first = _run(_SERIALISE, PYTHONHASHSEED="1")
    second = _run(_SERIALISE, PYTHONHASHSEED="2")
    assert "weaver_tryton__expense_claim__wake" in json.loads(first)
    assert first == second
