"""Tryton's JSON-RPC, asynchronous (trytond 8.2: ``POST /{database}/rpc/``).

What an answer means is decided by status and JSON type, never by text:

========================  ==================================================================================
200 with ``result``       done
200 with ``error``        an exception ended the call; its transaction was rolled back: `CallRefused`
401                       no such session: log in once, ask again, then `LoginRefused`
429                       too many attempts: `Throttled`
503                       a lock was not got, or the ledger's database went away: `Busy`
400, 403, 404, 405, 413   the server did nothing: `CallRefused`
anything else, or a body  no trustworthy answer: `Doubtful`
that is not this JSON
========================  ==================================================================================

A 503 mostly says that nothing was done, but trytond also answers so when its database dies during the commit. The
adapter therefore reads back by key before it believes `Busy` or `CallRefused` after a write.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ports import TokenStore
from finbridge.core.tokens import SharedToken
from finbridge.core.transport import HttpClient, NoAnswerError, RateBudget, Response

DEFAULT_RATE = RateBudget(per_second=50, burst=50, parallel=4)
#: Above the 60 s after which the ledger's module gives a write up, so that a lost answer is seldom a late one.
DEFAULT_TIMEOUT_SECONDS = 90.0
_OK, _UNAUTHORIZED, _TOO_MANY, _UNAVAILABLE = 200, 401, 429, 503
_NOT_DONE = frozenset({400, 403, 404, 405, 413})
#: How the methods that only read begin; all others are effects, which a pause stops.
_READING = ("find_", "list_")


class Busy(RetryLater):
    """503: a lock was not got, or the ledger's database went away."""


class Throttled(RetryLater):
    """429: too many calls; ``after_seconds`` says when."""


class CallRefused(RetryLater):
    """The server ended the call without doing it."""


class Doubtful(RetryLater):
    """An answer came that proves nothing."""


class NotLoggedIn(RetryLater):
    """No session could be had now; the call itself was not sent."""


class LoginRefused(GiveUp):
    """User or password is wrong, even with a fresh login."""


class TrytonClient:
    """Calls as one user; the session is shared by all processes through the token store.

    Args:
        settings: host, port, scheme, login, password; ``database`` (or ``extra.database``); ``extra.timeout_seconds``
            (90), ``extra.verify`` (true), ``extra.rate_*``.

    Attributes:
        seen_at: Tryton's clock (UTC) as its last answer showed it.

    Raises:
        GiveUp: database or login is missing.
    """

    def __init__(self, settings: ConnectionSettings, *, tokens: TokenStore) -> None:
        extra = settings.extra
        database = settings.database or str(extra.get("database", ""))
        if not database or not settings.login:
            raise GiveUp(
                "bad_connection",
                f"连接 {settings.conn_id} 缺少数据库或用户 / the connection needs a database and a login",
            )
        self.http = HttpClient(
            settings.base_url,
            rate=RateBudget.of(extra, DEFAULT_RATE),
            timeout_seconds=float(str(extra.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS))),
            verify=str(extra.get("verify", "true")).lower() != "false",
        )
        self.http.redactor.add(settings.password)
        self._path = f"/{database}/rpc/"
        self._login = settings.login
        self._password = settings.password
        self._shared = SharedToken(tokens, f"tryton|{settings.base_url}|{database}|{settings.login}")
        self._session: str | None = None
        self.seen_at: datetime | None = None

    @property
    def token_name(self) -> str:
        """Under which the session stands in the token store."""
        return self._shared.name

    async def close(self) -> None:
        """Close connections; the session stays for the other processes."""
        await self.http.close()

    async def call(self, method: str, *params: Any) -> Any:
        """A model's method (``account.move.find_refs``) with an empty context.

        Raises:
            NotSentError, NotLoggedIn: nothing was sent (paused, too: `StoppedError`).
            NoAnswerError, Busy, Throttled, CallRefused, Doubtful, LoginRefused: see the module's text.
        """
        session = self._session or await self._shared.get() or await self._renew(None)
        answer = await self._send(method, params, session)
        for _ in range(2):  # the first renewal may find another process's session, which may be old too
            if answer.status != _UNAUTHORIZED:
                break
            session = await self._renew(session)
            answer = await self._send(method, params, session)
        if answer.status == _UNAUTHORIZED:
            raise self._login_refused()
        self._session = session
        return self._result(method, answer)

    async def _send(self, method: str, params: tuple[Any, ...], session: str) -> Response:
        body = {"id": 0, "method": f"model.{method}", "params": [*params, {}]}
        answer = await self.http.request(
            "POST",
            self._path,
            json_body=body,
            headers={"Authorization": f"Session {session}"},
            effect=not method.rpartition(".")[2].startswith(_READING),
        )
        self.seen_at = answer.date or self.seen_at
        return answer

    async def _renew(self, stale: str | None) -> str:
        """A session newer than ``stale``: another process may have made it already; else log in, once."""
        async with self._shared.locked():
            shared = await self._shared.get()
            if shared is not None and shared != stale:
                return shared
            try:
                session = await self._log_in()
            except (NoAnswerError, Busy, CallRefused, Doubtful) as error:
                raise NotLoggedIn(error.code, error.staff, f"log in: {error.engineer}") from error
            await self._shared.put(session, None)
            return session

    async def _log_in(self) -> str:
        body = {"id": 0, "method": "common.db.login", "params": [self._login, {"password": self._password}]}
        answer = await self.http.request("POST", self._path, json_body=body, effect=False)
        if answer.status == _UNAUTHORIZED:
            raise self._login_refused()
        user_id, secret, *_ = self._result("common.db.login", answer)
        session = base64.b64encode(f"{self._login}:{user_id}:{secret}".encode()).decode()
        self.http.redactor.add(session, secret)
        return session

    def _result(self, method: str, answer: Response) -> Any:
        if answer.status == _TOO_MANY:
            after = answer.retry_after_seconds
            after = 5.0 if after is None else after
            self.http.pause(after)
            raise Throttled("throttled", "财务系统要求稍后再试 / the ledger asks to slow down", after_seconds=after)
        if answer.status == _UNAVAILABLE:
            raise Busy("locked", "财务系统正忙(记录被锁定) / the ledger is busy: a record is locked", after_seconds=1.0)
        if answer.status in _NOT_DONE:
            raise _refused(f"{method}: HTTP {answer.status}")
        if answer.status != _OK:
            raise _doubtful(f"{method}: HTTP {answer.status}")
        try:
            body = answer.json()
        except ValueError:
            raise _doubtful(f"{method}: HTTP 200, not JSON") from None
        if isinstance(body, dict) and "error" in body:
            # [class name, [message, …]], or [text, trace] where an unexpected exception ended the call
            error = body["error"]
            if isinstance(error, list) and error[:1] == ["LoginException"]:
                raise self._login_refused()  # it asks for a second factor: not for an integration user
            raise _refused(f"{method}: {self.http.redactor(str(error))[:500]}")
        if not isinstance(body, dict) or "result" not in body:
            raise _doubtful(f"{method}: HTTP 200 without a result")
        return body["result"]

    def _login_refused(self) -> LoginRefused:
        return LoginRefused(
            "login_refused",
            f"财务系统拒绝登录,请检查用户 {self._login} 的密码和权限 / the ledger refuses user {self._login}",
        )


def _refused(detail: str) -> CallRefused:
    return CallRefused("refused_unprocessed", "财务系统未处理该请求 / the ledger ended the call undone", detail)


def _doubtful(detail: str) -> Doubtful:
    return Doubtful("no_trustworthy_answer", "财务系统的应答无法识别 / the ledger's answer proves nothing", detail)
