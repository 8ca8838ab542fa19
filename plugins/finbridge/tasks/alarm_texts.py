"""What an alarm says, in Chinese and English: what it means and where to read what to do. No values of documents."""

from __future__ import annotations

from datetime import UTC
from urllib.parse import quote

from finbridge.core.notify import Alarm

#: cause -> Chinese, English, page of docs/runbooks
CAUSES: dict[str, tuple[str, str, str]] = {
    "unexplained": ("有单据无法解释", "documents that nothing explains", "unexplained-documents.md"),
    "month_unexplained": ("月末对账有差异", "the month does not reconcile", "month-unexplained.md"),
    "broken_batch_rule": (
        "批次规则不通过，本批未过账",
        "a batch rule is broken: nothing posted",
        "broken-batch-rule.md",
    ),
    "ledger_credentials": ("财务系统拒绝登录", "finance refuses our login", "connection-failed.md"),
    "credentials": ("系统拒绝登录", "a system refuses our login", "connection-failed.md"),
    "connection_failed": ("系统无法连接", "a system cannot be reached", "connection-failed.md"),
    "clock_skew": ("系统时钟不一致", "clocks differ", "clock-skew.md"),
    "hub_away": ("台账数据库不可用", "the hub's database is away", "hub-away.md"),
    "audit_chain_broken": ("审计链被改动，停止封存", "the audit chain was touched: sealing stops", "audit-red.md"),
    "hub_schema_old": ("台账数据库需要升级", "the hub's schema must be migrated", "hub-schema.md"),
    "task_timed_out": ("任务超时", "a task ran out of time", "task-failed.md"),
    "task_died": ("任务进程中断", "a task's process died", "task-failed.md"),
    "unexpected_error": ("任务出错", "a task failed unexpectedly", "task-failed.md"),
}
_OTHER = ("任务失败", "a task failed", "task-failed.md")
_MAX_DETAIL = 300


def text_of(alarm: Alarm, base_url: str) -> str:
    """The message: opened or closed, whose, why, since when, how often, and a link to the page."""
    zh, en, runbook = CAUSES.get(alarm.cause, _OTHER)
    company = f"公司 company {alarm.company}" if alarm.company else "所有公司 all companies"
    since = f"{alarm.opened_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if alarm.closed_at is not None:
        first = "【finbridge】告警解除 / alarm closed"
        last = f"{since} – {alarm.closed_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {alarm.times}×"
    else:
        first = "【finbridge】告警 / ALARM"
        last = f"自 since {since}, {alarm.times}×\n处理 what to do: docs/runbooks/{runbook}"
    detail = f"\n{alarm.detail[:_MAX_DETAIL]}" if alarm.detail else ""
    return (
        f"{first}: {alarm.flow_id or 'finbridge'} · {company}\n{zh} / {en} ({alarm.cause}){detail}\n{last}\n"
        f"{link_of(alarm, base_url)}"
    )


def link_of(alarm: Alarm, base_url: str) -> str:
    """The task where it was seen last, else the page of the day."""
    base = base_url.rstrip("/")
    if alarm.dag_id and alarm.run_id and alarm.task_id:
        return f"{base}/dags/{quote(alarm.dag_id)}/runs/{quote(alarm.run_id)}/tasks/{quote(alarm.task_id)}"
    return f"{base}/finbridge/today"
