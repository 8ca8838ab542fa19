"""What Airflow itself knows: which DAGs a person paused, and whether the watcher's process lives.

The pages run inside the API server, which reads Airflow's metadata database. Where that fails the page still shows:
it then says that this is not known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import anyio.to_thread

_LOG = logging.getLogger(__name__)
#: The DAGs of a flow that move documents by themselves or for a person.
KINDS = ("wake", "sweep", "monthly", "manual")


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowState:
    """``paused`` by DAG id, of those that Airflow knows. ``triggerer_at``: last heartbeat of the watcher's process."""

    paused: Mapping[str, bool] = field(default_factory=dict)
    triggerer_at: datetime | None = None
    triggerer_healthy: bool | None = None


async def airflow_state(flow_ids: Sequence[str]) -> AirflowState:
    """Ask Airflow, in a thread."""
    return await anyio.to_thread.run_sync(_state, [f"{flow_id}__{kind}" for flow_id in flow_ids for kind in KINDS])


def _state(dag_ids: list[str]) -> AirflowState:
    from airflow.api.common.airflow_health import get_airflow_health
    from airflow.models.dag import DagModel

    try:
        found = {dag_id: DagModel.get_dagmodel(dag_id) for dag_id in dag_ids}
        triggerer: dict[str, Any] = get_airflow_health()["triggerer"]
        beat = triggerer.get("latest_triggerer_heartbeat")
        return AirflowState(
            paused={dag_id: bool(dag.is_paused) for dag_id, dag in found.items() if dag is not None},
            triggerer_at=datetime.fromisoformat(beat) if beat else None,
            triggerer_healthy=triggerer.get("status") == "healthy" if triggerer.get("status") else None,
        )
    except Exception:  # whatever ails the metadata database: the day's numbers come from the hub and still count
        _LOG.warning("Airflow's own state could not be read", exc_info=True)
        return AirflowState()
