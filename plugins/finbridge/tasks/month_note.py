"""What a monthly run is called in the UI's list of runs, from its first moment on: company and accounting period."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from finbridge.core.month import EVERY_COMPANY, months_asked

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

_LOG = logging.getLogger(__name__)


def label_of(dag_run: DagRun) -> str:
    """Company and period of a run: as a person asked for them, or as the timetable says.

    Raises:
        GiveUp: there is no such flow any more.
        ValueError: no such company or period.
    """
    from finbridge.systems.operators import flow_of

    asked = dag_run.conf or {}
    flow = flow_of(dag_run.dag_id.rpartition("__")[0])
    zones = {code: company.time_zone for code, company in flow.companies.items()}
    moment = dag_run.logical_date or dag_run.run_after
    months = months_asked(zones, str(asked.get("company") or EVERY_COMPANY), asked.get("period"), moment)
    if len(months) == 1:
        return months[0].label
    companies = "、".join(month.company for month in months)
    return f"公司 {companies} · 会计期间 {'、'.join(sorted({month.period for month in months}))}"


def put_label(dag_run: DagRun) -> None:
    """Note on a run that begins what it is for. A failure is logged: a label is no reason to disturb the scheduler."""
    try:
        if not dag_run.note:
            dag_run.note = label_of(dag_run)
    except Exception:  # whatever it is, the run matters more than its label
        _LOG.exception("no label for %s", dag_run.run_id)
