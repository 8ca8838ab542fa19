"""Loader of ``airflow_settings.yaml`` (Astro CLI's format) into the metadata database: one process, one transaction.

Airflow itself ignores the file; Astro CLI reads it on its own. Loading is an upsert: what stands in the file wins, what
does not stand there is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finbridge.core.errors import GiveUp

_CONNECTION_KEYS = {
    "conn_id",
    "conn_type",
    "conn_host",
    "conn_schema",
    "conn_login",
    "conn_password",
    "conn_port",
    "conn_extra",
}
_POOL_KEYS = {"pool_name", "pool_slot", "pool_description"}
_VARIABLE_KEYS = {"variable_name", "variable_value"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRow:
    """One connection of the file. ``extra`` is an object, whatever form the file gave it."""

    conn_id: str
    conn_type: str
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    port: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict, repr=False)

    def as_json(self) -> str:
        """The form that ``AIRFLOW_CONN_<ID>`` takes."""
        given = {
            "conn_type": self.conn_type,
            "host": self.host,
            "schema": self.schema,
            "login": self.login,
            "password": self.password,
            "port": self.port,
            "extra": dict(self.extra) or None,
        }
        return json.dumps({name: value for name, value in given.items() if value is not None}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The file's content: connections and pools (name -> slots, description) and variables (name -> value)."""

    connections: tuple[ConnectionRow, ...]
    pools: Mapping[str, tuple[int, str]]
    variables: Mapping[str, str]


def read_settings(path: Path) -> Settings:
    """Read and check the file.

    Raises:
        GiveUp: it is not there, not YAML, or has a key that Astro CLI does not know; the message names the place.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GiveUp("settings_missing", f"找不到设置文件 / no settings file: {path}") from None
    except yaml.YAMLError as error:
        raise GiveUp("settings_invalid", f"设置文件不是 YAML / not YAML: {path}: {error}") from None
    root = _mapping(document, path.name, {"airflow"}).get("airflow")
    body = _mapping(root, "airflow", {"connections", "pools", "variables"})
    return Settings(
        connections=tuple(_connection(row, at) for at, row in _rows(body, "connections", _CONNECTION_KEYS)),
        pools={
            _text(row, "pool_name", at): (_number(row, "pool_slot", at), str(row.get("pool_description") or ""))
            for at, row in _rows(body, "pools", _POOL_KEYS)
        },
        variables={
            _text(row, "variable_name", at): str(row.get("variable_value") or "")
            for at, row in _rows(body, "variables", _VARIABLE_KEYS)
        },
    )


def _connection(row: Mapping[str, Any], at: str) -> ConnectionRow:
    extra = row.get("conn_extra") or {}
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except ValueError:
            raise _invalid(f"{at}.conn_extra", "not JSON") from None
    return ConnectionRow(
        conn_id=_text(row, "conn_id", at),
        conn_type=_text(row, "conn_type", at),
        host=_optional(row, "conn_host"),
        schema=_optional(row, "conn_schema"),
        login=_optional(row, "conn_login"),
        password=_optional(row, "conn_password"),
        port=_number(row, "conn_port", at) if row.get("conn_port") else None,
        extra=_mapping(extra, f"{at}.conn_extra", None),
    )


def _rows(body: Mapping[str, Any], name: str, keys: set[str]) -> list[tuple[str, Mapping[str, Any]]]:
    rows = body.get(name) or []
    if not isinstance(rows, list):
        raise _invalid(f"airflow.{name}", "not a list")
    return [(at, _mapping(row, at, keys)) for n, row in enumerate(rows) for at in [f"airflow.{name}[{n}]"]]


def _mapping(value: object, at: str, keys: set[str] | None) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(at, "not a mapping")
    unknown = set(value) - keys if keys is not None else set()
    if unknown:
        raise _invalid(at, f"unknown keys {sorted(map(str, unknown))}")
    return value


def _text(row: Mapping[str, Any], name: str, at: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise _invalid(f"{at}.{name}", "missing or not text")
    return value


def _number(row: Mapping[str, Any], name: str, at: str) -> int:
    value = row.get(name)
    if isinstance(value, bool) or not str(value).isdigit():
        raise _invalid(f"{at}.{name}", f"not a whole number: {value!r}")
    return int(str(value))


def _optional(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    return None if value in (None, "") else str(value)


def _invalid(at: str, why: str) -> GiveUp:
    return GiveUp("settings_invalid", f"设置文件有误 / settings file: {at}: {why}")


def store_settings(settings: Settings) -> dict[str, int]:
    """Upsert everything in one transaction; how many of each."""
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        for row in settings.connections:
            found = session.scalar(select(Connection).where(Connection.conn_id == row.conn_id))
            connection = found or Connection(conn_id=row.conn_id)
            connection.conn_type = row.conn_type
            connection.host, connection.schema, connection.port = row.host, row.schema, row.port
            connection.login = row.login
            connection.set_password(row.password)
            connection.set_extra(json.dumps(dict(row.extra), ensure_ascii=False) if row.extra else None)
            session.add(connection)
        for name, (slots, description) in settings.pools.items():
            Pool.create_or_update_pool(
                name=name, slots=slots, description=description, include_deferred=False, session=session
            )
        for name, value in settings.variables.items():
            Variable.set(key=name, value=value, session=session)
    return {
        "connections": len(settings.connections),
        "pools": len(settings.pools),
        "variables": len(settings.variables),
    }
