"""Which documents a manual run is for: by number or by window of approval, in the hub and in the OA as it is now."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from finbridge.core.documents import DocumentRef, SourceDocument
from finbridge.core.flow import Flow
from finbridge.core.fold import fold
from finbridge.core.ports import CollectedDocument, Source, Translator
from finbridge.core.preview import MOST_DOCUMENTS, Asked, Found, ManualHub, NumberSource, Window
from finbridge.flows.collecting import read_documents
from finbridge.flows.manual_form import too_large
from finbridge.flows.second_read import fresh

#: Documents read, decided on and stored at a time.
CHUNK = 200
#: Look-ups by number at a time; the connection's rate budget is the real limit.
_LOOKUPS = 8
_Item = TypeVar("_Item")


async def find(*, flow: Flow, hub: ManualHub, source: Source, translator: Translator, asked: Asked) -> list[Found]:
    """The documents asked for, in order; what nobody knows is named with no document.

    Raises:
        GiveUp: ``window_too_large``.
        RetryLater: the OA or the hub is away.
    """
    if asked.window is not None:
        names = await _approved_in(flow, hub, source, translator, asked.window)
        return [Found(name, name) for name in names]
    by_number = await _by_number(flow, hub, source, asked.numbers)
    found = [Found(number, name) for number in asked.numbers for name in by_number.get(number) or [""]]
    once = list({one.document_id or (one.asked,): one for one in reversed(found)}.values())[::-1]
    if len(once) > MOST_DOCUMENTS:
        raise too_large(len(once))
    return once


def chunks(items: Sequence[_Item], size: int = CHUNK) -> Iterator[Sequence[_Item]]:
    """Slices of a size."""
    return (items[start : start + size] for start in range(0, len(items), size))


# ---------------------------------------------------------------- by number


async def _by_number(flow: Flow, hub: ManualHub, source: Source, numbers: Sequence[str]) -> dict[str, Sequence[str]]:
    """The hub first; what it does not know is asked of the OA, as a request id and then as a number."""
    found: dict[str, Sequence[str]] = dict(await asyncio.to_thread(hub.manual_runs.by_number, flow.flow_id, numbers))
    ids = [number for number in numbers if number not in found and number.isascii() and number.isdecimal()]
    documents = await _read(source, ids)
    found |= {name: [name] for name, document in documents.items() if document.template in flow.templates}
    if isinstance(source, NumberSource):
        found |= await _in_the_oa(flow, source, source, [number for number in numbers if number not in found])
    return found


async def _in_the_oa(
    flow: Flow, source: Source, lookup: NumberSource, numbers: Sequence[str]
) -> dict[str, Sequence[str]]:
    """Documents whose own number is the one asked for; a list's conditions find more than that."""
    limit = asyncio.Semaphore(_LOOKUPS)

    async def ask(number: str) -> list[str]:
        async with limit:
            return await lookup.candidates(number, flow.templates)

    candidates = dict(zip(numbers, await asyncio.gather(*map(ask, numbers)), strict=True))
    documents = await _read(source, list(dict.fromkeys(name for names in candidates.values() for name in names)))
    found: dict[str, list[str]] = defaultdict(list)
    for number, names in candidates.items():
        for name in names:
            document = documents.get(name)
            if document is not None and document.main.get(flow.business_number_field, "").strip() == number:
                found[number].append(name)
    return dict(found)


async def _read(source: Source, names: Sequence[str]) -> dict[str, SourceDocument]:
    """Those that are there and can be read."""
    documents: dict[str, SourceDocument] = {}
    for part in chunks(names):
        read, _ = await read_documents(source, part)
        documents |= {name: document for name, document in read.items() if document is not None}
    return documents


# ---------------------------------------------------------------- by window


async def _approved_in(flow: Flow, hub: ManualHub, source: Source, translator: Translator, window: Window) -> list[str]:
    """Approved in the window, whatever happened since: what the OA listed since its first day, and what the hub knows.

    Only what the hub has not read as it stands is read; of everything else it knows the day of approval.
    """
    listed: dict[str, DocumentRef] = {}
    async for page in source.changed(window.since, await source.now(), flow.templates):
        listed |= {ref.document_id: ref for ref in page}
    unread = {ref.document_id for ref in await asyncio.to_thread(hub.unseen, flow.flow_id, list(listed.values()))}
    known = await asyncio.to_thread(hub.manual_runs.approved, flow.flow_id, window)
    chosen = [name for name in known if name not in unread]
    if len(chosen) + len(unread) > MOST_DOCUMENTS:
        raise too_large(len(chosen) + len(unread))
    for part in chunks(sorted(unread)):
        documents = await fresh(flow, source, translator, part)
        chosen += [name for name in part if _inside(documents[name], window)]
    return sorted(chosen, key=lambda name: (len(name), name))


def _inside(document: CollectedDocument, window: Window) -> bool:
    """Whether its approval that still holds fell into the window; one that cannot be read is shown, not hidden."""
    if document.problem is not None and not document.raw:
        return True
    approval = fold(document.events).approval
    return (
        approval is not None
        and window.since <= approval.local_at.date() <= window.until
        and window.company in ("", document.company)
    )
