"""`finbridge hub`: databases and roles from nothing, harmless when run again, and samples that take nothing back."""

from __future__ import annotations

from pathlib import Path

import pytest
from finbridge.cli import app
from finbridge.cli.stack.postgres import Postgres
from finbridge.core.ports import CodeRow
from finbridge.hub import open_hub
from typer.testing import CliRunner

from tests.hub_fixtures import server_folder

ROOT = Path(__file__).resolve().parents[2]
FLOW = "weaver_tryton__expense_claim"
SAMPLES = ["hub", "sample-codes", "--flow", FLOW, "--folder", str(ROOT / "include" / "codes" / "weaver_tryton")]


def test_from_an_empty_server_to_a_hub_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    refused = runner.invoke(app, ["hub", "prepare"])
    assert refused.exit_code == 2
    assert "FINBRIDGE_SUPERUSER_DSN" in refused.output
    with server_folder() as folder, Postgres(folder) as server:
        monkeypatch.setenv("FINBRIDGE_SUPERUSER_DSN", server.dsn("postgres"))
        for name in ("HUB_OWNER", "HUB_APP", "AIRFLOW"):
            monkeypatch.setenv(f"FINBRIDGE_{name}_PASSWORD", f"of {name}")
        for made in ("hub, airflow", "—"):
            done = runner.invoke(app, ["hub", "prepare"])
            assert (done.exit_code, made in done.output) == (0, True), done.output
        assert runner.invoke(app, ["hub", "migrate"]).exit_code == 0
        assert runner.invoke(app, SAMPLES).exit_code == 0
        with open_hub(server.dsn("hub", "hub_app", "of HUB_APP")) as hub:
            first = next(row for row in hub.codes(FLOW) if row.table == "party")
            mended = CodeRow(
                table=first.table, company=first.company, code=first.code, target="MENDED", valid_from=first.valid_from
            )
            assert hub.load_codes(FLOW, [mended], maker="wang", checker="li") == 1
            again = runner.invoke(app, SAMPLES)
            assert (again.exit_code, "nothing loaded" in again.output) == (0, True)
            targets = {row.target for row in hub.codes(FLOW) if (row.table, row.code) == (first.table, first.code)}
        assert targets == {"MENDED"}
