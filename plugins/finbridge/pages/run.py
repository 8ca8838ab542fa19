"""From a run in Airflow's UI to the page that it filled."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, status
from fastapi.responses import RedirectResponse, Response

from finbridge.pages.guard import ReaderDep
from finbridge.pages.hubs import ask
from finbridge.pages.rendering import HEADERS, link

router = APIRouter()
#: Kind of run -> the page that it fills; every other kind fills the day.
_PAGES = {"manual": "/preview/", "monthly": "/month/"}
_OURS = "finbridge__"


@router.get("/run/{dag_id}/{run_id}")
async def run(request: Request, reader: ReaderDep, dag_id: str, run_id: str) -> Response:
    """Leads to the preview of a manual run, the month of a monthly one, and the day of any other."""
    flow_id, _, kind = dag_id.rpartition("__")
    day = ""
    if not dag_id.startswith(_OURS):
        reader.flow(flow_id)
        began = await ask(request, lambda hub: hub.views.run_day(flow_id, run_id, reader.zone(flow_id)))
        day = began.isoformat() if began else ""
    path = f"{_PAGES[kind]}{quote(run_id, safe='')}" if kind in _PAGES else "/today"
    there = link(request, path, **({} if kind in _PAGES else {"date": day}))
    return RedirectResponse(there, status.HTTP_303_SEE_OTHER, headers=HEADERS)
