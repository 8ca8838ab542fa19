"""Ask finance about the periods for which vouchers wait: one cheap question each, before anything is sent."""

from __future__ import annotations

import asyncio
import logging

from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.periods import CompanyPeriod, PeriodHub, PeriodLedger
from finbridge.core.ports import Hub, Ledger

_LOG = logging.getLogger("finbridge.flows")


async def notice_opened(flow_id: str, hub: Hub, ledger: Ledger) -> int:
    """Let vouchers go whose period is open again, and spare finance those whose period is not; how many may go.

    What finance cannot say now leaves the vouchers to their own time. So does a ledger that cannot be asked.
    """
    if not isinstance(ledger, PeriodLedger) or not isinstance(hub, PeriodHub):
        return 0
    known: dict[CompanyPeriod, bool] = {}
    for which in await asyncio.to_thread(hub.waiting_periods, flow_id):
        try:
            known[which] = await ledger.period_open(which.company, which.period)
        except RetryLater as error:
            _LOG.warning("finance cannot say whether %s is open in %s: %s", which.period, which.company, error.engineer)
            break  # it is away: the sends will say so as well
        except GiveUp as error:
            _LOG.warning("finance does not answer for %s: %s", which.company, error.engineer)
    return await asyncio.to_thread(hub.note_periods, flow_id, known) if known else 0
