"""The one place that lets people in: logged in to Airflow, and allowed to read the DAG of at least one flow.

Airflow's own dependencies do the work, so that every auth manager, token and cookie of Airflow's counts here too.
A page shows the flows whose ``<flow>__wake`` its reader may read, and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from finbridge.core.flow import Flow
from finbridge.core.places import include_folder
from finbridge.flows.config import load_flows


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks. ``flows`` are those that they may read, never empty."""

    name: str
    flows: Mapping[str, Flow]

    @property
    def flow_ids(self) -> list[str]:
        """What every question to the hub is limited to."""
        return sorted(self.flows)

    def flow(self, flow_id: str) -> Flow:
        """A flow that the reader may read.

        Raises:
            HTTPException: 404, whether there is no such flow or it is not theirs to read.
        """
        if flow_id not in self.flows:
            raise HTTPException(status.HTTP_404_NOT_FOUND)
        return self.flows[flow_id]

    def zone(self, flow_id: str | None = None, company: str | None = None) -> str:
        """The time zone of a company of a flow; of the first one where none is named."""
        flow = self.flows.get(flow_id or "", self.flows[self.flow_ids[0]])
        found = flow.companies.get(company or "") or next(iter(flow.companies.values()))
        return found.time_zone


def dag_of(flow_id: str) -> str:
    """The DAG whose readers may see a flow's documents."""
    return f"{flow_id}__wake"


def declared_flows() -> Mapping[str, Flow]:
    """The flows of ``include/flows``, read again when a file changes."""
    folder = include_folder() / "flows"
    return _flows(folder, tuple((p.name, p.stat().st_mtime_ns) for p in sorted(folder.glob("*.yaml"))))


@lru_cache(maxsize=2)
def _flows(folder: Path, _stamps: tuple[tuple[str, int], ...]) -> Mapping[str, Flow]:
    return load_flows(folder)


def reader(request: Request, user: GetUserDep) -> Reader:
    """Who looks at a page; the dependency of every route.

    Raises:
        HTTPException: 401 for nobody (by Airflow's own dependency), 403 for one who may read no flow.
    """
    flows = {flow_id: flow for flow_id, flow in declared_flows().items() if _may_read(flow_id, request, user)}
    if not flows:
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return Reader(user.get_name(), flows)


def _may_read(flow_id: str, request: Request, user: Any) -> bool:
    try:
        requires_access_dag("GET", param_dag_id=dag_of(flow_id))(request, user)
    except HTTPException as error:
        if error.status_code != status.HTTP_403_FORBIDDEN:
            raise
        return False
    return True


ReaderDep = Annotated[Reader, Depends(reader)]


def unguarded(app: FastAPI) -> list[str]:
    """The routes of an application that do not pass through :func:`reader`; mounts and bare routes never do."""
    return [
        str(getattr(route, "path", route))
        for route in app.routes
        if not (isinstance(route, APIRoute) and reader in _calls(route.dependant))
    ]


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    yield dependant.call
    for child in dependant.dependencies:
        yield from _calls(child)
