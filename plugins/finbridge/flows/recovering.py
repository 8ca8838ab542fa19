"""Recover: after the hub was restored to an older point, learn from finance what it forgot.

Vouchers of approvals that still hold need nothing of this: they are planned again under the same keys, and finance
says that it has them. A voucher whose approval was lost after the point is called for by nobody; its key still follows
from the log, so finance is asked for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finbridge.core.flow import Flow
from finbridge.core.ids import VoucherIdentity
from finbridge.core.outcomes import LedgerEntry
from finbridge.core.ports import Ledger
from finbridge.core.recovery import RecoveryDesk, Unserved, forgotten_voucher, identity_of
from finbridge.core.vouchers import Voucher

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """``asked``: approvals that are gone and have no voucher; ``unreadable``: keys that a person must look up."""

    asked: int = 0
    found: int = 0
    taken_over: int = 0
    unreadable: tuple[str, ...] = ()


async def recover(*, flow: Flow, desk: RecoveryDesk, ledger: Ledger, actor: str) -> Recovered:
    """Ask finance by key for the vouchers of lost approvals, and put what it holds into the register.

    The log must have been collected. May be run again, and while the flow runs.

    Raises:
        RetryLater: finance or the hub cannot say now; what was done stays done.
    """
    counts: Counter[str] = Counter()
    unreadable: list[str] = []
    after = ""
    while page := await asyncio.to_thread(desk.unserved, flow.flow_id, after, _PAGE):
        after = page[-1].document_id
        found, odd = await _found(flow, ledger, page, counts)
        unreadable += odd
        if found:
            counts["taken_over"] += await asyncio.to_thread(desk.take_over, flow.flow_id, found, actor)
    return Recovered(**counts, unreadable=tuple(unreadable))


async def _found(
    flow: Flow, ledger: Ledger, page: Sequence[Unserved], counts: Counter[str]
) -> tuple[list[tuple[Voucher, LedgerEntry]], list[str]]:
    """What finance holds for the page's lost approvals and nobody took back; keys that it does not show whole."""
    wanted: Mapping[str, dict[str, tuple[Unserved, VoucherIdentity]]] = defaultdict(dict)
    for document in page:
        for cause in document.gone() if document.company in flow.companies else ():
            identity = identity_of(document, flow.source, cause)
            wanted[document.company][identity.key()] = (document, identity)
    made: list[tuple[Voucher, LedgerEntry]] = []
    odd: list[str] = []
    for company, mine in wanted.items():
        entries = await ledger.find(company, sorted(mine))
        counts["asked"] += len(mine)
        counts["found"] += len(entries)
        for key, entry in entries.items():
            if any(back.posted for back in entry.taken_back):
                continue  # nothing of it is live
            try:
                made.append((forgotten_voucher(*mine[key], entry, flow.companies[company].currency), entry))
            except ValueError:
                odd.append(key)
    return made, odd
