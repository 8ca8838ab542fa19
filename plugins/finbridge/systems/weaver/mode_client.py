"""The calls of e-cology's form-mode interfaces (OA contracts, section 1.4): their own login, inside each body.

``Md5`` signs system id, password and the OA's local time; a stamp far from the OA's clock is refused. The clock is
learned from the ``Date`` header of a refusal, so that a machine with another time can still call. Nothing of the header
is ever logged.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import orjson

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.transport import HttpClient, NoAnswerError, Response
from finbridge.systems.weaver.mode_replies import ModeRefused, Unreadable, read_count, read_rows, read_saved

_BASE = "/api/cube/restful/interface/"
_STAMP = "%Y%m%d%H%M%S"
#: Less is not what a stamp is refused for.
_SKEW = timedelta(seconds=30)
_THROTTLED = 429
_Result = TypeVar("_Result")


class ModeClient:
    """Form-mode interfaces of one OA as one system.

    Args:
        http: the connection's client, whose rate budget counts here too.
        settings: ``extra.mode_systemid`` and ``mode_password`` as registered in the OA; ``login`` is the operator.
        writes: how many writes may run at once, shared with the connection's other writes.
        zone: of the OA's server.

    Raises:
        GiveUp: system id or password is missing.
    """

    def __init__(
        self, http: HttpClient, settings: ConnectionSettings, *, writes: asyncio.Semaphore, zone: ZoneInfo
    ) -> None:
        self._system = str(settings.extra.get("mode_systemid", ""))
        self._password = str(settings.extra.get("mode_password", ""))
        if not self._system or not self._password:
            raise GiveUp(
                "bad_connection",
                f"连接 {settings.conn_id} 缺少 mode_systemid 或 mode_password / needs both of them in its extra",
            )
        http.redactor.add(self._password)
        self._http, self._writes, self._zone = http, writes, zone
        self._operator = settings.login
        self._ahead = timedelta(0)  # the OA's clock before ours

    # ------------------------------------------------------------ calls

    async def count(self, interface: str, filters: Mapping[str, str]) -> int:
        """Rows with these values; an empty value would be no filter.

        Raises:
            RetryLater: the OA is away.
            GiveUp: it refuses to be read.
        """
        return await self._read(f"getModeDataPageCount/{interface}", {"mainTable": dict(filters)}, read_count)

    async def page(self, interface: str, filters: Mapping[str, str], number: int, size: int) -> list[dict[str, str]]:
        """One page of rows, from 1; each with its ``id``. Raises as :meth:`count`."""
        asked = {"mainTable": dict(filters), "pageInfo": {"pageNo": str(number), "pageSize": str(size)}}
        return await self._read(f"getModeDataPageList/{interface}", asked, read_rows)

    async def save(self, interface: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
        """Insert rows, or change those with ``id``; their ids in order. A row without one, sent twice, is there twice.

        Raises:
            ModeRefused: the OA refuses; of several rows, some may be done all the same.
            NoAnswerError: it may have been done.
            RetryLater: nothing was done.
        """
        now = self._now()
        info = {
            "operator": self._operator,
            "operationDate": f"{now:%Y-%m-%d}",
            "operationTime": f"{now:%H:%M:%S}",
        }
        data = [{"operationinfo": info, "mainTable": dict(row)} for row in rows]
        async with self._writes:
            response = await self._send(f"saveOrUpdateModeData/{interface}", {"data": data}, now, effect=True)
        try:
            saved = read_saved(response)
        except ModeRefused as error:
            raise ModeRefused(error.code, self._http.redactor(error.staff)) from None
        except Unreadable as error:
            raise _no_answer(interface, str(error)) from None
        if len(saved) != len(rows):
            raise _no_answer(interface, f"{len(saved)} ids for {len(rows)} rows")
        return saved

    # ------------------------------------------------------------ parts

    async def _read(self, path: str, asked: Mapping[str, Any], reading: Callable[[Response], _Result]) -> _Result:
        """Read; refused with another time than the OA's, once more with the OA's."""
        asked = {"operationinfo": {"operator": self._operator}, **asked}
        for last in (False, True):
            stamp = self._now()
            response = await self._send(path, asked, stamp, effect=False)
            try:
                return reading(response)
            except ModeRefused as error:
                if last or not self._learn(response, stamp):
                    words = self._http.redactor(error.staff)
                    raise GiveUp(error.code, words, f"{path}: {words}") from None
            except Unreadable as error:
                raise RetryLater("oa_away", "OA 暂不可用 / the OA is not ready", f"{path}: {error}") from None
        raise AssertionError("the second try returns or raises")

    async def _send(self, path: str, asked: Mapping[str, Any], stamp: datetime, *, effect: bool) -> Response:
        body = orjson.dumps({**asked, "header": self._header(stamp)}).decode()
        response = await self._http.request("POST", _BASE + path, form={"datajson": body}, effect=effect)
        if response.status == _THROTTLED:
            after = response.retry_after_seconds or 1.0
            self._http.pause(after)
            raise RetryLater("throttled", "OA 限流 / the OA is throttling", f"{path}: HTTP 429", after_seconds=after)
        return response

    def _header(self, stamp: datetime) -> dict[str, str]:
        text = f"{stamp:{_STAMP}}"
        signed = hashlib.md5((self._system + self._password + text).encode()).hexdigest()  # noqa: S324 - the vendor's
        return {"systemid": self._system, "currentDateTime": text, "Md5": signed}

    def _now(self) -> datetime:
        """The OA's local time as far as we know it."""
        return (datetime.now(UTC) + self._ahead).astimezone(self._zone)

    def _learn(self, response: Response, stamp: datetime) -> bool:
        """Take the OA's clock from an answer; whether it differs from the stamp that was sent."""
        shown = response.date
        if shown is None or abs(shown - stamp) <= _SKEW:
            return False
        self._ahead = shown - datetime.now(UTC)
        return True


def _no_answer(interface: str, words: str) -> NoAnswerError:
    return NoAnswerError(
        "no_trustworthy_answer",
        "OA 应答无法识别,结果未知 / the OA's answer cannot be read, the result is not known",
        f"saveOrUpdateModeData/{interface}: {words}",
    )
