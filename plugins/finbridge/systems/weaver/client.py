"""The calls of e-cology's paService (OA contracts, section 1.2) as one dedicated OA account.

Reads raise RetryLater or GiveUp. Writes return the service's envelope or raise:

- `NotSentError`: nothing left; RetryLater of another kind: the OA refused before doing anything;
- `NoAnswerError`: it may have been done (line lost, HTML, 5xx, an unknown shape).

A refused token is applied for again once a call, unseen by the caller; that is safe for writes too, because the
authentication layer stands before the service. There is no cookie jar (see `finbridge.core.transport`): with its
JSESSIONID sent back, the server would go on as that session's user and ignore ``userid``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Any, Literal, Self

import orjson
from pydantic import ValidationError

from finbridge.core.connections import ConnectionSettings
from finbridge.core.documents import SourceDocument
from finbridge.core.errors import GiveUp, NeedsHuman, RetryLater
from finbridge.core.ports import TokenStore
from finbridge.core.transport import HttpClient, NoAnswerError, RateBudget, Response, verification
from finbridge.systems.weaver.auth import WeaverAuth
from finbridge.systems.weaver.models import LIST_ROWS, ListRow, RequestStatusData, WorkflowRequestData, shape_error
from finbridge.systems.weaver.replies import Code, Means, Reply, read_reply

_BASE = "/api/workflow/paService/"
#: The vendor documents no limit; five calls a second and two writes at once are what OA administrators accept.
DEFAULT_RATE = RateBudget(per_second=5.0, burst=10, parallel=4)
_DEFAULT_WRITES = 2
#: A cluster node may not know a token that another node has just given: that many calls with it before giving in.
_TRIES = 3
_SHAPE = "OA 应答格式不符 / {} has another shape than the vendor documents: {}"
_GONE = frozenset({Code.NO_PERMISSION, Code.PARAM_ERROR})

Details = Mapping[str, Sequence[Mapping[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Filter of the list and count calls. Days are the OA's own; e-cology filters by nothing finer."""

    operated_from: date | None = None
    operated_to: date | None = None
    workflow_ids: frozenset[str] = frozenset()
    workflow_types: frozenset[str] = frozenset()
    request_name: str = ""
    serial: str = ""  # part of the request's serial number
    unfinished: bool = False  # without archived requests

    def form(self) -> dict[str, str]:
        """The ``conditions`` form field."""
        wanted: dict[str, str] = {}
        if self.operated_from and self.operated_to:
            wanted["operatedateselect"] = "6"
            wanted["operatedatefrom"] = self.operated_from.isoformat()
            wanted["operatedateto"] = self.operated_to.isoformat()
        if self.workflow_ids:
            wanted["workflowIds"] = ",".join(sorted(self.workflow_ids))
        if self.workflow_types:
            wanted["workflowTypes"] = ",".join(sorted(self.workflow_types))
        if self.request_name:
            wanted["requestname"] = self.request_name
        if self.serial:
            wanted["wfcode"] = self.serial
        if self.unfinished:
            wanted["archivestatus"] = "2"
        return {"conditions": _json(wanted)}


class WeaverClient:
    """One OA system as one OA user. One event loop; opens nothing before its first call.

    Args:
        settings: see `WeaverAuth`; also ``extra.timeout_seconds`` (30), ``extra.verify`` (true; false; or a PEM file),
            ``extra.rate_*``, ``extra.write_parallel`` (2).
        tokens: the store shared by all processes.
    """

    def __init__(self, settings: ConnectionSettings, *, tokens: TokenStore) -> None:
        extra = settings.extra
        self.http = HttpClient(
            settings.base_url,
            rate=RateBudget.of(extra, DEFAULT_RATE),
            timeout_seconds=float(str(extra.get("timeout_seconds", 30))),
            verify=verification(extra),
        )
        self.auth = WeaverAuth(self.http, settings, tokens)
        self.user = settings.login
        self.writes = asyncio.Semaphore(int(str(extra.get("write_parallel", _DEFAULT_WRITES))))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close connections."""
        await self.http.close()

    # ------------------------------------------------------------ reading

    async def server_date(self) -> datetime:
        """The OA's clock in UTC, from the ``Date`` header of a cheap call.

        Raises:
            GiveUp: the answer carries no Date (a proxy strips it).
        """
        reply = await self._read("POST", "getToDoWorkflowRequestCount", {"conditions": "{}"})
        if reply.response.date is None:
            raise GiveUp(
                "no_date_header", "OA 应答没有 Date 头,无法得知服务器时间 / the OA's answers carry no Date header"
            )
        return reply.response.date

    async def count(self, conditions: Conditions, kind: str = "All") -> int:
        """Number of requests that the account sees (``get…WorkflowRequestCount``): a bare integer."""
        reply = await self._read("POST", f"get{kind}WorkflowRequestCount", conditions.form())
        if isinstance(reply.body, int) or (isinstance(reply.body, str) and reply.body.isdigit()):
            return int(reply.body)
        raise self._unexpected("count", reply)

    async def rows(self, conditions: Conditions, page: int, size: int, kind: str = "All") -> list[ListRow]:
        """One page of ``get…WorkflowRequestList``: a bare array; pages count from 1."""
        form = {**conditions.form(), "pageNo": str(page), "pageSize": str(size)}
        reply = await self._read("POST", f"get{kind}WorkflowRequestList", form)
        if not isinstance(reply.body, list):
            raise self._unexpected("list", reply)
        try:
            return LIST_ROWS.validate_python(reply.body)
        except ValidationError as error:
            raise _shape(f"get{kind}WorkflowRequestList", error) from None

    async def document(self, request_id: str) -> SourceDocument | None:
        """The request whole; None where it is gone or not for this account.

        Raises:
            NeedsHuman: it has another shape than the vendor documents; the others are not stopped by it.
        """
        reply = await self._read("GET", "getWorkflowRequest", {"requestId": request_id})
        if self._gone(reply):
            return None
        try:
            return WorkflowRequestData.model_validate(reply.data).document(request_id, reply.response.body)
        except ValidationError as error:
            raise NeedsHuman("wire_shape", _SHAPE.format(f"request {request_id}", shape_error(error))) from None
        except ValueError as error:
            raise NeedsHuman("wire_shape", _SHAPE.format(f"request {request_id}", error)) from None

    async def status(self, request_id: str) -> RequestStatusData | None:
        """Where the request stands and what the account may do; None where it is gone or not for this account."""
        reply = await self._read("GET", "getRequestStatus", {"requestId": request_id})
        if self._gone(reply):
            return None
        try:
            return RequestStatusData.model_validate(reply.data)
        except ValidationError as error:
            raise _shape(f"getRequestStatus of {request_id}", error) from None

    # ------------------------------------------------------------ writing

    async def create(
        self,
        workflow_id: str,
        name: str,
        main: Mapping[str, str],
        details: Details | None = None,
        *,
        flow_on: bool = True,
    ) -> Reply:
        """Create a request; ``data.requestid`` is its id. NOT idempotent: after NoAnswerError look before trying again.

        ``flow_on`` False leaves it at the drafting node.
        """
        form = {"workflowId": workflow_id, "requestName": name, **_tables(main, details)}
        form["otherParams"] = _json({"isnextflow": int(flow_on), "delReqFlowFaild": 1})
        return await self._write("doCreateRequest", form)

    async def submit(
        self,
        request_id: str,
        *,
        source: Literal["save", "submit"] = "submit",
        main: Mapping[str, str] | None = None,
        details: Details | None = None,
        remark: str = "",
    ) -> Reply:
        """Save columns (``save``) or move the request on (``submit``); without columns nothing is saved."""
        form = {"requestId": request_id, "otherParams": _json({"src": source})}
        if main is not None or details is not None:
            form |= _tables(main or {}, details)
        return await self._write("submitRequest", form | ({"remark": remark} if remark else {}))

    async def reject(self, request_id: str, *, remark: str = "", to_node: str = "") -> Reply:
        """Send back along the configured exit, or to a node; only from an approval node and in one's turn."""
        other = {"RejectToType": 0, "RejectToNodeid": int(to_node)} if to_node else {}
        return await self._write(
            "rejectRequest", {"requestId": request_id, "remark": remark, "otherParams": _json(other)}
        )

    async def withdraw(self, request_id: str, *, remark: str = "") -> Reply:
        """Take back what the account submitted last."""
        return await self._write("withdrawRequest", {"requestId": request_id, "remark": remark})

    # ------------------------------------------------------------ one call

    async def _read(self, method: Literal["GET", "POST"], name: str, arguments: Mapping[str, str]) -> Reply:
        reply = await self._call(method, name, arguments, effect=False)
        if reply.means is Means.DONE:
            return reply
        raise self._refusal(reply, name)

    async def _write(self, name: str, form: Mapping[str, str]) -> Reply:
        async with self.writes:
            reply = await self._call("POST", name, form, effect=True)
        if reply.means is Means.UNCLEAR or (reply.means is Means.DONE and reply.code is None):
            raise NoAnswerError(
                "no_trustworthy_answer",
                "OA 应答无法识别,结果未知 / the OA's answer cannot be read, the result is not known",
                f"{name}: {self.auth.redact(reply.text)}",
            )
        if reply.means is Means.DONE:
            return reply
        raise self._refusal(reply, name)

    async def _call(self, method: str, name: str, arguments: Mapping[str, str], *, effect: bool) -> Reply:
        headers = await self.auth.headers()
        renewed = False
        for _ in range(_TRIES):
            reply = read_reply(await self._send(method, name, arguments, headers, effect))
            if reply.means not in (Means.TOKEN_REFUSED, Means.ACCOUNT_REFUSED):
                break
            if not renewed:
                headers, renewed = await self.auth.headers(refused=headers["token"]), True
            elif reply.means is Means.ACCOUNT_REFUSED:
                break
        return reply

    async def _send(
        self, method: str, name: str, arguments: Mapping[str, str], headers: dict[str, str], effect: bool
    ) -> Response:
        sent: dict[str, Any] = {"params" if method == "GET" else "form": arguments}
        response = await self.http.request(method, _BASE + name, headers=headers, effect=effect, **sent)
        if response.status == 429:
            self.http.pause(response.retry_after_seconds or 1.0)
        return response

    # ------------------------------------------------------------ what a refusal means

    def _refusal(self, reply: Reply, name: str) -> RetryLater | GiveUp:
        words = f"{name}: {self.auth.redact(reply.text)}"
        if reply.means is Means.ACCOUNT_REFUSED:
            return GiveUp(
                "account_refused", f"OA 拒绝账号 {self.user} / the OA refuses the account {self.user}: {words}"
            )
        if reply.means is Means.TOKEN_REFUSED:
            return RetryLater(
                "token_not_kept",
                f"OA 不认可刚发放的令牌 / the OA does not know the token that it has just given: {words}",
            )
        code = "throttled" if reply.means is Means.THROTTLED else "oa_away"
        after = reply.response.retry_after_seconds or 5.0
        return RetryLater(code, "OA 暂不可用 / the OA is not ready", words, after_seconds=after)

    def _gone(self, reply: Reply) -> bool:
        """Whether a request is gone; the id is the only parameter, so a complaint about parameters says so too."""
        if reply.code in _GONE:
            return True
        if reply.code is not Code.SUCCESS:
            raise RetryLater("oa_error", "OA 内部错误 / the OA failed inside", self.auth.redact(reply.text))
        return not reply.data

    def _unexpected(self, what: str, reply: Reply) -> RetryLater | GiveUp:
        words = f"{what}: {self.auth.redact(reply.text)}"
        if reply.code in (Code.PARAM_ERROR, Code.NO_PERMISSION):
            return GiveUp("list_refused", f"OA 拒绝查询 / the OA refuses the query: {words}")
        return RetryLater("oa_error", "OA 未返回列表 / the OA gave no list", words)


def _shape(where: str, error: ValidationError) -> GiveUp:
    return GiveUp("wire_shape", _SHAPE.format(where, shape_error(error)))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _tables(main: Mapping[str, str], details: Details | None) -> dict[str, str]:
    """``mainData`` and ``detailData``; a detail row's ``_row`` is its id, without it the row is new."""
    form = {"mainData": _json(_fields(main))}
    if details is not None:
        form["detailData"] = _json(
            [
                {
                    "tableDBName": table,
                    "workflowRequestTableRecords": [
                        {"recordOrder": int(row.get("_row", "0")), "workflowRequestTableFields": _fields(row)}
                        for row in rows
                    ],
                }
                for table, rows in details.items()
            ]
        )
    return form


def _fields(row: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"fieldName": name, "fieldValue": value} for name, value in row.items() if name != "_row"]
