"""Weaver e-cology as the flows see it: `finbridge.core.ports.Source`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from finbridge.core.connections import ConnectionSettings
from finbridge.core.documents import DocumentRef, SourceDocument
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.flow import Flow
from finbridge.core.form import Form
from finbridge.core.payment_status import PaymentStatusRule, Showed, ShownStatus, StatusChange
from finbridge.core.ports import TokenStore, WriteBackResult
from finbridge.core.tokens import SharedToken
from finbridge.core.transport import NoAnswerError
from finbridge.systems.weaver.client import Conditions, WeaverClient
from finbridge.systems.weaver.forms import form_of
from finbridge.systems.weaver.mode_board import DEFAULT_BATCH_SIZE, ModeBoard
from finbridge.systems.weaver.mode_board import DEFAULT_PAGE_SIZE as DEFAULT_MODE_PAGE_SIZE
from finbridge.systems.weaver.mode_client import ModeClient
from finbridge.systems.weaver.models import RequestStatusData
from finbridge.systems.weaver.numbers import candidates
from finbridge.systems.weaver.replies import Code
from finbridge.systems.weaver.together import together
from finbridge.systems.weaver.walking import walk

_DEFAULT_ZONE = "Asia/Shanghai"
_DEFAULT_PAGE_SIZE = 100
_ADVANCES = 2  # each holds a lock in the token store
#: Of a worker that died at a submit nobody knows when it left: that long after its mark, at most.
_SENDING = timedelta(seconds=60)
#: A watermark from the future would skip documents; the overlap of a day forgives more than this.
_MAX_CLOCK_AHEAD_SECONDS = 600.0
#: The service's code after a write. What failed inside may have failed after the save: unknown, a read-back decides.
_RESULTS = {
    Code.SUCCESS: WriteBackResult.SAVED,
    Code.NO_PERMISSION: WriteBackResult.NOT_ALLOWED,
    Code.PARAM_ERROR: WriteBackResult.NOT_ALLOWED,  # the request is gone: its id is what was wrong
    Code.SYSTEM_INNER_ERROR: WriteBackResult.UNKNOWN,
    Code.USER_EXCEPTION: WriteBackResult.UNKNOWN,
    Code.FAIL: WriteBackResult.UNKNOWN,
}


def connect(settings: ConnectionSettings, *, tokens: TokenStore, flow: Flow | None = None) -> WeaverSource:
    """Open nothing yet; the first call does. The flow says where payment statuses are kept.

    Raises:
        GiveUp: the connection's data is not complete.
    """
    return WeaverSource(settings, tokens=tokens, statuses=flow.payment_status if flow else None)


class WeaverSource:
    """One OA system as one dedicated account.

    Args:
        settings: see `WeaverClient`; also ``extra.time_zone`` of the OA's server (Asia/Shanghai), ``extra.page_size``
            (100), ``extra.workflow_types`` (csv): list by workflow type instead of by the flow's versions, so that a
            version that nobody configured shows itself; ``extra.late_seconds`` (the time-out): how long after a lost
            answer a submit may still arrive; ``extra.max_clock_ahead_seconds`` (600; 0 = any, for a virtual clock);
            ``extra.mode_systemid``, ``mode_password``, ``mode_page_size`` (2000), ``mode_batch_size`` (100).
        statuses: where payment statuses are kept; None = nowhere.
    """

    def __init__(
        self, settings: ConnectionSettings, *, tokens: TokenStore, statuses: PaymentStatusRule | None = None
    ) -> None:
        extra = settings.extra
        self._settings, self._statuses = settings, statuses
        self.client = WeaverClient(settings, tokens=tokens)
        self._tokens = tokens
        self._name = f"weaver|{settings.base_url}"
        self._page_size = int(str(extra.get("page_size", _DEFAULT_PAGE_SIZE)))
        self._types = frozenset(
            part.strip() for part in str(extra.get("workflow_types", "")).split(",") if part.strip()
        )
        name = str(extra.get("time_zone", _DEFAULT_ZONE))
        try:
            self._zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise GiveUp("bad_time_zone", f"时区不存在 / no such time zone: {name!r}") from None
        self._late = timedelta(seconds=float(str(extra.get("late_seconds", extra.get("timeout_seconds", 30)))))
        self._ahead = timedelta(seconds=float(str(extra.get("max_clock_ahead_seconds", _MAX_CLOCK_AHEAD_SECONDS))))
        self._advances = asyncio.Semaphore(_ADVANCES)
        self._node_names: dict[tuple[str, str], str] = {}

    async def close(self) -> None:
        """Close connections."""
        await self.client.close()

    # ------------------------------------------------------------ reading

    async def now(self) -> datetime:
        """The OA's own clock (the ``Date`` of its answer) as naive local time of its server.

        Raises:
            RetryLater: it is further ahead of ours than allowed: a watermark from the future would skip documents.
        """
        shown = await self.client.server_date()
        ahead = shown - datetime.now(UTC)
        if self._ahead and ahead > self._ahead:
            raise RetryLater(
                "oa_clock_ahead",
                "OA 时钟超前，请校准后再采集 / the OA's clock is ahead of ours: set it right first",
                f"{self._name}: the Date header is {ahead} ahead of this machine, {self._ahead} are allowed",
                after_seconds=60.0,
            )
        return shown.astimezone(self._zone).replace(tzinfo=None)

    async def changed(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        """Pages of rows operated from the day ``since`` up to ``until``; see `finbridge.systems.weaver.walking`."""
        conditions = Conditions(
            operated_from=since,
            operated_to=until.date(),
            workflow_ids=frozenset() if self._types else templates,
            workflow_types=self._types,
        )
        async for page in walk(self.client, conditions, until, self._page_size):
            yield page

    async def unfinished(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        """As `changed`, without archived requests: of a month that is nearly over a small part."""
        conditions = Conditions(
            operated_from=since,
            operated_to=until.date(),
            workflow_ids=frozenset() if self._types else templates,
            workflow_types=self._types,
            unfinished=True,
        )
        async for page in walk(self.client, conditions, until, self._page_size):
            yield page

    async def read(self, document_ids: Sequence[str]) -> dict[str, SourceDocument | None]:
        """Documents whole; None for one that is gone or not for this account.

        Raises:
            NeedsHuman: a document has another shape than the vendor documents.
        """
        names = list(dict.fromkeys(document_ids))
        return dict(zip(names, await together([self.client.document(name) for name in names]), strict=True))

    async def candidates(self, number: str, templates: frozenset[str]) -> list[str]:
        """Ids of requests that may carry a number; see `finbridge.systems.weaver.numbers`."""
        return await candidates(self.client, number, templates)

    async def form(self, workflow: str) -> Form | None:
        """The form of a workflow as its newest documents show it; see `finbridge.systems.weaver.forms`."""
        return await form_of(self.client, workflow)

    # ------------------------------------------------------------ writing

    async def write_back(self, document_id: str, node: str, fields: Mapping[str, str]) -> WriteBackResult:
        """Save only these columns while the document stands at ``node`` (name or id) and it is our turn.

        Raises:
            GiveUp: the form has no such columns.
        """
        if not await self._may_act(document_id, node):
            return WriteBackResult.NOT_ALLOWED
        try:
            reply = await self.client.submit(document_id, source="save", main=fields)
        except NoAnswerError:
            return WriteBackResult.UNKNOWN
        except RetryLater:
            return WriteBackResult.RETRY
        if reply.code is Code.PARAM_ERROR and await self.client.status(document_id) is not None:
            words = self.client.auth.redact(reply.text)
            raise GiveUp(
                "write_back_columns",
                f"OA 表单不接受回写字段 / the OA's form does not take the columns of the flow's write-back: {words}",
                f"submitRequest of {document_id}: {words}",
            )
        return _RESULTS.get(reply.code or Code.FAIL, WriteBackResult.UNKNOWN)

    async def advance(self, document_id: str, node: str) -> WriteBackResult:
        """Submit onwards from ``node``, once.

        Under a lock that all processes share: look where the document stands, submit, and after a lost answer look
        again. Two workers that both saw it at the node cannot both submit, and while a submit whose answer was lost
        may still arrive, none is sent: e-cology cannot be told from which node a submit is meant. The mark that says so
        is stored before the submit leaves, since the worker may die before the answer, and taken away after it.
        """
        mark = SharedToken(self._tokens, f"{self._name}|advance|{document_id}")
        async with self._advances, mark.locked():
            status = await self.client.status(document_id)
            if status is None:
                return WriteBackResult.NOT_ALLOWED
            if not await self._stands_at(document_id, status, node):
                return WriteBackResult.SAVED
            if not status.my_turn:
                return WriteBackResult.NOT_ALLOWED
            if await mark.get() is not None:
                return WriteBackResult.UNKNOWN
            await mark.put("sending", datetime.now(UTC) + _SENDING + self._late)
            result = await self._submit(document_id, node)
            if result is WriteBackResult.UNKNOWN:
                await mark.put("sent", datetime.now(UTC) + self._late)
            else:
                await mark.forget()
            return result

    # ------------------------------------------------------------ payment statuses

    @cached_property
    def _board(self) -> ModeBoard:
        if self._statuses is None:
            raise GiveUp("no_payment_status", "流程未配置付款状态 / the flow has no section payment_status")
        extra = self._settings.extra
        return ModeBoard(
            ModeClient(self.client.http, self._settings, writes=self.client.writes, zone=self._zone),
            self._statuses,
            page_size=int(str(extra.get("mode_page_size", DEFAULT_MODE_PAGE_SIZE))),
            batch_size=int(str(extra.get("mode_batch_size", DEFAULT_BATCH_SIZE))),
        )

    @property
    def late_seconds(self) -> float:
        """How long a write whose answer was lost may still arrive."""
        return self._late.total_seconds()

    async def shown(self, document_ids: Sequence[str]) -> dict[str, ShownStatus]:
        """See `finbridge.core.payment_status.StatusBoard`, as the next two."""
        return await self._board.shown(document_ids)

    async def show(self, changes: Sequence[StatusChange], *, alone: bool = False) -> list[Showed]:
        """Write payment statuses."""
        return await self._board.show(changes, alone=alone)

    async def void(self, row_ids: Sequence[str]) -> None:
        """Take surplus rows away from their document."""
        await self._board.void(row_ids)

    # ------------------------------------------------------------ parts of advance

    async def _submit(self, document_id: str, node: str) -> WriteBackResult:
        """One submit; whatever its answer, a document that left the node is where we wanted it."""
        try:
            reply = await self.client.submit(document_id)
            result = _RESULTS.get(reply.code or Code.FAIL, WriteBackResult.UNKNOWN)
        except NoAnswerError:
            result = WriteBackResult.UNKNOWN
        except RetryLater:
            return WriteBackResult.RETRY
        if result is WriteBackResult.SAVED:
            return result
        try:
            return WriteBackResult.SAVED if await self._left(document_id, node) else result
        except RetryLater:
            return result

    async def _left(self, document_id: str, node: str) -> bool:
        status = await self.client.status(document_id)
        return status is not None and not await self._stands_at(document_id, status, node)

    async def _may_act(self, document_id: str, node: str) -> bool:
        status = await self.client.status(document_id)
        return status is not None and status.my_turn and await self._stands_at(document_id, status, node)

    async def _stands_at(self, document_id: str, status: RequestStatusData, node: str) -> bool:
        """By id or by name; the documented status has no name, so it is learned from the document once a node."""
        if node in (status.currentNodeId, status.currentNodeName):
            return True
        if status.currentNodeName:
            return False
        key = (status.workflowId, status.currentNodeId)
        if key in self._node_names:
            return self._node_names[key] == node
        document = await self.client.document(document_id)
        if document is None:
            return False
        self._node_names[(document.template, document.stamp.rpartition("|")[2])] = document.node
        return document.node == node
