"""Pausing a DAG means that nothing leaves: what a running task asks Airflow, and what it does when the answer is yes.

The automatic way of a flow has two DAGs, ``__wake`` and ``__sweep``: it sends nothing while either is paused, else the
one would send what a person has just stopped in the other. Every other DAG of a flow stops when it is paused itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from finbridge.systems.operators import OpenFlow

AUTOMATIC = ("wake", "sweep")
#: An answer counts for this long.
KEEP_SECONDS = 1.0
#: A run of another kind asks again after this; while its own DAG is paused, Airflow does not even start it.
AGAIN_SECONDS = 10.0
#: Where the text of a run's note is left for the listener in the scheduler (finbridge.tasks.run_note).
NOTE_KEY = "note"
_NOT_FOUND = 404
_LOG = logging.getLogger(__name__)


def stoppers(dag_id: str) -> tuple[str, ...]:
    """The DAGs whose pause stops this one, itself among them."""
    flow_id, _, kind = dag_id.rpartition("__")
    return tuple(f"{flow_id}__{other}" for other in AUTOMATIC) if kind in AUTOMATIC else (dag_id,)


class Pause:
    """The question, answered for many askers in any thread with one call a second.

    Args:
        dag_ids: what may be paused.
        ask: whether one DAG is paused; raises RetryLater where Airflow cannot say.
    """

    def __init__(
        self,
        dag_ids: Sequence[str],
        ask: Callable[[str], bool],
        *,
        keep_seconds: float = KEEP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dag_ids = dag_ids
        self._ask = ask
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._guard = threading.Lock()
        self._asked_at: float | None = None
        self._paused: tuple[str, ...] = ()

    def paused(self) -> tuple[str, ...]:
        """Those of the DAGs that are paused now."""
        with self._guard:
            now = self._clock()
            if self._asked_at is None or now - self._asked_at >= self._keep_seconds:
                self._paused = tuple(dag_id for dag_id in self._dag_ids if self._ask(dag_id))
                self._asked_at = now
            return self._paused

    def may_send(self) -> bool:
        """`finbridge.core.stopping.MaySend`."""
        return not self.paused()


def pause_of(context: Context) -> Pause:
    """The pause that counts for a running task."""
    ti: Any = context["ti"]
    return Pause(stoppers(ti.dag_id), lambda dag_id: is_paused(ti, dag_id))


def is_paused(ti: Any, dag_id: str) -> bool:
    """Ask Airflow. A DAG that is not there (a flow with one way only) stops nobody.

    Raises:
        RetryLater: Airflow cannot say; nothing may be sent then.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    from finbridge.core.errors import RetryLater

    try:
        return bool(ti.get_dag(dag_id).is_paused)
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == _NOT_FOUND:
            return False
        raise RetryLater(
            "pause_unknown",
            "无法确认流程是否已暂停，暂不发送 / Airflow cannot say whether the flow is paused: nothing is sent",
            f"asked for {dag_id}: {error.error.error.value}",
        ) from error


def end_if_paused(task: BaseOperator, flow: OpenFlow, note: Mapping[str, int]) -> None:
    """End a run that a person stopped: green, with a note, its later tasks skipped.

    What is left stays due in the hub. One queued run is left in each paused DAG: it begins the moment that the pause
    ends, and until then the watcher sees it and makes no more runs.

    Raises:
        DownstreamTasksSkipped: this run of the automatic way ends here.
        AirflowRescheduleException: a run of another kind was stopped in the middle; it goes on after the pause.
    """
    from airflow.sdk.exceptions import AirflowRescheduleException, DownstreamTasksSkipped

    automatic = task.dag_id.rpartition("__")[2] in AUTOMATIC
    if not automatic:
        if note.get("paused"):
            again = datetime.now(UTC) + timedelta(seconds=AGAIN_SECONDS)
            raise AirflowRescheduleException(again)  # type: ignore[no-untyped-call]  # Airflow's own is not annotated
        return
    later = sorted(task.get_flat_relative_ids(upstream=False))
    paused = flow.pause.paused() if later else ()
    if not paused and not (later and note.get("paused")):
        return
    ti: Any = flow.context["ti"]
    text = f"{task.task_id}: {told(note, paused)}"
    _LOG.info("%s", text)
    for dag_id in paused:
        leave_run(ti, dag_id)
    ti.xcom_push(key="return_value", value=dict(note))
    ti.xcom_push(key=NOTE_KEY, value=text)
    flow.hub.close_run(flow.run_id, {f"{task.task_id}.{name}": n for name, n in note.items()} | {"paused": 1})
    raise DownstreamTasksSkipped(tasks=later)  # type: ignore[no-untyped-call]  # Airflow's own is not annotated


def told(note: Mapping[str, int], paused: Sequence[str]) -> str:
    """What the run's note says."""
    moved = " · ".join(f"{name} {count}" for name, count in note.items() if count and name != "paused")
    who = ", ".join(paused) or "…"
    after = "未发送的单据在恢复后自动继续 / what is left goes on by itself afterwards"
    return f"{moved or '—'}\n已暂停 / paused: {who}. {after}"


def leave_run(ti: Any, dag_id: str) -> None:
    """One queued run in a paused DAG, unless one waits already.

    Two runs that end at the same moment see none waiting: then both name the run alike, and Airflow takes one of them.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import TriggerDagRun

    note = "暂停结束后立即运行 / begins when the pause ends"
    try:
        runs = ti.get_dr_count(dag_id)  # first: whoever counts a run that waits also sees it wait
        run_id = f"after_pause__{datetime.now(UTC):%Y-%m-%d}__{runs}"
        if not ti.get_dr_count(dag_id, states=["queued"]):
            task_runner.SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag_id, run_id=run_id, note=note))
    except AirflowRuntimeError as error:  # the watcher and the timetable bring everything all the same, only later
        _LOG.warning("no run was left in %s: %s", dag_id, error.error.error.value)
