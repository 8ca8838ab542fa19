"""Weaver's two tasks of a flow: read what moved, write back what was posted."""

from __future__ import annotations

from finbridge.systems.operators import FlowOperator, OpenFlow, run_async


class WeaverCollectOperator(FlowOperator):
    """Reads the documents that moved since the last frozen upper bound into the hub's inbox."""

    ui_color = "#e8f3ff"

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Collect; a no-op where another run collects just now."""
        flow.hub.open_run(self.flow_id, flow.run_id, self.dag_id.rpartition("__")[2])
        return run_async(_collect(flow))


class WeaverWriteBackOperator(FlowOperator):
    """Writes voucher number, posting date or error text onto the forms, reads them back and moves the forms on."""

    ui_color = "#e8f3ff"

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Write back what is due."""
        return run_async(_write_back(flow))


async def _collect(flow: OpenFlow) -> dict[str, int]:
    from finbridge.flows import collect

    async with flow.source() as source:
        report = await collect(
            flow=flow.flow, hub=flow.hub, source=source, translator=flow.translator, worker=flow.worker
        )
    return report.as_note()


async def _write_back(flow: OpenFlow) -> dict[str, int]:
    from finbridge.flows import write_back

    async with flow.source() as source:
        report = await write_back(
            flow=flow.flow,
            hub=flow.hub,
            source=source,
            worker=flow.worker,
            may_send=flow.pause.may_send,
            only=flow.only,
        )
    return report.as_note()


COLLECT = WeaverCollectOperator
WRITE_BACK = WeaverWriteBackOperator
