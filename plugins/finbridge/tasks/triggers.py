"""The watcher of a flow: looks into the OA and the hub every few seconds and wakes the DAG while something is due.

It only reads. A lost event heals at a later look; idle time makes no runs; no worker slot is held. While a run of the
flow waits in the queue (it does as long as its DAG is paused), the watcher gives no more wake-ups: runs do not pile up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from finbridge.systems.pausing import AUTOMATIC, stoppers
from finbridge.tasks.watch import Lookout, Watch

if TYPE_CHECKING:
    from finbridge.core.ports import Source

#: Due for this long although a run began since: something was put off or left behind.
PATIENCE_SECONDS = 6.0
#: No run began for this long after a wake-up: it was lost.
LOST_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 30.0


class DocumentsDueTrigger(BaseEventTrigger):
    """Watcher of one flow.

    Args:
        flow_id: as in ``include/flows``.
        hub_conn_id: Airflow connection of the hub's database.
    """

    def __init__(self, *, flow_id: str, hub_conn_id: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own is not annotated
        self.flow_id = flow_id
        self.hub_conn_id = hub_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments; no secret among them."""
        arguments = {"flow_id": self.flow_id, "hub_conn_id": self.hub_conn_id}
        return "finbridge.tasks.triggers.DocumentsDueTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, wake, rest; for ever. A watcher that ends would not come back, so no error ends it."""
        watch = Watch(patience_seconds=PATIENCE_SECONDS, lost_seconds=LOST_SECONDS)
        pause = 1.0
        while True:
            try:
                async with self.opened() as lookout:
                    while True:
                        seen = await lookout.look()
                        pause = lookout.flow.poll_seconds
                        now = time.monotonic()
                        if watch.reason(seen, now) and not await self.run_waits():
                            watch.given(seen, now)
                            payload = {"flow_id": self.flow_id, "rows": len(seen.rows), "due": seen.due}
                            yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's own is not annotated
                        await asyncio.sleep(pause)
            except Exception as error:  # OA, hub or network away: the next look may find them
                self.log.warning("%s: could not look: %s: %s", self.flow_id, type(error).__name__, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def run_waits(self) -> bool:
        """Whether a run of the flow is queued: it has not begun, or its DAG is paused. It will see what is due."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        for dag_id in stoppers(f"{self.flow_id}__{AUTOMATIC[0]}"):
            if await asyncio.to_thread(RuntimeTaskInstance.get_dr_count, dag_id, states=["queued"]):
                return True
        return False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Lookout]:
        """Flow, OA and hub, opened in threads where opening may wait."""
        from finbridge.systems import adapter_of
        from finbridge.systems.hook import open_hub_of, settings_of
        from finbridge.systems.operators import flow_of

        flow = await asyncio.to_thread(flow_of, self.flow_id)
        settings = settings_of(await BaseHook.aget_connection(flow.source_connection))
        hub = await asyncio.to_thread(open_hub_of, await BaseHook.aget_connection(self.hub_conn_id))
        try:
            source: Source = adapter_of(flow.source_system).connect(settings, tokens=hub.tokens, flow=flow)
            try:
                yield Lookout(flow=flow, source=source, hub=hub)
            finally:
                await source.close()
        finally:
            await asyncio.to_thread(hub.close)
