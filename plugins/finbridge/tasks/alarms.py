"""The one callback of all tasks: what failed becomes an alarm, what works again closes it.

An alarm is one row for flow, company and cause. It is opened by the first failure, told once, closed by the first run
that disproves it, told once more. If the hub is away, the callback says what it would have stored in the log: it never
raises, since Airflow would only note that a callback failed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from finbridge.core.errors import FinbridgeError, GiveUp
from finbridge.core.month import EVERY_COMPANY
from finbridge.core.notify import Sighting
from finbridge.systems.pausing import AUTOMATIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from finbridge.core.connections import ConnectionSettings
    from finbridge.core.notify import Alarm
    from finbridge.hub import PostgresHub

HUB_CONNECTION = "hub_default"


class AlreadyTold(GiveUp):
    """The task has opened its alarms itself, each where it belongs: the callback adds none."""


_LOG = logging.getLogger("finbridge.alarms")


def on_failure(context: Context) -> None:
    """A task failed for good (its retries are used up, or a person must mend something)."""
    try:
        found = sightings(context)
    except Exception:  # a callback that raises says nothing at all
        _LOG.exception("an alarm could not be described")
        return
    try:
        with _hub(context) as hub:
            hub.alarms.see(found)
            tell(hub)
    except Exception as error:  # the hub or the robot: what is to be said must be said here
        for sighting in found:
            _LOG.error("告警未能存入台账 / an alarm could not be stored (%s): %s", type(error).__name__, sighting)


def on_success(context: Context) -> None:
    """A green task closes what the same task of the same flow and company opened.

    Of the automatic way only the last task does: when it is green, the four before it were too.
    """
    ti: Any = context["ti"]
    flow_id = flow_of(ti.dag_id)
    if ti.dag_id.rpartition("__")[2] in AUTOMATIC:
        if ti.task_id != "account":
            return
        where: dict[str, Any] = {"dag_ids": [f"{flow_id}__{other}" for other in AUTOMATIC]}
    else:
        where = {"dag_ids": [ti.dag_id], "task_id": ti.task_id, "company": company_of(context) or None}
    try:
        with _hub(context) as hub:
            hub.alarms.close(flow_id, **where)
            tell(hub)
    except Exception as error:  # an alarm that stays open for one more run harms nobody
        _LOG.warning("alarms could not be closed: %s", type(error).__name__)


def sightings(context: Context) -> list[Sighting]:
    """What the failure means: a sighting for each company that it names, else one for all."""
    ti: Any = context["ti"]
    error = context.get("exception")
    if isinstance(error, BaseException) and isinstance(error.__cause__, AlreadyTold):
        return []
    cause, companies, detail = _why(error)
    place = {
        "flow_id": flow_of(ti.dag_id),
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "cause": cause,
        "detail": detail or ti.task_id,
    }
    return [Sighting(company=company, **place) for company in companies or (company_of(context),)]


def flow_of(dag_id: str) -> str:
    """The flow that a DAG belongs to; empty for the DAGs of operations, which serve all."""
    flow_id = dag_id.rpartition("__")[0]
    return "" if flow_id == "finbridge" else flow_id


def company_of(context: Context) -> str:
    """The company that a task is about (a month's), or its run (a person's choice); empty for all."""
    params = context.get("params") or {}
    company = getattr(context.get("task"), "company", None) or params.get("company") or ""
    return "" if company == EVERY_COMPANY else str(company)


def _why(error: BaseException | str | None) -> tuple[str, tuple[str, ...], str]:
    """Cause, companies and a detail without values: a code where the suite raised, else the kind of the failure."""
    if error is None or isinstance(error, str):
        return "task_died", (), ""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, FinbridgeError):
            return seen.code, seen.companies, ""
        seen = seen.__cause__
    if type(error).__name__ in ("AirflowTaskTimeout", "TaskDeferralTimeout", "AirflowSensorTimeout"):
        return "task_timed_out", (), ""
    return "unexpected_error", (), type(error).__name__


def tell(hub: PostgresHub) -> int:
    """Tell people what they do not know yet; how many messages were accepted. Mostly there is nothing to tell."""
    from airflow.sdk.configuration import conf

    from finbridge.tasks.notifier import teller

    send: list[Callable[[Alarm], bool]] = []

    def told(alarm: Alarm) -> bool:
        if not send:  # the robot's connection is looked up only where there is something to say
            send.append(teller(alerts_settings(), str(conf.get("api", "base_url", fallback=""))))
        return send[0](alarm)

    return hub.alarms.tell(told)


def alerts_settings() -> ConnectionSettings | None:
    """The robot's connection, None where there is none."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from finbridge.systems.hook import settings_of
    from finbridge.tasks.notifier import ALERTS_CONNECTION

    try:
        return settings_of(BaseHook.get_connection(ALERTS_CONNECTION))
    except AirflowNotFoundException:
        return None


def _hub(context: Context) -> PostgresHub:
    from airflow.sdk import BaseHook

    from finbridge.systems.hook import open_hub_of

    conn_id = getattr(context.get("task"), "hub_conn_id", HUB_CONNECTION)
    return open_hub_of(BaseHook.get_connection(conn_id))
