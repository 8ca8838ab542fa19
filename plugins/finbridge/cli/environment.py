"""Airflow connections from the environment, for commands that run without Airflow.

``AIRFLOW_CONN_<ID>`` holds JSON (``{"conn_type": …, "host": …}``) or a URI, read as Airflow reads them. Values are
never shown, not even in an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp

if TYPE_CHECKING:
    from finbridge.hub import PostgresHub

HUB = "hub_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentConnection:
    """What a variable holds, in Airflow's words."""

    conn_id: str
    host: str | None = None
    port: int | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    extra_dejson: Mapping[str, Any] = field(default_factory=dict, repr=False)


def connection(conn_id: str) -> ConnectionSettings:
    """The settings of ``AIRFLOW_CONN_<ID>`` as clients and adapters take them.

    Raises:
        GiveUp: the variable is not set, or is neither JSON nor a URI, or names no host.
    """
    found = read_connection(conn_id)
    scheme, _, host = (found.host or "").rpartition("://")
    if not host:
        raise _bad(conn_id, "没有主机 / it names no host")
    return ConnectionSettings(
        conn_id=conn_id,
        host=host.rstrip("/"),
        port=found.port,
        scheme=scheme or found.schema or "http",
        login=found.login or "",
        password=found.password or "",
        database=str(found.extra_dejson.get("database", "")),
        extra=found.extra_dejson,
    )


def hub_dsn(conn_id: str = HUB) -> str:
    """The hub's connection string from ``AIRFLOW_CONN_HUB_DEFAULT``.

    Raises:
        GiveUp: as `connection`.
    """
    from finbridge.hub import addresses

    return addresses.hub_dsn(read_connection(conn_id))


def open_hub(conn_id: str = HUB) -> PostgresHub:
    """The hub, with its token store; the caller closes it.

    Raises:
        GiveUp: as `connection`.
    """
    from finbridge import hub
    from finbridge.hub import addresses

    found = read_connection(conn_id)
    return hub.open_hub(addresses.hub_dsn(found), secret=str(found.extra_dejson.get("token_secret", "")))


def read_connection(conn_id: str) -> EnvironmentConnection:
    """Read ``AIRFLOW_CONN_<ID>``.

    Raises:
        GiveUp: the variable is not set, or is neither JSON nor a URI.
    """
    text = os.environ.get(variable(conn_id), "").strip()
    if not text:
        raise GiveUp(
            "connection_missing",
            f"环境变量 {variable(conn_id)} 未设置，请填入该连接的 JSON 或 URI / "
            f"{variable(conn_id)} is not set: give it the connection as JSON or URI, as Airflow takes it",
        )
    try:
        return _of_json(conn_id, text) if text.startswith("{") else _of_uri(conn_id, text)
    except (ValueError, TypeError):
        raise _bad(conn_id, "既不是 JSON 也不是 URI / it is neither JSON nor a URI") from None


def variable(conn_id: str) -> str:
    """The name of a connection's environment variable."""
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def _of_json(conn_id: str, text: str) -> EnvironmentConnection:
    data = json.loads(text)
    port = data.get("port")
    return EnvironmentConnection(
        conn_id=conn_id,
        host=_text(data.get("host")),
        port=int(port) if port not in (None, "") else None,
        schema=_text(data.get("schema")),
        login=_text(data.get("login")),
        password=_text(data.get("password")),
        extra_dejson=_extra(data.get("extra")),
    )


def _of_uri(conn_id: str, text: str) -> EnvironmentConnection:
    """``type://login:password@host:port/schema?key=value``; the host may itself be ``scheme://host``."""
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError(text)
    scheme = ""
    if parts.hostname and "://" in (rest := text.partition("://")[2]):
        scheme = rest.partition("://")[0]
        parts = urlsplit(f"{scheme}://{rest.partition('://')[2]}")
    host = unquote(parts.hostname) if parts.hostname else ""
    return EnvironmentConnection(
        conn_id=conn_id,
        host=f"{scheme}://{host}" if scheme and host else host,
        port=parts.port,
        schema=unquote(parts.path[1:]),
        login=_unquoted(parts.username),
        password=_unquoted(parts.password),
        extra_dejson=_of_query(parts),
    )


def _of_query(parts: SplitResult) -> Mapping[str, Any]:
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return _extra(query["__extra__"]) if "__extra__" in query else query


def _extra(value: object) -> Mapping[str, Any]:
    if not value:
        return {}
    given = json.loads(value) if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise TypeError("extra")
    return given


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _unquoted(value: str | None) -> str | None:
    return None if value is None else unquote(value)


def _bad(conn_id: str, why: str) -> GiveUp:
    return GiveUp("connection_incomplete", f"环境变量有误 / {variable(conn_id)}: {why}")
