"""``finbridge__check_connections``: looks at every connection, daily and by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseHook, BaseOperator, CronTriggerTimetable, Param
from airflow.sdk.exceptions import AirflowFailException

from finbridge.systems.operators import HUB_CONNECTION, include_folder, run_async
from finbridge.systems.pausing import NOTE_KEY
from finbridge.tasks.dag_factory import task_defaults

if TYPE_CHECKING:
    from airflow.sdk import Context

    from finbridge.hub import PostgresHub
    from finbridge.tasks.check_connections import Found

DAG_ID = "finbridge__check_connections"
_DOC = """### 连接检查 / connections

**中文** 每天早晨（以及手动触发时）登录每个流程所用的系统，读取一项内容，报告令牌年龄与时钟偏差。绿色：全部正常；
红色：任务日志第一行与运行备注写明哪个连接、什么问题。告警按流程与原因各开一次、关一次。

**English** Every morning (and by hand) logs in to each system of each flow, reads one thing, reports token age and
clock skew. Green: all is well. Red: the first line of the log and the run's note say which connection and what is
wrong. One alarm opens for each flow and cause, and closes when a later check finds it mended.

Runbooks / 运行手册: `docs/runbooks/connection-failed.md`, `docs/runbooks/clock-skew.md`
"""


class CheckConnectionsOperator(BaseOperator):
    """Looks at every connection that a flow names, opens and closes alarms; red where one is wrong.

    Args:
        max_skew_seconds: how far a system's clock may be from ours (templated).
        hub_conn_id: Airflow connection of the hub's database.
    """

    template_fields = ("max_skew_seconds",)
    ui_color = "#eef6f4"

    def __init__(self, *, max_skew_seconds: str = "30", hub_conn_id: str = HUB_CONNECTION, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_skew_seconds = max_skew_seconds
        self.hub_conn_id = hub_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Look, tell, count."""
        from finbridge.systems.hook import open_hub_of
        from finbridge.tasks.alarms import AlreadyTold
        from finbridge.tasks.check_connections import note, table

        with open_hub_of(BaseHook.get_connection(self.hub_conn_id)) as hub:
            hub_skew = (hub.tokens.clock() - datetime.now(UTC)).total_seconds()
            found = self.look(hub)
            text = note(found, hub_skew)
            self.log.info("\n%s", table(found, hub_skew))
            context["ti"].xcom_push(key=NOTE_KEY, value=text[:900])
            self.tell(hub, found, context)
        wrong = [f"{item.place.conn_id}: {item.words} ({item.code})" for item in found if item.cause]
        if wrong:
            raise AirflowFailException("; ".join(wrong)) from AlreadyTold("connections_wrong", "; ".join(wrong))
        return {"checked": len(found)}

    def look(self, hub: PostgresHub) -> list[Found]:
        """At all connections, beside each other."""
        from finbridge.flows.config import load_flows
        from finbridge.systems.hook import settings_of
        from finbridge.tasks.check_connections import Looks, places

        looks = Looks(
            settings=lambda conn_id: settings_of(BaseHook.get_connection(conn_id)),
            tokens=hub.tokens,
            facts=hub.tokens.facts,
            max_skew_seconds=float(self.max_skew_seconds),
        )
        return run_async(looks.at(places(load_flows(include_folder() / "flows").values())))

    def tell(self, hub: PostgresHub, found: list[Found], context: Context) -> None:
        """Open what is broken, close what works again."""
        from dataclasses import replace

        from finbridge.tasks.alarms import tell
        from finbridge.tasks.check_connections import judged

        ti = context["ti"]
        broken, mended = judged(found)
        place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id}
        hub.alarms.see(replace(sighting, **place) for sighting in broken)
        for flow_id, cause in mended:
            hub.alarms.close(flow_id, causes=[cause])
        tell(hub)


def check_connections_dag() -> DAG:
    """One task, every morning at six in Shanghai."""
    with DAG(
        dag_id=DAG_ID,
        schedule=CronTriggerTimetable("0 6 * * *", timezone="Asia/Shanghai"),
        catchup=False,  # and no start date: else the tick before the very first start would run at once
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=15),
        default_args={**task_defaults(), "execution_timeout": timedelta(minutes=5)},
        params={
            "max_skew_seconds": Param(
                30, type="number", minimum=1, title="允许的时钟偏差（秒）/ allowed difference of clocks, seconds"
            )
        },
        doc_md=_DOC,
        tags=["finbridge", "operations"],
    ) as dag:
        CheckConnectionsOperator(task_id="check", max_skew_seconds="{{ params.max_skew_seconds }}")
    return dag
