"""After a hub was set back: vouchers that finance holds for approvals that are gone, and that the register forgot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from finbridge.core.differences import as_finance_holds
from finbridge.core.documents import LogEntry
from finbridge.core.fold import fold
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.outcomes import LedgerEntry
from finbridge.core.vouchers import Voucher


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """A document with approvals (ids in ``causes``) for which the register has no voucher, and its whole log."""

    document_id: str
    company: str
    business_number: str
    causes: tuple[str, ...]
    events: tuple[LogEntry, ...]

    def gone(self) -> tuple[str, ...]:
        """Of these approvals those that do not hold any more: no plan calls for their vouchers."""
        holding = fold(self.events).approvals
        return tuple(cause for cause in self.causes if cause not in holding)


class RecoveryDesk(Protocol):
    """The hub's part. Each method is one transaction."""

    def unserved(self, flow_id: str, after: str, limit: int) -> list[Unserved]:
        """Documents behind ``after``, by id."""
        ...

    def take_over(self, flow_id: str, found: Sequence[tuple[Voucher, LedgerEntry]], actor: str) -> int:
        """Put vouchers that finance holds into the register as posted and make their documents due; how many were new.

        What must become of them, the next plan decides: without an approval it is a reversal.
        """
        ...


def identity_of(document: Unserved, source: str, cause: str) -> VoucherIdentity:
    """Of the expense voucher that an approval called for."""
    return VoucherIdentity(
        company=document.company,
        source=source,
        document_id=document.document_id,
        cause=cause,
        kind=VoucherKind.EXPENSE,
    )


def forgotten_voucher(document: Unserved, identity: VoucherIdentity, entry: LedgerEntry, currency: str) -> Voucher:
    """The voucher as finance shows it.

    Raises:
        ValueError: finance does not show whole lines, or holds a draft.
    """
    if not entry.posted:
        raise ValueError("a draft in finance")
    bare = Voucher(
        identity=identity,
        currency=currency,
        business_date=entry.posting_date,
        document_date=entry.posting_date,
        posting_date=entry.posting_date,
        summary=entry.summary or document.business_number or document.document_id,
        business_number=document.business_number,
        lines=(),
    )
    return as_finance_holds(bare, entry)
