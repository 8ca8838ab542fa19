"""A month between two systems: its days, and the shapes in which its sides are compared. Pure.

Three sets are compared by key, count and sum, by kind and currency: **oa**, the vouchers that the approval logs call
for (`finbridge.core.month_calls`); **register**, what the hub says finance holds; **finance**, what finance itself
shows. Every key on which they disagree is one `Difference` (`finbridge.core.month_compare`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from finbridge.core.documents import LogEntry
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, VoucherState

#: The register says that finance holds the voucher, whatever was done to it afterwards.
HELD_BY_FINANCE = IN_BOOKS | {VoucherState.REVERSED}

# ---------------------------------------------------------------- periods


def first_day(period: str) -> date:
    """First day of an accounting period ``YYYY-MM``.

    Raises:
        ValueError: not such a text.
    """
    if len(period) != len("2026-01"):
        raise ValueError(f"not a period YYYY-MM: {period!r}")
    return date.fromisoformat(f"{period}-01")


def end_day(period: str) -> date:
    """The day after the period's last."""
    return (first_day(period) + timedelta(days=31)).replace(day=1)


def period_before(day: date) -> str:
    """The period before the one of a day."""
    return f"{day.replace(day=1) - timedelta(days=1):%Y-%m}"


def cut_off(period: str, day: int, hour: int, time_zone: str) -> datetime:
    """When waiting for a period's approvals ends: a day and hour of the following month, local time of the company."""
    return datetime.combine(end_day(period).replace(day=day), time(hour), ZoneInfo(time_zone))


@dataclass(frozen=True, slots=True)
class Month:
    """A company's accounting period ``YYYY-MM``."""

    company: str
    period: str

    @property
    def label(self) -> str:
        """As people name it."""
        return f"公司 {self.company} · 会计期间 {self.period}"


#: What a person writes instead of a company to ask for all of them.
EVERY_COMPANY = "all"


def months_asked(zones: Mapping[str, str], company: str, period: str | None, moment: datetime) -> list[Month]:
    """The months that a run is for.

    Args:
        zones: time zone by company, of all companies of the flow.
        company: one of them, or `EVERY_COMPANY`.
        period: ``YYYY-MM``; none: the month before the one of the moment, by the local day of each company.
        moment: with a zone.

    Raises:
        ValueError: no such company or period.
    """
    wanted = sorted(zones) if company in ("", EVERY_COMPANY) else [company]
    if not set(wanted) <= set(zones):
        raise ValueError(f"no such company in the flow: {company!r}; it has {sorted(zones)}")
    if period:
        first_day(period)
    return [Month(name, period or period_before(moment.astimezone(ZoneInfo(zones[name])).date())) for name in wanted]


# ---------------------------------------------------------------- what is compared


class What(StrEnum):
    """What a difference is. Those of `UNEXPLAINED` make a month red."""

    MISSING = "missing"
    EXTRA = "extra"
    ALTERED = "altered"
    REVERSED = "reversed_in_finance"  # by people, not through a reversal of ours
    SUMS = "sums"
    UNSENT = "unsent"  # due, and finance did not take it or nobody sent it yet
    IN_DOUBT = "in_doubt"  # sent, no answer stored, and finance does not show it
    AMOUNT_UNREAD = "amount_unread"  # the form's total was never read: nothing to compare the voucher with
    HELD = "held"
    WAITING_PERIOD = "waiting_period"
    EXTRA_REVERSED = "extra_reversed"  # extra, and people took it back in finance
    UNKNOWN = "unknown"  # finance shows it, the register is about to learn it
    DUE = "due"
    ZERO = "zero"
    IN_APPROVAL = "in_approval"
    NO_COMPANY = "no_company"  # listed by the OA and never shown whole: it could be any company's


UNEXPLAINED = frozenset(
    {
        *(What.MISSING, What.EXTRA, What.ALTERED, What.REVERSED, What.SUMS),
        *(What.UNSENT, What.IN_DOUBT, What.AMOUNT_UNREAD),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthDocument:
    """A document of the month as collected, with its vouchers in the register."""

    document_id: str
    business_number: str
    company: str
    currency: str
    amount_minor: int | None
    events: tuple[LogEntry, ...]
    register: tuple[InRegister, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A voucher that the OA calls for; of a reversal: that must follow from what it takes back."""

    key: str
    document_id: str
    business_number: str
    kind: VoucherKind
    period: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InRegister:
    """A voucher as the register shows it. ``new``: made after the comparison began; ``lines`` only on the desk."""

    key: str
    document_id: str
    business_number: str
    kind: VoucherKind
    cause: str
    state: VoucherState
    period: str
    currency: str
    debit_minor: int
    fingerprint: str
    reverses_key: str | None = None
    new: bool = False
    lines: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InFinance:
    """A voucher as finance shows it. ``listed``: in the compared period; else it stands in another one.

    ``lines``: all that the lines show, empty where finance shows less than the register holds; ``taken_back``: by
    which numbers people reversed it in finance, in words; ``undone``: one of these is posted.
    """

    key: str
    number: str
    kind: str
    period: str
    currency: str
    debit_minor: int
    content: str
    posted: bool
    document_id: str
    listed: bool
    lines: str = ""
    taken_back: str = ""
    undone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What explains a document: open reasons that keep vouchers back, work that is due, kinds that are 0.00 by rule.

    ``arrived``: its news came after the comparison began; ``waits``: one of its vouchers waits for its period.
    """

    holds: tuple[str, ...] = ()
    due: bool = False
    arrived: bool = False
    waits: bool = False
    empty: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple:
    """One key on all three sides."""

    key: str
    called: Called | None
    registered: InRegister | None
    found: InFinance | None
    standing: Standing = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One key on which the sides disagree. Amounts are what each side has in this period; None = nothing there."""

    what: What
    kind: str
    detail: str
    document_id: str = ""
    business_number: str = ""
    key: str = ""
    finance_number: str = ""
    currency: str = ""
    oa_minor: int | None = None
    finance_minor: int | None = None

    @property
    def explained(self) -> bool:
        """Whether its reason is named and somebody's turn."""
        return self.what not in UNEXPLAINED


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSum:
    """Count and sum of one side (oa, register, finance) by kind and currency."""

    side: str
    kind: str
    currency: str
    vouchers: int
    amount_minor: int
