"""``python -m tools.prove.proxy --port P --target Q --control C --fired FILE``: a TCP proxy that breaks lines.

A process of its own, so that it can be killed like any other part. What to break next comes as one line of JSON on the
control port: ``{"kind": "lose_answer", "count": 1, "seconds": 3}``; each request that a client sends takes the first
fault that is left. What fired is appended to a file, so that a kill forgets nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_PIECE = 65536
#: A fault that nobody met is over after this: what comes a minute later meets the faults of that time.
FAULT_LIVES_SECONDS = 10.0
_DRIP_BYTES = 64
_HTML = b"<html><body>\xe7\xb3\xbb\xe7\xbb\x9f\xe7\xb9\x81\xe5\xbf\x99</body></html>"  # 系统繁忙


def _http(status: str, *headers: str, body: bytes = b"") -> bytes:
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(head).encode() + body


#: What a gateway in between answers instead of the server.
CANNED = {
    "429": _http("429 Too Many Requests"),
    "429_retry_after": _http("429 Too Many Requests", "Retry-After: 2"),
    "502": _http("502 Bad Gateway", "Content-Type: text/html", body=_HTML),
    "503": _http("503 Service Unavailable", "Retry-After: 1"),
    "504": _http("504 Gateway Timeout"),
    "html": _http("200 OK", "Content-Type: text/html; charset=utf-8", body=_HTML),
}
#: Faults of any wire: what a kind does is in `_Line`.
WIRE = ("reset", "cut_request", "cut_answer", "lose_answer", "stall", "hang_after_commit", "slow_drip")
#: Gateway answers: the server is never asked (``canned_…``), or it did what was asked (``swapped_…``).
GATEWAY = (*(f"canned_{name}" for name in CANNED), *(f"swapped_{name}" for name in CANNED))
KINDS = (*WIRE, *GATEWAY)


@dataclass(slots=True)
class Fault:
    """One kind of break, for so many requests."""

    kind: str
    until: float
    count: int = 1
    seconds: float = 3.0


class Proxy:
    """Between one server and its clients."""

    def __init__(self, target: int, fired: Path) -> None:
        self.target = target
        self.fired = fired
        self.armed: deque[Fault] = deque()

    def arm(self, order: dict[str, Any]) -> dict[str, Any]:
        """Take an order from the control port; ``{"clear": true}`` forgets what is left."""
        if order.get("clear"):
            self.armed.clear()
        elif order.get("kind") in KINDS:
            until = time.monotonic() + FAULT_LIVES_SECONDS
            count, seconds = int(order.get("count", 1)), float(order.get("seconds", 3.0))
            self.armed.append(Fault(order["kind"], until, count, seconds))
        else:
            return {"error": f"unknown kind {order.get('kind')!r}"}
        return {"armed": sum(fault.count for fault in self.armed)}

    def take(self) -> Fault | None:
        """The fault for the request that comes now."""
        now = time.monotonic()
        while self.armed and self.armed[0].until < now:
            self.armed.popleft()
        if not self.armed:
            return None
        fault = self.armed[0]
        fault.count -= 1
        if fault.count <= 0:
            self.armed.popleft()
        with self.fired.open("a", encoding="utf-8") as file:
            file.write(fault.kind + "\n")
        return fault

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's line."""
        try:
            up_reader, up_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(self, (reader, writer), (up_reader, up_writer))
        with contextlib.suppress(OSError):
            await line.run()
        for side in (writer, up_writer):
            if not side.transport.is_closing():
                side.transport.abort()

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Orders, one a line."""
        while order := await reader.readline():
            writer.write(json.dumps(self.arm(json.loads(order))).encode() + b"\n")
            await writer.drain()
        writer.close()


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Line:
    """A client's connection and ours to the server; ``_fault`` is what the request under way suffers."""

    def __init__(self, proxy: Proxy, client: Ends, server: Ends) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._fault: Fault | None = None

    async def run(self) -> None:
        """Until one side is gone or the line is broken."""
        forth, back = asyncio.create_task(self._forth()), asyncio.create_task(self._back())
        done, left = await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
        if forth in done and forth.exception() is None and forth.result():
            left = {back} if back in left else set()
            if left:  # the client said its last word: what the server still says goes through
                await asyncio.wait(left)
        for task in (forth, back):
            task.cancel()
        await asyncio.gather(forth, back, return_exceptions=True)

    async def _forth(self) -> bool:
        """From the client to the server; false where the line is to be broken now."""
        reader, (_, server) = self._client[0], self._server
        while piece := await reader.read(_PIECE):
            if self._fault is None:
                self._fault = self._proxy.take()
            kind = self._fault.kind if self._fault else ""
            if kind == "reset":
                return False
            if kind.startswith("canned_"):
                self._client[1].write(CANNED[kind.partition("_")[2]])
                await self._client[1].drain()
                return False
            if kind == "cut_request":
                server.write(piece[: len(piece) // 2])
                await server.drain()
                return False
            if kind == "stall" and self._fault is not None:
                await asyncio.sleep(self._fault.seconds)
                self._fault = None
            server.write(piece)
            await server.drain()
        server.write_eof()
        return True

    async def _back(self) -> None:
        """From the server to the client."""
        client = self._client[1]
        while piece := await self._server[0].read(_PIECE):
            kind = self._fault.kind if self._fault else ""
            if kind == "lose_answer":
                return
            if kind == "hang_after_commit" and self._fault is not None:
                await asyncio.sleep(self._fault.seconds)
                return
            if kind.startswith("swapped_"):
                client.write(CANNED[kind.partition("_")[2]])
                await client.drain()
                return
            if kind == "cut_answer":
                client.write(piece[: len(piece) // 2])
                await client.drain()
                return
            if kind == "slow_drip" and self._fault is not None:
                await self._drip(piece, self._fault.seconds)
                continue
            client.write(piece)
            await client.drain()

    async def _drip(self, piece: bytes, seconds: float) -> None:
        """A piece in small drops over so many seconds."""
        drops = range(0, len(piece), max(_DRIP_BYTES, len(piece) // 20))
        for start in drops:
            self._client[1].write(piece[start : start + drops.step])
            await self._client[1].drain()
            await asyncio.sleep(seconds / max(1, len(drops)))
        self._fault = None


async def _run(options: argparse.Namespace) -> None:
    proxy = Proxy(options.target, options.fired)
    server = await asyncio.start_server(proxy.serve, HOST, options.port)
    control = await asyncio.start_server(proxy.control, HOST, options.control)
    print(json.dumps({"ready": True, "port": options.port}), flush=True)
    async with server, control:
        await asyncio.gather(server.serve_forever(), control.serve_forever())


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tools.prove.proxy", description=__doc__)
    for name in ("--port", "--target", "--control"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--fired", type=Path, required=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
