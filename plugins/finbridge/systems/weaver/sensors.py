"""Deferrable sensor on documents of the OA: for a month-end close, or for one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from finbridge.core.month import end_day
from finbridge.systems.operators import HUB_CONNECTION, flow_of
from finbridge.systems.weaver.triggers import WeaverDocumentTrigger, WeaverMonthTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class WeaverDocumentSensor(BaseSensorOperator):
    """Waits, without a worker slot, until documents have moved on.

    Args:
        nodes: node names of the workflow. With ``document_id``: where the document must arrive. Without: the nodes at
            which no document of the window may stand any more (for example the approval nodes before a period closes).
        document_id: one document.
        since: first day of the window, ISO; documents operated since then count.
        until: last day of the window, ISO; by default the OA's today.
        templates: workflow versions that count.
        weaver_conn_id: Airflow connection of the OA.
    """

    template_fields: Sequence[str] = ("document_id", "since", "until")
    ui_color = "#e8f3ff"

    def __init__(
        self,
        *,
        nodes: Sequence[str],
        document_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        templates: Sequence[str] = (),
        weaver_conn_id: str = "weaver_default",
        hub_conn_id: str = HUB_CONNECTION,
        poke_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.nodes = nodes
        self.document_id = document_id
        self.since = since
        self.until = until
        self.templates = templates
        self.weaver_conn_id = weaver_conn_id
        self.hub_conn_id = hub_conn_id

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow passes it
        """Hand over to the triggerer at once."""
        trigger = WeaverDocumentTrigger(
            weaver_conn_id=self.weaver_conn_id,
            hub_conn_id=self.hub_conn_id,
            nodes=self.nodes,
            document_id=self.document_id,
            since=self.since,
            until=self.until,
            templates=self.templates,
            poll_seconds=self.poke_interval,
        )
        self.defer(trigger=trigger, method_name="resume", timeout=timedelta(seconds=self.timeout))

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Airflow passes it
        """Green when nothing waits; red at once where only a person can help."""
        if event is None or "error" in event:
            raise AirflowFailException(str((event or {}).get("error", "no event")))
        self.log.info("没有等待中的单据 / nothing waits any more")


class WeaverMonthSensor(BaseSensorOperator):
    """Waits, without a worker slot, until no document of a company's month is in approval, or until the cut-off.

    What is in approval at the cut-off is no fault: the comparison names it. It does not wait at all where the cut-off
    has passed, where the period is not over yet, or where the person who started the run does not want to.

    Args:
        flow_id: as in ``include/flows``; its ``month`` names the nodes of approval and the cut-off.
        company: our code.
        period: ``YYYY-MM``.
        wait: ``False`` or empty: do not wait.
    """

    template_fields: Sequence[str] = ("company", "period", "wait")
    ui_color = "#e8f3ff"

    def __init__(
        self,
        *,
        flow_id: str,
        company: str,
        period: str,
        wait: bool | str = True,
        hub_conn_id: str = HUB_CONNECTION,
        poke_interval: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.flow_id = flow_id
        self.company = company
        self.period = period
        self.wait = wait
        self.hub_conn_id = hub_conn_id

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow passes it
        """Hand over to the triggerer, if there is something to wait for."""
        ends = flow_of(self.flow_id).cut_off(self.company, self.period)
        now = datetime.now(ends.tzinfo)
        over = now.date() >= end_day(self.period)
        if str(self.wait) in ("False", "false", "") or not over or now >= ends:
            self.log.info("不等待审批 / no waiting for approvals: period over %s, cut-off %s", over, ends.isoformat())
            return
        trigger = WeaverMonthTrigger(
            flow_id=self.flow_id,
            company=self.company,
            period=self.period,
            hub_conn_id=self.hub_conn_id,
            poll_seconds=self.poke_interval,
        )
        self.defer(trigger=trigger, method_name="resume", timeout=timedelta(seconds=self.timeout))

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Airflow passes it
        """Green when nothing waits or the time is over; red at once where only a person can help."""
        if event is None or "error" in event:
            raise AirflowFailException(str((event or {}).get("error", "no event")))
        if event["cut_off"]:
            text = "已到截止时间，仍在审批 / the cut-off has passed, documents still in approval: %d (explained)"
            self.log.warning(text, event["waiting"])
        else:
            self.log.info("本月没有审批中的单据 / no document of the month is in approval")


MONTH_QUIET = WeaverMonthSensor
