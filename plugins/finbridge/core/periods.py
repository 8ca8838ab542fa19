"""Closed accounting periods: what finance is asked about them, and what the hub does with the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, order=True)
class CompanyPeriod:
    """An accounting period ``YYYY-MM`` of a company (our code)."""

    company: str
    period: str


@runtime_checkable
class PeriodLedger(Protocol):
    """What a ledger may offer beside `finbridge.core.ports.Ledger`. Without it, a send finds out."""

    async def period_open(self, company: str, period: str) -> bool:
        """Whether finance would take a voucher of ours into the period; one that it does not have is not open.

        Raises:
            RetryLater, GiveUp: it cannot say, which is no answer.
        """
        ...


@runtime_checkable
class PeriodHub(Protocol):
    """What a hub may offer beside `finbridge.core.ports.Hub`."""

    def waiting_periods(self, flow_id: str) -> Sequence[CompanyPeriod]:
        """The periods for which a voucher waits (待开账), a company and period once."""
        ...

    def note_periods(self, flow_id: str, is_open: Mapping[CompanyPeriod, bool]) -> int:
        """Let the vouchers that wait for an open period go now; those of a closed one wait on. Returns how many go.

        The state stays as it is until a deliver takes the voucher: only the time of its next send changes.
        """
        ...
