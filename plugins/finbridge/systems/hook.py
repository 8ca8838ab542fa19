"""Airflow connections as plain data. Secrets live in Airflow connections only; nothing here logs or returns one.

A system's hook says how its form looks and how its test button works; tasks need no more than
:func:`settings_of`, so that no HTTP stack of Airflow's is imported where none is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import FinbridgeError, GiveUp

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from finbridge.hub import PostgresHub

#: How long the test button may take, seconds: people wait for it.
TEST_SECONDS = 20.0


def settings_of(connection: Connection) -> ConnectionSettings:
    """An Airflow connection as the clients take it. ``schema`` is the URL scheme; a database's name is in the extra."""
    extra: Mapping[str, Any] = connection.extra_dejson
    scheme, _, host = (connection.host or "").rpartition("://")
    if not host:
        raise GiveUp("connection_incomplete", f"连接缺少主机 / connection {connection.conn_id!r} names no host")
    return ConnectionSettings(
        conn_id=connection.conn_id,
        host=host.rstrip("/"),
        port=connection.port,
        scheme=scheme or connection.schema or "http",
        login=connection.login or "",
        password=connection.password or "",
        database=str(extra.get("database", "")),
        extra=extra,
    )


def hub_dsn(connection: Connection) -> str:
    """The hub's connection string (key=value form, values quoted) from a connection of type ``postgres``."""
    from finbridge.hub import addresses

    return addresses.hub_dsn(connection)


def open_hub_of(connection: Connection) -> PostgresHub:
    """Open the hub. The key for tokens at rest is the extra's ``token_secret``."""
    from finbridge.hub import open_hub

    return open_hub(hub_dsn(connection), secret=str(connection.extra_dejson.get("token_secret", "")))


def try_out(
    conn_id: str, hub_conn_id: str, call: Callable[[ConnectionSettings, Any], Awaitable[str]]
) -> tuple[bool, str]:
    """What the test button does: one harmless call with the shared tokens, its answer or its error in plain words."""
    try:
        settings = settings_of(BaseHook.get_connection(conn_id))
        with open_hub_of(BaseHook.get_connection(hub_conn_id)) as hub:
            return True, asyncio.run(asyncio.wait_for(call(settings, hub.tokens), TEST_SECONDS))
    except FinbridgeError as error:
        return False, error.staff
    except TimeoutError:
        return False, f"{TEST_SECONDS:.0f} 秒内没有应答 / no answer within {TEST_SECONDS:.0f} s"
    except Exception as error:  # the button shows what is wrong whatever it is, without values
        return False, f"{type(error).__name__}: 连接测试失败，详见服务器日志 / the test failed, see the server's log"
