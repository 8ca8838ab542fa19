"""``<flow>__manual``: a form in Airflow's UI for single documents or a window; dry by default, live with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param, TriggerRule

from finbridge.core.preview import MOST_DOCUMENTS
from finbridge.systems.operators import include_folder, operators_of
from finbridge.tasks.dag_factory import OWNER, task_defaults
from finbridge.tasks.manual_operators import ASKED_BY, AskOperator, LookOperator, ShowOperator
from finbridge.tasks.operators import CheckOperator

if TYPE_CHECKING:
    from finbridge.core.flow import Flow

KIND = "manual"
#: People may work beside each other; leases keep two runs off one document.
MAX_ACTIVE_RUNS = 4
#: The largest run that a form takes, read and written at five calls a second.
TASK_TIMEOUT = timedelta(hours=1)
LIVE_TASKS = ("check", "deliver", "write_back")
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def manual_dags() -> Iterator[DAG]:
    """One DAG for each declared flow, in the order of flow ids."""
    from finbridge.flows.config import load_flows

    flows = load_flows(include_folder() / "flows")
    for flow_id in sorted(flows):
        yield manual_dag(flows[flow_id])


def manual_dag(flow: Flow) -> DAG:
    """ask → look → check → deliver → write_back → show; a dry run goes from look to show."""
    source, target = operators_of(flow.source_system), operators_of(flow.target_system)
    with DAG(
        dag_id=f"{flow.flow_id}__{KIND}",
        schedule=None,
        start_date=_EPOCH,
        catchup=False,
        max_active_runs=MAX_ACTIVE_RUNS,
        default_args={**task_defaults(), "execution_timeout": TASK_TIMEOUT},
        params=form(flow),
        doc_md=_doc(flow),
        tags=[flow.source_system, flow.target_system, flow.document_type, KIND],
    ) as dag:
        mine = {"flow_id": flow.flow_id, "asked_by": ASKED_BY}
        ask = AskOperator(task_id="ask", flow_id=flow.flow_id)
        look = LookOperator(task_id="look", flow_id=flow.flow_id, live_tasks=list(LIVE_TASKS), pool=flow.source_system)
        check = CheckOperator(task_id="check", **mine)
        deliver = target.DELIVER(task_id="deliver", pool=flow.target_system, **mine)
        write_back = source.WRITE_BACK(task_id="write_back", pool=flow.source_system, **mine)
        show = ShowOperator(
            task_id="show", flow_id=flow.flow_id, live_tasks=list(LIVE_TASKS), trigger_rule=TriggerRule.ALL_DONE
        )
        ask >> look >> check >> deliver >> write_back >> show
    return dag


def form(flow: Flow) -> dict[str, Param]:
    """The fields that a person fills in; `finbridge.flows.manual_form` reads them strictly.

    No sections: Airflow shows those closed, and only one of them open at a time.
    """
    return {
        "document_numbers": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="单据号 / document numbers",
            description="单据编号或 OA 流程编号（requestid），每行一个或用逗号分隔 · "
            "business numbers or request ids, one a line or separated by commas",
        ),
        "approved_from": _day("审批起始日 / approved from", "或按审批日期选择：起始日 · or a window: its first day"),
        "approved_to": _day("审批截止日 / approved to", "结束日（含）· its last day, included"),
        "company": Param(
            None,
            type=["null", "string"],
            enum=[*sorted(flow.companies), None],
            values_display={"null": "全部 / all"},
            title="公司 / company",
            description="仅用于按日期选择；空为全部公司 · for a window only; empty: every company",
        ),
        "live": Param(
            False,
            type="boolean",
            title="正式执行 / live run",
            description="否：试算，只显示凭证，不做任何更改 · 是：过账并回写，须填写原因 — "
            "off: a dry run shows vouchers and changes nothing · on: posts and writes back, needs a reason",
        ),
        "reason": Param(
            None,
            type=["null", "string"],
            maxLength=500,
            title="原因 / reason",
            description="正式执行必填，记入留痕 · needed for a live run, kept in the trail",
        ),
    }


def _day(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date", title=title, description=description)


def _doc(flow: Flow) -> str:
    return f"""### 手工同步 / manual run: {flow.source_system} → {flow.target_system}

**中文** 填写单据号或审批日期范围，点击“触发”。默认试算：按当前 OA 内容试算凭证，显示借贷分录，不做任何更改。
正式执行须填写原因，只处理所填单据：ask 登记 → look 读取 → check 质检 → deliver 过账 → write_back 回写 → show 显示结果。
绿色：每张单据已入账、已红冲、无需入账或在具名清单中；红色：show 任务日志第一行列出未完成的单据。
再次正式执行不会改变任何内容；超过 {MOST_DOCUMENTS:,} 张请使用按月 DAG。

**English** Fill in numbers or a window of approval days and trigger. Dry by default: what the documents call for as the
OA shows them now, with debit and credit lines, and nothing is changed. A live run needs a reason and works on these
documents alone: ask → look → check → deliver → write_back → show. Green: each one is posted, reversed, calls for
nothing, or stands in a named list. Red: the log of `show` begins with the ids. A second live run changes nothing; more
than {MOST_DOCUMENTS:,} documents are a matter for the monthly DAG.

Flow / 流程: `{flow.flow_id}` · Owner / 负责: {OWNER} · docs/manual-runs.md
"""
