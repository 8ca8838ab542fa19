"""Collect: read what moved in the OA since the last frozen upper bound into the inbox. Nothing is decided here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta

from finbridge.core.documents import DocumentRef, SourceDocument
from finbridge.core.errors import FinbridgeError, NeedsHuman, RetryLater, SkipRecord, TransportError
from finbridge.core.flow import Flow
from finbridge.core.ports import CollectedDocument, CollectWindow, Hub, Problem, Source, Translator
from finbridge.core.rereading import CollectHub
from finbridge.flows.inbox import collected, gone, is_settled, unusable
from finbridge.flows.reports import CollectReport

#: Documents read and stored at a time: bounds the memory of a first collect over years.
CHUNK = 500
#: Documents that could not be read and are looked at again by one collect.
READ_AGAIN = 20
#: A killed collector's right lapses after this; a slow one's work stays valid, since storing is idempotent.
LEASE_SECONDS = 30.0
#: Halvings after which a batch of which nothing could be read is no matter of one document.
_DEEPEST = 9
_BEGINNING = date(2000, 1, 1)


async def collect(*, flow: Flow, hub: CollectHub, source: Source, translator: Translator, worker: str) -> CollectReport:
    """Read every document of the flow that moved since the watermark (less an overlap) up to the OA's own now.

    The upper bound is frozen before the first page; what moves while paging comes with the next collect. The
    watermark moves only after everything up to it was stored. Documents that could not be read are looked at again
    by their ids, a few at a time: the list may name them no more.

    Raises:
        RetryLater: the OA is away or throttles; the watermark stays.
        GiveUp: credentials or schema; the watermark stays.
    """
    window = await asyncio.to_thread(hub.begin_collect, flow.flow_id, worker, LEASE_SECONDS)
    if window is None:
        return CollectReport()
    counts: Counter[str] = Counter()
    try:
        now = await source.now()
        await _store_news(flow, hub, source, translator, since=_since(flow, window), now=now, counts=counts)
        await _look_again(flow, hub, source, translator, now=now, counts=counts)
    except FinbridgeError:  # a retry must look again, not find a right that nobody uses any more
        await asyncio.to_thread(hub.end_collect, window, None)
        raise
    kept = await asyncio.to_thread(hub.end_collect, window, now)
    return CollectReport(collected=1, window_lost=int(not kept), **counts)


async def collect_since(*, flow: Flow, hub: Hub, source: Source, translator: Translator, since: date) -> CollectReport:
    """Read every document that moved since a day and that the hub has not read as it stands; no watermark is moved.

    The list goes up to the OA's own now, never to an earlier day: what happened in a month shows itself under the day
    of the document's last operation, which may be a later payment.

    Raises:
        RetryLater: the OA is away or throttles; what was stored stays stored.
        GiveUp: credentials or schema.
    """
    counts: Counter[str] = Counter()
    now = await source.now()
    await _store_news(flow, hub, source, translator, since=since, now=now, counts=counts)
    return CollectReport(collected=1, **counts)


async def _store_news(
    flow: Flow,
    hub: Hub,
    source: Source,
    translator: Translator,
    *,
    since: date,
    now: datetime,
    counts: Counter[str],
) -> None:
    async for refs in _chunks(source.changed(since, now, flow.templates), counts):
        documents = await _news(flow, hub, source, translator, refs=refs, now=now)
        _count(counts, documents)
        counts["due"] += await asyncio.to_thread(hub.store, flow.flow_id, documents)


async def _look_again(
    flow: Flow, hub: CollectHub, source: Source, translator: Translator, *, now: datetime, counts: Counter[str]
) -> None:
    """Read held documents once more, each by itself; one that the OA refuses again keeps its name and waits longer."""
    for ref in await asyncio.to_thread(hub.take_unread, flow.flow_id, READ_AGAIN):
        try:
            documents = await _read(flow, source, translator, [ref], now)
        except RetryLater:  # it stands in its named list all the same; the watermark shall not wait for it
            counts["problems"] += 1
            continue
        _count(counts, documents)
        counts["due"] += await asyncio.to_thread(hub.store, flow.flow_id, documents)


async def _news(
    flow: Flow, hub: Hub, source: Source, translator: Translator, *, refs: Sequence[DocumentRef], now: datetime
) -> list[CollectedDocument]:
    """What is not known yet among the listed, read whole."""
    fresh = await asyncio.to_thread(hub.unseen, flow.flow_id, refs)
    return await _read(flow, source, translator, fresh, now) if fresh else []


def _count(counts: Counter[str], documents: Sequence[CollectedDocument]) -> None:
    counts["read"] += len(documents)
    counts["gone"] += sum(d.problem is not None and d.problem.code == "document_gone" for d in documents)
    counts["problems"] += sum(d.problem is not None for d in documents)


def _since(flow: Flow, window: CollectWindow) -> date:
    """The day to list from: the watermark's day less the overlap, or the flow's first day (``extra.first_day``)."""
    if window.through is None:
        first = flow.extra.get("first_day")
        return date.fromisoformat(first) if first else _BEGINNING
    return window.through.date() - timedelta(days=flow.overlap_days)


async def _chunks(
    pages: AsyncIterator[list[DocumentRef]], counts: Counter[str]
) -> AsyncIterator[Sequence[DocumentRef]]:
    """Pages joined into chunks without the rows that a moving list shows twice (the newest stamp wins)."""
    waiting: dict[str, DocumentRef] = {}
    async for page in pages:
        counts["listed"] += len(page)
        for ref in page:
            known = waiting.get(ref.document_id)
            if known is None or known.stamp < ref.stamp:
                waiting[ref.document_id] = ref
        if len(waiting) >= CHUNK:
            yield list(waiting.values())
            waiting = {}
    if waiting:
        yield list(waiting.values())


async def _read(
    flow: Flow, source: Source, translator: Translator, refs: Sequence[DocumentRef], now: datetime
) -> list[CollectedDocument]:
    """Read documents whole and give them meaning; one that is gone or unreadable becomes a problem of its own."""
    found, unreadable = await read_documents(source, [ref.document_id for ref in refs])
    documents: list[CollectedDocument] = []
    for ref in refs:
        document = found.get(ref.document_id)
        problem = unreadable.get(ref.document_id)
        if problem is not None:
            documents.append(unusable(ref, problem))
        elif document is None:
            documents.append(gone(ref))
        else:
            settled = is_settled(ref.stamp, now)
            documents.append(collected(flow, translator, document, stamp=ref.stamp, settled=settled))
    return documents


async def read_documents(
    source: Source, document_ids: Sequence[str]
) -> tuple[dict[str, SourceDocument | None], dict[str, Problem]]:
    """Read documents; one that the connector cannot make sense of is named and does not stop the others."""
    found: dict[str, SourceDocument | None] = {}
    problems: dict[str, Problem] = {}
    refused: RetryLater | None = None
    waiting = [list(document_ids)]
    while waiting:
        names = waiting.pop()
        try:
            found |= await source.read(names)
        except (NeedsHuman, SkipRecord, RetryLater) as error:
            if isinstance(error, RetryLater):
                if isinstance(error, TransportError) or (not found and len(waiting) > _DEEPEST):
                    raise  # the OA is away, not one document broken
                refused = error
            if len(names) == 1:
                code = "oa_cannot_read" if isinstance(error, RetryLater) else error.code
                problems[names[0]] = Problem(document_id=names[0], code=code, field="", detail=error.engineer)
            else:
                middle = len(names) // 2
                waiting += [names[middle:], names[:middle]]
    if refused is not None and not found:
        raise refused
    return found, problems
