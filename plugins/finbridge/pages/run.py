"""From a run in Airflow's UI to the page that it filled."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, status
from fastapi.responses import RedirectResponse, Response

from finbridge.core.runs import run_identity
from finbridge.hub import PostgresHub
from finbridge.pages.guard import ReaderDep
from finbridge.pages.hubs import ask
from finbridge.pages.rendering import HEADERS, link

router = APIRouter()
#: Kind of run -> the page that it fills; every other kind fills the day.
_PAGES = {"manual": "/preview", "monthly": "/month"}
_OURS = "finbridge__"


@router.get("/run/{dag_id}/{run_id}")
async def run(request: Request, reader: ReaderDep, dag_id: str, run_id: str) -> Response:
    """Leads to the preview of a manual run, the month of a monthly one, and the day of any other.

    A run that has not come so far yet leads to the list in which it will stand.
    """
    flow_id, _, kind = dag_id.rpartition("__")
    identity = run_identity(dag_id, run_id)
    path, day = "/today", ""
    if not dag_id.startswith(_OURS):
        reader.flow(flow_id)
        if kind in _PAGES:
            there = await ask(request, lambda hub: _filled(hub, kind, identity, flow_id))
            path = _PAGES[kind] + (f"/{quote(identity, safe='')}" if there else "")
        else:
            began = await ask(request, lambda hub: hub.views.run_day(flow_id, identity, reader.zone(flow_id)))
            day = began.isoformat() if began else ""
    return RedirectResponse(link(request, path, date=day), status.HTTP_303_SEE_OTHER, headers=HEADERS)


def _filled(hub: PostgresHub, kind: str, identity: str, flow_id: str) -> bool:
    """Whether the run's page exists. A run of another flow does not: whether it is there is nobody's business here."""
    run = (hub.manual_runs if kind == "manual" else hub.months).run(identity)
    return run is not None and run["flow_id"] == flow_id
