"""Deferrable sensor on documents of the OA: for a month-end close, or for one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from finbridge.systems.operators import HUB_CONNECTION
from finbridge.systems.weaver.triggers import WeaverDocumentTrigger

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
