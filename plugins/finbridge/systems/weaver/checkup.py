"""A look at the OA: with the shared token, the number of open to-dos. A stored registration is never replaced."""

from __future__ import annotations

from finbridge.core.checkup import Checkup
from finbridge.core.connections import ConnectionSettings
from finbridge.core.ports import TokenStore
from finbridge.systems.weaver.client import WeaverClient


async def checkup(settings: ConnectionSettings, *, tokens: TokenStore) -> Checkup:
    """Log in, read once, take the clock from the answer.

    Raises:
        RetryLater: the OA is away.
        GiveUp: registration, account or licence refused.
    """
    async with WeaverClient(settings, tokens=tokens) as client:
        shown = await client.server_date()
        return Checkup(read="待办列表 / the to-do list", server_at=shown, token=client.auth.token_name)
