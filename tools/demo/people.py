"""The company's people at the OA's own API: each acts with their own user id, as browsers and apps do.

An application of their own (``employees``), so that its registration never disturbs the suite's. An OA that dies while
somebody presses a button leaves them in doubt: then they look (for a new form) or press again (a refusal says that it
was done).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tools.demo.claims import Claim

APPROVER = "500"
CASHIER = "600"
MONITOR = "999"
_APPID = "employees"
_SERVICE = "/api/workflow/paService/"
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.25
#: What stands in an answer where the login counts no more; every other code of the service is a word.
_NO_SESSION = -1


class Refused(RuntimeError):
    """The OA did not let a user do something; nothing was done."""


class Unanswered(ConnectionError):
    """The line broke after a call was sent: perhaps it was done, perhaps not."""


class People:
    """A session with the OA for all users."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url
        self._token = self._secret = ""
        self._key: rsa.RSAPublicKey | None = None
        self._ciphers: dict[str, str] = {}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=30))
        registration = await self._auth("regist", {"cpk": "123"})
        key = serialization.load_der_public_key(base64.b64decode(registration["spk"]))
        if not isinstance(key, rsa.RSAPublicKey):
            raise Refused("the OA gave no RSA key")
        self._key, self._secret = key, str(registration["secrit"])
        await self._log_in()
        return self

    async def _log_in(self) -> None:
        answer = await self._auth("applytoken", {"secret": self._cipher(self._secret), "time": "36000"})
        self._token = answer["token"]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    # ------------------------------------------------------------------ what people do

    async def create(self, claim: Claim, *, submit: bool = True) -> str:
        """The employee fills in a claim and sends it off (or keeps a draft). Returns the request id."""
        form = {
            "workflowId": claim.workflow_id,
            "requestName": f"费用报销单-{claim.employee_name}-{claim.day.isoformat()}",
            "mainData": _json(claim.main_data()),
            "detailData": _json(claim.detail_data()),
            "otherParams": _json({"isnextflow": 1 if submit else 0}),
        }
        while True:
            try:
                answer = await self._call("doCreateRequest", claim.creator, form)
            except Unanswered:
                found = await self._mine(claim)
                if found:
                    return found
            else:
                return str(answer["data"]["requestid"])

    async def _mine(self, claim: Claim) -> str:
        """The employee looks whether the claim is in their list. Its request id, or nothing."""
        condition = _json({"wfcode": claim.number})
        while True:
            with suppress(Unanswered):
                rows = await self._post(
                    _SERVICE + "getMyWorkflowRequestList",
                    self._headers(claim.creator),
                    {"conditions": condition, "pageNo": "1", "pageSize": "10"},
                )
                return next((str(row["requestId"]) for row in rows), "")

    async def resubmit(self, request_id: str, claim: Claim) -> None:
        """The employee corrects a claim that came back and sends it off again."""
        await self._act(
            "submitRequest",
            claim.creator,
            {
                "requestId": request_id,
                "mainData": _json(claim.main_data()),
                "detailData": _json(claim.detail_data(replace_rows=True)),
            },
        )

    async def approve(self, request_id: str) -> None:
        """The manager approves."""
        await self._act("submitRequest", APPROVER, {"requestId": request_id, "remark": "同意"})

    async def reject(self, request_id: str, by: str = APPROVER) -> None:
        """The manager or the cashier sends a claim back."""
        await self._act("rejectRequest", by, {"requestId": request_id, "remark": "请补充说明"})

    async def withdraw(self, request_id: str, claim: Claim) -> None:
        """The employee takes a claim back."""
        await self._act("withdrawRequest", claim.creator, {"requestId": request_id, "remark": "撤回修改"})

    async def pay(self, request_id: str) -> None:
        """The cashier pays."""
        await self._act("submitRequest", CASHIER, {"requestId": request_id, "remark": "已付款"})

    async def force_over(self, request_id: str) -> None:
        """The workflow monitor archives a form at once."""
        await self._act("doForceOver", MONITOR, {"requestId": request_id, "otherParams": _json({"ismonitor": "1"})})

    # ------------------------------------------------------------------ the wire

    async def _auth(self, name: str, headers: Mapping[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = await self._post(f"/api/ec/dev/auth/{name}", {"appid": _APPID, **headers}, {})
        if not answer.get("status"):
            raise Refused(f"{name}: {answer.get('msg')}")
        return answer

    async def _act(self, operation: str, user: str, form: Mapping[str, str]) -> None:
        """Press a button. Without an answer: again, and a refusal then says that it was done the first time."""
        doubtful = False
        while True:
            try:
                await self._call(operation, user, form)
            except Unanswered:
                doubtful = True
            except Refused:
                if not doubtful:
                    raise
                return
            else:
                return

    def _headers(self, user: str) -> dict[str, str]:
        return {"appid": _APPID, "token": self._token, "userid": self._cipher(user)}

    async def _call(self, operation: str, user: str, form: Mapping[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = await self._post(_SERVICE + operation, self._headers(user), form)
        if answer.get("code") == _NO_SESSION:  # every token ended: nothing was done, the same again after a login
            await self._log_in()
            answer = await self._post(_SERVICE + operation, self._headers(user), form)
        if answer.get("code") != "SUCCESS":
            raise Refused(f"{operation} by {user} on {form.get('requestId', 'new')}: {_json(answer)[:300]}")
        return answer

    async def _post(self, path: str, headers: Mapping[str, str], form: Mapping[str, str]) -> Any:
        """A call. An OA that refuses the connection (it is being started again) is asked again for a while.

        Raises:
            Unanswered: the connection broke after the call was sent.
        """
        if self._http is None:
            raise Refused("not opened")
        until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                async with self._http.post(self._base + path, headers=dict(headers), data=dict(form)) as answer:
                    return await answer.json(content_type=None)
            except aiohttp.ClientConnectorError:
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                raise Unanswered(f"{path}: {error}") from error

    def _cipher(self, text: str) -> str:
        if self._key is None:
            raise Refused("not registered")
        if text not in self._ciphers:
            self._ciphers[text] = base64.b64encode(self._key.encrypt(text.encode(), padding.PKCS1v15())).decode()
        return self._ciphers[text]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
