"""What we know after a call to finance: exhaustive (delivery promise, section "Outcomes")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A reversal of an entry that people made in finance themselves, under no key of ours."""

    number: str  # empty for a draft
    posting_date: date
    period: str
    posted: bool = True


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A voucher as finance itself shows it.

    ``content`` is the fingerprint of :func:`finbridge.core.vouchers.fingerprint` over what finance holds;
    ``debit_minor`` the turnover of the debit side (红字: negative); ``period`` finance's own accounting period;
    ``lines`` all that the lines show (`finbridge.core.month_lines.lines_text`). Where finance does not show the kind,
    the currency, the document, the period, whole lines or its text (``summary``), they are empty.
    """

    key: str
    company: str
    number: str
    finance_id: str
    posting_date: date
    content: str
    posted: bool = True
    kind: str = ""
    currency: str = ""
    debit_minor: int = 0
    document_id: str = ""
    period: str = ""
    lines: str = ""
    taken_back: tuple[TakenBack, ...] = ()
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Finance posted it now."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It was already there with the same content: success."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class Conflict:
    """The same key with other content: stop and show the difference."""

    entry: LedgerEntry
    difference: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A business reason; posting again unchanged would be refused again."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PeriodClosed:
    """The accounting period of the posting date is not open."""

    message: str


@dataclass(frozen=True, slots=True)
class Locked:
    """Somebody else holds a lock in finance; nothing was done; retry soon."""

    after_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many calls; nothing was done."""

    after_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class AuthFailed:
    """Credentials refused even after one fresh login; nothing was done."""

    message: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request provably never left (connection refused, resolved no name, stopped before the first byte)."""

    message: str


@dataclass(frozen=True, slots=True)
class RefusedUnprocessed:
    """Finance says that it did nothing, for no fault of the voucher."""

    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Sent, and no trustworthy answer. Only a read from finance by our key may leave this state."""

    message: str


Outcome = (
    Accepted
    | Duplicate
    | Conflict
    | Rejected
    | PeriodClosed
    | Locked
    | Throttled
    | AuthFailed
    | NotSent
    | RefusedUnprocessed
    | Unknown
)

OUTCOME_NAME: dict[type, str] = {
    Accepted: "accepted",
    Duplicate: "duplicate",
    Conflict: "conflict",
    Rejected: "rejected",
    PeriodClosed: "period_closed",
    Locked: "locked",
    Throttled: "throttled",
    AuthFailed: "auth",
    NotSent: "not_sent",
    RefusedUnprocessed: "refused_unprocessed",
    Unknown: "unknown",
}


def outcome_name(outcome: Outcome) -> str:
    """The outcome's stored name."""
    return OUTCOME_NAME[type(outcome)]
