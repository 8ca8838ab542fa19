"""Tells people about an alarm: the robot of a group chat (WeCom 企业微信, DingTalk 钉钉, Feishu 飞书), else a log line.

Connection ``finbridge_alerts``, optional: type ``http``; scheme and host of the robot's service; password = the robot's
key or access token; extra ``robot`` (``wecom``, ``dingtalk``, ``feishu``, ``plain``), ``secret`` (signing key, where
the robot wants one), ``path`` (only for ``plain``). A message is told when the robot took it: HTTP 200 and code 0.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from finbridge.core.errors import FinbridgeError, GiveUp
from finbridge.core.notify import Alarm
from finbridge.tasks.alarm_texts import text_of

if TYPE_CHECKING:
    from finbridge.core.connections import ConnectionSettings

ALERTS_CONNECTION = "finbridge_alerts"
#: An alarm's row is locked meanwhile: short.
TIMEOUT_SECONDS = 5.0
_OK = 200
_LOG = logging.getLogger("finbridge.alarms")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a robot. ``query`` and ``path`` may carry its key: neither is ever logged."""

    path: str = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)


def call_of(settings: ConnectionSettings, text: str, now: float) -> Call:
    """The call that a robot of this kind wants.

    Raises:
        GiveUp: the connection names no known robot.
    """
    key, secret = settings.password, str(settings.extra.get("secret") or "")
    robot = str(settings.extra.get("robot", "plain"))
    if robot == "wecom":
        return Call("/cgi-bin/webhook/send", {"key": key}, {"msgtype": "text", "text": {"content": text}})
    if robot == "dingtalk":
        stamp = str(int(now * 1000))
        signed = {"timestamp": stamp, "sign": _signature(secret, f"{stamp}\n{secret}")} if secret else {}
        body = {"msgtype": "text", "text": {"content": text}}
        return Call("/robot/send", {"access_token": key, **signed}, body)
    if robot == "feishu":
        stamp = str(int(now))
        signed = {"timestamp": stamp, "sign": _signature(f"{stamp}\n{secret}", "")} if secret else {}
        return Call(f"/open-apis/bot/v2/hook/{key}", {}, {"msg_type": "text", "content": {"text": text}, **signed})
    if robot == "plain":
        return Call(str(settings.extra.get("path") or "/"), {"key": key} if key else {}, {"text": text})
    raise GiveUp("unknown_robot", f"未知的机器人类型 / connection {settings.conn_id}: no such robot: {robot}")


def _signature(key: str, message: str) -> str:
    """HMAC-SHA256 in base64. DingTalk signs ``stamp\\nsecret`` with the secret; Feishu signs nothing with that text."""
    return base64.b64encode(hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()).decode()


def accepted(status: int, answer: object) -> bool:
    """Whether a robot took the message. They answer HTTP 200 for refusals too, with a code in the body."""
    if status != _OK:
        return False
    if not isinstance(answer, dict):
        return True
    return all(answer.get(name, 0) == 0 for name in ("errcode", "code", "StatusCode"))


def teller(settings: ConnectionSettings | None, base_url: str) -> Callable[[Alarm], bool]:
    """What `finbridge.hub.alarms.Alarms.tell` takes. Without a connection an alarm is a log line, and that counts."""

    def tell(alarm: Alarm) -> bool:
        text = text_of(alarm, base_url)
        if settings is None:
            _LOG.log(logging.INFO if alarm.closed_at else logging.ERROR, "%s", text)
            return True
        try:
            taken, why = asyncio.run(_post(settings, text))
        except FinbridgeError as error:
            taken, why = False, error.code
        if not taken:
            _LOG.error("the robot did not take the message (%s), it is told again later:\n%s", why, text)
        return taken

    return tell


async def _post(settings: ConnectionSettings, text: str) -> tuple[bool, str]:
    """Whether it was accepted, else why not: no key, no answer's text (it may repeat the request)."""
    from finbridge.core.transport import HttpClient, verification

    call = call_of(settings, text, time.time())
    client = HttpClient(settings.base_url, timeout_seconds=TIMEOUT_SECONDS, verify=verification(settings.extra))
    client.redactor.add(settings.password)
    async with client:
        response = await client.request("POST", call.path, params=call.query or None, json_body=call.body)
    try:
        answer = response.json()
    except ValueError:
        answer = None
    code = next((answer[n] for n in ("errcode", "code", "StatusCode") if n in answer), "-") if answer else "-"
    return accepted(response.status, answer), f"HTTP {response.status}, code {code}"
