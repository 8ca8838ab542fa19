"""The buttons that the UI shows on a task: what survives the serialization of a DAG."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from tests.dags.conftest import ROOT

FLOW = "weaver_tryton__expense_claim"
EXPECTED = {
    "wake": {"collect": {"今日 Today", "异常单据 Held"}, "check": {"质量 Quality", "异常单据 Held"}},
    "sweep": {"account": {"今日 Today", "异常单据 Held"}},
    "monthly": {"reconcile": {"月度核对 Month", "异常单据 Held"}},
    "manual": {"look": {"预览 Preview", "异常单据 Held"}},
}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(ROOT / "dags"))


@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_the_api_server_knows_each_button(bag: DagBag, kind: str) -> None:
    stored = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[f"{FLOW}__{kind}"]))
    shown = {task.task_id: set(task.extra_links) for task in stored.tasks}
    assert all(shown[task_id] == names for task_id, names in EXPECTED[kind].items()), shown
