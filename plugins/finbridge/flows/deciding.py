"""Decide: a person's word on one voucher, checked against what finance shows right now."""

from __future__ import annotations

import asyncio

from finbridge.core.decisions import Choice, Decided, Decision, DecisionDesk
from finbridge.core.errors import GiveUp
from finbridge.core.flow import Flow
from finbridge.core.ports import Ledger
from finbridge.core.vouchers import Voucher

_LONGEST = 500


async def decide(
    *, flow: Flow, desk: DecisionDesk, ledger: Ledger, key: str, choice: Choice, person: str, reason: str
) -> Decided:
    """Ask finance what it holds under the key, and store the decision.

    Args:
        person: as Airflow names them; one of the flow's ``decisions.people``.
        reason: why, in their words; stands in the trail.

    Raises:
        GiveUp: no reason, a stale decision, or one that what finance shows does not bear out.
        RetryLater: finance or the hub cannot say now.
    """
    why = " ".join(reason.split())
    if not why:
        raise GiveUp("reason_missing", "请写明理由 / say why: the reason is empty")
    voucher: Voucher = await asyncio.to_thread(desk.voucher, flow.flow_id, key)
    held = (await ledger.find(voucher.identity.company, [key])).get(key)
    decision = Decision(key=key, choice=choice, person=person, reason=why[:_LONGEST], held=held)
    return await asyncio.to_thread(desk.decide, flow.flow_id, decision)
