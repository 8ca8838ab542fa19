"""Weaver e-cology as an Airflow connection: form, TLS, test button."""

from __future__ import annotations

from typing import Any

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import BaseHook

from finbridge.core.connections import ConnectionSettings
from finbridge.systems.hook import settings_of, try_out


class WeaverHook(HttpHook):
    """Connection of type ``weaver``.

    Host, port and scheme are the OA's address; the login is the OA user id of the dedicated account that reads and
    writes back, the extra's ``appid`` the application registered for it. TLS: scheme ``https``, extra ``verify``.

    Args:
        weaver_conn_id: Airflow connection.
        hub_conn_id: connection of the hub, which keeps the registration and the tokens for all processes.
    """

    conn_name_attr = "weaver_conn_id"
    default_conn_name = "weaver_default"
    conn_type = "weaver"
    hook_name = "Weaver e-cology 泛微"

    def __init__(
        self, weaver_conn_id: str = default_conn_name, *, hub_conn_id: str = "hub_default", **kwargs: Any
    ) -> None:
        super().__init__(http_conn_id=weaver_conn_id, **kwargs)
        self.weaver_conn_id = weaver_conn_id
        self.hub_conn_id = hub_conn_id

    def settings(self) -> ConnectionSettings:
        """The connection as the client takes it."""
        return settings_of(BaseHook.get_connection(self.weaver_conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """Ask the OA for its clock with the shared token. Never registers anew: that would lock the others out."""
        return try_out(self.weaver_conn_id, self.hub_conn_id, _ask)


async def _ask(settings: ConnectionSettings, tokens: Any) -> str:
    from finbridge.systems.weaver import adapter

    source = adapter.connect(settings, tokens=tokens, flow=None)
    try:
        return f"连接正常 / connected; OA time {await source.now():%Y-%m-%d %H:%M:%S}"
    finally:
        await source.close()
