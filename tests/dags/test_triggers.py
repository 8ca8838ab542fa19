"""The watcher and the sensor's trigger, with an OA and a hub that can be told to be away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from finbridge.core.documents import DocumentRef
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.tasks.watch import Seen

ROOT = Path(__file__).resolve().parents[2]
FLOW_ID = "weaver_tryton__expense_claim"


# ---------------------------------------------------------------------- the watcher


class Looks:
    """What each look finds, or raises; the last one stays."""

    def __init__(self, *looks: Seen | Exception) -> None:
        self.looks = list(looks)
        self.opened = 0
        self.flow = SimpleNamespace(poll_seconds=0.0)

    async def look(self) -> Seen:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        return found

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Looks]:
        self.opened += 1
        yield self


def seen(*rows: str, due: int = 0, started: object = None) -> Seen:
    return Seen(rows=frozenset(rows), due=due, last_started=started)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are noted, not slept."""
    from finbridge.tasks import triggers

    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr(triggers, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    return pauses


def watcher(monkeypatch: pytest.MonkeyPatch, looks: Looks, queued: Callable[[str], int] = lambda _: 0) -> Any:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from finbridge.tasks.triggers import DocumentsDueTrigger

    def count(dag_id: str, *, states: list[str]) -> int:
        assert states == ["queued"]
        return queued(dag_id)

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(count))
    monkeypatch.setattr(DocumentsDueTrigger, "opened", lambda self: looks.open())
    return DocumentsDueTrigger(flow_id=FLOW_ID, hub_conn_id="hub_default")


async def first(trigger: Any, count: int) -> list[dict[str, Any]]:
    events = []
    async for event in trigger.run():
        events.append(event.payload)
        if len(events) == count:
            break
    return events


async def test_the_watcher_fires_a_wake_up_and_nothing_more(
    monkeypatch: pytest.MonkeyPatch, quick: list[float]
) -> None:
    looks = Looks(seen(), seen("1"), seen("1"), seen("2", started="run 1"), seen())
    events = await asyncio.wait_for(first(watcher(monkeypatch, looks), 2), 10)
    assert events == [{"flow_id": FLOW_ID, "rows": 1, "due": 0}] * 2
    assert looks.opened == 1


@pytest.mark.parametrize("kind", ["wake", "sweep"])
async def test_no_wake_up_is_given_while_a_run_waits_for_the_end_of_a_pause(
    monkeypatch: pytest.MonkeyPatch, quick: list[float], kind: str
) -> None:
    left = [40]

    def queued(dag_id: str) -> int:
        left[0] -= dag_id == f"{FLOW_ID}__{kind}"
        return int(dag_id == f"{FLOW_ID}__{kind}" and left[0] > 0)

    events = await asyncio.wait_for(first(watcher(monkeypatch, Looks(seen("1", due=3)), queued), 1), 10)
    assert events == [{"flow_id": FLOW_ID, "rows": 1, "due": 3}]
    assert len(quick) == 39, "the wake-up comes at the first look after the pause"


async def test_no_error_ends_the_watcher(monkeypatch: pytest.MonkeyPatch, quick: list[float]) -> None:
    looks = Looks(RetryLater("oa_away", "稍后"), OSError("hub away"), GiveUp("schema", "改"), seen(due=1))
    events = await asyncio.wait_for(first(watcher(monkeypatch, looks), 1), 10)
    assert events == [{"flow_id": FLOW_ID, "rows": 0, "due": 1}]
    assert looks.opened == 4, "after an error everything is opened anew"
    assert quick[:3] == [1.0, 2.0, 4.0], "an OA that is away is asked less and less often"


async def test_a_fired_watcher_that_is_idle_stays_silent(monkeypatch: pytest.MonkeyPatch, quick: list[float]) -> None:
    trigger = watcher(monkeypatch, Looks(seen("1"), seen(started="run 1")))
    events: list[Any] = []

    async def collect() -> None:
        async for event in trigger.run():
            events.append(event)

    task = asyncio.create_task(collect())
    while len(quick) < 500:  # noqa: ASYNC110 - the fake pauses are what is counted
        await asyncio.sleep(0.001)
    task.cancel()
    assert len(events) == 1


def test_the_watcher_is_the_same_however_often_it_is_made() -> None:
    from airflow.triggers.base import BaseEventTrigger
    from finbridge.tasks.triggers import DocumentsDueTrigger

    made = [DocumentsDueTrigger(flow_id=FLOW_ID, hub_conn_id="hub_default").serialize() for _ in range(2)]
    assert made[0] == made[1]
    assert json.dumps(made[0][1]).count("password") == 0
    assert BaseEventTrigger.hash(*made[0]) == BaseEventTrigger.hash(*made[1])


# ---------------------------------------------------------------------- the sensor


class FakeOa:
    """Documents and the nodes where they stand; each reading moves on to the next state."""

    def __init__(self, *states: dict[str, str] | Exception) -> None:
        self.states = list(states)
        self.asked: list[tuple[date, datetime, frozenset[str]]] = []

    def _state(self) -> dict[str, str]:
        found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def now(self) -> datetime:
        return datetime.fromisoformat("2026-11-30T18:00:00")

    async def changed(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        self.asked.append((since, until, templates))
        current = self.states[0]
        names = current if isinstance(current, dict) else {}
        yield [DocumentRef(name, "101", "") for name in names]

    unfinished = changed

    async def read(self, document_ids: list[str]) -> dict[str, Any]:
        state = self._state()
        return {name: SimpleNamespace(node=state[name]) if name in state else None for name in document_ids}


def sensor_trigger(monkeypatch: pytest.MonkeyPatch, oa: FakeOa, **question: Any) -> Any:
    from finbridge.systems.weaver import triggers

    @asynccontextmanager
    async def opened(weaver_conn_id: str, hub_conn_id: str) -> AsyncIterator[FakeOa]:
        yield oa

    monkeypatch.setattr(triggers, "_opened", opened)
    return triggers.WeaverDocumentTrigger(
        weaver_conn_id="weaver_default", hub_conn_id="hub_default", poll_seconds=0.0, **question
    )


async def test_one_document_until_it_reaches_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    oa = FakeOa({"7": "审批"}, RetryLater("oa_away", "稍后"), {"7": "财务过账"}, {"7": "付款"})
    trigger = sensor_trigger(monkeypatch, oa, document_id="7", nodes=["付款"])
    assert await asyncio.wait_for(first(trigger, 1), 10) == [{"waiting": 0}]


async def test_no_document_of_a_window_in_approval(monkeypatch: pytest.MonkeyPatch) -> None:
    oa = FakeOa({"1": "审批", "2": "付款"}, {"1": "审批", "2": "归档"}, {"1": "财务过账", "2": "归档"})
    trigger = sensor_trigger(monkeypatch, oa, since="2026-11-01", until="2026-11-30", templates=["101"], nodes=["审批"])
    assert await asyncio.wait_for(first(trigger, 1), 10) == [{"waiting": 0}]
    assert len(oa.asked) == 3
    assert oa.asked[0][0] == date(2026, 11, 1)
    assert oa.asked[0][1].date() == date(2026, 11, 30)
    assert oa.asked[0][2] == frozenset({"101"})


async def test_what_only_a_person_can_mend_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = sensor_trigger(monkeypatch, FakeOa(GiveUp("credentials", "账号被停用")), document_id="7", nodes=["付款"])
    assert await asyncio.wait_for(first(trigger, 1), 10) == [{"error": "账号被停用"}]


def test_the_sensor_defers_at_once_and_comes_back_typed() -> None:
    from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
    from finbridge.systems.weaver.sensors import WeaverDocumentSensor
    from finbridge.systems.weaver.triggers import WeaverDocumentTrigger

    sensor = WeaverDocumentSensor(task_id="s", nodes=["审批"], since="2026-11-01", templates=["101", "102"], timeout=60)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    classpath, arguments = deferred.value.trigger.serialize()
    assert classpath == f"{WeaverDocumentTrigger.__module__}.{WeaverDocumentTrigger.__name__}"
    again = WeaverDocumentTrigger(**arguments)
    assert again.serialize() == (classpath, arguments)
    assert again.question()["templates"] == frozenset({"101", "102"})
    assert deferred.value.timeout is not None
    sensor.resume({}, {"waiting": 0})
    with pytest.raises(AirflowFailException, match="停用"):
        sensor.resume({}, {"error": "停用"})
