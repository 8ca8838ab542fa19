"""Registration, token and user header of the "ecology dev" authentication (OA contracts, section 1.1).

Three secrets of different age:
registration
    ``spk`` + ``secret`` from regist. Made once for an appid and shared by everybody through the token store, because
    on most builds a second regist makes new keys and so kills every ciphertext that the first one's users hold.
    A stored registration is therefore never replaced here, not even when the OA refuses it: that is said, and a
    person decides (another system may be using the same appid).
token
    From applytoken, valid for ``token_seconds``; shared through the token store, made anew by one process while the
    others wait and read it.
user
    The ``userid`` header, encrypted once a client.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import ValidationError

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ports import TokenStore
from finbridge.core.redaction import Redactor
from finbridge.core.tokens import SharedToken
from finbridge.core.transport import HttpClient, NoAnswerError, NotSentError
from finbridge.systems.weaver.models import ApplyTokenReply, RegistReply, shape_error
from finbridge.systems.weaver.replies import Means, Reply, read_reply

REGIST = "/api/ec/dev/auth/regist"
APPLYTOKEN = "/api/ec/dev/auth/applytoken"
_DEFAULT_TOKEN_SECONDS = 1800
_Answer = TypeVar("_Answer", RegistReply, ApplyTokenReply)
_MARGIN_SECONDS = 60  # a stored token is not handed out in its last minute


@dataclass(frozen=True, slots=True)
class Registration:
    """What regist gave: the OA's public key (base64 DER) and our secret."""

    spk: str = field(repr=False)
    secret: str = field(repr=False)

    def encrypt(self, text: str) -> str:
        """Base64 of RSA PKCS#1 v1.5, as the vendor's Java does it.

        Raises:
            GiveUp: ``spk`` is no RSA public key.
        """
        try:
            key = serialization.load_der_public_key(base64.b64decode(self.spk))
        except (ValueError, binascii.Error):
            key = None
        if not isinstance(key, rsa.RSAPublicKey):
            raise GiveUp(
                "bad_registration", "OA 注册信息中的公钥无法读取 / spk of the stored registration is no RSA key"
            )
        return base64.b64encode(key.encrypt(text.encode(), padding.PKCS1v15())).decode()

    @classmethod
    def load(cls, stored: str) -> Registration:
        """From the token store."""
        item = orjson.loads(stored)
        return cls(item["spk"], item["secret"])

    def dump(self) -> str:
        """For the token store."""
        return orjson.dumps({"spk": self.spk, "secret": self.secret}).decode()


class WeaverAuth:
    """Headers for business calls of one OA user.

    Args:
        http: the connection's client; its redactor learns every secret.
        settings: ``login`` = OA user id; ``extra.appid``; ``extra.token_seconds``; where the OA's administrators hand
            out a registration of their own, ``password`` = secret and ``extra.spk``: then regist is never called.
        tokens: the store shared by all processes.

    Raises:
        GiveUp: appid or user id is missing.
    """

    def __init__(self, http: HttpClient, settings: ConnectionSettings, tokens: TokenStore) -> None:
        extra = settings.extra
        self._http = http
        self._appid = str(extra.get("appid", ""))
        self._user = settings.login
        if not self._appid or not self._user:
            raise GiveUp(
                "bad_connection", f"连接 {settings.conn_id} 缺少 appid 或 OA 用户编号 / needs extra.appid and login"
            )
        self._seconds = int(str(extra.get("token_seconds", _DEFAULT_TOKEN_SECONDS)))
        self._given = Registration(str(extra["spk"]), settings.password) if extra.get("spk") else None
        name = f"weaver|{settings.base_url}|{self._appid}"
        self._stored_registration = SharedToken(tokens, f"{name}|registration")
        self._stored_token = SharedToken(tokens, f"{name}|token")
        self._mutex = asyncio.Lock()
        self._registration: Registration | None = None
        self._userid = ""
        self._token: str | None = None

    @property
    def redact(self) -> Redactor:
        """Knows every secret of this connection."""
        return self._http.redactor

    @property
    def token_name(self) -> str:
        """Under which the token stands in the token store."""
        return self._stored_token.name

    async def headers(self, refused: str | None = None) -> dict[str, str]:
        """``token``, ``appid``, ``userid`` for one call.

        Args:
            refused: the token that the OA has just refused; another one is returned, made by us or by another process.

        Raises:
            RetryLater: the OA is away.
            GiveUp: registration dead, app or licence refused.
        """
        async with self._mutex:
            if refused is not None:
                self._registration = None  # somebody may have registered again and said so in the store
            registration = await self._registered()
            if self._token is None or self._token == refused:
                self._token = await self._shared_token(registration, refused)
            return {"token": self._token, "appid": self._appid, "userid": self._userid}

    async def register(self) -> bool:
        """Make the registration if there is none yet (set-up). Returns whether it was made now."""
        async with self._mutex:
            before = await self._stored_registration.get() or self._given
            await self._registered()
            return before is None

    async def _registered(self) -> Registration:
        if self._registration is None:
            self._registration = self._given or await self._stored_or_new()
            self._userid = self._registration.encrypt(self._user)
            self.redact.add(self._registration.secret, self._registration.spk, self._userid)
        return self._registration

    async def _stored_or_new(self) -> Registration:
        async with self._stored_registration.locked():
            stored = await self._stored_registration.get()
            if stored is not None:
                return Registration.load(stored)
            answer = await self._call(REGIST, {"cpk": "123"}, RegistReply)  # the server ignores cpk
            fresh = Registration(answer.spk, answer.secrit or answer.secret)
            self.redact.add(fresh.secret)
            if not fresh.spk or not fresh.secret:
                raise GiveUp("bad_registration", "OA 注册应答缺少 spk 或 secret / regist gave no spk or no secret")
            await self._stored_registration.put(fresh.dump(), None)
            return fresh

    async def _shared_token(self, registration: Registration, refused: str | None) -> str:
        async with self._stored_token.locked():
            stored = await self._stored_token.get()
            if stored is not None and stored != refused:
                self.redact.add(stored)
                return stored
            secret = registration.encrypt(registration.secret)
            self.redact.add(secret)
            headers = {"secret": secret, "time": str(self._seconds)}
            token = (await self._call(APPLYTOKEN, headers, ApplyTokenReply)).token
            if not token:
                raise GiveUp("bad_token", "OA 未返回令牌 / applytoken gave no token")
            self.redact.add(token)
            lifetime = timedelta(seconds=max(self._seconds - _MARGIN_SECONDS, self._seconds / 2))
            await self._stored_token.put(token, datetime.now(UTC) + lifetime)
            return token

    async def _call(self, path: str, headers: dict[str, str], shape: type[_Answer]) -> _Answer:
        try:
            response = await self._http.request("POST", path, headers={"appid": self._appid, **headers}, effect=False)
        except NoAnswerError as error:  # this call is in doubt; the one behind it never left
            raise NotSentError(error.code, error.staff, error.engineer) from None
        reply = read_reply(response, path.rpartition("/")[2])
        if reply.means is not Means.DONE:
            raise self._refusal(reply, path)
        try:
            return shape.model_validate(reply.body)
        except ValidationError as error:
            raise GiveUp(
                "wire_shape", f"OA 认证应答格式不符 / {path} answers in another shape: {shape_error(error)}"
            ) from None

    def _refusal(self, reply: Reply, path: str) -> RetryLater | GiveUp:
        words = self.redact(reply.text)
        if reply.means is Means.REGISTRATION_DEAD:
            return GiveUp(
                "registration_dead",
                f"OA 已不认可应用 {self._appid} 的注册信息(可能被重新注册)。请由管理员核实后重新注册 / "
                f"the OA does not accept the stored registration of appid {self._appid} any more; somebody has "
                f"registered it again. It is not replaced automatically: that would cut off whoever did.",
                f"applytoken refused {self._stored_registration.name}: {words}. Find out who called regist for this "
                f"appid; then forget the stored registration and let finbridge register again.",
            )
        if reply.means is Means.ACCOUNT_REFUSED:
            return GiveUp("auth_refused", f"OA 拒绝认证 / the OA refuses authentication: {words}", f"{path}: {words}")
        after = reply.response.retry_after_seconds or 5.0
        return RetryLater("oa_away", "OA 暂不可用 / the OA is not ready", f"{path}: {words}", after_seconds=after)
