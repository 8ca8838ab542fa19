"""`finbridge audit …` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from finbridge.cli import app
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from tests.hub_fixtures import HubDatabase
from tests.hub_world import PAID, World, document


@pytest.fixture
def anchors(hub_database: HubDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A register with one document; the environment that the commands read."""
    with hub_database.open() as hub:
        World(hub, "typed").post(document("1", *PAID))
    parts = conninfo_to_dict(hub_database.app_dsn)
    found = {"conn_type": "postgres", "host": parts["host"], "login": parts["user"], "password": parts["password"]}
    found |= {"port": int(str(parts["port"])), "schema": parts["dbname"]}
    monkeypatch.setenv("AIRFLOW_CONN_HUB_DEFAULT", json.dumps(found))
    monkeypatch.setenv("FINBRIDGE_AUDIT_ANCHORS", str(tmp_path / "anchors.txt"))
    return tmp_path / "anchors.txt"


def test_seal_verify_pack_and_a_byte_that_was_touched(
    hub_database: HubDatabase, anchors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner()
    unanchored = run.invoke(app, ["audit", "verify"])
    assert unanchored.exit_code == 0, unanchored.output
    assert "no anchor was given" in unanchored.output
    sealed = run.invoke(app, ["audit", "seal"])
    assert sealed.exit_code == 0, sealed.output
    anchor = anchors.read_text(encoding="ascii").splitlines()[-1]
    assert anchor in sealed.output
    verified = run.invoke(app, ["audit", "verify"])
    assert verified.exit_code == 0, verified.output
    assert f"nothing was touched; {anchor}" in verified.output
    out = tmp_path / "pack"
    packed = run.invoke(app, ["audit", "pack", "--period", "2026-03", "--company", "1000", "--out", str(out)])
    assert packed.exit_code == 0, packed.output
    assert (out / "verify.py").exists()
    assert run.invoke(app, ["audit", "pack", "--period", "2026-03", "--out", str(out)]).exit_code == 1
    with psycopg.connect(hub_database.superuser_dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE hub.voucher SET debit_minor = 1")
    touched = run.invoke(app, ["audit", "verify"])
    assert touched.exit_code == 1
    assert "单据 document 1: voucher.debit_minor: 被改动 altered" in touched.output
    monkeypatch.delenv("FINBRIDGE_AUDIT_ANCHORS")
    cut = run.invoke(app, ["audit", "verify", "--anchor", f"99:{'0' * 64}:{anchor.split(':')[2]}"])
    assert cut.exit_code == 1
    assert "the chain was cut or replaced" in cut.output
