"""Weaver's tasks of a flow: read what moved, write back what was posted, and show what was paid."""

from __future__ import annotations

from typing import Any

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


class WeaverPaymentStatusOperator(FlowOperator):
    """Brings the payment status of a month's documents, as finance says it, to the OA.

    Args:
        company: our code; templated.
        period: ``YYYY-MM`` of the expense vouchers; templated.
    """

    ui_color = "#e8f3ff"
    template_fields = ("flow_id", "company", "period")

    def __init__(self, *, flow_id: str, company: str, period: str, **kwargs: Any) -> None:
        super().__init__(flow_id=flow_id, **kwargs)
        self.company = company
        self.period = period

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Ask finance, write what the OA does not show, read it back."""
        return run_async(_payment_status(flow, self.company, self.period))


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


async def _payment_status(flow: OpenFlow, company: str, period: str) -> dict[str, int]:
    from finbridge.flows import require_settled, write_payment_status

    async with flow.source() as source, flow.ledger() as ledger:
        report = await write_payment_status(
            flow=flow.flow,
            hub=flow.hub,
            source=source,  # type: ignore[arg-type]  # a source of the flow: this slice's, which is a board too
            ledger=ledger,
            company=company,
            period=period,
            may_send=flow.pause.may_send,
        )
    require_settled(report)
    return report.as_note()


COLLECT = WeaverCollectOperator
WRITE_BACK = WeaverWriteBackOperator
PAYMENT_STATUS = WeaverPaymentStatusOperator
