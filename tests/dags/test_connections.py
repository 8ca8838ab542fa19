"""Connections: what Airflow shows of them, how they become plain data, and the settings file's loader."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.tasks.provider import get_provider_info
from finbridge.tasks.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
SECRET = "gen-3141592653"


def connection(**values: Any) -> Any:
    from airflow.sdk import Connection

    return Connection(conn_id="c", **values)


# ---------------------------------------------------------------------- forms


def test_the_provider_info_is_what_airflow_expects() -> None:
    import airflow

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    assert list(jsonschema.validators.validator_for(schema)(schema).iter_errors(get_provider_info())) == []


def test_airflow_finds_our_connection_types_with_forms_and_hooks() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()  # type: ignore[no-untyped-call]  # Airflow's own is not annotated
    forms = {key.split("__")[1] for key in manager.connection_form_widgets if key.startswith("extra__")}
    types = [entry["connection-type"] for entry in get_provider_info()["connection-types"]]
    assert types == ["weaver", "tryton", "journal"]
    assert set(types) <= forms
    for name in types:
        assert manager.field_behaviours[name]["placeholders"]


@pytest.mark.parametrize("entry", get_provider_info()["connection-types"], ids=lambda entry: str(entry["hook-name"]))
def test_each_hook_is_an_http_hook_that_can_test_itself(entry: dict[str, Any]) -> None:
    from airflow.providers.http.hooks.http import HttpHook

    module, _, name = entry["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert issubclass(hook, HttpHook)
    assert hook.conn_type == entry["connection-type"]
    assert hook.hook_name == entry["hook-name"]
    assert callable(hook().test_connection)
    assert getattr(hook(), hook.conn_name_attr) == hook.default_conn_name


@pytest.mark.parametrize("entry", get_provider_info()["connection-types"], ids=lambda entry: str(entry["hook-name"]))
@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (RetryLater("away", "系统不可用 / away"), "系统不可用 / away"),
        (TimeoutError(), "no answer within"),
        (ValueError(f"password {SECRET} is wrong"), "ValueError"),
    ],
)
def test_the_test_button_tells_what_is_wrong_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], failure: Exception, says: str
) -> None:
    from finbridge.systems import hook as shared

    module, _, name = entry["hook-class-name"].rpartition(".")
    slice_hook = importlib.import_module(module)

    @contextmanager
    def hub(_: object) -> Any:
        yield SimpleNamespace(tokens=None)

    async def ask(settings: object, tokens: object) -> str:
        raise failure

    monkeypatch.setattr(shared, "open_hub_of", hub)
    monkeypatch.setattr(slice_hook, "_ask", ask)
    monkeypatch.setenv("AIRFLOW_CONN_HUB_DEFAULT", "postgres://hub_app@127.0.0.1/hub")
    monkeypatch.setenv(f"AIRFLOW_CONN_{entry['connection-type'].upper()}_DEFAULT", f"http://u:{SECRET}@127.0.0.1:1")
    ok, message = getattr(slice_hook, name)().test_connection()
    assert not ok
    assert says in message
    assert SECRET not in message


# ---------------------------------------------------------------------- plain data


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"host": "oa.example.com"}, "http://oa.example.com"),
        ({"host": "oa.example.com", "schema": "https", "port": 8443}, "https://oa.example.com:8443"),
        ({"host": "https://oa.example.com/"}, "https://oa.example.com"),
    ],
)
def test_a_connection_becomes_settings(values: dict[str, Any], url: str) -> None:
    from finbridge.systems.hook import settings_of

    found = settings_of(connection(conn_type="weaver", login="900", password=SECRET, extra='{"appid": "x"}', **values))
    assert found.base_url == url
    assert (found.login, found.password, found.extra["appid"]) == ("900", SECRET, "x")
    assert SECRET not in repr(found)


def test_a_connection_without_a_host_is_named() -> None:
    from finbridge.systems.hook import settings_of

    with pytest.raises(GiveUp, match="connection 'c' names no host"):
        settings_of(connection(conn_type="weaver", login="900"))


def test_the_hubs_connection_string_quotes_what_passwords_hold() -> None:
    from finbridge.systems.hook import hub_dsn
    from psycopg.conninfo import conninfo_to_dict

    password = "a b'c\\d=e"
    dsn = hub_dsn(
        connection(conn_type="postgres", host="127.0.0.1", port=5432, schema="hub", login="hub_app", password=password)
    )
    found = conninfo_to_dict(dsn)
    assert found["password"] == password
    assert (found["host"], found["port"], found["dbname"], found["user"]) == ("127.0.0.1", "5432", "hub", "hub_app")


# ---------------------------------------------------------------------- airflow_settings.yaml


def test_the_projects_own_file_reads_and_holds_no_surprise() -> None:
    settings = read_settings(ROOT / "airflow_settings.yaml")
    assert [row.conn_id for row in settings.connections] == [
        "weaver_default",
        "tryton_default",
        "journal_default",
        "hub_default",
    ]
    assert all(row.host == "127.0.0.1" for row in settings.connections), "only stand-ins on this machine"
    assert len({row.port for row in settings.connections}) == len(settings.connections)
    assert settings.pools["weaver"][0] >= 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("airflow: [1", "not YAML"),
        ("airflow: 3", "airflow: not a mapping"),
        ("airflo: {}", "airflow_settings.yaml: unknown keys ['airflo']"),
        ("airflow: {connections: {}, pools: 7}", "airflow.pools: not a list"),
        ("airflow: {connections: [{conn_id: a, conn_typ: b}]}", "airflow.connections[0]: unknown keys ['conn_typ']"),
        ("airflow: {connections: [{conn_id: a}]}", "airflow.connections[0].conn_type: missing"),
        ("airflow: {connections: [{conn_id: a, conn_type: b, conn_port: x}]}", "conn_port: not a whole number"),
        ("airflow: {connections: [{conn_id: a, conn_type: b, conn_extra: '{'}]}", "conn_extra: not JSON"),
        ("airflow: {pools: [{pool_name: a}]}", "airflow.pools[0].pool_slot: not a whole number"),
    ],
)
def test_a_wrong_file_is_refused_and_the_place_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "airflow_settings.yaml"
    path.write_text(text)
    with pytest.raises(GiveUp) as raised:
        read_settings(path)
    assert says in raised.value.staff


def test_the_environment_form_of_a_connection_is_read_back_by_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import Connection

    row = next(r for r in read_settings(ROOT / "airflow_settings.yaml").connections if r.conn_id == "tryton_default")
    monkeypatch.setenv("AIRFLOW_CONN_TRYTON_DEFAULT", row.as_json())
    found = Connection.get("tryton_default")
    assert (found.host, found.port, found.login, found.password) == (row.host, row.port, row.login, row.password)
    assert found.extra_dejson == dict(row.extra)


def _load(path: Path) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "finbridge", "settings", "load", path],
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_loading_twice_changes_what_changed_and_keeps_the_rest(tmp_path: Path) -> None:
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    path = tmp_path / "airflow_settings.yaml"
    document = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text(encoding="utf-8"))
    document["airflow"]["variables"] = [{"variable_name": "greeting", "variable_value": "你好"}]
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    assert "loaded 4 connections, 3 pools, 1 variables" in _load(path)
    document["airflow"]["connections"] = [dict(document["airflow"]["connections"][1], conn_password=SECRET)]
    document["airflow"]["pools"][0]["pool_slot"] = 9
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    _load(path)
    with create_session() as session:
        rows = {row.conn_id: row for row in session.scalars(select(Connection))}
        assert {"weaver_default", "tryton_default", "journal_default", "hub_default"} <= set(rows)
        assert rows["tryton_default"].password == SECRET
        assert SECRET not in (rows["tryton_default"]._password or ""), "encrypted at rest"
        assert rows["weaver_default"].extra_dejson["appid"] == "finbridge"
        pools = {pool.pool: pool.slots for pool in session.scalars(select(Pool))}
    assert (pools["weaver"], pools["tryton"]) == (9, 4)
