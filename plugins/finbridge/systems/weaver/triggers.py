"""Waits for documents to move on in the OA without holding a worker slot. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from finbridge.core.ports import Source

MAX_NAMED = 50


async def still_waiting(
    source: Source,
    *,
    document_id: str | None,
    since: date | None,
    until: date | None,
    templates: frozenset[str],
    nodes: Sequence[str],
) -> list[str]:
    """Ids of the documents that are not where they should be.

    With ``document_id``: that document until it stands at one of ``nodes``. Without: every document operated between
    ``since`` and ``until`` (days) that still stands at one of ``nodes``.
    """
    if document_id is not None:
        found = (await source.read([document_id]))[document_id]
        return [] if found is not None and found.node in nodes else [document_id]
    begin = since or date.min
    end = datetime.combine(until, datetime.max.time()) if until else await source.now()
    ids: set[str] = set()
    async for page in source.changed(begin, end, templates):
        ids |= {ref.document_id for ref in page}
    documents = await source.read(sorted(ids))
    return sorted(i for i, document in documents.items() if document is not None and document.node in nodes)


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

        async with _opened(self.weaver_conn_id, self.hub_conn_id) as source:
            while True:
                try:
                    waiting = await still_waiting(source, **self.question())
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


def _event(payload: Mapping[str, Any]) -> TriggerEvent:
    return TriggerEvent(dict(payload))  # type: ignore[no-untyped-call]  # Airflow's own is not annotated


@asynccontextmanager
async def _opened(weaver_conn_id: str, hub_conn_id: str) -> AsyncIterator[Source]:
    from finbridge.systems.hook import open_hub_of, settings_of
    from finbridge.systems.weaver import adapter

    settings = settings_of(await BaseHook.aget_connection(weaver_conn_id))
    hub_connection = await BaseHook.aget_connection(hub_conn_id)
    hub = await asyncio.to_thread(open_hub_of, hub_connection)
    source: Source = adapter.connect(settings, tokens=hub.tokens, flow=None)
    try:
        yield source
    finally:
        await source.close()
        await asyncio.to_thread(hub.close)
