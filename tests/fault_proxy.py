"""A TCP proxy that makes the faults of a wire: answers lost, requests cut, an HTTP answer of somebody in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

_PIECE = 65536


class Fault(Enum):
    """What the proxy does from the next request on."""

    NONE = auto()
    LOSE_ANSWER = auto()  # the server gets the whole request and answers; the client's line is cut instead
    CUT_REQUEST = auto()  # the server gets half of the request's bytes, then both lines are cut
    CUT_ANSWER = auto()  # the client gets half of the answer's first piece, then its line is cut
    ANSWER = auto()  # the server is never asked; ``canned`` is the answer
    ANSWER_ONCE = auto()  # the same for one request
    SWAP_ONCE = auto()  # the server does what one request asks, but ``canned`` is the answer


class FaultProxy:
    """Between one server and its clients, on a port of its own."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.fault = Fault.NONE
        self.canned = b""
        self.hits = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, status: str, *headers: str, body: bytes = b"", fault: Fault = Fault.ANSWER) -> None:
        """Answer with this from now on, in one of the three ways."""
        head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self.canned = "\r\n".join(head).encode() + body
        self.fault = fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        back = asyncio.create_task(self._back(up_reader, writer))
        try:
            while piece := await reader.read(_PIECE):
                if self.fault in (Fault.ANSWER, Fault.ANSWER_ONCE):
                    self.hits += 1
                    if self.fault is Fault.ANSWER_ONCE:
                        self.fault = Fault.NONE
                    writer.write(self.canned)
                    await writer.drain()
                    break
                if self.fault is Fault.CUT_REQUEST:
                    self.hits += 1
                    up_writer.write(piece[: len(piece) // 2])
                    await up_writer.drain()
                    break
                up_writer.write(piece)
                await up_writer.drain()
            else:
                up_writer.write_eof()
                await back
        except OSError:
            pass  # one side went away: the other is closed below
        finally:
            back.cancel()
            _reset(up_writer)
            _reset(writer)
            self._tasks.discard(task)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self.fault in (Fault.LOSE_ANSWER, Fault.CUT_ANSWER, Fault.SWAP_ONCE):
                    self.hits += 1
                    if self.fault is Fault.SWAP_ONCE:
                        self.fault = Fault.NONE
                        writer.write(self.canned)
                        await writer.drain()
                    if self.fault is Fault.CUT_ANSWER:
                        writer.write(piece[: len(piece) // 2])
                        await writer.drain()
                    break
                writer.write(piece)
                await writer.drain()
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultProxy]:
        """Listen on a free port until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        writer.transport.abort()
