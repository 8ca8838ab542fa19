"""Durable state: memory is what the calls work on, SQLite (WAL) what a restart finds.

Group commit: a change marks its request dirty and adds a journal entry; all changes of one turn of the event loop go
into one transaction, and nobody is answered before the transaction that holds what the answer shows. A commit that
fails ends the process: memory and file must never differ.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from sandbox.weaver.clock import ZONE
from sandbox.weaver.model import Request, load_request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS request (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS mode (name TEXT, id INTEGER, body BLOB NOT NULL, PRIMARY KEY (name, id));
CREATE TABLE IF NOT EXISTS token (token TEXT PRIMARY KEY, appid TEXT NOT NULL, expires_at REAL NOT NULL);
"""
FIRST_REQUEST_ID = 90_000


class Store:
    """All requests in memory, by id and by the last operation's day; counters; the journal in the file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "oa.sqlite3", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;")
        self._db.executescript(_SCHEMA)
        self.requests: dict[int, Request] = {}
        self.by_key: dict[str, int] = {}
        self.by_day: dict[str, dict[int, None]] = {}
        self.version = 0  # rises with every change: what was computed from an older state is stale
        self._days: dict[int, str] = {}
        self._dirty: dict[int, Request] = {}
        self._entries: list[dict[str, Any]] = []
        self._modes: dict[str, dict[int, dict[str, str]]] = {}
        self._changed_modes: dict[tuple[str, int], dict[str, str]] = {}
        self._tokens: list[tuple[str, str, float]] = []
        self._meta: dict[str, object] = {}
        self._waiting: asyncio.Future[None] | None = None
        self._load()

    def _load(self) -> None:
        for (body,) in self._db.execute("SELECT body FROM request ORDER BY id"):
            self._index(load_request(body))
        for name, number, body in self._db.execute("SELECT name, id, body FROM mode ORDER BY name, id"):
            self._modes.setdefault(name, {})[number] = orjson.loads(body)
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
        self.journal_seq = int(last)
        counters = self.meta("counters") or {}
        self.last_request = int(counters.get("request", FIRST_REQUEST_ID))
        self.last_log = int(counters.get("log", 0))
        self.last_row = int(counters.get("row", 0))
        self.last_mode_row = int(counters.get("mode_row", 0))

    def _index(self, request: Request) -> None:
        self.requests[request.id] = request
        if request.key:
            self.by_key[request.key] = request.id
        day = request.operated[:10]
        before = self._days.get(request.id)
        if before != day:
            if before is not None:
                self.by_day[before].pop(request.id, None)
            self.by_day.setdefault(day, {})[request.id] = None
            self._days[request.id] = day

    # ------------------------------------------------------------ numbers

    def next_request(self) -> int:
        """A new request id, above every id seen."""
        self.last_request += 1
        return self.last_request

    def next_log(self) -> str:
        """A new log id: monotone, as text."""
        self.last_log += 1
        return str(self.last_log)

    def next_row(self) -> str:
        """A new detail row id."""
        self.last_row += 1
        return str(self.last_row)

    def next_mode_row(self) -> int:
        """A new id of a row of the form engine."""
        self.last_mode_row += 1
        return self.last_mode_row

    # ------------------------------------------------------------ changes

    def changed(self, request: Request, entry: dict[str, Any]) -> None:
        """Take a changed request and its journal entry into the running transaction."""
        request.rows.clear()
        request.changed_wall = time.time()
        self.version += 1
        self._index(request)
        self._dirty[request.id] = request
        self._note(entry)

    def mode_changed(self, table: str, number: int, row: dict[str, str], entry: dict[str, Any]) -> None:
        """Take a row of the form engine and its journal entry into the running transaction."""
        self._modes.setdefault(table, {})[number] = row
        self._changed_modes[table, number] = row
        self._note(entry)

    def _note(self, entry: dict[str, Any]) -> None:
        self.journal_seq += 1
        self._entries.append({"seq": self.journal_seq, "at": "", **entry})
        self._schedule()

    def put_meta(self, name: str, value: object) -> None:
        """Store a value that is not a request."""
        self._meta[name] = value
        self._schedule()

    def put_token(self, token: str, appid: str, expires_at: float) -> None:
        """Store a token."""
        self._tokens.append((token, appid, expires_at))
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            loop.call_soon(self._flush)

    async def committed(self) -> None:
        """Return when everything that is in memory now is in the file."""
        if self._waiting is not None:
            await asyncio.shield(self._waiting)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, None
        try:
            self._write()
        except Exception as error:
            sys.stderr.write(f"commit failed, stopping: {error}\n")
            sys.stderr.flush()
            os._exit(1)
        if waiting is not None:
            waiting.set_result(None)

    def _write(self) -> None:
        database = self._db
        database.execute("BEGIN IMMEDIATE")
        put = "INSERT INTO {} VALUES (?, ?) ON CONFLICT ({}) DO UPDATE SET {} = excluded.{}"
        database.executemany(put.format("request", "id", "body", "body"), self._request_rows())
        if self._entries:
            counters = {
                **{"request": self.last_request, "log": self.last_log, "row": self.last_row},
                "mode_row": self.last_mode_row,
            }
            self._meta["counters"] = counters
            database.executemany("INSERT INTO journal VALUES (?, ?)", self._journal_rows())
        modes = [(name, number, orjson.dumps(row)) for (name, number), row in self._changed_modes.items()]
        database.executemany("INSERT OR REPLACE INTO mode VALUES (?, ?, ?)", modes)
        if self._tokens:
            database.executemany("INSERT OR REPLACE INTO token VALUES (?, ?, ?)", self._tokens)
        rows = [(name, orjson.dumps(value)) for name, value in self._meta.items()]
        database.executemany(put.format("meta", "name", "value", "value"), rows)
        database.execute("COMMIT")
        self._dirty.clear()
        self._changed_modes.clear()
        self._entries.clear()
        self._tokens.clear()
        self._meta.clear()

    def _request_rows(self) -> Iterator[tuple[int, bytes]]:
        for request in self._dirty.values():
            yield request.id, request.stored()

    def _journal_rows(self) -> Iterator[tuple[int, bytes]]:
        at = datetime.now(ZONE).isoformat(timespec="microseconds")
        for entry in self._entries:
            entry["at"] = at
            yield entry["seq"], orjson.dumps(entry)

    # ------------------------------------------------------------ reading

    def meta(self, name: str) -> Any:
        """A stored value, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def metas(self, prefix: str) -> dict[str, Any]:
        """Stored values whose name starts with ``prefix``, by the rest of the name."""
        rows = self._db.execute("SELECT name, value FROM meta WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
        return {name[len(prefix) :]: orjson.loads(value) for name, value in rows}

    def tokens(self) -> Iterable[tuple[str, str, float]]:
        """All stored tokens."""
        return list(self._db.execute("SELECT token, appid, expires_at FROM token"))

    def journal(self, after: int, limit: int) -> bytes:
        """Journal entries with ``seq > after`` as one JSON array."""
        rows = self._db.execute("SELECT body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return b"[" + b",".join(body for (body,) in rows) + b"]"

    def mode_rows(self, table: str) -> Mapping[int, dict[str, str]]:
        """Rows of a table of the form engine by id."""
        return self._modes.get(table, {})

    def find(self, request_id: int) -> Request | None:
        """A live request."""
        request = self.requests.get(request_id)
        return None if request is None or request.deleted else request

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._waiting is not None:
            self._flush()
        self._db.close()
