"""The journal (a small stand-in ledger) as an Airflow connection: form, TLS, test button."""

from __future__ import annotations

from typing import Any

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import BaseHook

from finbridge.core.connections import ConnectionSettings
from finbridge.systems.hook import settings_of, try_out

_COMPANY, _NOBODYS_KEY = "1000", "E000000000000000"


class JournalHook(HttpHook):
    """Connection of type ``journal``.

    Host, port and scheme are the server's address; login and password its one user. TLS as in HttpHook: scheme
    ``https``, extra ``verify``.

    Args:
        journal_conn_id: Airflow connection.
        hub_conn_id: connection of the hub, which keeps the session for all processes.
    """

    conn_name_attr = "journal_conn_id"
    default_conn_name = "journal_default"
    conn_type = "journal"
    hook_name = "Journal 日记账"

    def __init__(
        self, journal_conn_id: str = default_conn_name, *, hub_conn_id: str = "hub_default", **kwargs: Any
    ) -> None:
        super().__init__(http_conn_id=journal_conn_id, **kwargs)
        self.journal_conn_id = journal_conn_id
        self.hub_conn_id = hub_conn_id

    def settings(self) -> ConnectionSettings:
        """The connection as the client takes it."""
        return settings_of(BaseHook.get_connection(self.journal_conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """Log in and ask for a voucher that does not exist."""
        return try_out(self.journal_conn_id, self.hub_conn_id, _ask)


async def _ask(settings: ConnectionSettings, tokens: Any) -> str:
    from finbridge.systems.journal import adapter

    ledger = adapter.connect(settings, tokens=tokens, flow=None)
    try:
        await ledger.find(_COMPANY, [_NOBODYS_KEY])
        return f"连接正常 / connected to {settings.base_url}"
    finally:
        await ledger.close()
