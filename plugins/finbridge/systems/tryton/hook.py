"""Tryton as an Airflow connection: form, TLS, test button."""

from __future__ import annotations

from typing import Any

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import BaseHook

from finbridge.core.connections import ConnectionSettings
from finbridge.systems.hook import settings_of, try_out


class TrytonHook(HttpHook):
    """Connection of type ``tryton``.

    Host, port and scheme are the server's address; login and password a user that may create and post moves; the
    extra's ``database`` its database. TLS as in HttpHook: scheme ``https``, extra ``verify``.

    Args:
        tryton_conn_id: Airflow connection.
        hub_conn_id: connection of the hub, which keeps the session for all processes.
    """

    conn_name_attr = "tryton_conn_id"
    default_conn_name = "tryton_default"
    conn_type = "tryton"
    hook_name = "Tryton"

    def __init__(
        self, tryton_conn_id: str = default_conn_name, *, hub_conn_id: str = "hub_default", **kwargs: Any
    ) -> None:
        super().__init__(http_conn_id=tryton_conn_id, **kwargs)
        self.tryton_conn_id = tryton_conn_id
        self.hub_conn_id = hub_conn_id

    def settings(self) -> ConnectionSettings:
        """The connection as the client takes it."""
        return settings_of(BaseHook.get_connection(self.tryton_conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """Log in and read once."""
        return try_out(self.tryton_conn_id, self.hub_conn_id, _ask)


async def _ask(settings: ConnectionSettings, tokens: Any) -> str:
    from finbridge.systems.tryton import adapter

    ledger = adapter.connect(settings, tokens=tokens, flow=None)
    try:
        return f"{await ledger.ping()}: {settings.database}"
    finally:
        await ledger.close()
