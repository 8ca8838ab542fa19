"""``finbridge__housekeeping``: what Airflow keeps of old runs goes after a stated age. Evidence never goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import DAG, BaseHook, BaseOperator, CronTriggerTimetable, Param, TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException

from finbridge.systems.operators import HUB_CONNECTION
from finbridge.systems.pausing import NOTE_KEY
from finbridge.tasks.dag_factory import task_defaults

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

DAG_ID = "finbridge__housekeeping"
METADATA_CONNECTION = "airflow_metadata"
RETENTION_DAYS = 90
_CLEAN_SECONDS = 1500
_DOC = """### 清理 / housekeeping

**中文** 每天凌晨删除早于 `retention_days`（默认 90 天）的 Airflow 运行记录与任务日志，以及台账中已过期的令牌。
未结束的运行及其之后的内容一律保留；台账中的单据、凭证、轨迹等证据永不删除。

**English** Every night deletes what Airflow keeps of runs older than `retention_days` (90), their task logs, and
expired tokens of the hub. Nothing that is younger than the oldest unfinished run goes. Documents, vouchers and the
trail in the hub are evidence and never go.

metadata: connection `airflow_metadata` (postgres); without it that task is skipped, and says so. `docs/operations.md`
"""


class CleanMetadataOperator(BaseOperator):
    """Starts `finbridge.tasks.clean_metadata` with the metadata database's address in its environment.

    Args:
        retention_days: templated.
    """

    template_fields = ("retention_days",)
    ui_color = "#f2f2f2"

    def __init__(self, *, retention_days: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retention_days = retention_days

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow passes it
        """Clean; what was deleted, and the time before which."""
        try:
            url = sqlalchemy_url(BaseHook.get_connection(METADATA_CONNECTION))
        except AirflowNotFoundException:
            raise AirflowSkipException(
                f"没有连接 {METADATA_CONNECTION}，未清理元数据库 / no such connection: the metadata was not cleaned"
            ) from None
        argv = [sys.executable, "-m", "finbridge.tasks.clean_metadata", "--days", str(int(self.retention_days))]
        done = subprocess.run(  # noqa: S603 - our own module with a number
            argv, env=environment(url), capture_output=True, text=True, timeout=_CLEAN_SECONDS, check=False
        )
        if done.returncode:
            self.log.error("%s", done.stderr[-4000:].replace(url, "***"))
            raise AirflowFailException(f"清理元数据库失败 / cleaning ended with {done.returncode}, see the log above")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        self.log.info("%s", found)
        return found


class CleanLogsOperator(BaseOperator):
    """Deletes task logs below Airflow's log folder that are older than the age, and than what the metadata keeps.

    Args:
        retention_days: templated.
        metadata_task: id of the task whose time counts where it is earlier.
    """

    template_fields = ("retention_days",)
    ui_color = "#f2f2f2"

    def __init__(self, *, retention_days: str, metadata_task: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retention_days = retention_days
        self.metadata_task = metadata_task

    def execute(self, context: Context) -> dict[str, int]:
        """Delete, count."""
        from airflow.sdk.configuration import conf

        from finbridge.tasks.clean_logs import clean_logs

        before = datetime.now(UTC) - timedelta(days=int(self.retention_days))
        cleaned = context["ti"].xcom_pull(task_ids=self.metadata_task)
        if cleaned:
            before = min(before, datetime.fromisoformat(cleaned["before"]))
        gone = clean_logs(Path(conf.get("logging", "base_log_folder")), before, unfinished_of(context["ti"]))
        self.log.info("before %s: %d files, %d bytes", before.isoformat(), gone.files, gone.bytes)
        return {"files": gone.files, "bytes": gone.bytes}


def unfinished_of(ti: Any) -> Callable[[str, str], bool]:
    """Whether Airflow says of a run that it is queued or runs, cleared ones included; one that is gone does not."""
    return lambda dag_id, run_id: ti.get_dr_count(dag_id, run_ids=[run_id], states=["queued", "running"]) > 0


class CleanHubOperator(BaseOperator):
    """Forgets expired tokens, tells alarms that nobody took yet, and leaves the run's note."""

    ui_color = "#f2f2f2"

    def __init__(self, *, noted: list[str], hub_conn_id: str = HUB_CONNECTION, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noted = noted
        self.hub_conn_id = hub_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Forget, note, count."""
        from finbridge.systems.hook import open_hub_of
        from finbridge.tasks.alarms import tell

        with open_hub_of(BaseHook.get_connection(self.hub_conn_id)) as hub:
            tokens = hub.tokens.forget_expired()
            tell(hub)
        ti = context["ti"]
        lines = [f"{name}: {ti.xcom_pull(task_ids=name) or '—'}" for name in self.noted]
        ti.xcom_push(key=NOTE_KEY, value="\n".join([*lines, f"{self.task_id}: tokens {tokens}"])[:900])
        return {"tokens": tokens}


def sqlalchemy_url(connection: Connection) -> str:
    """What Airflow's own process takes; from a connection of type ``postgres``."""
    login, password = (quote(part or "", safe="") for part in (connection.login, connection.password))
    port = f":{connection.port}" if connection.port else ""
    return f"postgresql+psycopg2://{login}:{password}@{connection.host}{port}/{connection.schema}"


def environment(url: str) -> dict[str, str]:
    """The environment of a process that may use the metadata database; a task's own says that it may not."""
    kept = {name: text for name, text in os.environ.items() if name != "_AIRFLOW_PROCESS_CONTEXT"}
    kept = {name: text for name, text in kept.items() if not name.endswith(("__SQL_ALCHEMY_CONN", "_CONN_CMD"))}
    return {**kept, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "FINBRIDGE_WARM": "0"}


def housekeeping_dag() -> DAG:
    """metadata → logs → hub, every night at three in Shanghai."""
    days = "{{ params.retention_days }}"
    with DAG(
        dag_id=DAG_ID,
        schedule=CronTriggerTimetable("0 3 * * *", timezone="Asia/Shanghai"),
        catchup=False,  # and no start date: else the tick before the very first start would run at once
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=1),
        default_args={**task_defaults(), "execution_timeout": timedelta(minutes=30)},
        params={
            "retention_days": Param(
                RETENTION_DAYS, type="integer", minimum=1, title="保留天数 / days that runs and logs are kept"
            )
        },
        doc_md=_DOC,
        tags=["finbridge", "operations"],
    ) as dag:
        metadata = CleanMetadataOperator(task_id="metadata", retention_days=days)
        logs = CleanLogsOperator(
            task_id="logs", retention_days=days, metadata_task="metadata", trigger_rule=TriggerRule.NONE_FAILED
        )
        hub = CleanHubOperator(task_id="hub", noted=["metadata", "logs"], trigger_rule=TriggerRule.NONE_FAILED)
        metadata >> logs >> hub
    return dag
