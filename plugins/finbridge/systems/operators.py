"""What all operators share: open the hub and the flow, run one verb, return its counts.

Operators only store at construction; everything is opened, read and imported inside ``execute``. A task returns counts,
never documents: at most a few hundred bytes of XCom.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from finbridge.core import places
from finbridge.core.month import Month
from finbridge.core.runs import run_identity
from finbridge.systems.links import FLOW_LINKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.sdk import Context

    from finbridge.core.flow import Flow
    from finbridge.core.ports import Judge, Ledger, Source, Translator
    from finbridge.flows.reports import DeliverReport
    from finbridge.hub import PostgresHub
    from finbridge.systems.pausing import Pause

HUB_CONNECTION = "hub_default"
Result = TypeVar("Result")


def include_folder() -> Path:
    """Where flows, mappings and expectations lie: ``FINBRIDGE_INCLUDE``, or ``include/`` beside ``plugins/``."""
    return places.include_folder()


def flow_of(flow_id: str) -> Flow:
    """A declared flow.

    Raises:
        GiveUp: there is no such flow.
    """
    from finbridge.core.errors import GiveUp
    from finbridge.flows.config import load_flows

    flows = load_flows(include_folder() / "flows")
    if flow_id not in flows:
        raise GiveUp("unknown_flow", f"没有该流程 / no flow {flow_id!r} in include/flows: {sorted(flows)}")
    return flows[flow_id]


@dataclass(kw_only=True)
class OpenFlow:
    """A flow with all that its verbs need, opened on first use."""

    flow: Flow
    hub: PostgresHub
    worker: str
    context: Context
    asked_by: str | None = None
    month: Month | None = None

    @property
    def run_id(self) -> str:
        """Of the DAG run, unambiguous among all DAGs."""
        return run_identity(self.context["ti"].dag_id, self.context["run_id"])

    @cached_property
    def only(self) -> Sequence[str] | None:
        """The documents that this run, or its month, is for; None: whatever is due."""
        if self.month is not None:
            return self.hub.months.due_ids(self.flow.flow_id, self.month.company, self.month.period)
        if self.asked_by is None:
            return None
        documents: Sequence[str] = getattr(self.hub, self.asked_by).documents(self.run_id)
        return documents

    @cached_property
    def pause(self) -> Pause:
        """Whether a person paused the DAGs that count for this run: asked before anything leaves."""
        from finbridge.systems.pausing import pause_of

        return pause_of(self.context)

    @cached_property
    def translator(self) -> Translator:
        """The flow's mapping, compiled."""
        from finbridge.mapping import load_translator

        return load_translator(include_folder() / "mappings" / self.flow.mapping)

    @cached_property
    def judge(self) -> Judge:
        """The suites of expectations."""
        from finbridge.quality import load_judge

        logging.getLogger("great_expectations").setLevel(logging.WARNING)  # a hundred lines about its own decorators
        return load_judge(include_folder() / "expectations")

    @asynccontextmanager
    async def source(self) -> AsyncIterator[Source]:
        """The OA system, closed afterwards."""
        source: Source = self._connect(self.flow.source_system, self.flow.source_connection)
        try:
            yield source
        finally:
            await source.close()

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """The finance system, closed afterwards."""
        ledger: Ledger = self._connect(self.flow.target_system, self.flow.target_connection)
        try:
            yield ledger
        finally:
            await ledger.close()

    def _connect(self, system: str, conn_id: str) -> Any:
        from finbridge.systems import adapter_of
        from finbridge.systems.hook import settings_of

        settings = settings_of(BaseHook.get_connection(conn_id))
        return adapter_of(system).connect(settings, tokens=self.hub.tokens, flow=self.flow)


@contextmanager
def opened(
    flow_id: str, hub_conn_id: str, context: Context, *, asked_by: str | None = None, month: Month | None = None
) -> Iterator[OpenFlow]:
    """The flow and the hub for one task. The worker's name is unique per try, so that leases tell tries apart."""
    from finbridge.systems.hook import open_hub_of

    worker = f"{context['ti'].task_id}@{socket.gethostname()}:{os.getpid()}"
    with open_hub_of(BaseHook.get_connection(hub_conn_id)) as hub:
        yield OpenFlow(flow=flow_of(flow_id), hub=hub, worker=worker, context=context, asked_by=asked_by, month=month)


class FlowOperator(BaseOperator):
    """Runs one verb of one flow and returns its counts.

    Args:
        flow_id: as in ``include/flows``.
        hub_conn_id: Airflow connection of the hub's database.
        asked_by: the part of the hub that knows which documents this run is for, by its ``documents(run_id)``: the
            verb works on these alone. None: on whatever is due.
        company: our code, with ``period``: the verb works on what is due of this month alone.
        period: ``YYYY-MM``.
    """

    operator_extra_links = FLOW_LINKS
    template_fields: Sequence[str] = ("company", "period")

    def __init__(
        self,
        *,
        flow_id: str,
        hub_conn_id: str = HUB_CONNECTION,
        asked_by: str | None = None,
        company: str = "",
        period: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.hub_conn_id = hub_conn_id
        self.asked_by = asked_by
        self.company = company
        self.period = period

    @property
    def month(self) -> Month | None:
        """The month that the task is for, where it is for one."""
        return Month(self.company, self.period) if self.company else None

    def execute(self, context: Context) -> dict[str, int]:
        """Open, run, note. What a person must mend fails at once; everything else is tried again by Airflow."""
        from finbridge.core.errors import GiveUp
        from finbridge.core.stopping import guarded
        from finbridge.systems.pausing import end_if_paused

        try:
            with opened(self.flow_id, self.hub_conn_id, context, asked_by=self.asked_by, month=self.month) as flow:
                with guarded(flow.pause.may_send):
                    note = self.work(flow)
                end_if_paused(self, flow, note)
        except GiveUp as error:
            raise AirflowFailException(f"{error.code}: {error.staff} [{error.engineer}]") from error
        self.log.info("%s %s: %s", self.flow_id, self.task_id, note)
        return note

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """The verb; counts come back."""
        raise NotImplementedError


def run_async(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end on a fast event loop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


class DeliverOperator(FlowOperator):
    """Resolves vouchers in doubt by key, reads each document a second time, posts, and stores the outcomes."""

    ui_color = "#eafaea"

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Deliver what is due to whatever ledger the flow names."""
        from finbridge.flows import deliver

        return run_async(delivered(flow, deliver, only=flow.only))


async def delivered(flow: OpenFlow, verb: Callable[..., Awaitable[DeliverReport]], **which: object) -> dict[str, int]:
    """Run a verb that delivers, with all that it needs; ``which`` tells it the documents."""
    async with flow.source() as source, flow.ledger() as ledger:
        report = await verb(
            flow=flow.flow,
            hub=flow.hub,
            source=source,
            ledger=ledger,
            translator=flow.translator,
            worker=flow.worker,
            may_send=flow.pause.may_send,
            **which,
        )
    return report.as_note()


def operators_of(system: str) -> ModuleType:
    """A slice's operators: ``COLLECT`` and ``WRITE_BACK`` of a source, ``DELIVER`` of a target.

    Raises:
        GiveUp: there is no such slice.
    """
    from finbridge.systems import adapter_of

    if find_spec(f"finbridge.systems.{system}.operators") is None:
        adapter_of(system)  # raises with the reason
    return import_module(f"finbridge.systems.{system}.operators")
