"""What a verb did, as counts: small enough for a run note or an XCom."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Base of all reports. Only whole-number fields go into the note."""

    def as_note(self) -> dict[str, int]:
        """Field name -> count, in the order of declaration."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {name: int(value) for name, value in values if isinstance(value, int)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectReport(Report):
    """``listed`` rows of the OA's list, ``read`` documents read whole, ``due`` documents with news.

    ``problems`` were stored with a named reason (``gone`` among them). ``collected`` is 0 where another worker
    collects for this flow just now.
    """

    collected: int = 0
    listed: int = 0
    read: int = 0
    due: int = 0
    problems: int = 0
    gone: int = 0
    window_lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport(Report):
    """Documents planned, vouchers made ready, reversals and withdrawals decided, documents held, leases lost."""

    documents: int = 0
    vouchers: int = 0
    reversals: int = 0
    withdrawn: int = 0
    held: int = 0
    empty: int = 0
    leases_lost: int = 0
    validations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverReport(Report):
    """Outcomes of sends and of look-ups by key; ``changed_before_send``: documents that the second read held back.

    ``paused`` is 1 where a person stopped the flow: what was left is due again.
    """

    documents: int = 0
    sent: int = 0
    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    period_closed: int = 0
    put_off: int = 0
    unknown: int = 0
    resolved_found: int = 0
    resolved_not_found: int = 0
    still_in_doubt: int = 0
    changed_before_send: int = 0
    leases_lost: int = 0
    paused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBackReport(Report):
    """Forms written and read back (``verified``), moved on, refused by the OA with a reason, or to be tried again.

    ``paused`` is 1 where a person stopped the flow.
    """

    documents: int = 0
    saved: int = 0
    verified: int = 0
    advanced: int = 0
    not_possible: int = 0
    retry: int = 0
    paused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentStatusReport(Report):
    """What finance says of a month's documents, and what the OA shows.

    ``documents`` are ``open``, ``paid``, ``reversed`` or ``unclear`` (finance's answer makes no status). ``unchanged``:
    the OA showed it already; ``sent`` rows, of which ``verified`` were read back; ``healed``: doubled rows taken away.
    ``in_doubt``: sent, no answer, not seen; ``put_off``: the OA did not take it now; ``not_written``: refused.
    ``listed`` names the first of them with their reason; the whole list is the hub's.
    """

    documents: int = 0
    open: int = 0
    paid: int = 0
    reversed: int = 0
    unclear: int = 0
    unchanged: int = 0
    sent: int = 0
    verified: int = 0
    healed: int = 0
    in_doubt: int = 0
    put_off: int = 0
    not_written: int = 0
    paused: int = 0
    listed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport(Report):
    """Where the flow's documents stand. A run is green only if nothing is unexplained."""

    documents: int = 0
    vouchers: int = 0
    held: int = 0
    due: int = 0
    unexplained: int = 0
    unexplained_ids: tuple[str, ...] = ()
    held_by_reason: tuple[tuple[str, int], ...] = ()
    vouchers_by_state: tuple[tuple[str, int], ...] = ()
    documents_by_state: tuple[tuple[str, int], ...] = ()

    @property
    def green(self) -> bool:
        """Whether each document stands in exactly one explained state."""
        return not self.unexplained_ids
