"""Payment status from finance back to the OA: what finance says, what the OA shows, and the ports in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Protocol

from finbridge.core.ports import WriteBackResult


class PaymentState(StrEnum):
    """What finance says about a document's payment; the value is what is stored."""

    OPEN = "open"
    PAID = "paid"
    REVERSED = "reversed"  # the document's vouchers were taken back and nothing was paid


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentStatusRule:
    """Where the OA keeps payment statuses: two interfaces of its form engine, columns by meaning, words by state.

    ``columns`` has the keys of :data:`COLUMNS`. ``words`` has those of :class:`PaymentState` and ``void``: what a row
    shows that was there twice.
    """

    save: str
    list: str
    columns: Mapping[str, str]
    words: Mapping[str, str]


#: Reasons of the named list, as stored.
IN_DOUBT = "payment_status_in_doubt"  # sent without an answer: looked for before anything is sent again
WAITS = "payment_status_waits"  # the OA did not take it now, and did nothing
REFUSED = "payment_status_refused"
NOT_SHOWN = "payment_status_not_shown"  # the OA says saved and shows something else
DOUBLED = "payment_status_doubled"  # a surplus row could not be taken away
NOT_IN_FINANCE = "voucher_not_in_finance"
OF_ANOTHER = "voucher_of_another_document"

COLUMNS = ("document", "business_number", "status", "voucher_number", "paid_on", "amount", "currency")
WORDS: Mapping[str, str] = {"open": "未付", "paid": "已付", "reversed": "已冲销", "void": "作废"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentStatus:
    """The payment of one document. Paid: voucher number, day and amount as finance shows them; else empty and 0."""

    document_id: str
    business_number: str
    state: PaymentState
    number: str = ""
    paid_on: date | None = None
    amount_minor: int = 0
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentWork:
    """A document with an expense voucher in the month: keys of all its vouchers, and what was stored of it last.

    Keys come from the register; what became of the vouchers is finance's to say. ``version`` is 0 where nothing is
    stored, and rises with each change of the stored row. ``in_doubt``: sent not long ago, and nobody knows whether it
    arrived.
    """

    document_id: str
    business_number: str
    expenses: tuple[str, ...]
    payments: tuple[str, ...]
    reversals: Mapping[str, tuple[str, ...]]  # expense key -> keys of its reversals
    stored: PaymentStatus | None = None
    version: int = 0
    verified: bool = False
    in_doubt: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Finance's answer makes no status: a named reason."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStatus:
    """What is to be stored of a document, over the row of this version (0 = there is none yet)."""

    document_id: str
    business_number: str
    says: PaymentStatus | Unclear
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOutcome:
    """How bringing a status to the OA ended, for the stored row of this version.

    ``in_flight``: it may still arrive; otherwise nothing of ours is on its way.
    """

    document_id: str
    version: int
    verified: bool
    reason: str = ""
    detail: str = ""
    in_flight: bool = False


class PaymentStatusStore(Protocol):
    """The hub's memory of payment statuses. Each method is one transaction; a row of another version is left alone."""

    def work(
        self,
        *,
        flow_id: str,
        company: str,
        period: str,
        after: str,
        limit: int,
        late_seconds: float,
        again: bool = False,
    ) -> list[PaymentWork]:
        """The next documents by id behind ``after``; with ``again`` only those in doubt or put off (:data:`WAITS`).

        ``late_seconds``: for so long something that was sent without an answer may still arrive.
        """
        ...

    def put(self, flow_id: str, company: str, rows: Sequence[StoredStatus]) -> dict[str, int]:
        """Store what finance says, before it is sent. Document -> new version, of those that were stored."""
        ...

    def mark_sending(self, flow_id: str, versions: Mapping[str, int], late_seconds: float) -> dict[str, int]:
        """Note that these are about to be sent; not those in doubt. Document -> new version, of those that may go."""
        ...

    def settle(self, flow_id: str, outcomes: Sequence[StatusOutcome]) -> dict[str, int]:
        """Keep how it ended. Document -> new version, of those that say something new."""
        ...


class KeepsPaymentStatuses(Protocol):
    """A hub, as far as payment statuses are concerned."""

    @property
    def payment_statuses(self) -> PaymentStatusStore: ...


# ---------------------------------------------------------------- the OA


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStatus:
    """What the OA shows for a document: its first row, read back as a status (None: no such content of ours).

    ``surplus``: further rows for the same document.
    """

    row_id: str
    status: PaymentStatus | None
    surplus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A status to show: in this row, or in a new one where ``row_id`` is empty."""

    status: PaymentStatus
    row_id: str = ""


@dataclass(frozen=True, slots=True)
class Showed:
    """What we know after a write. ``detail``: the OA's words where it refused."""

    result: WriteBackResult
    detail: str = field(default="")


class StatusBoard(Protocol):
    """Where an OA shows payment statuses. Reads raise RetryLater (OA away) or GiveUp (configuration, credentials)."""

    @property
    def late_seconds(self) -> float:
        """How long a write whose answer was lost may still arrive."""
        ...

    async def shown(self, document_ids: Sequence[str]) -> dict[str, ShownStatus]:
        """What the OA shows; documents without a row are left out."""
        ...

    async def show(self, changes: Sequence[StatusChange], *, alone: bool = False) -> list[Showed]:
        """Write, a result each in order; never raises RetryLater. ``alone``: one row a call, not in batches.

        A new row that is sent twice is there twice: after UNKNOWN, only :meth:`shown` tells what happened.
        """
        ...

    async def void(self, row_ids: Sequence[str]) -> None:
        """Take surplus rows away from their document, as far as the OA can be reached; harmless when done twice."""
        ...
