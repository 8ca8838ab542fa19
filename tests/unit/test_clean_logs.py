"""Old logs go, young ones stay, and nothing outside the log folder is ever touched."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from finbridge.core.errors import GiveUp
from finbridge.tasks.clean_logs import clean_logs

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LIMIT = NOW - timedelta(days=90)


def written(path: Path, days_ago: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("0123456789")
    at = (NOW - timedelta(days=days_ago)).timestamp()
    os.utime(path, (at, at))
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    base = tmp_path / "airflow" / "logs"
    base.mkdir(parents=True)
    return base


def test_a_run_goes_with_all_its_logs_or_stays_with_all_of_them(logs: Path) -> None:
    old = written(logs / "dag_id=f__wake/run_id=old/task_id=deliver/attempt=1.log", 91)
    also = written(logs / "dag_id=f__wake/run_id=old/task_id=collect/attempt=1.log", 92)
    still = written(logs / "dag_id=f__monthly/run_id=long/task_id=wait/attempt=1.log", 200)
    young = written(logs / "dag_id=f__monthly/run_id=long/task_id=wait/attempt=2.log", 1)
    done = clean_logs(logs, LIMIT)
    assert (done.files, done.bytes) == (2, 20)
    assert not old.exists()
    assert not also.exists()
    assert not (logs / "dag_id=f__wake").exists(), "empty folders go too"
    assert still.exists()
    assert young.exists()
    assert clean_logs(logs, LIMIT).files == 0


def test_the_dag_processors_days_go_and_other_files_stay(logs: Path) -> None:
    old = written(logs / "dag_processor/2026-01-01/dags-folder/wake.py.log", 300)
    new = written(logs / "dag_processor/2026-11-21/dags-folder/wake.py.log", 1)
    (logs / "dag_processor/latest").symlink_to(logs / "dag_processor/2026-11-21")
    foreign = written(logs / "accounting-archive/2019.csv", 2000)
    clean_logs(logs, LIMIT)
    assert (old.exists(), new.exists(), foreign.exists()) == (False, True, True)
    assert (logs / "dag_processor/latest").is_symlink()


def test_links_lead_nowhere(logs: Path, tmp_path: Path) -> None:
    outside = written(tmp_path / "books" / "ledger.txt", 900)
    (logs / "dag_id=x").mkdir()
    (logs / "dag_id=x/run_id=link").symlink_to(outside.parent)
    written(logs / "dag_id=y/run_id=1/task_id=t/attempt=1.log", 900)
    (logs / "dag_id=y/run_id=1/task_id=u").symlink_to(outside.parent)
    clean_logs(logs, LIMIT)
    assert outside.exists()
    assert (logs / "dag_id=x/run_id=link").is_symlink()
    assert (logs / "dag_id=y/run_id=1/task_id=u").is_symlink(), "a run with a link in it is left to a person"


@pytest.mark.parametrize("base", [Path("/"), Path("/var"), Path("logs"), Path("/nowhere/at/all"), Path.home()])
def test_a_folder_that_cannot_be_the_log_folder_is_refused(base: Path) -> None:
    with pytest.raises(GiveUp, match="bad_log_folder"):
        clean_logs(base, LIMIT)


def test_linked_base_folders_are_resolved(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(logs)
    old = written(logs / "dag_id=f/run_id=old/task_id=t/attempt=1.log", 91)
    assert clean_logs(tmp_path / "current", LIMIT).files == 1
    assert not old.exists()
    assert logs.exists()
