"""Calls of the journal sandbox's API with one login shared by all processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import FinbridgeError
from finbridge.core.ports import TokenStore
from finbridge.core.tokens import SharedToken
from finbridge.core.transport import HttpClient, NoAnswerError, NotSentError, RateBudget, Response, verification
from finbridge.systems.journal.models import LoginReply

DEFAULT_RATE = RateBudget(per_second=50.0, burst=50, parallel=4)
_MARGIN_SECONDS = 30.0


class LoginRefused(FinbridgeError):
    """User or password refused."""


class LoginFailed(FinbridgeError):
    """Nobody knows whether the credentials are right: finance did not answer the login as documented."""

    def __init__(self, response: Response) -> None:
        super().__init__("login_failed", f"财务系统登录未成功 / login answered HTTP {response.status}")
        self.response = response


class JournalClient:
    """One finance system as one user. One event loop; opens nothing before its first call.

    Args:
        settings: ``login``, ``password``; ``extra.timeout_seconds`` (30), ``extra.rate_*``.
        tokens: the store shared by all processes.
    """

    def __init__(self, settings: ConnectionSettings, *, tokens: TokenStore) -> None:
        self.http = HttpClient(
            settings.base_url,
            rate=RateBudget.of(settings.extra, DEFAULT_RATE),
            timeout_seconds=float(str(settings.extra.get("timeout_seconds", 30))),
            verify=verification(settings.extra),
        )
        self.http.redactor.add(settings.password)
        self._credentials = {"user": settings.login, "password": settings.password}
        self._shared = SharedToken(tokens, f"journal|{settings.base_url}|{settings.login}|token")
        self._mutex = asyncio.Lock()
        self._token: str | None = None

    @property
    def token_name(self) -> str:
        """Under which the token stands in the token store."""
        return self._shared.name

    async def close(self) -> None:
        """Close connections."""
        await self.http.close()

    async def post(self, vouchers: Sequence[Mapping[str, Any]]) -> Response:
        """Post a batch. After a refused session it logs in once; a second 401 is returned.

        Raises:
            NotSentError: the batch did not leave (a login that found nobody is of this kind too).
            NoAnswerError: the batch may have been posted.
            LoginRefused: the batch was not sent.
            LoginFailed: the batch was not sent.
        """
        return await self._call("POST", json_body={"vouchers": list(vouchers)})

    async def find(self, company: str, keys: Sequence[str]) -> Response:
        """Entries under these keys."""
        return await self._call("GET", params={"company": company, "keys": ",".join(keys)})

    async def period(self, company: str, period: str, after: int, limit: int) -> Response:
        """A page of a period's entries in order of posting."""
        params = {"company": company, "period": period, "after": str(after), "limit": str(limit)}
        return await self._call("GET", params=params)

    async def _call(
        self, method: str, *, params: Mapping[str, str] | None = None, json_body: object = None
    ) -> Response:
        token = await self._session(None)
        response = await self._send(method, token, params, json_body)
        if response.status == 401:  # finance looked at the header and did nothing
            response = await self._send(method, await self._session(token), params, json_body)
        if response.status == 429:
            self.http.pause(response.retry_after_seconds or 1.0)
        return response

    async def _send(self, method: str, token: str, params: Mapping[str, str] | None, json_body: object) -> Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(method, "/api/vouchers", params=params, json_body=json_body, headers=headers)

    async def _session(self, refused: str | None) -> str:
        """A token; another one than ``refused``, made by us or by another process."""
        async with self._mutex:
            if self._token is None or self._token == refused:
                self._token = await self._stored_or_new(refused)
            return self._token

    async def _stored_or_new(self, refused: str | None) -> str:
        async with self._shared.locked():
            stored = await self._shared.get()
            if stored is not None and stored != refused:
                self.http.redactor.add(stored)
                return stored
            reply = await self._login()
            self.http.redactor.add(reply.token)
            lifetime = timedelta(seconds=max(reply.expires_in - _MARGIN_SECONDS, reply.expires_in / 2))
            await self._shared.put(reply.token, datetime.now(UTC) + lifetime)
            return reply.token

    async def _login(self) -> LoginReply:
        try:
            response = await self.http.request("POST", "/login", json_body=self._credentials, effect=False)
        except NoAnswerError as error:  # the login is in doubt; the call behind it never left
            raise NotSentError(error.code, error.staff, error.engineer) from None
        if response.status in (401, 403):
            raise LoginRefused(
                "login_refused",
                "财务系统拒绝登录,请检查用户和密码 / finance refuses the login: check user and password",
            )
        try:
            if response.status == 200:
                return LoginReply.model_validate(response.json())
        except (ValueError, ValidationError):
            pass
        raise LoginFailed(response)
