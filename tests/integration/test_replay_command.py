"""`finbridge replay` as people call it: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.integration.replay_check import differences
from tests.integration.replay_logs import DECLARATIONS, HISTORIES, make_log
from tests.integration.replay_reference import COLUMNS, expected

_COMMAND = Path(sys.executable).parent / "finbridge"


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(_COMMAND), "replay", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_log(tmp_path_factory.mktemp("log"), DECLARATIONS, documents=len(HISTORIES), seed=8)


@pytest.fixture
def work() -> Iterator[Path]:
    """Servers live here: pytest's own folders are deleted by younger sessions."""
    with tempfile.TemporaryDirectory(prefix="finbridge-command-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_it_writes_the_rows_and_prints_what_it_did(log: Path, work: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.csv"
    done = _run("--log", log, "--out", out, "--twice", "hub-kept", "--repeat", 2, "--work", work)
    assert done.returncode == 0, done.stdout + done.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not differences(rows, expected(log), COLUMNS) and len(rows) == len(HISTORIES)
    printed = done.stdout
    for part in (
        "replay__declaration → journal",
        "second pass (hub-kept)  0 new vouchers",
        "HTTP calls",
        "GX validations",
        "log.documents",
        "rows per table",
        "source_event",
        "seconds",
        "documents by standing",
    ):
        assert part in printed, printed
    assert "UNEXPLAINED" not in printed


def test_a_currency_is_carried_into_the_vouchers(log: Path, work: Path, tmp_path: Path) -> None:
    done = _run("--log", log, "--out", tmp_path / "o.csv", "--currency", "CNY", "--work", work, "--documents", 10)
    assert done.returncode == 0, done.stdout + done.stderr
    (journal,) = work.glob("run-*/finance/journal.jsonl")
    assert '"currency":"CNY"' in journal.read_text().replace(" ", "") and "EUR" not in journal.read_text()


def test_a_log_that_nobody_knows_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with duckdb.connect() as db:
        db.execute("CREATE TABLE cases AS SELECT 'a' AS \"concept:name\", '1' AS budget")
        db.execute(
            "CREATE TABLE events AS SELECT 'a' AS \"case:concept:name\", 'x' AS \"concept:name\", "
            "'2018-01-01T10:00:00.000+01:00' AS \"time:timestamp\""
        )
        for name in ("cases", "events"):
            db.execute(f"COPY {name} TO '{tmp_path / name}.parquet' (FORMAT parquet)")
    done = _run("--log", tmp_path, "--out", tmp_path / "out.csv")
    assert done.returncode == 2 and "RfpNumber or RequestedAmount" in done.stdout
    assert not (tmp_path / "out.csv").exists()


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    done = _run("--log", tmp_path, "--out", tmp_path / "out.csv")
    assert done.returncode == 2 and "cases.parquet" in done.stdout
