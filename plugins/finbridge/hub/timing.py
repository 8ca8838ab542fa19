"""When to try again. All in seconds, all counted by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from finbridge.core.outcomes import AuthFailed, Locked, NotSent, RefusedUnprocessed, Throttled

#: Outcomes after which finance certainly did nothing and the voucher stays ready.
PutOff = Locked | Throttled | NotSent | RefusedUnprocessed | AuthFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Waiting times of one hub."""

    period_seconds: float = 900.0  # a closed period is asked again
    doubt_most_seconds: float = 60.0  # between two look-ups by key
    doubt_least_seconds: float = 1.0
    first_seconds: float = 1.0  # after the first failure for no fault of the voucher; doubles with each
    most_seconds: float = 300.0
    credentials_seconds: float = 60.0  # after refused credentials
    write_back_first_seconds: float = 2.0
    write_back_most_seconds: float = 900.0
    gone_tries: int = 12  # looks in a row that did not find the form, over most of an hour, until it counts as gone
    unread_least_seconds: float = 60.0  # between two looks at a document that could not be read
    unread_most_seconds: float = 21_600.0

    def doubt(self, now: datetime, last_sent_at: datetime | None) -> datetime:
        """The next look-up: as far ahead as the send lies behind, so that the distances double."""
        age = (now - last_sent_at).total_seconds() if last_sent_at else self.doubt_most_seconds
        return now + timedelta(seconds=min(max(age, self.doubt_least_seconds), self.doubt_most_seconds))

    def put_off(self, now: datetime, outcome: PutOff, tries: int) -> datetime:
        """The next send after ``tries`` failures in a row: what finance asked for, and growing."""
        if isinstance(outcome, AuthFailed):
            return now + timedelta(seconds=self.credentials_seconds)
        asked = outcome.after_seconds if isinstance(outcome, Locked | Throttled) else self.first_seconds
        return now + timedelta(seconds=max(asked, min(self.most_seconds, self.first_seconds * _double(tries))))

    def period(self, now: datetime) -> datetime:
        """The next send into a period that was closed."""
        return now + timedelta(seconds=self.period_seconds)

    def write_back(self, now: datetime, tries: int) -> datetime:
        """The next look at the form."""
        return now + timedelta(
            seconds=min(self.write_back_most_seconds, self.write_back_first_seconds * _double(tries))
        )


def _double(tries: int) -> int:
    return 1 << min(max(tries - 1, 0), 20)
