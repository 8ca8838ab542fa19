"""Old logs go, young ones stay, and nothing outside the log folder is ever touched."""

from __future__ import annotations

import os
import time
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
    rest(path.parent)
    return path


def rest(folder: Path) -> Path:
    """The folder and those around it as if nothing had come or gone for a day; returns it."""
    at = time.time() - 86400
    for place in (folder, *folder.parents):
        if place.name in ("logs", "books"):
            return folder
        os.utime(place, (at, at))
    raise AssertionError(folder)


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
    assert not (logs / "dag_id=f__wake/run_id=old").exists(), "empty folders go too"
    assert still.exists()
    assert young.exists()
    assert clean_logs(logs, LIMIT).files == 0


def test_a_dag_s_empty_folder_goes_once_nobody_can_be_about_to_write_there(logs: Path) -> None:
    """A task makes the folder of its DAG, then that of its run: between the two the first one must not go."""
    written(logs / "dag_id=f/run_id=old/task_id=t/attempt=1.log", 91)
    (logs / "dag_id=new").mkdir()
    (logs / "dag_id=left_behind/run_id=x/task_id=t").mkdir(parents=True)
    (logs / "unknown").mkdir()
    clean_logs(logs, LIMIT)
    assert sorted(path.name for path in logs.rglob("*")) == [
        "dag_id=f",
        "dag_id=left_behind",
        "dag_id=new",
        "run_id=x",
        "task_id=t",
        "unknown",
    ]
    for folder in ("dag_id=f", "dag_id=left_behind/run_id=x/task_id=t", "unknown"):
        rest(logs / folder)
    clean_logs(logs, LIMIT)
    assert sorted(path.name for path in logs.rglob("*")) == ["dag_id=left_behind", "dag_id=new", "unknown"]
    rest(logs / "dag_id=left_behind")
    clean_logs(logs, LIMIT)
    assert sorted(path.name for path in logs.iterdir()) == ["dag_id=new", "unknown"], "what is not Airflow's stays"


def test_an_old_run_that_was_cleared_keeps_its_logs(logs: Path) -> None:
    """All that it wrote is old, and what it is about to write goes into the same folders."""
    cleared = written(logs / "dag_id=f/run_id=manual__2026-01-01T00:00:00+00:00/task_id=t/attempt=1.log", 200)
    other = written(logs / "dag_id=f/run_id=other/task_id=t/attempt=1.log", 200)
    asked: list[tuple[str, str]] = []

    def unfinished(dag_id: str, run_id: str) -> bool:
        asked.append((dag_id, run_id))
        return run_id != "other"

    assert clean_logs(logs, LIMIT, unfinished).files == 1
    assert (cleared.exists(), other.exists()) == (True, False)
    assert asked == [("f", "manual__2026-01-01T00:00:00+00:00"), ("f", "other")]


def test_a_folder_that_a_task_made_just_now_stays(logs: Path) -> None:
    """A new attempt of an old run whose file is not there yet."""
    old = written(logs / "dag_id=f/run_id=old/task_id=t/attempt=1.log", 200)
    (logs / "dag_id=f/run_id=old/task_id=u").mkdir()
    assert clean_logs(logs, LIMIT).files == 0
    assert old.exists() and (logs / "dag_id=f/run_id=old/task_id=u").exists()


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
    rest(logs / "dag_id=y/run_id=1")
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
