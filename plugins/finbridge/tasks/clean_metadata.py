"""Cleans Airflow's metadata database, as a process of its own: ``python -m finbridge.tasks.clean_metadata --days N``.

A task may not touch the metadata database (Airflow takes its address away), and ``airflow db clean`` knows nothing of
unfinished runs. So the task starts this with the address in the environment; it cleans with Airflow's own code, table
by table, what is older than N days, and nothing that is younger than the oldest unfinished run. The last line on
stdout is the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Rows of one transaction.
BATCH = 1000
#: Kept whatever its age: what Airflow knows of a DAG (pause, next run) is no history, and a watcher hangs on a trigger
#: as old as its DAG (the triggerer takes away those that nobody waits for).
KEPT_TABLES = frozenset({"dag", "trigger"})
#: Counted before and after, for people.
COUNTED = ("dag_run", "task_instance", "xcom", "log", "job", "asset_event")


def main(argv: Sequence[str] | None = None) -> int:
    """Clean; 0 when every table was cleaned."""
    parser = argparse.ArgumentParser(prog="python -m finbridge.tasks.clean_metadata")
    parser.add_argument("--days", type=int, required=True)
    days = parser.parse_args(argv).days
    if days < 1:
        parser.error("--days: at least 1")

    from airflow.utils.db_cleanup import config_dict, run_cleanup
    from airflow.utils.session import create_session

    wanted = datetime.now(UTC) - timedelta(days=days)
    with create_session() as session:
        before = cut_off(session, wanted)
        rows = counts(session)
        run_cleanup(
            clean_before_timestamp=before,  # type: ignore[arg-type]  # coerced there
            table_names=sorted(set(config_dict) - KEPT_TABLES),
            confirm=False,
            skip_archive=True,
            batch_size=BATCH,
            error_on_cleanup_failure=True,
            session=session,
        )
        session.commit()
        left = counts(session)
    result = {
        "before": before.isoformat(),
        "held_back": before < wanted,
        "deleted": {name: rows[name] - left[name] for name in rows if rows[name] > left[name]},
    }
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    return 0


def cut_off(session: Session, wanted: datetime) -> datetime:
    """The wanted time, or the first moment of the oldest unfinished run where that is earlier.

    A run that was cleared is unfinished again and begins anew, but what its tasks left for one another is as old as
    its row: when that was made counts, not when the run began last.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import DagRunState
    from sqlalchemy import func, select

    moments = (func.coalesce(DagRun.created_at, DagRun.run_after), DagRun.queued_at, DagRun.start_date)
    unfinished = DagRun.state.in_((DagRunState.RUNNING, DagRunState.QUEUED))
    found = session.execute(select(*(func.min(moment) for moment in moments)).where(unfinished)).one()
    oldest = min((moment for moment in found if moment is not None), default=None)
    return wanted if oldest is None else min(wanted, oldest - timedelta(seconds=1))


def counts(session: Session) -> dict[str, int]:
    """Rows of the tables that grow."""
    from sqlalchemy import func, select, table

    found = {name: session.scalar(select(func.count()).select_from(table(name))) for name in COUNTED}
    return {name: int(count or 0) for name, count in found.items()}


if __name__ == "__main__":
    sys.exit(main())
