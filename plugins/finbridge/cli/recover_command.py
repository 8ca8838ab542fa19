"""`finbridge hub recover`: both ends and the hub from the environment, one collect, then the question to finance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from finbridge.cli import environment
from finbridge.cli.codes_command import flow_of
from finbridge.core.places import include_folder

if TYPE_CHECKING:
    from finbridge.core.flow import Flow
    from finbridge.flows.recovering import Recovered

ACTOR = "finbridge hub recover"


def recovered(flow_id: str) -> Recovered:
    """Do it.

    Raises:
        FinbridgeError: no such flow, a connection is missing, or one of the systems cannot answer now.
    """
    return asyncio.run(_recover(flow_of(flow_id)))


async def _recover(flow: Flow) -> Recovered:
    from finbridge.flows import collect
    from finbridge.flows.recovering import recover
    from finbridge.mapping import load_translator
    from finbridge.systems import adapter_of

    translator = load_translator(include_folder() / "mappings" / flow.mapping)
    ends = [environment.connection(name) for name in (flow.source_connection, flow.target_connection)]
    with environment.open_hub() as hub:
        source = adapter_of(flow.source_system).connect(ends[0], tokens=hub.tokens, flow=flow)
        ledger = adapter_of(flow.target_system).connect(ends[1], tokens=hub.tokens, flow=flow)
        try:
            await collect(flow=flow, hub=hub, source=source, translator=translator, worker=ACTOR)
            return await recover(flow=flow, desk=hub.recovery, ledger=ledger, actor=ACTOR)
        finally:
            await source.close()
            await ledger.close()
