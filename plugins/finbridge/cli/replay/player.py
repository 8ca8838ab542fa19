"""Plays a log into the OA sandbox over its control port: waves or days, on the sandbox's own clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from finbridge.cli.replay.log import Log, LogDocument, LogEvent
from finbridge.cli.replay.options import Sweep
from finbridge.cli.replay.rules import LogRules
from finbridge.core.errors import GiveUp
from finbridge.core.flow import Flow
from finbridge.core.transport import HttpClient

_ITEMS_A_CALL = 1000
_CREATOR = "1"
_FIRST_WAVE = date(2010, 1, 1)  # behind every machine's clock: an OA that is ahead is refused
_PLAYED_AT, _LOOKED_AT = time(9), time(18)  # nothing moves in the second in which the flow looks
#: Events to impose together, with the day of the sandbox on which it happens.
Turn = tuple[date, list[tuple[LogDocument, tuple[LogEvent, ...]]]]


class Player:
    """One log on one OA sandbox."""

    def __init__(self, control: HttpClient, log: Log, rules: LogRules, flow: Flow) -> None:
        self._control = control
        self._log = log
        self._rules = rules
        self._workflow = next(iter(sorted(flow.templates)))
        self._day = _FIRST_WAVE
        self.request_ids: dict[str, str] = {}  # document of the log -> request of the OA

    async def prepare(self, *, repeat: int) -> None:
        """Define the form, and how often everything is told."""
        await self._post("/workflows", {"id": self._workflow, "name": "回放", "main": list(self._log.columns)})
        if repeat > 1:
            await self._post("/options", {"repeat": repeat, "shuffle_log_rows": True})

    async def play(self, sweep: Sweep) -> AsyncIterator[int]:
        """Impose turn after turn; after each, the caller lets the flow settle. Yields the number of events."""
        for day, moves in waves(self._log) if sweep is Sweep.WAVE else days(self._log):
            await self._impose(day, [self._item(document, events) for document, events in moves])
            yield sum(len(events) for _, events in moves)

    async def touch(self) -> None:
        """Every request is operated once more, on a later day, and nothing about it changes: the OA again."""
        items: list[dict[str, Any]] = [{"request_id": name} for name in self.request_ids.values()]
        await self._impose(self._day + timedelta(days=1), items)

    async def later(self) -> None:
        """Another day comes; nothing happens in the OA."""
        await self._clock(self._day + timedelta(days=1), _LOOKED_AT)

    async def _impose(self, day: date, items: Sequence[dict[str, Any]]) -> None:
        await self._clock(day, _PLAYED_AT)
        for start in range(0, len(items), _ITEMS_A_CALL):
            part = items[start : start + _ITEMS_A_CALL]
            reply = await self._post("/impose", {"items": part})
            self.request_ids |= {
                item["key"]: name for item, name in zip(part, reply["request_ids"], strict=True) if "key" in item
            }
        await self._clock(day, _LOOKED_AT)

    def _item(self, document: LogDocument, events: Iterable[LogEvent]) -> dict[str, Any]:
        log = [
            {
                "node": event.activity,
                "operate_type": self._rules.operation,
                "operator": self._rules.operator,
                "date": event.day,
                "time": event.time,
            }
            for event in events
        ]
        item: dict[str, Any] = {"key": document.document_id, "log": log}
        if log:
            item["node"] = log[-1]["node"]
        if document.document_id not in self.request_ids:
            item |= {
                "workflow_id": self._workflow,
                "request_name": document.document_id,
                "creator": _CREATOR,
                "main": dict(document.fields),
            }
        return item

    async def _clock(self, day: date, at: time) -> None:
        self._day = day
        await self._post("/clock", {"now": datetime.combine(day, at).isoformat()})

    async def _post(self, path: str, body: object) -> Any:
        response = await self._control.request("POST", path, json_body=body)
        if response.status != 200:
            raise GiveUp("sandbox", f"control port: {path} answered {response.status}: {response.body[:300]!r}")
        return response.json()


def waves(log: Log) -> Iterable[Turn]:
    """Wave k: the k-th events of all documents, on day k. Documents without events come with the first wave."""
    for at in range(max((len(document.events) for document in log.documents), default=0) or 1):
        moves = [(d, d.events[at : at + 1]) for d in log.documents if at < len(d.events) or at == 0]
        yield _FIRST_WAVE + timedelta(days=at), moves


def days(log: Log) -> Iterable[Turn]:
    """All events of a calendar day of the log together, each document's in the order of the log."""
    by_day: dict[str, dict[str, list[LogEvent]]] = defaultdict(lambda: defaultdict(list))
    for document in log.documents:
        for event in document.events:
            by_day[event.day][document.document_id].append(event)
    known = {document.document_id: document for document in log.documents}
    silent = [(document, ()) for document in log.documents if not document.events]
    for at, day in enumerate(sorted(by_day) or [_FIRST_WAVE.isoformat()]):
        moves = [(known[name], tuple(events)) for name, events in by_day[day].items()]
        yield date.fromisoformat(day), [*moves, *(silent if at == 0 else ())]
