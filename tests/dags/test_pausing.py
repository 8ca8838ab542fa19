"""What a task asks Airflow before it sends, and how a run ends that a person paused."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from finbridge.core.errors import RetryLater
from finbridge.systems.pausing import Pause, end_if_paused, is_paused, stoppers

FLOW_ID = "weaver_tryton__expense_claim"
WAKE, SWEEP = f"{FLOW_ID}__wake", f"{FLOW_ID}__sweep"


@pytest.mark.parametrize(
    ("dag_id", "asked"),
    [
        (WAKE, (WAKE, SWEEP)),
        (SWEEP, (WAKE, SWEEP)),
        (f"{FLOW_ID}__monthly", (f"{FLOW_ID}__monthly",)),
        (f"{FLOW_ID}__manual", (f"{FLOW_ID}__manual",)),
    ],
)
def test_either_of_the_automatic_two_stops_both_and_the_others_only_themselves(
    dag_id: str, asked: tuple[str, ...]
) -> None:
    assert stoppers(dag_id) == asked


def test_an_answer_counts_for_a_second_and_no_longer() -> None:
    now, asked, state = [0.0], [0], {WAKE: False, SWEEP: False}

    def ask(dag_id: str) -> bool:
        asked[0] += 1
        return state[dag_id]

    pause = Pause((WAKE, SWEEP), ask, keep_seconds=1.0, clock=lambda: now[0])
    assert [pause.may_send() for _ in range(100)] == [True] * 100
    assert asked == [2]
    state[SWEEP] = True
    now[0] = 0.9
    assert pause.may_send()
    now[0] = 1.0
    assert (pause.may_send(), pause.paused()) == (False, (SWEEP,))
    state[SWEEP] = False
    now[0] = 2.0
    assert pause.may_send()


class Ti:
    """A task instance whose Airflow answers, or does not."""

    task_id, dag_id = "deliver", WAKE

    def __init__(self, paused: dict[str, Any], *, queued: int = 0) -> None:
        self.answers = paused
        self.queued = queued
        self.pushed: dict[str, Any] = {}

    def get_dag(self, dag_id: str) -> Any:
        answer = self.answers[dag_id]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(is_paused=answer)

    def get_dr_count(self, dag_id: str, *, states: list[str] | None = None) -> int:
        return self.queued if states == ["queued"] else 7 + self.queued

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value


def api_error(status: int) -> Exception:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    return AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status}))


def test_a_dag_that_is_not_there_stops_nobody_and_an_airflow_that_cannot_say_stops_everybody() -> None:
    ti = Ti({WAKE: api_error(404), SWEEP: api_error(500)})
    assert is_paused(ti, WAKE) is False
    with pytest.raises(RetryLater) as raised:
        is_paused(ti, SWEEP)
    assert raised.value.code == "pause_unknown"


class Hub:
    def __init__(self) -> None:
        self.closed: dict[str, Any] = {}

    def close_run(self, run_id: str, note: dict[str, int]) -> None:
        self.closed[run_id] = note


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from airflow.sdk.execution_time import task_runner

    messages: list[Any] = []
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=messages.append), raising=False)
    return messages


def ended(ti: Ti, note: dict[str, int], task_id: str = "deliver", dag_id: str = WAKE) -> tuple[Exception | None, Hub]:
    from airflow.dag_processing.dagbag import DagBag
    from finbridge.systems.pausing import pause_of

    hub, context = Hub(), {"ti": ti, "run_id": "r"}
    task = DagBag("dags").dags[dag_id].get_task(task_id)
    flow = SimpleNamespace(pause=pause_of(context), hub=hub, context=context, run_id="r")  # type: ignore[arg-type]  # what is used of it
    try:
        end_if_paused(task, flow, note)  # type: ignore[arg-type]  # what is used of them
    except Exception as error:
        return error, hub
    return None, hub


def test_a_run_that_is_not_paused_goes_on(sent: list[Any]) -> None:
    error, hub = ended(Ti({WAKE: False, SWEEP: False}), {"sent": 3})
    assert (error, hub.closed, sent) == (None, {}, [])


@pytest.mark.parametrize("task_id", ["collect", "check", "deliver", "write_back"])
def test_a_paused_run_ends_green_with_a_note_and_leaves_one_run_in_the_paused_dag(
    sent: list[Any], task_id: str
) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    ti = Ti({WAKE: False, SWEEP: True})
    error, hub = ended(ti, {"sent": 3, "paused": 1}, task_id)
    assert isinstance(error, DownstreamTasksSkipped)
    chain = ["collect", "check", "deliver", "write_back", "account"]
    assert sorted(error.tasks) == sorted(chain[chain.index(task_id) + 1 :])
    assert ti.pushed["return_value"] == {"sent": 3, "paused": 1}
    assert "paused: weaver_tryton__expense_claim__sweep" in ti.pushed["note"]
    assert "已暂停" in ti.pushed["note"]
    assert len(json.dumps(ti.pushed)) < 2048
    assert hub.closed["r"]["paused"] == 1
    (message,) = sent
    assert (message.dag_id, message.run_id[:13]) == (SWEEP, "after_pause__")


def test_a_run_of_another_kind_waits_where_it_stands(sent: list[Any]) -> None:
    from airflow.sdk.exceptions import AirflowRescheduleException

    manual = f"{FLOW_ID}__manual"
    ti = Ti({manual: True})
    ti.dag_id = manual
    task = SimpleNamespace(dag_id=manual, task_id="deliver")
    flow: Any = SimpleNamespace(context={"ti": ti})
    with pytest.raises(AirflowRescheduleException):
        end_if_paused(task, flow, {"sent": 1, "paused": 1})  # type: ignore[arg-type]  # what is used of it
    end_if_paused(task, flow, {"sent": 1, "paused": 0})  # type: ignore[arg-type]  # what is used of it
    assert (ti.pushed, sent) == ({}, [])


def test_runs_do_not_pile_up_behind_a_pause(sent: list[Any]) -> None:
    error, _ = ended(Ti({WAKE: True, SWEEP: True}, queued=1), {"paused": 1})
    assert error is not None
    assert sent == []


def test_two_runs_that_end_at_once_name_the_waiting_run_alike(sent: list[Any]) -> None:
    for _ in range(2):  # neither sees the other's
        ended(Ti({WAKE: True, SWEEP: False}), {"paused": 1})
    assert [message.dag_id for message in sent] == [WAKE, WAKE]
    assert len({message.run_id for message in sent}) == 1


def test_the_last_task_never_ends_a_run_as_paused(sent: list[Any]) -> None:
    assert ended(Ti({WAKE: True, SWEEP: True}), {}, "account")[0] is None
