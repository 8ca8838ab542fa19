"""The proxy of the proof: each kind of break does to a line what its name says, once for each time it was armed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.prove.proxy import GATEWAY, HOST, KINDS, Proxy

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\nConnection: close\r\n\r\n" + b"x" * 400
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 200\r\n\r\n" + b"y" * 200


@dataclass
class Line:
    """A server behind a proxy; what reached the server, whole requests only."""

    proxy: Proxy
    port: int
    whole: list[bytes] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    async def ask(self) -> bytes:
        """One request on a line of its own; what came back until the line ended, however it ended."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        writer.write(REQUEST)
        got = b""
        try:
            await writer.drain()
            while piece := await asyncio.wait_for(reader.read(65536), 10):
                got += piece
                if got == ANSWER:
                    break
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        return got


@asynccontextmanager
async def line(folder: Path) -> AsyncIterator[Line]:
    found: Line

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = b""
        while len(got) < len(REQUEST) and (piece := await reader.read(65536)):
            found.pieces.append(piece)
            got += piece
        if got == REQUEST:
            found.whole.append(got)
            writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    proxy = Proxy(server.sockets[0].getsockname()[1], folder / "fired")
    front = await asyncio.start_server(proxy.serve, HOST, 0)
    found = Line(proxy, front.sockets[0].getsockname()[1])
    async with server, front:
        yield found


async def test_without_a_fault_everything_passes(tmp_path: Path) -> None:
    async with line(tmp_path) as found:
        assert await found.ask() == ANSWER
        assert found.whole == [REQUEST]


@pytest.mark.parametrize(
    "kind", ["lose_answer", "hang_after_commit", "cut_answer", *(k for k in GATEWAY if k[0] == "s")]
)
async def test_the_server_did_what_was_asked_and_the_client_does_not_know(tmp_path: Path, kind: str) -> None:
    async with line(tmp_path) as found:
        found.proxy.arm({"kind": kind, "seconds": 0.01})
        assert await found.ask() != ANSWER
        assert found.whole == [REQUEST]
        assert await found.ask() == ANSWER


@pytest.mark.parametrize("kind", ["reset", "cut_request", *(k for k in GATEWAY if k[0] == "c")])
async def test_the_server_never_got_the_whole_request(tmp_path: Path, kind: str) -> None:
    async with line(tmp_path) as found:
        found.proxy.arm({"kind": kind})
        assert await found.ask() != ANSWER
        assert found.whole == []
        assert await found.ask() == ANSWER


@pytest.mark.parametrize("kind", ["stall", "slow_drip"])
async def test_a_slow_line_loses_nothing(tmp_path: Path, kind: str) -> None:
    async with line(tmp_path) as found:
        found.proxy.arm({"kind": kind, "seconds": 0.05})
        assert await found.ask() == ANSWER
        assert found.whole == [REQUEST]


async def test_a_gateway_speaks_http(tmp_path: Path) -> None:
    async with line(tmp_path) as found:
        found.proxy.arm({"kind": "canned_429_retry_after"})
        assert (await found.ask()).startswith(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\n")


async def test_what_fired_is_kept_and_counted_as_often_as_armed(tmp_path: Path) -> None:
    async with line(tmp_path) as found:
        for kind in KINDS:
            assert "armed" in found.proxy.arm({"kind": kind, "count": 2, "seconds": 0.01})
        while found.proxy.armed:
            await found.ask()
        fired = Counter((tmp_path / "fired").read_text().split())
    assert fired == Counter(dict.fromkeys(KINDS, 2))


async def test_a_fault_that_nobody_met_in_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.prove.proxy.FAULT_LIVES_SECONDS", -1.0)
    async with line(tmp_path) as found:
        found.proxy.arm({"kind": "reset"})
        assert await found.ask() == ANSWER


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    assert "error" in Proxy(1, tmp_path / "fired").arm({"kind": "gremlin"})
