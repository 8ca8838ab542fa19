"""One asynchronous HTTP client for every system: rate budget, time-outs, and what a failed call proves.

A failed call raises one of two errors, and the difference is worth money:

NotSentError
    Provably no byte of the request left: name not resolved, connection refused or timed out, TLS not agreed, or a
    person paused the flow before the bytes left (`StoppedError`).
NoAnswerError
    A connection stood, so the request may have arrived: time-out, reset, line cut, body shorter than announced,
    something that is not HTTP. A kept-alive connection that dies under a request is of this kind too: the server may
    have read and done it before it hung up. Only a read from the system itself says what happened.

The line between them is drawn where the library hands out a connection (its trace signals), not by exception classes.
There is no cookie jar: an OA that gets its session cookie back ignores the user named in the header. Redirects are
answers, never followed. Query strings and registered secrets appear in no message and no log record.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson

from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.errors import TransportError as TransportError  # noqa: PLC0414 - also known by this module
from finbridge.core.redaction import Redactor
from finbridge.core.stopping import may_leave

_LOG = logging.getLogger("finbridge.transport")
#: Idle connections are dropped before servers commonly drop them (uvicorn 5 s): fewer requests on dying connections.
_KEEP_ALIVE_SECONDS = 3.0
_CONNECT_SECONDS = 10.0


class NotSentError(TransportError):
    """Provably no byte of the request left."""


class StoppedError(NotSentError):
    """A person paused the flow, or nobody can say whether: the call waited for its turn, and no byte of it left."""


class NoAnswerError(TransportError):
    """The request may have arrived; no trustworthy whole answer came."""


@dataclass(frozen=True, slots=True)
class RateBudget:
    """What a connection may ask of a system: calls per second on average, at once after a rest, and in flight."""

    per_second: float
    burst: int = 1
    parallel: int = 4

    def __post_init__(self) -> None:
        if self.per_second <= 0 or self.burst < 1 or self.parallel < 1:
            raise ValueError(f"a rate budget must allow something: {self}")

    @classmethod
    def of(cls, extra: Mapping[str, object], default: RateBudget) -> RateBudget:
        """The budget in a connection's extra (``rate_per_second``, ``rate_burst``, ``rate_parallel``).

        Raises:
            GiveUp: a value is not a number above zero.
        """
        try:
            return cls(
                float(str(extra.get("rate_per_second", default.per_second))),
                int(str(extra.get("rate_burst", default.burst))),
                int(str(extra.get("rate_parallel", default.parallel))),
            )
        except ValueError as error:
            raise GiveUp("bad_rate_budget", f"连接的限流参数不正确 / the connection's rate budget: {error}") from None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, whatever its status. Header names are case-insensitive."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def date(self) -> datetime | None:
        """The server's clock (header ``Date``) in UTC, whole seconds; None where absent or unreadable."""
        try:
            read = parsedate_to_datetime(self.headers["Date"])
        except (KeyError, ValueError, TypeError):
            return None
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)

    @property
    def retry_after_seconds(self) -> float | None:
        """Header ``Retry-After`` as seconds from the answer (RFC 9110, section 10.2.3: a number or a date)."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isdigit():
            return float(text)
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return None
        return max(0.0, (until - (self.date or datetime.now(UTC))).total_seconds())

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON (an HTML error page, a cut body that announced no length).
        """
        return orjson.loads(self.body)


@dataclass(slots=True)
class _Attempt:
    """What the trace signals saw of one request."""

    repeatable: bool
    effect: bool
    connections: int = 0


class _WouldRepeat(Exception):
    """The library is about to send a write again on a second connection."""


class _Gate:
    """Rate (generic cell rate algorithm: reservations in order of arrival) and parallelism of one client."""

    def __init__(self, rate: RateBudget) -> None:
        self._interval = 1.0 / rate.per_second
        self._slack = (rate.burst - 1) * self._interval
        self._due = float("-inf")
        self._semaphore = asyncio.Semaphore(rate.parallel)

    def reserve(self, now: float) -> float:
        """Take the next free place; seconds to wait for it."""
        start = max(now, self._due - self._slack)
        self._due = max(self._due, start) + self._interval
        return start - now

    def pause(self, now: float, seconds: float) -> None:
        """Give no place before ``seconds`` have passed: the server said so."""
        self._due = max(self._due, now + seconds + self._slack)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        async with self._semaphore:
            wait = self.reserve(asyncio.get_running_loop().time())
            if wait > 0:
                await asyncio.sleep(wait)
            yield


class HttpClient:
    """Calls to one base URL under one rate budget. Used by one event loop; opens nothing before its first request.

    Args:
        base_url: ``scheme://host[:port]``, without credentials.
        rate: None = no limit but the 100 connections of the library.
        timeout_seconds: from the connection's start to the last byte; waiting for the own rate budget is not in it.
        verify: False switches TLS verification off; an ``ssl.SSLContext`` brings own roots or client certificates.
        headers: sent with each request.
    """

    def __init__(
        self,
        base_url: str,
        *,
        rate: RateBudget | None = None,
        timeout_seconds: float = 30.0,
        verify: bool | ssl.SSLContext = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.redactor = Redactor()
        self.calls: Counter[str] = Counter()  # method and path (never the query) -> requests begun
        self._rate = rate
        self._timeout_seconds = timeout_seconds
        self._verify = verify
        self._headers = {"User-Agent": "finbridge", **(headers or {})}
        self._session: aiohttp.ClientSession | None = None
        self._gate: _Gate | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close connections. May be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json_body: object = None,
        headers: Mapping[str, str] | None = None,
        effect: bool | None = None,
    ) -> Response:
        """One call; any HTTP status is an answer.

        Args:
            method: GET, POST, …; only GET and HEAD may be sent again by the library on a dead kept-alive connection.
            path: begins with ``/``.
            form: sent as ``application/x-www-form-urlencoded`` in UTF-8.
            json_body: anything that orjson can write; not together with ``form``.
            effect: whether it changes something over there: then it leaves only while `may_leave` says so. None: all
                but GET and HEAD do. A POST that only reads or logs in says False.

        Raises:
            NotSentError: see the module's text.
            StoppedError: a pause came before the first byte of an effect.
            NoAnswerError: see the module's text.
        """
        session = self._open()
        reads = method in ("GET", "HEAD")
        attempt = _Attempt(repeatable=reads, effect=not reads if effect is None else effect)
        if attempt.effect:
            await _ask()  # before it takes a place in the queue
        self.calls[f"{method} {path}"] += 1
        arguments: dict[str, Any] = {"params": params, "headers": {**self._headers, **(headers or {})}}
        arguments["trace_request_ctx"] = attempt
        arguments["data"] = _encode(form, json_body, arguments["headers"])
        if self._gate is None:
            return await self._exchange(session, method, path, arguments)
        async with self._gate.slot():
            return await self._exchange(session, method, path, arguments)

    def pause(self, seconds: float) -> None:
        """Hold further requests of this client back (after a 429). Without a rate budget it does nothing."""
        if self._gate is not None:
            self._gate.pause(asyncio.get_running_loop().time(), seconds)

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                limit=self._rate.parallel if self._rate else 100,
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
                ssl=self._verify,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_seconds, sock_connect=min(_CONNECT_SECONDS, self._timeout_seconds)
                ),
                trace_configs=[_trace()],
                trust_env=False,
                skip_auto_headers=("Content-Type",),  # an empty POST has none
            )
            self._gate = _Gate(self._rate) if self._rate else None
            self._loop = loop
        elif loop is not self._loop:
            raise RuntimeError("an HttpClient belongs to one event loop")
        return self._session

    async def _exchange(
        self, session: aiohttp.ClientSession, method: str, path: str, arguments: dict[str, Any]
    ) -> Response:
        attempt: _Attempt = arguments["trace_request_ctx"]
        began = time.monotonic()
        try:
            async with session.request(method, self.base_url + path, allow_redirects=False, **arguments) as answer:
                response = Response(answer.status, answer.headers, await answer.read())
        except StoppedError as error:
            failure: TransportError = error
        except (aiohttp.ClientError, OSError, TimeoutError, _WouldRepeat) as error:
            failure = self._failure(error, attempt, method, path)
        else:
            self._note(method, path, f"{response.status}, {len(response.body)} bytes", began)
            return response
        self._note(method, path, failure.code, began)
        raise failure  # outside the handler: the library's own error, which shows the URL, is not chained

    def _note(self, method: str, path: str, result: str, began: float) -> None:
        seconds = time.monotonic() - began
        _LOG.debug("%s %s%s: %s in %.3f s", method, self.base_url, self.redactor(path), result, seconds)

    def _failure(self, error: Exception, attempt: _Attempt, method: str, path: str) -> TransportError:
        where = self.redactor(f"{method} {self.base_url}{path}")
        if attempt.connections == 0:
            code, detail = _why_not_sent(error)
            return NotSentError(
                code,
                f"无法连接对方系统,请求未发出 / cannot reach the system, nothing was sent ({self.base_url})",
                f"{where}: not sent: {self.redactor(detail)}",
            )
        timed_out = isinstance(error, TimeoutError)
        return NoAnswerError(
            "timed_out" if timed_out else "connection_lost",
            f"对方系统没有完整应答,结果未知 / no whole answer, the result is not known ({self.base_url})",
            f"{where}: sent, no whole answer: {type(error).__name__}",
        )


def verification(extra: Mapping[str, object]) -> bool | ssl.SSLContext:
    """How a connection's extra (``verify``: true, false, or a PEM file of an own certificate authority) wants TLS.

    Raises:
        GiveUp: the file cannot be read.
    """
    wanted = str(extra.get("verify", "true"))
    if wanted.lower() in ("true", "false"):
        return wanted.lower() == "true"
    try:
        return ssl.create_default_context(cafile=wanted)
    except OSError as error:
        raise GiveUp(
            "bad_certificate_file",
            f"证书文件无法读取 / the certificate file cannot be read: {wanted}: {type(error).__name__}",
        ) from None


def _why_not_sent(error: Exception) -> tuple[str, str]:
    """Code and text for a connection that never stood; the text comes from the operating system or the TLS library."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "tls_failed", str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name_not_resolved", str(error.os_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return ("tls_failed" if isinstance(error.os_error, ssl.SSLError) else "connect_failed"), str(error.os_error)
    return ("connect_timed_out" if isinstance(error, TimeoutError) else "connect_failed"), type(error).__name__


def _encode(form: Mapping[str, str] | None, json_body: object, headers: dict[str, str]) -> bytes | None:
    if form is not None and json_body is not None:
        raise ValueError("a request has a form or a JSON body, not both")
    if form is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
        return urlencode(form).encode()
    if json_body is not None:
        headers.setdefault("Content-Type", "application/json")
        return orjson.dumps(json_body)
    return None


async def _ask() -> None:
    """Raise StoppedError where an effect may not leave, or nobody can say."""
    try:
        leaves = await may_leave()
    except RetryLater as error:
        raise StoppedError(error.code, error.staff, error.engineer) from None
    if not leaves:
        raise StoppedError("paused", "流程已暂停，请求未发出 / the flow is paused: nothing was sent")


def _trace() -> aiohttp.TraceConfig:
    """Count the connections that a request was given: with the first one, its bytes may leave. Effects ask once more.

    The library calls ``on_request_headers_sent`` before it hands the first byte to the connection, and closes the
    connection where that raises.
    """

    async def connection(_session: aiohttp.ClientSession, context: Any, _params: object) -> None:
        attempt: _Attempt = context.trace_request_ctx
        attempt.connections += 1
        if attempt.connections > 1 and not attempt.repeatable:
            raise _WouldRepeat

    async def leaving(_session: aiohttp.ClientSession, context: Any, _params: object) -> None:
        attempt: _Attempt = context.trace_request_ctx
        if attempt.effect:
            await _ask()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connection)
    trace.on_connection_reuseconn.append(connection)
    trace.on_request_headers_sent.append(leaving)
    return trace
