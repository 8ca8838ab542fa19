"""A look at the journal: log in and ask for a voucher that does not exist."""

from __future__ import annotations

from finbridge.core.checkup import Checkup
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ports import TokenStore
from finbridge.systems.journal.client import JournalClient, LoginFailed, LoginRefused

_NOBODYS_KEY, _OK = "E000000000000000", 200


async def checkup(settings: ConnectionSettings, *, tokens: TokenStore) -> Checkup:
    """Log in, read once, take the clock from the answer.

    Raises:
        RetryLater: it is away.
        GiveUp: user or password refused.
    """
    client = JournalClient(settings, tokens=tokens)
    try:
        answer = await client.find("1000", [_NOBODYS_KEY])
    except LoginRefused as error:
        raise GiveUp(error.code, error.staff, error.engineer) from None
    except LoginFailed as error:
        raise RetryLater(error.code, error.staff, error.engineer) from None
    finally:
        await client.close()
    if answer.status != _OK:
        raise RetryLater("no_trustworthy_answer", f"应答异常 / answered HTTP {answer.status}")
    return Checkup(read="凭证查询 / a look-up of vouchers", server_at=answer.date, token=client.token_name)
