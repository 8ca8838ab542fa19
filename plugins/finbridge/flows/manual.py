"""Manual runs: a dry run reads and shows; a live run brings exactly these documents on, and nothing that stands right.

A live run stores what it read and has the hub look again at what that would move; the verbs with ``only`` do the rest.
A document that stands as it should is not touched, so a second live run changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from finbridge.core.flow import Flow
from finbridge.core.fold import fold
from finbridge.core.ports import CollectedDocument, Judge, Source, Translator
from finbridge.core.preview import Found, Known, ManualHub, Preview, PreviewVerdict
from finbridge.flows.manual_find import chunks
from finbridge.flows.preview import Look, look, standing_vouchers

#: Whoever works on a document when a live run ends gets this long to finish.
SETTLE_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 1.0
ACTION = "manual_run"
_STANDING = {
    "posted": PreviewVerdict.POSTED,
    "paid_only": PreviewVerdict.POSTED,
    "held": PreviewVerdict.HELD,
    "reversed": PreviewVerdict.NOTHING_TO_DO,
    "nothing_to_post": PreviewVerdict.NOTHING_TO_DO,
    "not_approved": PreviewVerdict.NOT_APPROVED,
    "due": PreviewVerdict.WOULD_POST,
    "unexplained": PreviewVerdict.WOULD_POST,
}
#: A live run is green where each of its documents ended in one of these.
GREEN = frozenset({PreviewVerdict.POSTED, PreviewVerdict.HELD, PreviewVerdict.NOTHING_TO_DO})


async def show(
    *,
    flow: Flow,
    hub: ManualHub,
    source: Source,
    translator: Translator,
    judge: Judge,
    found: Sequence[Found],
) -> AsyncIterator[list[Preview]]:
    """What would become of the documents, chunk by chunk. Changes nothing."""
    for part in chunks(found):
        names = [one.document_id for one in part if one.document_id]
        seen = await look(flow=flow, hub=hub, source=source, translator=translator, judge=judge, document_ids=names)
        previews = {preview.document_id: preview for preview in seen.previews}
        yield [previews[one.document_id] if one.document_id else _unknown(one) for one in part]


async def act(
    *,
    flow: Flow,
    hub: ManualHub,
    source: Source,
    translator: Translator,
    judge: Judge,
    document_ids: Sequence[str],
    actor: str,
    reason: str,
) -> dict[str, int]:
    """Note who asked and why, store what moved, have the hub look again at what that would bring on.

    Whatever stands as it should, and whatever another run works on just now, is left alone.
    """
    counts = {"documents": len(document_ids), "stored": 0, "looked_again": 0}
    for names in chunks(document_ids):
        await asyncio.to_thread(hub.manual_runs.note, flow.flow_id, names, actor=actor, action=ACTION, reason=reason)
        seen = await look(flow=flow, hub=hub, source=source, translator=translator, judge=judge, document_ids=names)
        news = [d for name, d in seen.documents.items() if is_news(d, seen.known.get(name))]
        await asyncio.to_thread(hub.store, flow.flow_id, news)
        again = _again(seen, {document.document_id for document in news})
        if again:
            await asyncio.to_thread(hub.retry, flow.flow_id, again, actor=actor)
        counts["stored"] += len(news)
        counts["looked_again"] += len(again)
    return counts


async def standing(
    *, flow: Flow, hub: ManualHub, found: Sequence[Found], seconds: float = SETTLE_SECONDS
) -> list[Preview]:
    """Where the documents stand now, once nobody works on them any more (or after ``seconds``)."""
    until = time.monotonic() + seconds
    known: dict[str, Known] = {}
    waiting = list(dict.fromkeys(one.document_id for one in found if one.document_id))
    while waiting:
        for names in chunks(waiting):
            known |= await asyncio.to_thread(hub.manual_runs.known, flow.flow_id, names)
        waiting = [name for name in waiting if name in known and known[name].standing == "due"]
        if waiting and time.monotonic() >= until:
            break
        if waiting:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return [
        _standing(one.document_id, known[one.document_id]) if one.document_id in known else _unknown(one)
        for one in found
    ]


def unfinished(previews: Sequence[Preview]) -> list[str]:
    """What a live run did not bring to an end: by its number, or as it was asked for."""
    return [p.document_id or p.business_number for p in previews if p.verdict not in GREEN]


def counts_of(previews: Sequence[Preview]) -> dict[str, int]:
    """Documents by verdict."""
    return {verdict.value: sum(preview.verdict is verdict for preview in previews) for verdict in PreviewVerdict}


def is_news(document: CollectedDocument, known: Known | None) -> bool:
    """Whether a plan could see something that the hub does not know.

    A log entry that changes no plan (our own step onwards among them) is left to the next collect.
    """
    if known is None:
        return document.problem is None or document.problem.code != "document_gone"
    problem = document.problem
    mine = (problem.code, problem.field, problem.detail) if problem else None
    theirs = (known.problem.code, known.problem.field, known.problem.detail) if known.problem else None
    named = (document.company or known.company, document.business_number or known.business_number)
    return (
        document.content != known.content
        or mine != theirs
        or named != (known.company, known.business_number)
        or fold([*known.events, *document.events]) != fold(known.events)
    )


def _again(seen: Look, news: set[str]) -> list[str]:
    """Documents that a new look would bring on, or that it would hold for other reasons than before."""
    again = []
    for preview in seen.previews:
        known = seen.known.get(preview.document_id)
        if known is None or known.moving or preview.document_id in news:
            continue
        moves = preview.verdict in (PreviewVerdict.WOULD_POST, PreviewVerdict.WOULD_REVERSE)
        if moves or (preview.verdict is PreviewVerdict.HELD and _reasons_differ(preview, known)):
            again.append(preview.document_id)
    return again


def _reasons_differ(preview: Preview, known: Known) -> bool:
    earlier: Mapping[bool, set[tuple[str, str, str]]] = {True: set(), False: set()}
    for origin, problem in known.holds:
        earlier[origin == "plan"].add((problem.code, problem.field, problem.detail))
    found = {(p.code, p.field, p.detail) for p in preview.problems}
    return found - earlier[False] != earlier[True] - earlier[False]


def _standing(name: str, known: Known) -> Preview:
    vouchers = tuple(standing_vouchers(known))
    verdict = _STANDING[known.standing]
    if verdict is PreviewVerdict.WOULD_POST and any(row["state"] == "reversing" for row in vouchers):
        verdict = PreviewVerdict.WOULD_REVERSE
    return Preview(
        document_id=name,
        business_number=known.business_number,
        company=known.company,
        verdict=verdict,
        problems=tuple(problem for _, problem in known.holds),
        vouchers=vouchers,
    )


def _unknown(one: Found) -> Preview:
    """Neither hub nor OA knows what was asked for (or the OA shows it no more)."""
    return Preview(document_id=one.document_id, business_number=one.asked, company="", verdict=PreviewVerdict.NOT_FOUND)
