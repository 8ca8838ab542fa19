"""DAGs from ``include/flows/*.yaml``: the same five tasks, woken by the watcher or by the clock.

Deterministic: the same files give the same DAGs byte for byte. Importing it loads no connector, no pandas, no DuckDB
and no Great Expectations; tasks import what they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetWatcher, CronTriggerTimetable

from finbridge.systems.operators import HUB_CONNECTION, include_folder, operators_of
from finbridge.tasks.alarms import on_failure, on_success
from finbridge.tasks.operators import AccountOperator, CheckOperator
from finbridge.tasks.run_note import ACCOUNT_TASK
from finbridge.tasks.triggers import DocumentsDueTrigger

if TYPE_CHECKING:
    from finbridge.core.flow import Flow

OWNER = "finance-integration"
MAX_ACTIVE_RUNS = 2
TASK_TIMEOUT = timedelta(minutes=10)
RETRIES = 2
RETRY_DELAY = timedelta(seconds=5)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What wakes a DAG."""

    WAKE = "wake"
    SWEEP = "sweep"


def dags(kind: Kind) -> Iterator[DAG]:
    """One DAG for each declared flow, in the order of flow ids."""
    from finbridge.flows.config import load_flows

    flows = load_flows(include_folder() / "flows")
    for flow_id in sorted(flows):
        yield dag_of(flows[flow_id], kind)


def dag_of(flow: Flow, kind: Kind) -> DAG:
    """collect → check → deliver → write_back → account.

    Each task is bounded in time, the run is not: the scheduler would count a pause as part of it, and fail the run
    afterwards without an alarm.
    """
    with DAG(
        dag_id=f"{flow.flow_id}__{kind}",
        schedule=_schedule(flow, kind),
        start_date=_EPOCH,
        catchup=False,
        max_active_runs=MAX_ACTIVE_RUNS,
        default_args=task_defaults(),
        doc_md=_doc(flow, kind),
        tags=[flow.source_system, flow.target_system, flow.document_type, kind.value],
    ) as dag:
        _wire(flow)
    return dag


def task_defaults() -> dict[str, Any]:
    """What every task of ours starts from, in whatever DAG it stands."""
    return {
        "owner": OWNER,
        "retries": RETRIES,
        "retry_delay": RETRY_DELAY,
        "execution_timeout": TASK_TIMEOUT,
        "on_failure_callback": on_failure,
        "on_success_callback": on_success,
    }


def _schedule(flow: Flow, kind: Kind) -> Any:
    if kind is Kind.SWEEP:
        return CronTriggerTimetable(flow.sweep, timezone="UTC")
    trigger = DocumentsDueTrigger(flow_id=flow.flow_id, hub_conn_id=HUB_CONNECTION)
    name = f"{flow.flow_id}__due"
    return [Asset(name=name, uri=f"finbridge://{name}", watchers=[AssetWatcher(name=name, trigger=trigger)])]


def _wire(flow: Flow) -> None:
    source, target = operators_of(flow.source_system), operators_of(flow.target_system)
    collect = source.COLLECT(task_id="collect", flow_id=flow.flow_id, pool=flow.source_system)
    check = CheckOperator(task_id="check", flow_id=flow.flow_id)
    deliver = target.DELIVER(task_id="deliver", flow_id=flow.flow_id, pool=flow.target_system)
    write_back = source.WRITE_BACK(task_id="write_back", flow_id=flow.flow_id, pool=flow.source_system)
    noted = [task.task_id for task in (collect, check, deliver, write_back)]
    account = AccountOperator(task_id=ACCOUNT_TASK, flow_id=flow.flow_id, noted=noted)
    collect >> check >> deliver >> write_back >> account


def _doc(flow: Flow, kind: Kind) -> str:
    when = {
        Kind.WAKE: (
            f"监视器每 {flow.poll_seconds:g} 秒查看 OA 和台账，有事可做才唤醒；丢失的事件在下一次查看时补上。",
            f"The watcher looks into OA and hub every {flow.poll_seconds:g} s and wakes this DAG while something is "
            "due; a lost event heals at a later look.",
        ),
        Kind.SWEEP: (
            f"按时间表 `{flow.sweep}` 兜底：即使所有事件都丢失，单据也不会丢。",
            f"The safety net on `{flow.sweep}`: were every event lost, no document would be.",
        ),
    }[kind]
    return f"""### {flow.document_type}: {flow.source_system} → {flow.target_system}

**中文** {when[0]} 五个任务：采集 collect → 质检 check（Great Expectations）→ 过账 deliver → 回写 write_back →
核对 account。每个任务只问台账"还有什么没有完成"，重试、清除、补跑都不会产生重复凭证。
绿色：每张单据都已入账、在途或在具名清单中；红色：account 任务日志第一行列出无法解释的单据号。

**English** {when[1]} Five tasks: collect → check (Great Expectations) → deliver → write_back → account. Each asks the
hub what is left to do, so retry, clear and rerun make no second voucher. Green: every document is posted, on its way or
stands in a named list. Red: the log of `account` begins with the ids that nothing explains.

Flow / 流程: `include/flows`, id `{flow.flow_id}` · Owner / 负责: {OWNER} · Runbooks / 运行手册: `docs/runbooks`
"""
