"""The hub's connection string from what an Airflow connection of type ``postgres`` holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class ConnectionLike(Protocol):
    """An Airflow connection, whichever of Airflow's classes it is."""

    @property
    def host(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...
    @property
    def schema(self) -> str | None: ...
    @property
    def login(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    @property
    def extra_dejson(self) -> Mapping[str, Any]: ...


def hub_dsn(connection: ConnectionLike, *, options: str = "") -> str:
    """The connection string in key=value form, values quoted.

    Args:
        connection: host, port, schema = database, login, password; ``sslmode`` in the extra.
        options: command-line options of the server for the sessions, e.g. ``-c statement_timeout=8s``.
    """
    parts = {
        "host": connection.host,
        "port": connection.port,
        "dbname": connection.schema,
        "user": connection.login,
        "password": connection.password,
        "sslmode": connection.extra_dejson.get("sslmode"),
        "connect_timeout": 10,
        "options": options,
    }
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in parts.items() if value not in (None, ""))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
