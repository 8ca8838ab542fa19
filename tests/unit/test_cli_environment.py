"""Connections of commands: what Airflow writes into the environment comes out as clients take it."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection
from finbridge.cli import environment
from finbridge.core.errors import GiveUp
from hypothesis import given
from hypothesis import strategies as st

JSON_FORM = json.dumps(
    {
        "conn_type": "weaver",
        "host": "oa.example.com",
        "schema": "https",
        "login": "900",
        "password": "p@ss/wört",
        "port": 8443,
        "extra": {"appid": "finbridge", "rate_per_second": 5},
    }
)


def test_json_and_uri_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WEAVER_DEFAULT", JSON_FORM)
    one = environment.connection("weaver_default")
    assert (one.base_url, one.login, one.password) == ("https://oa.example.com:8443", "900", "p@ss/wört")
    assert one.extra["appid"] == "finbridge"
    monkeypatch.setenv("AIRFLOW_CONN_WEAVER_DEFAULT", Connection.from_json(JSON_FORM, conn_id="x").get_uri())
    other = environment.connection("weaver_default")
    assert (other.base_url, other.login, other.password) == (one.base_url, one.login, one.password)
    assert other.extra["appid"] == "finbridge" and str(other.extra["rate_per_second"]) == "5"


def test_the_hub_s_address_is_airflow_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HUB_DEFAULT", "postgres://hub_app:it%27s@db:5433/hub?sslmode=require")
    assert environment.hub_dsn() == (
        "host='db' port='5433' dbname='hub' user='hub_app' password='it\\'s' sslmode='require' connect_timeout='10'"
    )


@pytest.mark.parametrize("text", ["", "   ", "{not json", "no uri at all", '{"extra": "[1]", "host": "x"}', "x://"])
def test_what_is_wrong_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TRYTON_DEFAULT", text)
    with pytest.raises(GiveUp) as caught:
        environment.connection("tryton_default")
    assert "AIRFLOW_CONN_TRYTON_DEFAULT" in caught.value.staff
    assert not text.strip() or text not in str(caught.value)


@given(
    login=st.text(min_size=1, max_size=8).filter(str.strip),
    password=st.text(min_size=1, max_size=12),
    value=st.text(max_size=12),
)
def test_whatever_airflow_writes_is_read(login: str, password: str, value: str) -> None:
    written = Connection(
        conn_id="c",
        conn_type="weaver",
        host="h",
        port=1,
        login=login,
        password=password,
        extra=json.dumps({"k": value}),
    ).get_uri()
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv("AIRFLOW_CONN_C", written)
        except ValueError:  # a NUL goes into no variable
            return
        found = environment.connection("c")
    assert (found.host, found.port, found.login, found.password) == ("h", 1, login, password)
    assert found.extra == {"k": value}
