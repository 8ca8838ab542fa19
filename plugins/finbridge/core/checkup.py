"""What a look at a connection found: shapes only. Each system's slice has ``checkup.py`` with one function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """It let us in and answered. ``server_at`` is its own clock in UTC (None: it shows none), ``token`` the name of the
    shared session or token in the token store, ``read`` what was read, in words for people.
    """

    read: str
    server_at: datetime | None
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """How old a stored token is, by the hub's clock; never its value."""

    age_seconds: float
    left_seconds: float | None  # None: valid until the system refuses it
