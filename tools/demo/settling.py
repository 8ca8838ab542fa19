"""When the suite is settled: nothing unread in the OA, nothing due in the hub, no run active."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from finbridge.core.connections import ConnectionSettings
from finbridge.flows.config import load_flows
from finbridge.systems import adapter_of
from finbridge.tasks.settings import ConnectionRow
from finbridge.tasks.watch import Lookout

from tools.demo.clock import Clock
from tools.demo.stack import FLOW_ID, PROJECT, Stack

#: Settled means that two looks in a row, this far apart, find nothing to do.
_LOOK_SECONDS = 1.5


async def settle(stack: Stack, clock: Clock, limit: float) -> bool:
    """Until two looks in a row find nothing open; False when the time is over."""
    until = time.monotonic() + limit
    quiet, told = 0, 0.0
    while time.monotonic() < until:
        try:
            open_ends = await look(stack)
        except Exception as error:  # a part is just coming back
            open_ends = {type(error).__name__: 1}
        quiet = 0 if open_ends else quiet + 1
        if quiet > 1:
            return True
        if open_ends and time.monotonic() - told > 10:
            told = time.monotonic()
            clock.say("still open: " + ", ".join(f"{name} {count}" for name, count in open_ends.items()))
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def look(stack: Stack) -> dict[str, int]:
    """What is still to be done, by name; empty when nothing is."""
    flow = load_flows(PROJECT / "include" / "flows")[FLOW_ID]
    with stack.open_hub() as hub:
        settings = settings_of(stack.connection(flow.source_connection))
        source = adapter_of(flow.source_system).connect(settings, tokens=hub.tokens, flow=flow)
        try:
            seen = await Lookout(flow=flow, source=source, hub=hub, thorough_seconds=0).look()
        finally:
            await source.close()
        staged = await asyncio.to_thread(lambda: Counter(str(row["stage"]) for row in hub.document_rows(FLOW_ID)))
    del staged["None"]
    found = {"unread in the OA": len(seen.rows), **staged, "active runs": _active_runs(stack)}
    return {str(name): count for name, count in found.items() if count}


def _active_runs(stack: Stack) -> int:
    if stack.airflow is None:
        return 0
    rows = stack.suite.execute("airflow", "SELECT count(*) FROM dag_run WHERE state IN ('running', 'queued')")
    return int(rows[0][0])


def settings_of(row: ConnectionRow) -> ConnectionSettings:
    """A connection of the settings file as a client takes it."""
    return ConnectionSettings(
        conn_id=row.conn_id,
        host=row.host or "",
        port=row.port,
        scheme=row.schema or "http",
        login=row.login or "",
        password=row.password or "",
        database=str(row.extra.get("database", "")),
        extra=row.extra,
    )
