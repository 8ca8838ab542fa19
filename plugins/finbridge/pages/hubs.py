"""The pages' way to the hub: one kept connection pool, read-only, few questions at once, none of them long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from airflow.sdk import BaseHook
from starlette.requests import Request

from finbridge.core.errors import RetryLater
from finbridge.hub import PostgresHub, open_hub
from finbridge.hub.addresses import hub_dsn

HUB_CONNECTION = "hub_default"
AT_ONCE = 4
#: Years that an address may ask for: what lies outside has no documents, and no time zone can count there.
YEARS = range(1970, 2200)
_OPTIONS = "-c statement_timeout=8s -c lock_timeout=2s -c default_transaction_read_only=on"
Answer = TypeVar("Answer")


def open_default_hub() -> PostgresHub:
    """The hub of the connection ``hub_default``, for reading only."""
    return open_hub(hub_dsn(BaseHook.get_connection(HUB_CONNECTION), options=_OPTIONS))


class Hubs:
    """Keeps one open hub; forgets it when it goes away, so that a changed connection is found.

    Args:
        opener: opens a hub; it is called in a thread.
    """

    def __init__(self, opener: Callable[[], PostgresHub] = open_default_hub) -> None:
        self._opener = opener
        self._hub: PostgresHub | None = None
        self._lock = threading.Lock()
        self._limiter: anyio.CapacityLimiter | None = None

    async def ask(self, question: Callable[[PostgresHub], Answer]) -> Answer:
        """Put a question to the hub in a thread.

        Raises:
            RetryLater: the hub is away or busy, or the question took too long.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(self._ask, question, limiter=self._limiter)

    def _ask(self, question: Callable[[PostgresHub], Answer]) -> Answer:
        hub = self._open()
        try:
            return question(hub)
        except RetryLater:
            self._forget(hub)
            raise

    def _open(self) -> PostgresHub:
        with self._lock:
            if self._hub is None:
                self._hub = self._opener()
            return self._hub

    def _forget(self, hub: PostgresHub) -> None:
        with self._lock:
            if self._hub is hub:
                self._hub = None
        hub.close()

    def close(self) -> None:
        """Close what is open; the next question opens anew."""
        with self._lock:
            hub, self._hub = self._hub, None
        if hub is not None:
            hub.close()


async def ask(request: Request, question: Callable[[PostgresHub], Answer]) -> Answer:
    """Put a question to the hub of the application: ``await ask(request, lambda hub: hub.views.held(...))``."""
    hubs: Hubs = request.app.state.hubs
    return await hubs.ask(question)
