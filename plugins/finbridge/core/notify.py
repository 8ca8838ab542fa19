"""What people are told when something stays broken: one message when it opens, one when it closes. Shapes only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One cause for one company of one flow, from the first sight to the end. Times are UTC.

    ``company`` is empty where it concerns every company; ``detail`` holds codes, ids and counts, never values.
    """

    alarm_id: int
    flow_id: str
    company: str
    cause: str
    detail: str
    dag_id: str
    run_id: str
    task_id: str
    opened_at: datetime
    last_seen_at: datetime
    times: int
    told_open_at: datetime | None
    closed_at: datetime | None
    told_close_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Something was seen to be broken, where."""

    flow_id: str
    cause: str
    company: str = ""
    detail: str = ""
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
