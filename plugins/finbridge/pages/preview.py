"""Preview: what a manual run would do, or did, document by document with the 借/贷 lines of its vouchers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import Response

from finbridge.hub.reasons import reason
from finbridge.hub.view_runs import LISTED
from finbridge.pages.guard import ReaderDep
from finbridge.pages.hubs import ask
from finbridge.pages.rendering import page
from finbridge.pages.texts import language_of
from finbridge.pages.words import one_language

router = APIRouter()
#: In the order in which people look at them.
VERDICTS = ("would_post", "would_reverse", "posted", "held", "nothing_to_do", "not_approved", "not_found")
_MOST_DOCUMENTS = 100_000


@router.get("/preview")
async def runs(request: Request, reader: ReaderDep) -> Response:
    """The newest manual runs."""
    rows = await ask(request, lambda hub: hub.views.manual_runs(reader.flow_ids))
    return page(
        request,
        "previews.html",
        active="preview",
        rows=[{**row, "zone": reader.zone(row["flow_id"])} for row in rows],
        flow_ids=reader.flow_ids,
        verdicts=VERDICTS,
    )


@router.get("/preview/{run_id}")
async def preview(
    request: Request,
    reader: ReaderDep,
    run_id: str,
    verdict: Annotated[str, Query(max_length=40)] = "",
    start: Annotated[int, Query(ge=0, le=_MOST_DOCUMENTS)] = 0,
) -> Response:
    """One manual run; with ``verdict`` only the documents of that verdict."""
    run = await ask(request, lambda hub: hub.manual_runs.run(run_id))
    if run is None or (verdict and verdict not in VERDICTS):
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    reader.flow(run["flow_id"])
    flow_ids = [run["flow_id"]]
    counts = await ask(request, lambda hub: hub.views.verdicts(flow_ids, run_id))
    documents = await ask(
        request,
        lambda hub: hub.views.previews(flow_ids, run_id, verdict=verdict or None, limit=LISTED + 1, offset=start),
    )
    language = language_of(request)

    def words(problem: dict[str, Any]) -> dict[str, str]:
        why = reason(problem["code"])
        detail = one_language(problem.get("detail") or "", language)
        return {"text": getattr(why, language), "turn": why.turn, "detail": detail}

    return page(
        request,
        "preview.html",
        active="preview",
        run=run,
        zone=reader.zone(run["flow_id"]),
        counts=[(name, counts[name]) for name in VERDICTS if name in counts],
        documents=documents[:LISTED],
        more=len(documents) > LISTED,
        verdict=verdict,
        start=start,
        most=LISTED,
        total=sum(counts.values()) if not verdict else counts.get(verdict, 0),
        words=words,
    )
