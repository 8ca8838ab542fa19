"""The append-only file that is the books' memory: one entry a line, made durable in groups.

While one group is written and fsynced in a thread, the next gathers. A line that a kill cut off was never answered:
it is removed at the next start.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson


class JournalFile:
    """Appends entries; :meth:`durable` returns once all that was appended before is on disk."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._pending: list[bytes] = []
        self._group: asyncio.Future[None] | None = None  # resolves when the gathering group is on disk
        self._writing: asyncio.Task[None] | None = None
        self._in_flight: asyncio.Future[None] | None = None

    def read(self) -> list[dict[str, Any]]:
        """All entries; a torn last line is cut off."""
        text = self._path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) != len(text):
            os.ftruncate(self._descriptor, len(whole))
        return [orjson.loads(line) for line in whole.splitlines()]

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry to the group that gathers."""
        self._pending.append(orjson.dumps(entry) + b"\n")
        if self._group is None:
            self._group = asyncio.get_running_loop().create_future()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_groups())

    async def durable(self) -> None:
        """Wait for everything appended so far."""
        waiting = self._group or self._in_flight
        if waiting is not None:
            await asyncio.shield(waiting)

    async def _write_groups(self) -> None:
        try:
            while self._group is not None:
                group, self._group = self._group, None
                self._in_flight = group
                lines, self._pending = b"".join(self._pending), []
                await asyncio.to_thread(self._write, lines)
                self._in_flight = None
                group.set_result(None)
        except OSError as error:
            sys.stderr.write(f"journal cannot be written, stopping: {error}\n")
            sys.stderr.flush()
            os._exit(1)
        finally:
            self._writing = None

    def _write(self, lines: bytes) -> None:
        view = memoryview(lines)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)

    async def close(self) -> None:
        """Write what is left."""
        await self.durable()
        os.close(self._descriptor)
