"""regist, applytoken, and the checks of a business call (contracts section 1.1). Errors are HTTP 200 bodies.

A ciphertext is decrypted once and remembered: RSA in the path of every call would only measure RSA. Padding is
checked strictly (PKCS #1 v1.5 type 2), so that a ciphertext for a key that regist replaced is recognised as such.
"""

from __future__ import annotations

import base64
import binascii
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.weaver.model import User
from sandbox.weaver.options import Options
from sandbox.weaver.store import Store

DEFAULT_TTL_SECONDS = 1800.0
_MAX_CACHE = 20_000


class AuthError(Exception):
    """The call is answered with this body and nothing is done."""

    def __init__(self, msg: str, **extra: object) -> None:
        super().__init__(msg)
        self.body: dict[str, object] = {"msg": msg, "code": -1, "msgShowType": "none", "status": False} | extra


def login_timeout() -> AuthError:
    """The other way in which a token can be refused."""
    error = AuthError("登录信息超时")
    error.body = {"msg": "登录信息超时", "errorCode": "002", "status": False}
    return error


@dataclass(slots=True)
class _App:
    """A row of ECOLOGY_BIZ_EC."""

    secret: str
    key_der: bytes  # private key, PKCS #8
    numbers: rsa.RSAPrivateNumbers
    public: str

    @property
    def modulus_bytes(self) -> int:
        return (self.numbers.public_numbers.n.bit_length() + 7) // 8


def _app(secret: str, der: bytes) -> _App:
    key = serialization.load_der_private_key(der, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not an RSA key")
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _App(secret, der, key.private_numbers(), base64.b64encode(spki).decode())


def _new_app() -> _App:
    key = rsa.generate_private_key(65537, 2048)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return _app(str(uuid.uuid4()), der)


def _unpad(block: bytes) -> bytes | None:
    """Strict PKCS #1 v1.5 encryption padding: 00 02 PS(>= 8) 00 M."""
    end = block.find(b"\x00", 2)
    return block[end + 1 :] if block[:2] == b"\x00\x02" and end >= 10 else None


def _decrypt(app: _App, cipher: str) -> str | None:
    try:
        raw = base64.b64decode(cipher, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != app.modulus_bytes:
        return None
    number, numbers = int.from_bytes(raw, "big"), app.numbers
    first, second = pow(number, numbers.dmp1, numbers.p), pow(number, numbers.dmq1, numbers.q)
    plain = second + (numbers.iqmp * (first - second) % numbers.p) * numbers.q
    message = _unpad(plain.to_bytes(app.modulus_bytes, "big"))
    try:
        return None if message is None else message.decode()
    except UnicodeDecodeError:
        return None


class Auth:
    """Registered apps, tokens and sessions."""

    def __init__(self, store: Store, users: Mapping[str, User], apps: list[str], options: Options) -> None:
        self._store, self._users, self._options = store, users, options
        self._known = set(apps)
        self._apps = {
            appid: _app(item["secret"], base64.b64decode(item["key"])) for appid, item in store.metas("app.").items()
        }
        self._tokens = {token: (appid, expires) for token, appid, expires in store.tokens()}
        self._plain: dict[tuple[str, str], str | None] = {}
        self._sessions: dict[str, str] = {}  # JSESSIONID -> user id, in the node's memory like the real one
        self._session_of: dict[str, str] = {}
        self._miss = random.Random(7)

    # ------------------------------------------------------------ step 1 and 2

    def regist(self, headers: Mapping[str, str]) -> dict[str, object]:
        """Hand out secret and public key; a second call makes new ones and kills every stored ciphertext (switch)."""
        appid = headers.get("appid", "")
        if appid not in self._known:
            raise AuthError(f"appid不存在：{appid}")
        if not headers.get("cpk"):
            raise AuthError("cpk不能为空")
        app = self._apps.get(appid)
        if app is None or self._options.regist_regenerates:
            app = self._apps[appid] = _new_app()
            self._plain = {key: value for key, value in self._plain.items() if key[0] != appid}
            key = base64.b64encode(app.key_der).decode()
            self._store.put_meta(f"app.{appid}", {"secret": app.secret, "key": key})
        return {
            "status": True,
            "code": "0",
            "errcode": "0",
            "msg": "ok",
            "msgShowType": "none",
            "secret": app.secret,
            "secrit": app.secret,
            "spk": app.public,
        }

    def apply_token(self, headers: Mapping[str, str]) -> dict[str, object]:
        """A token for ``time`` seconds (default 1800)."""
        appid = headers.get("appid", "")
        app = self._apps.get(appid)
        if app is None:
            raise AuthError(f"认证信息错误,appid未注册：{appid}")
        secret = self._decrypted(appid, app, headers.get("secret", ""))
        if secret is None:
            raise AuthError("secret解密失败,请检查加密内容.")
        if secret != app.secret:
            raise AuthError("认证信息错误,secret不匹配")
        token, expires = str(uuid.uuid4()), time.time() + _lifetime(headers.get("time"))
        self._tokens[token] = (appid, expires)
        self._store.put_token(token, appid, expires)
        return {"msg": "获取成功!", "code": 0, "msgShowType": "none", "status": True, "token": token}

    # ------------------------------------------------------------ step 3

    def user_of(self, headers: Mapping[str, str], session_id: str | None) -> User:
        """The user as whom a business call runs.

        With the JSESSIONID trap on, a session that the client sends back wins over its ``userid`` header.

        Raises:
            AuthError: with the documented body.
        """
        token, appid = headers.get("token", ""), headers.get("appid", "")
        self._check_token(token, appid)
        if session_id is not None and self._options.jsessionid_trap and session_id in self._sessions:
            return self._users[self._sessions[session_id]]
        app = self._apps.get(appid)
        plain = None if app is None else self._decrypted(appid, app, headers.get("userid", ""))
        if plain is None:
            raise AuthError("userid解密失败,请检查加密内容.")
        user = self._users.get(plain)
        if user is None or user.locked:
            raise AuthError("该账号存在异常,单点登录失败")
        return user

    def _check_token(self, token: str, appid: str) -> None:
        known = self._tokens.get(token)
        missed = self._options.token_miss > 0 and self._miss.random() < self._options.token_miss
        if known is None or known[0] != appid or known[1] <= time.time() or missed:
            raise AuthError(f"token不存在或者超时：{token}")

    def session_for(self, user: User) -> str:
        """The JSESSIONID of a user's session on this node."""
        session_id = self._session_of.get(user.id)
        if session_id is None:
            session_id = self._session_of[user.id] = f"aaa{uuid.uuid4().hex[:18]}-w"
            self._sessions[session_id] = user.id
        return session_id

    def expire_tokens(self) -> int:
        """Forget every token at once (a node restarts, a token ends in the middle of a page)."""
        count = len(self._tokens)
        for token, (appid, _) in self._tokens.items():
            self._store.put_token(token, appid, 0.0)
        self._tokens.clear()
        return count

    def _decrypted(self, appid: str, app: _App, cipher: str) -> str | None:
        key = (appid, cipher)
        if key not in self._plain:
            if len(self._plain) >= _MAX_CACHE:
                self._plain.clear()
            self._plain[key] = _decrypt(app, cipher)
        return self._plain[key]


def _lifetime(text: str | None) -> float:
    """``time`` in seconds; some clients send epoch milliseconds, which is simply a huge lifetime."""
    try:
        return max(0.0, float(text)) if text else DEFAULT_TTL_SECONDS
    except ValueError:
        return DEFAULT_TTL_SECONDS
