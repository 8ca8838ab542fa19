"""Connections to the hub's database: a few kept open, one transaction at a time on each, any thread.

PostgreSQL going away is never a document's fault: every loss of a connection becomes RetryLater, all kept
connections are dropped, and the next call connects anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection, Cursor, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from finbridge.core.crashpoints import crash_point
from finbridge.core.errors import RetryLater
from finbridge.hub.schema import refuse_old_schema

_KEPT = 4
#: Databases whose schema this process has seen to be new enough: a schema never goes back.
_CHECKED: set[str] = set()
_AWAY_SECONDS = 2.0
_BUSY_SECONDS = 0.2
#: A stopped process must not hold row locks for ever; nobody waits long for a row.
_SESSION = "-c timezone=UTC -c lock_timeout=15s -c idle_in_transaction_session_timeout=60s -c statement_timeout=300s"
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "finbridge",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


class Connections:
    """Connections of one process to one hub."""

    def __init__(self, dsn: str) -> None:
        given = conninfo_to_dict(dsn)
        options = f"{_SESSION} {given.pop('options', None) or ''}".strip()  # what is given has the last word
        self._dsn = make_conninfo("", **{**_DEFAULTS, **given, "options": options})
        self._idle: list[Connection] = []
        self._guard = threading.Lock()
        self._closed = False

    @contextmanager
    def transaction(self, *, effect: bool = False) -> Iterator[Cursor]:
        """One transaction, committed at the end, rolled back on any error.

        Args:
            effect: what it stores allows something to happen outside; crash point C12 lies before its commit.

        Raises:
            RetryLater: the database is away or busy; nothing was stored, or the commit's answer was lost.
            GiveUp: the schema is older than this code.
        """
        with self.session() as connection, connection.transaction(), connection.cursor() as cursor:
            yield cursor
            if effect:
                crash_point("C12")

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection in autocommit mode for the time of the block."""
        with translated():
            connection = self._take()
        try:
            with translated():
                yield connection
        except RetryLater:
            if connection.closed:
                self._drop_idle()  # the others died with the same server
            raise
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close what is kept; a closed hub opens nothing any more."""
        self._closed = True
        self._drop_idle()

    def _take(self) -> Connection:
        with self._guard:
            if self._closed:
                raise ValueError("this hub is closed")
            if self._idle:
                return self._idle.pop()
        connection = psycopg.connect(self._dsn, autocommit=True)
        if self._dsn not in _CHECKED:
            try:
                refuse_old_schema(connection)
            except BaseException:
                connection.close()
                raise
            _CHECKED.add(self._dsn)
        return connection

    def _give_back(self, connection: Connection) -> None:
        idle = not connection.closed and connection.info.transaction_status is TransactionStatus.IDLE
        with self._guard:
            if idle and not self._closed and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


@contextmanager
def translated() -> Iterator[None]:
    """Give psycopg's errors their meaning: a conflict between transactions, or a database that is away."""
    try:
        yield
    except (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable) as error:
        raise RetryLater(
            "hub_busy",
            "台账数据库正忙，稍后自动重试 / the hub's database is busy: tried again by itself",
            type(error).__name__,
            after_seconds=_BUSY_SECONDS,
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise RetryLater(
            "hub_away",
            "台账数据库暂时不可用，恢复后自动继续 / the hub's database is away: work goes on once it is back",
            f"{type(error).__name__}: {error.sqlstate or 'no answer'}",  # the text may carry the connection string
            after_seconds=_AWAY_SECONDS,
        ) from error
