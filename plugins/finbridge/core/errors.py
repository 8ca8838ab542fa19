"""The error tree. The type says what happens next; nobody decides on message text.

FinbridgeError
 ├── RetryLater     the same call may succeed later; nothing is wrong with the document
 │    └── TransportError   a call without a trustworthy answer (finbridge.core.transport tells the kinds apart)
 ├── GiveUp         this run cannot go on (configuration, credentials, schema); nothing was lost
 ├── SkipRecord     this record is not for us; recorded, never silent
 └── NeedsHuman     a person must decide; the document stands in a named list until then
"""

from __future__ import annotations


class FinbridgeError(Exception):
    """Base of all errors: two messages, one for finance staff, one for engineers; no secrets in either.

    Args:
        code: stable machine-readable reason, snake_case, e.g. ``unknown_code``.
        staff: what an accountant reads (says what to do).
        engineer: what an engineer reads; defaults to ``staff``.
        companies: those that it concerns, where it does not concern all of a flow.
    """

    def __init__(self, code: str, staff: str, engineer: str | None = None, *, companies: tuple[str, ...] = ()) -> None:
        super().__init__(f"{code}: {engineer or staff}")
        self.companies = companies
        self.code = code
        self.staff = staff
        self.engineer = engineer or staff


class RetryLater(FinbridgeError):
    """Try again after ``after_seconds``."""

    def __init__(self, code: str, staff: str, engineer: str | None = None, *, after_seconds: float = 5.0) -> None:
        super().__init__(code, staff, engineer)
        self.after_seconds = after_seconds


class TransportError(RetryLater):
    """A call without a trustworthy answer. ``code`` names where it failed."""


class GiveUp(FinbridgeError):
    """The run stops; a person mends configuration, credentials or schema."""


class SkipRecord(FinbridgeError):
    """The record is not for this flow."""


class NeedsHuman(FinbridgeError):
    """A person decides; the document is held."""
