"""Inbox, register 台账, attempts, write-backs, holds and trail on PostgreSQL.

`ensure_roles` and `migrate` set a database up; `open_hub` gives the hub that the flows work with.
"""

from finbridge.hub.hub import PostgresHub
from finbridge.hub.schema import ensure_roles, migrate
from finbridge.hub.timing import Timing

__all__ = ["PostgresHub", "Timing", "ensure_roles", "migrate", "open_hub"]


def open_hub(dsn: str, *, secret: str = "", timing: Timing | None = None) -> PostgresHub:
    """Open the hub as `hub_app`.

    Args:
        dsn: connection string of the role `hub_app`; nothing connects before the first call.
        secret: what the key of the token store is derived from; without one, tokens cannot be stored.
        timing: waiting times, where they are not the usual ones.
    """
    return PostgresHub(dsn, secret=secret, timing=timing)
