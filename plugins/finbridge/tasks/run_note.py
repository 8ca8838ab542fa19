"""The note on a DAG run: what it moved, readable in the UI's list of runs. Counts only.

A task has no way to write a note of its run, so the account task (or the task at which a pause ended the run) leaves
the text in an XCom and a listener in the scheduler, which owns the run, puts it there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from finbridge.systems.pausing import NOTE_KEY

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

ACCOUNT_TASK = "account"
_LOG = logging.getLogger(__name__)
_MAX_CHARS = 900


def summary(counts: Mapping[str, Mapping[str, int]]) -> str:
    """One line a task: its counts above zero."""
    lines = []
    for task, note in counts.items():
        moved = " · ".join(f"{name} {count}" for name, count in note.items() if count)
        lines.append(f"{task}: {moved or '—'}")
    return "\n".join(lines)[:_MAX_CHARS]


def put_note(dag_run: DagRun) -> bool:
    """Copy the text that a task left onto the run, inside the scheduler's own transaction. Whether there was one.

    The last task that left one counts; of a task that ran once for each company, all their texts.

    One look-up by key and one attribute, flushed with the run's state; no savepoint, which the scheduler's guard
    against commits would refuse. A failure is logged: a note is no reason to disturb the scheduler.
    """
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return False
    try:
        query = select(XComModel.task_id, XComModel.map_index, XComModel.value).where(
            XComModel.dag_id == dag_run.dag_id,
            XComModel.run_id == dag_run.run_id,
            XComModel.key == NOTE_KEY,
        )
        with session.no_autoflush:
            found = session.execute(query.order_by(XComModel.timestamp.desc())).all()
        texts = sorted((row[1], row[2]) for row in found if row[0] == found[0][0] and isinstance(row[2], str))
        if not texts:
            return False
        dag_run.note = "\n".join(text for _, text in texts)[:_MAX_CHARS]
        return True
    except Exception:  # whatever it is, the run's state matters more than its note
        _LOG.exception("no note for %s", dag_run.run_id)
        return False
