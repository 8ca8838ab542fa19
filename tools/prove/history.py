"""What each person and each disturbance did, and how it ended: invoke, then ok, fail or unknown; one line each.

The shape is that of a Jepsen history. A change of the OA that was answered with ok must stand in the OA's journal: an
OA that forgot what it had said would make the whole proof worthless.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from tools.demo.people import People, Refused, Unanswered

#: Button -> the kinds of journal entries one of which it leaves.
_LEAVES = {
    "doCreateRequest": {"create"},
    "submitRequest": {"submit", "approve", "pay", "save"},
    "rejectRequest": {"reject"},
    "withdrawRequest": {"withdraw"},
    "doForceOver": {"force_over"},
}


class History:
    """A file of operations; a line is written before the effect it speaks of."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", buffering=1)
        self._numbers = itertools.count(1)
        self.counts: Counter[str] = Counter()

    def invoke(self, operation: str, user: str, request_id: str) -> int:
        """Before a button is pressed. Returns the operation's number."""
        number = next(self._numbers)
        self._write("invoke", number, operation, user=user, request_id=request_id)
        return number

    def end(self, how: str, number: int, operation: str, request_id: str) -> None:
        """``ok``, ``fail`` (provably nothing was done) or ``unknown``."""
        self._write(how, number, operation, request_id=request_id)

    def nemesis(self, what: str, name: str, **more: object) -> None:
        """A kill, a fault, a return."""
        self._write(what, 0, name, **more)

    def close(self) -> None:
        """No more lines."""
        self._file.close()

    def _write(self, kind: str, number: int, operation: str, **more: object) -> None:
        self.counts[kind] += 1
        row = {"at": round(time.time(), 3), "type": kind, "n": number, "f": operation, **more}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


class RecordedPeople(People):
    """People whose every button is noted."""

    def __init__(self, base_url: str, history: History) -> None:
        super().__init__(base_url)
        self._history = history

    async def _call(self, operation: str, user: str, form: Mapping[str, str]) -> dict[str, Any]:
        request_id = form.get("requestId", "")
        number = self._history.invoke(operation, user, request_id)
        try:
            answer = await super()._call(operation, user, form)
        except Refused:
            self._history.end("fail", number, operation, request_id)
            raise
        except (Unanswered, OSError):
            self._history.end("unknown", number, operation, request_id)
            raise
        found = request_id or str((answer.get("data") or {}).get("requestid", ""))
        self._history.end("ok", number, operation, found)
        return answer


def forgotten(history: Iterable[Mapping[str, Any]], journal: Iterable[Mapping[str, Any]]) -> list[str]:
    """Operations that were answered with ok and stand in no journal entry, by request and kind of change."""
    did = Counter((str(row["request_id"]), str(row["kind"])) for row in journal if not row["integration"])
    wanted: Counter[tuple[str, str]] = Counter()
    for row in history:
        if row["type"] == "ok" and row["f"] in _LEAVES:
            wanted[(str(row["request_id"]), str(row["f"]))] += 1
    lines = []
    for (request_id, button), count in wanted.items():
        shown = sum(did[(request_id, kind)] for kind in _LEAVES[button])
        if shown < count:
            lines.append(f"{request_id}: {button} answered {count} times, in the journal {shown} times")
    return lines


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a history file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
