"""A look at Tryton: log in and ask for a voucher that does not exist."""

from __future__ import annotations

from finbridge.core.checkup import Checkup
from finbridge.core.connections import ConnectionSettings
from finbridge.core.ports import TokenStore
from finbridge.systems.tryton.adapter import TrytonLedger


async def checkup(settings: ConnectionSettings, *, tokens: TokenStore) -> Checkup:
    """Log in, read once, take the clock from the answer.

    Raises:
        RetryLater: Tryton is away.
        GiveUp: user or password refused.
    """
    ledger = TrytonLedger(settings, tokens=tokens, flow=None)
    try:
        await ledger.ping()
        client = ledger.client
        return Checkup(read="凭证查询 / a look-up of vouchers", server_at=client.seen_at, token=client.token_name)
    finally:
        await ledger.close()
