"""A pause at the wire: a call that waits for its turn asks again in the moment before its bytes leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from finbridge.core import stopping
from finbridge.core.errors import RetryLater
from finbridge.core.stopping import always, guarded
from finbridge.core.transport import HttpClient, NotSentError, RateBudget, Response, StoppedError

from tests.unit import http_stub
from tests.unit.http_stub import HttpStub, answer

SLOW = RateBudget(100, burst=1, parallel=1)


def stub() -> HttpStub:
    return HttpStub(http_stub.always(answer()))


async def call(client: HttpClient, method: str = "POST", *, effect: bool | None = None) -> Response | NotSentError:
    try:
        return await client.request(method, "/x", effect=effect)
    except NotSentError as error:
        return error


def in_turn(*answers: bool) -> Callable[[], bool]:
    left = list(answers)
    return lambda: left.pop(0)


async def test_calls_that_wait_for_their_rate_do_not_leave_after_a_pause() -> None:
    async with stub() as server, HttpClient(server.url, rate=SLOW) as client:
        with guarded(lambda: len(server.requests) < 3):  # a person pauses while the third is over there
            results = await asyncio.gather(*(call(client) for _ in range(16)))
        assert len(server.requests) == 3
        stopped = [result for result in results if not isinstance(result, Response)]
        assert {(type(error), error.code) for error in stopped} == {(StoppedError, "paused")}
        assert len(stopped) == 13
        assert isinstance(await call(client), Response), "outside the guard nobody stops it"


async def test_a_pause_while_the_connection_is_made_stops_the_call() -> None:
    async with stub() as server, HttpClient(server.url) as client:
        with guarded(in_turn(True, False)):  # before it takes its turn, and before the first byte
            assert isinstance(await call(client), StoppedError)
        assert (server.connections, server.requests) == (1, [])
        with guarded(in_turn(True, True, True, False)):  # the same on a connection that was kept alive
            assert isinstance(await call(client), Response)
            assert isinstance(await call(client), StoppedError)
        assert len(server.requests) == 1


async def test_reading_and_logging_in_go_on_during_a_pause() -> None:
    async with stub() as server, HttpClient(server.url) as client:
        with guarded(lambda: False):
            assert isinstance(await call(client, "GET"), Response)
            assert isinstance(await call(client, "POST", effect=False), Response)
            assert isinstance(await call(client, "PUT"), StoppedError)
            with guarded(always):  # a verb that nobody stops, inside a task that somebody did
                assert isinstance(await call(client), StoppedError)
        assert len(server.requests) == 2


async def test_where_nobody_can_say_nothing_leaves() -> None:
    def unknown() -> bool:
        raise RetryLater("pause_unknown", "稍后")

    async with stub() as server, HttpClient(server.url) as client:
        with guarded(unknown):
            result = await call(client)
        assert isinstance(result, StoppedError) and result.code == "pause_unknown"
        assert server.requests == []


async def test_an_answer_that_comes_too_late_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "ANSWER_SECONDS", 0.05)
    said = threading.Event()
    async with stub() as server, HttpClient(server.url) as client:
        with guarded(lambda: said.wait(30)):
            result = await call(client)
        said.set()
        assert isinstance(result, StoppedError) and result.code == "pause_unknown"
        assert server.requests == []
