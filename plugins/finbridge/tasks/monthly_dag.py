"""``<flow>__monthly``: one run for an accounting period of one company or of all companies of a flow.

The steps are expanded over the companies, so that each is labelled, fails and is cleared by itself. Importing this
loads no connector.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, CronTriggerTimetable, Param, task_group

from finbridge.core.month import EVERY_COMPANY
from finbridge.systems.operators import include_folder, operators_of
from finbridge.tasks.dag_factory import OWNER, task_defaults
from finbridge.tasks.month_operators import (
    CollectMonthOperator,
    DeliverMonthOperator,
    PlanMonthsOperator,
    ReconcileOperator,
)
from finbridge.tasks.operators import CheckOperator

if TYPE_CHECKING:
    from finbridge.core.flow import Flow

KIND = "monthly"
#: From the first day of a month to its cut-off, and what comes then.
WAIT_TIMEOUT = timedelta(days=29)
STEP_TIMEOUT = timedelta(hours=6)
MAX_ACTIVE_RUNS = 4
LABEL = "公司 {{ task.company }} · 会计期间 {{ task.period }}"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def monthly_dags() -> Iterator[DAG]:
    """One DAG for each flow that says how a month is closed, in the order of flow ids."""
    from finbridge.flows.config import load_flows

    flows = load_flows(include_folder() / "flows")
    for flow_id in sorted(flows):
        if flows[flow_id].month is not None:
            yield monthly_dag(flows[flow_id])


def monthly_dag(flow: Flow) -> DAG:
    """months → for each company: month_quiet → collect → check → deliver → write back → payment status → reconcile."""
    with DAG(
        dag_id=f"{flow.flow_id}__{KIND}",
        schedule=_schedule(flow),
        start_date=_EPOCH,
        catchup=False,
        max_active_runs=MAX_ACTIVE_RUNS,
        default_args={**task_defaults(), "execution_timeout": STEP_TIMEOUT, "map_index_template": LABEL},
        params=_params(flow),
        doc_md=_doc(flow),
        tags=[flow.source_system, flow.target_system, flow.document_type, KIND],
    ) as dag:
        months = PlanMonthsOperator(
            task_id="months",
            flow_id=flow.flow_id,
            company="{{ params.company }}",
            period="{{ params.period or '' }}",
            map_index_template=None,
        )

        @task_group(group_id="month", prefix_group_id=False)
        def month(company: str, period: str) -> None:
            _steps(flow, company, period)

        month.expand_kwargs(months.output)
    return dag


def _steps(flow: Flow, company: str, period: str) -> None:
    """The tasks of one company's month, one after the other."""
    which: dict[str, Any] = {"flow_id": flow.flow_id, "company": company, "period": period}
    source, target = flow.source_system, flow.target_system
    theirs = operators_of(source)
    steps: list[Any] = []
    quiet = _quiet_of(source)
    if quiet is not None:
        # The steps of several companies wait beside each other, and hold no slot meanwhile.
        timeout = WAIT_TIMEOUT.total_seconds()
        wait = "{{ params.wait }}"
        steps.append(quiet(task_id="month_quiet", wait=wait, timeout=timeout, execution_timeout=WAIT_TIMEOUT, **which))
    # One after the other: the list is the same for all companies, and what one has read the next knows.
    steps.append(CollectMonthOperator(task_id="collect_month", pool=source, max_active_tis_per_dagrun=1, **which))
    steps.append(CheckOperator(task_id="check_month", **which))
    steps.append(DeliverMonthOperator(task_id="deliver_month", pool=target, **which))
    steps.append(theirs.WRITE_BACK(task_id="write_back_month", pool=source, **which))
    payment_status = getattr(theirs, "PAYMENT_STATUS", None)
    if flow.payment_status is not None and payment_status is not None:
        steps.append(payment_status(task_id="payment_status", pool=source, **which))
    noted = [step.task_id for step in steps if step.task_id != "month_quiet"]
    steps.append(ReconcileOperator(task_id="reconcile", pool=target, noted=noted, **which))
    for before, after in pairwise(steps):
        before >> after


def _quiet_of(system: str) -> Any:
    """The sensor of a source on a month's approvals, where it has one."""
    name = f"finbridge.systems.{system}.sensors"
    return getattr(import_module(name), "MONTH_QUIET", None) if find_spec(name) is not None else None


def _schedule(flow: Flow) -> Any:
    """On the cut-off day, by the clock of the flow's first company."""
    if flow.month is None:
        return None
    zone = flow.companies[min(flow.companies)].time_zone
    return CronTriggerTimetable(f"0 {flow.month.start_hour} {flow.month.cut_off_day} * *", timezone=zone)


def _params(flow: Flow) -> dict[str, Any]:
    """The form that a person fills in."""
    companies = [EVERY_COMPANY, *sorted(flow.companies)]
    return {
        "company": Param(
            EVERY_COMPANY,
            type="string",
            enum=companies,
            values_display={EVERY_COMPANY: "全部 / all"},
            title="公司 / company",
            description="对哪家公司月结；“全部”为本流程的所有公司。"
            "Which company; “all” means every company of the flow.",
        ),
        "period": Param(
            None,
            type=["null", "string"],
            pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$",
            title="会计期间 / accounting period",
            description="格式 YYYY-MM，例如 2026-10；留空为上个月。As YYYY-MM; empty: the month before.",
        ),
        "wait": Param(
            True,
            type="boolean",
            title="等待审批 / wait for approvals",
            description="等到本月没有审批中的单据或到达截止时间；关闭则立即核对。"
            "Until no document of the month is in approval, or the cut-off; off: compare at once.",
        ),
    }


def _doc(flow: Flow) -> str:
    rule = flow.month
    nodes = "、".join(rule.approval_nodes) if rule else ""
    day, hour = (rule.cut_off_day, rule.cut_off_hour) if rule else (0, 0)
    return f"""### {flow.document_type}: 月结 / monthly, {flow.source_system} → {flow.target_system}

**中文** 按公司与会计期间运行：months 确定公司与期间 → month_quiet 等到没有单据停在 {nodes}
（或次月 {day} 日 {hour} 时截止）
→ collect_month 从本月第一天列到今天，只读未知的单据 → check_month 质检 → deliver_month 过账 → write_back_month 回写 →
payment_status 付款状态写回 → reconcile 按集合、张数、金额核对两边。红色：reconcile 的日志开头逐条列出无法解释的差异
（缺失 missing、多出 extra、被改动 altered、被财务红冲 reversed_in_finance、结果存疑 in_doubt），
链接指向明细页；挂起、待开账、审批中等是有原因的差异，不会变红。
再次运行不会改变任何数据。

**English** For a company and accounting period: months says which → month_quiet waits until no document stands at
{nodes} (or until day {day}, {hour}:00 of the following month) → collect_month lists from the month's first day to today
and reads only what is not known → check_month → deliver_month → write_back_month → payment_status → reconcile compares
both sides by set, count and sum. Red: the log of reconcile begins with what is unexplained (missing, extra, altered,
reversed_in_finance, in_doubt) and links to the page.
Held, waiting period, in approval: differences with a reason, never red. A second run changes
nothing.

Flow / 流程: `include/flows`, id `{flow.flow_id}` · Owner / 负责: {OWNER} · Runbook / 运行手册:
`docs/runbooks/month-unexplained.md` · `docs/monthly.md`
"""
