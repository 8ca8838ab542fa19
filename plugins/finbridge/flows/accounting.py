"""Account: where every document of a flow stands. A run is green only if nothing is unexplained."""

from __future__ import annotations

from finbridge.core.flow import Flow
from finbridge.core.ports import Hub
from finbridge.flows.reports import AccountReport


def account(*, flow: Flow, hub: Hub) -> AccountReport:
    """Ask the hub for the set difference between what the OA calls for and what stands in a named state."""
    found = hub.account(flow.flow_id)
    return AccountReport(
        documents=sum(found.documents.values()),
        vouchers=sum(found.vouchers.values()),
        held=sum(found.held.values()),
        due=sum(found.due.values()),
        unexplained=len(found.unexplained),
        unexplained_ids=found.unexplained,
        held_by_reason=tuple(sorted(found.held.items())),
        vouchers_by_state=tuple(sorted(found.vouchers.items())),
        documents_by_state=tuple(sorted(found.documents.items())),
    )
