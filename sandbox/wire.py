"""What both sandboxes share on the wire: replies, a lean HTTP server, and faults that a line between systems can have.

A fault rule is data: ``{"endpoint": glob, "fault": name, "count": n | "probability": p, "seed": s, "skip": k,
"after_commit": bool, ...}``. It fires ``count`` times (or for ever with ``probability`` and no count), after letting
``skip`` matching calls pass. Faults known here happen on the wire; a sandbox knows others of its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import random
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

import orjson
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

MAX_BODY_BYTES = 1 << 30
LOCAL = "127.0.0.1"
MAX_LINE_BYTES = 1 << 16  # five hundred keys in one query string
HTML_BODY = (
    "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>系统繁忙</h1>"
    "<p>The server encountered an internal error.</p></body></html>"
).encode()
JSON_TYPE = "application/json"
HTML_TYPE = "text/html"


@dataclass(slots=True)
class Reply:
    """An answer before it goes on the wire."""

    body: bytes
    status: int = 200
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(value: object, status: int = 200) -> Reply:
    """An answer whose body is JSON."""
    return Reply(orjson.dumps(value), status)


class BadRule(ValueError):
    """A fault rule that nobody understands."""


@dataclass(slots=True)
class FaultRule:
    """One rule; ``options`` are what the fault itself reads (seconds, retry_after, body, by, rows, …)."""

    endpoint: str
    fault: str
    count: int | None
    probability: float
    after_commit: bool
    skip: int
    options: Mapping[str, Any]
    random: random.Random
    shown: int = 0

    def fires(self, endpoint: str) -> bool:
        """Whether this call gets the fault; counts."""
        if self.count == 0 or not fnmatchcase(endpoint, self.endpoint):
            return False
        if self.probability < 1 and self.random.random() >= self.probability:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None:
            self.count -= 1
        self.shown += 1
        return True

    def seconds(self, default: float) -> float:
        """The option ``seconds``."""
        return float(self.options.get("seconds", default))

    def describe(self) -> dict[str, object]:
        """The rule as JSON, with what is left and what was shown."""
        return {
            "endpoint": self.endpoint,
            "fault": self.fault,
            "count": self.count,
            "probability": self.probability,
            "after_commit": self.after_commit,
            "skip": self.skip,
            "shown": self.shown,
            **self.options,
        }


_RULE_KEYS = {"endpoint", "fault", "kind", "count", "probability", "seed", "after_commit", "skip"}
WIRE_FAULTS = frozenset(
    {"timeout", "reset", "close", "truncate", "slow_drip", "delay", "html", "error_body"}
    | {f"http_{status}" for status in (401, 403, 429, 500, 502, 503, 504)}
)


class FaultBook:
    """The rules of one sandbox; the first that fires decides a call."""

    def __init__(self, known: frozenset[str]) -> None:
        self.known = known | WIRE_FAULTS
        self.rules: list[FaultRule] = []

    def add(self, raw: object) -> None:
        """Append rules: a list, or ``{"rules": [...]}``, or a single rule.

        Raises:
            BadRule: unknown fault name, or neither count nor probability is a number.
        """
        if isinstance(raw, dict):
            raw = raw.get("rules", [raw])
        if not isinstance(raw, list):
            raise BadRule("rules are a JSON list")
        self.rules.extend([self._rule(item) for item in raw])

    def _rule(self, item: Mapping[str, Any]) -> FaultRule:
        name = str(item.get("fault") or item.get("kind") or "")
        if name not in self.known:
            raise BadRule(f"unknown fault {name!r}; known: {', '.join(sorted(self.known))}")
        probability = item.get("probability")
        count = item.get("count", None if probability is not None else 1)
        return FaultRule(
            endpoint=str(item.get("endpoint", "*")),
            fault=name,
            count=None if count is None else int(count),
            probability=1.0 if probability is None else float(probability),
            after_commit=bool(item.get("after_commit", False)),
            skip=int(item.get("skip", 0)),
            options={key: value for key, value in item.items() if key not in _RULE_KEYS},
            random=random.Random(item.get("seed", 0)),
        )

    def clear(self) -> None:
        """Forget all rules."""
        self.rules.clear()

    def pick(self, endpoint: str) -> FaultRule | None:
        """The rule that fires for this call, if any."""
        for rule in self.rules:
            if rule.fires(endpoint):
                return rule
        return None

    def describe(self) -> list[dict[str, object]]:
        """All rules as JSON."""
        return [rule.describe() for rule in self.rules]


Answer = Callable[[], Awaitable[Reply]]


async def show(rule: FaultRule, request: web.BaseRequest, answer: Answer, error_body: bytes) -> web.StreamResponse:
    """Show a wire fault; ``answer`` does the work and is called before (``after_commit``), or not at all."""
    name = rule.fault
    if name == "delay":
        await asyncio.sleep(rule.seconds(1.0))
        return response(await answer())
    if name in {"slow_drip", "truncate"}:
        return await _damaged(rule, request, await answer())
    if rule.after_commit:
        await answer()
    if name == "timeout":
        await _hang(request, rule.seconds(600.0))
        _abort(request, reset=False)
        return web.Response()
    if name in {"reset", "close"}:
        _abort(request, reset=name == "reset")
        return web.Response()
    return response(_wrong_reply(rule, error_body))


def _wrong_reply(rule: FaultRule, error_body: bytes) -> Reply:
    if rule.fault == "html":
        return Reply(HTML_BODY, 200, HTML_TYPE)
    if rule.fault == "error_body":
        body = rule.options.get("body")
        return Reply(error_body if body is None else orjson.dumps(body))
    headers = {"Retry-After": str(rule.options["retry_after"])} if "retry_after" in rule.options else {}
    body = rule.options.get("body")
    status = int(rule.fault.removeprefix("http_"))
    if body is not None:
        return Reply(orjson.dumps(body), status, JSON_TYPE, headers)
    return Reply(HTML_BODY, status, HTML_TYPE, headers)


async def _hang(request: web.BaseRequest, seconds: float) -> None:
    """Stay silent until the caller has gone or the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (  # noqa: ASYNC110  # aiohttp announces no lost peer: its transport is the only sign
        loop.time() < end and request.transport is not None and not request.transport.is_closing()
    ):
        await asyncio.sleep(0.05)


def _abort(request: web.BaseRequest, *, reset: bool) -> None:
    """Close the connection without an answer, by RST or by FIN."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


async def _damaged(rule: FaultRule, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """The whole body in drips, or half of it and then the end of the line."""
    stream = web.StreamResponse(status=reply.status, headers=reply.headers)
    stream.content_type = reply.content_type
    stream.content_length = len(reply.body)
    await stream.prepare(request)
    if rule.fault == "truncate":
        await stream.write(reply.body[: len(reply.body) // 2])
        _abort(request, reset=False)
        return stream
    size = int(rule.options.get("bytes", 1))
    for start in range(0, len(reply.body), size):
        await stream.write(reply.body[start : start + size])
        await asyncio.sleep(rule.seconds(0.05))
    await stream.write_eof()
    return stream


def response(reply: Reply) -> web.Response:
    """The reply as aiohttp sends it."""
    answer = web.Response(body=reply.body, status=reply.status, headers=reply.headers)
    charset = "" if "charset=" in reply.content_type else ";charset=utf-8"
    answer.headers["Content-Type"] = reply.content_type + charset
    return answer


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def listen(handler: Handler, port: int, host: str = LOCAL) -> tuple[web.ServerRunner, int]:
    """Serve ``handler`` on ``host`` without a router; returns the runner and the bound port."""
    loop = asyncio.get_running_loop()

    def make(  # the shape is aiohttp's; only the size limit differs from its default
        message: RawRequestMessage, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)

    runner = web.ServerRunner(
        web.Server(handler, request_factory=make, access_log=None, max_line_size=MAX_LINE_BYTES), shutdown_timeout=1.0
    )
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    host_port = runner.addresses[0]
    return runner, int(host_port[1])


def ready_line(**values: object) -> None:
    """Print the one line that says the server answers."""
    sys.stdout.write(orjson.dumps({"ready": True, **values}).decode() + "\n")
    sys.stdout.flush()


def hold(folder: Path) -> IO[bytes]:
    """Keep a data folder for this process: two servers over one file would each believe their own memory.

    Raises:
        SystemExit: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"{folder} is in use by another process") from None
    return lock


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; to be asked for before the ready line, which invites the signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
