"""A run that was in the middle when a pause began goes on afterwards, however long the pause was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

ROOT = Path(__file__).resolve().parents[2]
FLOW_ID = "weaver_tryton__expense_claim"
A_LONG_HOLIDAY = timedelta(days=40)


@pytest.fixture(scope="module")
def session(metadata_database: object) -> Iterator[Session]:
    """Airflow's own tables with the DAGs in them, as the DAG processor writes them."""
    from airflow import settings
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel

    assert metadata_database and settings.Session is not None
    with settings.Session() as made:
        made.add(DagBundleModel(name="long-pause"))
        made.commit()
        sync_bag_to_db(DagBag(ROOT / "dags", bundle_path=ROOT / "dags", bundle_name="long-pause"), "long-pause", None)
        yield made
        made.rollback()


def begun(session: Session, dag_id: str, at: datetime) -> Any:
    """A run whose first task was done when the pause began; nothing of it was running then."""
    from airflow.models.dagbag import DBDagBag
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
    assert dag is not None
    run = dag.create_dagrun(
        run_id=f"long_pause__{at.isoformat()}",
        run_after=at,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.RUNNING,
        start_date=at,
        session=session,
    )
    first = min(run.task_instances, key=lambda ti: (bool(dag.get_task(ti.task_id).upstream_task_ids), ti.task_id))
    first.state = "success"
    session.flush()
    return run


@pytest.mark.parametrize("kind", ["wake", "sweep", "manual", "monthly"])
def test_the_scheduler_goes_on_with_it(session: Session, kind: str) -> None:
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    run = begun(session, f"{FLOW_ID}__{kind}", datetime.now(UTC) - A_LONG_HOLIDAY)
    job = Job()  # type: ignore[no-untyped-call]  # Airflow's own is not annotated
    SchedulerJobRunner(job=job)._schedule_dag_run(run, session)  # what it does with each run of an unpaused DAG
    session.flush()
    session.expire_all()
    states = {ti.task_id: ti.state for ti in run.get_task_instances(session=session)}
    assert run.state == "running", states
    assert "skipped" not in states.values()
    if kind != "monthly":  # its tasks are made by what the first one returned
        assert "scheduled" in states.values(), states
