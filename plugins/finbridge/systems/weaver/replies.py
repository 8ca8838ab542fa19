"""What an answer of e-cology means: ONE table for the authentication layer, one for the service behind it.

The vendor answers HTTP 200 for nearly everything and gives two of its authentication errors the same code -1 with
different texts. This table is the single place of the project that looks at a message text, and only there where no
code distinguishes; the text decides between "try again" and "a person must act", never whether something was done.
Everything that the authentication layer refuses was refused before the service saw it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from finbridge.core.transport import Response


class Means(StrEnum):
    """Classes of answers."""

    DONE = "done"  # an answer of the service itself
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - not a secret: apply for a token once, try again
    ACCOUNT_REFUSED = "account_refused"  # the user of the header, the licence, the app: a person must act
    REGISTRATION_DEAD = "registration_dead"  # the OA has other keys than ours
    THROTTLED = "throttled"  # nothing was done
    UNCLEAR = "unclear"  # HTML, 5xx, not JSON, an unknown shape: it may have been done


class Code(StrEnum):
    """``code`` of the paService."""

    SUCCESS = "SUCCESS"
    PARAM_ERROR = "PARAM_ERROR"
    NO_PERMISSION = "NO_PERMISSION"
    SYSTEM_INNER_ERROR = "SYSTEM_INNER_ERROR"
    USER_EXCEPTION = "USER_EXCEPTION"
    FAIL = "FAIL"


#: Numeric aliases. 1, 2, 3 and 6 were seen on a build; 4 and 5 are the two names left between them (assumed).
_ALIASES = {
    "1": Code.SUCCESS,
    "2": Code.PARAM_ERROR,
    "3": Code.NO_PERMISSION,
    "4": Code.SYSTEM_INNER_ERROR,
    "5": Code.USER_EXCEPTION,
    "6": Code.FAIL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _AuthRule:
    """The first rule whose given parts all match names the class. ``text`` is the beginning of ``msg``."""

    means: Means
    source: str
    at: str = ""  # endpoint: regist, applytoken; "" = any business call
    code: str = ""
    error_code: str = ""
    text: str = ""

    def matches(self, at: str, body: dict[str, Any]) -> bool:
        return (
            self.at == at
            and self.code in ("", str(body.get("code")))
            and self.error_code in ("", str(body.get("errorCode")))
            and str(body.get("msg", "")).startswith(self.text)
        )


AUTH_RULES = (
    _AuthRule(at="regist", means=Means.ACCOUNT_REFUSED, source="any refusal: appid not in ECOLOGY_BIZ_EC"),
    _AuthRule(at="applytoken", text="secret解密失败", means=Means.REGISTRATION_DEAD, source="WPY: spk stale"),
    _AuthRule(at="applytoken", text="认证信息错误", means=Means.REGISTRATION_DEAD, source="WPY: secret stale"),
    _AuthRule(at="applytoken", means=Means.ACCOUNT_REFUSED, source="any other refusal: licence, app switched off"),
    _AuthRule(error_code="002", means=Means.TOKEN_REFUSED, source="WPY: 登录信息超时"),
    _AuthRule(code="-1", text="token不存在或者超时", means=Means.TOKEN_REFUSED, source="WPY; WAUTH: cluster nodes"),
    _AuthRule(code="-1", means=Means.ACCOUNT_REFUSED, source="WPY: 该账号存在异常; licence expiry; userid unreadable"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its meaning. ``body`` is the parsed JSON, None where there was none."""

    means: Means
    body: Any
    response: Response

    @property
    def code(self) -> Code | None:
        """The service's code, whatever form it came in; None where the answer is no envelope of the service."""
        return code_of(self.body)

    @property
    def data(self) -> Any:
        """``data`` of the envelope."""
        return self.body.get("data") if isinstance(self.body, dict) else None

    @property
    def text(self) -> str:
        """The vendor's words, for engineers; may hold secrets until redacted."""
        if not isinstance(self.body, dict):
            return f"HTTP {self.response.status}, {len(self.response.body)} bytes"
        shown = {name: self.body[name] for name in ("code", "errorCode", "msg", "errMsg") if self.body.get(name)}
        reason = self.body.get("reqFailMsg")
        if isinstance(reason, dict) and reason.get("msgType"):
            shown["msgType"] = reason["msgType"]
        return str(shown)[:300]


def code_of(body: object) -> Code | None:
    """Names, numeric aliases (as number or text) and the object form ``{"name", "statusCode"}``."""
    value = body.get("code") if isinstance(body, dict) else None
    if isinstance(value, dict):
        value = value.get("name", value.get("statusCode"))
    text = str(value)
    return Code(text) if text in Code.__members__ else _ALIASES.get(text)


def read_reply(response: Response, at: str = "") -> Reply:
    """Classify an answer. ``at``: "regist" or "applytoken"; "" for every call of the service."""
    if response.status == 429:
        return Reply(Means.THROTTLED, None, response)
    if response.status in (401, 403):
        return Reply(Means.TOKEN_REFUSED if not at else Means.ACCOUNT_REFUSED, None, response)
    if response.status != 200:
        return Reply(Means.UNCLEAR, None, response)
    try:
        body = response.json()
    except ValueError:
        return Reply(Means.UNCLEAR, None, response)
    return Reply(_meaning(body, at), body, response)


def _meaning(body: object, at: str) -> Means:
    if not isinstance(body, dict):
        return Means.DONE if not at else Means.UNCLEAR  # lists are bare arrays, counts bare integers
    granted = str(body.get("status")).lower() == "true" and str(body.get("code")) == "0"
    if (granted and at) or (not at and code_of(body) is not None):
        return Means.DONE
    return next((rule.means for rule in AUTH_RULES if rule.matches(at, body)), Means.UNCLEAR)
