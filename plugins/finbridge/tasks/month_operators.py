"""The tasks of a monthly run, each for one company and period; the work is in `finbridge.flows.month`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.month import Month, months_asked
from finbridge.systems.links import MONTH_LINKS
from finbridge.systems.operators import FlowOperator, OpenFlow, delivered, flow_of, run_async
from finbridge.systems.pausing import NOTE_KEY
from finbridge.tasks.run_note import summary

if TYPE_CHECKING:
    from airflow.sdk import Context

    from finbridge.flows.month import MonthReport

#: Unexplained differences that the failing task's log begins with; the page has all.
MAX_NAMED = 50


class Unexplained(GiveUp):
    """The month does not reconcile: what the alarm of a red month is grouped by."""


class PlanMonthsOperator(BaseOperator):
    """Says which months the run is for: one company or all of them, the period asked for or the month before.

    Args:
        flow_id: as in ``include/flows``.
        company: one of the flow's, or ``all``.
        period: ``YYYY-MM``, or empty.
    """

    template_fields: Sequence[str] = ("company", "period")

    def __init__(self, *, flow_id: str, company: str, period: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.company = company
        self.period = period

    def execute(self, context: Context) -> list[dict[str, str]]:
        """A mapping a month: what the other tasks are expanded over."""
        zones = {code: company.time_zone for code, company in flow_of(self.flow_id).companies.items()}
        period = "" if self.period == "None" else self.period
        try:
            months = months_asked(zones, self.company, period, moment_of(context))
        except ValueError as error:
            raise AirflowFailException(f"公司或会计期间不正确 / no such company or period: {error}") from None
        for month in months:
            self.log.info(month.label)
        return [{"company": month.company, "period": month.period} for month in months]


def moment_of(context: Mapping[str, Any]) -> Any:
    """The moment that a run is for: its place on the timetable, or when it was asked for."""
    run = context["dag_run"]
    return run.logical_date or run.run_after


class MonthOperator(FlowOperator):
    """One step that only a month has."""

    operator_extra_links = MONTH_LINKS

    @property
    def month(self) -> Month:
        """The month."""
        return Month(self.company, self.period)


class CollectMonthOperator(MonthOperator):
    """Reads what moved since the month's first day and is not in the hub as it stands."""

    ui_color = "#e8f3ff"

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Collect; then count what was approved in the month."""
        flow.hub.open_run(self.flow_id, flow.run_id, self.dag_id.rpartition("__")[2])
        note = run_async(_collect(flow, self.month))
        return note | {"approved_in_month": flow.hub.months.approved_count(self.flow_id, self.company, self.period)}


class DeliverMonthOperator(MonthOperator):
    """Posts what is due of the month."""

    ui_color = "#eafaea"

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Deliver to whatever ledger the flow names; what is unsent is tried again while Airflow has tries left.

        Raises:
            RetryLater: vouchers are unsent. On the last try the comparison names them instead, and is red.
        """
        from finbridge.flows.month import deliver_month

        note = run_async(delivered(flow, deliver_month, month=self.month))
        ti: Any = flow.context["ti"]
        if note.get("unsent") and not note.get("paused") and ti.try_number <= ti.max_tries:
            raise RetryLater(
                "month_unsent",
                f"{self.month.label}: 尚未发送，稍后重试 / not sent yet, tried again: {note['unsent']}",
            )
        return note


class ReconcileOperator(MonthOperator):
    """Compares both sides by set, count and sum. Green only if every difference has a reason.

    Args:
        noted: task ids whose counts go into the run's note.
    """

    ui_color = "#f3eaff"

    def __init__(self, *, noted: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noted = noted

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Compare, note, and fail where something is unexplained: the list first, then where to look."""
        ti = flow.context["ti"]
        report = run_async(_reconcile(flow, self.month))
        told = unexplained(self.month, report, page_of(report.month_run_id))
        if not report.green:
            self.log.error(told)
        counts = {name: ti.xcom_pull(task_ids=name, map_indexes=ti.map_index) or {} for name in self.noted}
        counts |= {self.task_id: report.as_note()}
        flow.hub.close_run(flow.run_id, _flat(self.month, counts))
        ti.xcom_push(key=NOTE_KEY, value=f"{self.month.label}: {headline(report)}\n{summary(counts)}")
        if not report.green:
            ti.xcom_push(key="return_value", value=report.as_note())  # what links on a failed task need
            raise AirflowFailException(told) from Unexplained(
                "month_unexplained", f"{self.month.label}: {headline(report)}", companies=(self.company,)
            )
        return report.as_note()


def headline(report: MonthReport) -> str:
    """The verdict in one line."""
    word = "相符 / agrees" if report.green else f"无法解释 / unexplained {report.unexplained}"
    return f"{word} · 有原因 / explained {report.explained} · OA {report.oa} · 财务 / finance {report.finance}"


def unexplained(month: Month, report: MonthReport, link: str) -> str:
    """What the failing task says first: each unexplained difference, then where to look."""
    lines = [
        f"{d.what.value}: {d.business_number or d.document_id or '-'} {d.key} {d.finance_number} {d.detail}"
        for d in report.named[:MAX_NAMED]
    ]
    rest = report.unexplained - len(lines)
    more = [f"… +{rest}"] if rest > 0 else []
    return "\n".join([*lines, *more, f"{month.label}: 无法解释的差异 / unexplained: {report.unexplained}. {link}"])


def page_of(month_run_id: int) -> str:
    """Address of the comparison's page."""
    from airflow.configuration import conf

    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/finbridge/month/{month_run_id}"


def _flat(month: Month, counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """As the hub keeps a run's counts, apart by company."""
    return {f"{month.company}.{task}.{name}": count for task, note in counts.items() for name, count in note.items()}


async def _collect(flow: OpenFlow, month: Month) -> dict[str, int]:
    from finbridge.flows.month import collect_month

    async with flow.source() as source:
        report = await collect_month(
            flow=flow.flow, hub=flow.hub, source=source, translator=flow.translator, period=month.period
        )
    return report.as_note()


async def _reconcile(flow: OpenFlow, month: Month) -> MonthReport:
    from finbridge.flows.month import reconcile

    async with flow.ledger() as ledger:
        return await reconcile(flow=flow.flow, hub=flow.hub, ledger=ledger, month=month, run_id=flow.run_id)
