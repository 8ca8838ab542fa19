"""Before which time the metadata may go: nothing that an unfinished run may still need."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from finbridge.tasks.clean_metadata import COUNTED, counts, cut_off
from finbridge.tasks.housekeeping_dag import unfinished_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

NOW = datetime(2026, 11, 22, tzinfo=UTC)
WANTED = NOW - timedelta(days=90)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.fixture
def session(metadata_database: object) -> Iterator[Session]:
    """A session that leaves nothing behind."""
    from airflow import settings
    from airflow.models.dagrun import DagRun
    from sqlalchemy import delete

    assert metadata_database and settings.Session is not None
    with settings.Session() as made:
        made.execute(delete(DagRun))
        yield made
        made.rollback()


def run(session: Session, state: str, *, made: float, **times: Any) -> None:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import insert

    values = {"run_after": ago(made), "created_at": ago(made), **times}
    row = {"dag_id": "d", "run_id": f"{state}{made}", "run_type": "manual", "state": state, "clear_number": 0}
    session.execute(insert(DagRun).values(**row, **values))


def test_without_an_unfinished_run_the_wanted_time_counts(session: Session) -> None:
    assert cut_off(session, WANTED) == WANTED
    run(session, "success", made=300, start_date=ago(300))
    run(session, "running", made=1, start_date=ago(1))
    assert cut_off(session, WANTED) == WANTED


def test_a_run_that_waits_since_long_holds_everything_back(session: Session) -> None:
    run(session, "running", made=170, start_date=ago(170))
    assert cut_off(session, WANTED) == ago(170) - timedelta(seconds=1)


def test_an_old_run_that_was_cleared_is_as_old_as_its_rows(session: Session) -> None:
    """It began anew today; what its first tasks left for the later ones is 200 days old."""
    run(session, "queued", made=200, queued_at=ago(0), start_date=None)
    assert cut_off(session, WANTED) == ago(200) - timedelta(seconds=1)


def test_a_run_made_before_airflow_noted_when_is_as_old_as_its_due_time(session: Session) -> None:
    run(session, "running", made=150, created_at=None, start_date=ago(2))
    assert cut_off(session, WANTED) == ago(150) - timedelta(seconds=1)


def test_the_counted_tables_are_there(session: Session) -> None:
    run(session, "success", made=1)
    found = counts(session)
    assert set(found) == set(COUNTED) and found["dag_run"] == 1


def test_of_one_run_alone_airflow_is_asked() -> None:
    asked: list[Any] = []

    class Ti:
        def get_dr_count(self, dag_id: str, **what: Any) -> int:
            asked.append((dag_id, what))
            return int(what["run_ids"] == ["cleared"])

    unfinished = unfinished_of(Ti())
    assert (unfinished("d", "cleared"), unfinished("d", "gone")) == (True, False)
    assert asked[0] == ("d", {"run_ids": ["cleared"], "states": ["queued", "running"]})
