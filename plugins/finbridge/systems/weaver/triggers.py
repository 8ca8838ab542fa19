"""Waits for documents to move on in the OA without holding a worker slot. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from finbridge.systems.weaver.waiting import Memory, in_approval, still_waiting

if TYPE_CHECKING:
    from finbridge.core.flow import Flow
    from finbridge.systems.weaver.waiting import Board

MAX_NAMED = 50


class WeaverDocumentTrigger(BaseTrigger):
    """Fires once when nothing is waited for any more. An OA that is away is asked again, until the task's time-out.

    Args as in :class:`finbridge.systems.weaver.sensors.WeaverDocumentSensor`; days as ISO text.
    """

    def __init__(  # keyword-only, as Airflow stores them
        self,
        *,
        weaver_conn_id: str,
        hub_conn_id: str,
        nodes: Sequence[str],
        document_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        templates: Sequence[str] = (),
        poll_seconds: float = 10.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own is not annotated
        self.weaver_conn_id = weaver_conn_id
        self.hub_conn_id = hub_conn_id
        self.nodes = list(nodes)
        self.document_id = document_id
        self.since = since
        self.until = until
        self.templates = list(templates)
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments; no secret among them."""
        names = ("weaver_conn_id", "hub_conn_id", "nodes", "document_id", "since", "until", "templates", "poll_seconds")
        return "finbridge.systems.weaver.triggers.WeaverDocumentTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until nothing waits."""
        from finbridge.core.errors import GiveUp, RetryLater

        memory = Memory()
        async with _opened(self.weaver_conn_id, self.hub_conn_id) as source:
            while True:
                try:
                    waiting = await still_waiting(source, memory=memory, **self.question())
                except RetryLater as error:
                    self.log.warning("asked in vain: %s", error)
                    waiting = [error.code]
                except GiveUp as error:
                    yield _event({"error": error.staff})
                    return
                if not waiting:
                    yield _event({"waiting": 0})
                    return
                self.log.info("%d documents still wait: %s", len(waiting), ", ".join(waiting[:MAX_NAMED]))
                await asyncio.sleep(self.poll_seconds)

    def question(self) -> Mapping[str, Any]:
        """What is asked, typed."""
        return {
            "document_id": self.document_id,
            "since": date.fromisoformat(self.since) if self.since else None,
            "until": date.fromisoformat(self.until) if self.until else None,
            "templates": frozenset(self.templates),
            "nodes": self.nodes,
        }


class WeaverMonthTrigger(BaseTrigger):
    """Fires when no document of a company's month is in approval any more, or when the flow's cut-off has passed.

    Args:
        flow_id: as in ``include/flows``; its ``month`` names the nodes of approval and the cut-off.
        company: our code.
        period: ``YYYY-MM``.
    """

    def __init__(  # keyword-only, as Airflow stores them
        self, *, flow_id: str, company: str, period: str, hub_conn_id: str, poll_seconds: float = 60.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own is not annotated
        self.flow_id = flow_id
        self.company = company
        self.period = period
        self.hub_conn_id = hub_conn_id
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments; no secret among them."""
        names = ("flow_id", "company", "period", "hub_conn_id", "poll_seconds")
        return "finbridge.systems.weaver.triggers.WeaverMonthTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until nothing waits or the cut-off has passed. What still waits then is no fault: it is told."""
        from finbridge.core.errors import GiveUp, RetryLater
        from finbridge.systems.operators import flow_of

        flow: Flow = await asyncio.to_thread(flow_of, self.flow_id)
        memory, ends = Memory(), flow.cut_off(self.company, self.period)
        waiting: list[str] | None = None
        async with _opened(flow.source_connection, self.hub_conn_id) as source:
            while True:
                try:
                    waiting = await in_approval(source, flow, self.company, self.period, memory)
                except RetryLater as error:
                    self.log.warning("asked in vain: %s", error)
                except GiveUp as error:
                    yield _event({"error": error.staff})
                    return
                left = (ends - datetime.now(UTC)).total_seconds()
                if waiting == [] or left <= 0:
                    yield _event({"waiting": len(waiting or ()), "cut_off": waiting != []})
                    return
                named = waiting or []
                self.log.info("%d documents in approval: %s", len(named), ", ".join(named[:MAX_NAMED]))
                await asyncio.sleep(min(self.poll_seconds, left))


def _event(payload: Mapping[str, Any]) -> TriggerEvent:
    return TriggerEvent(dict(payload))  # type: ignore[no-untyped-call]  # Airflow's own is not annotated


@asynccontextmanager
async def _opened(weaver_conn_id: str, hub_conn_id: str) -> AsyncIterator[Board]:
    from finbridge.systems.hook import open_hub_of, settings_of
    from finbridge.systems.weaver import adapter

    settings = settings_of(await BaseHook.aget_connection(weaver_conn_id))
    hub_connection = await BaseHook.aget_connection(hub_conn_id)
    hub = await asyncio.to_thread(open_hub_of, hub_connection)
    source: Board = adapter.connect(settings, tokens=hub.tokens, flow=None)
    try:
        yield source
    finally:
        await source.close()
        await asyncio.to_thread(hub.close)
