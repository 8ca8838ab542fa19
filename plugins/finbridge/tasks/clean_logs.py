"""Deletes task logs older than an age: only below Airflow's log folder, a run's logs together or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from finbridge.core.errors import GiveUp

#: What Airflow writes: a folder a run of a DAG, and a folder a day of the DAG processor.
_DAG, _RUN = "dag_id=", "run_id="
_RUNS, _DAYS = f"{_DAG}*/{_RUN}*", "dag_processor/*"
#: A folder in which something came or went this lately may be about to be written into.
QUIET_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Files and bytes that are gone."""

    files: int = 0
    bytes: int = 0


def clean_logs(base: Path, before: datetime, unfinished: Callable[[str, str], bool] | None = None) -> Cleaned:
    """Delete the folders whose every file was written last before that time, and folders of DAGs that stand empty.

    A run that still writes keeps all of its logs; so does one that was cleared and is about to write. A DAG's folder
    goes once it has been empty for an hour: a first task that makes its folders finds the one that it made. Links are
    never followed and never deleted.

    Args:
        unfinished: whether a run (DAG id, run id) is queued or runs; asked right before its logs go.

    Raises:
        GiveUp: the base folder is not one that can be a log folder.
    """
    root = _checked(base)
    quiet = time.time() - QUIET_SECONDS
    files = size = 0
    for pattern in (_RUNS, _DAYS):
        for folder in sorted(root.glob(pattern)):
            if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
                continue
            found = list(_files(folder))
            if any(status.st_mtime >= before.timestamp() for _, status in found) or not _is_quiet(folder, quiet):
                continue
            if pattern == _RUNS and unfinished is not None and unfinished(*_names(folder)):
                continue
            for path, status in found:
                path.unlink(missing_ok=True)
                files, size = files + 1, size + status.st_size
            _drop_empty(folder)
    for folder in sorted(root.glob(f"{_DAG}*")):
        if not folder.is_symlink() and folder.is_dir() and folder.stat().st_mtime < quiet:
            _rmdir(folder)
    return Cleaned(files, size)


def _names(folder: Path) -> tuple[str, str]:
    return folder.parent.name.removeprefix(_DAG), folder.name.removeprefix(_RUN)


def _is_quiet(folder: Path, before: float) -> bool:
    """Whether nothing came into the folder or went out of it, or of one below, since that time."""
    try:
        return all(Path(place).stat().st_mtime < before for place, _, _ in os.walk(folder, followlinks=False))
    except FileNotFoundError:
        return False


def _checked(base: Path) -> Path:
    """The folder, resolved; not the root of a disk or of a home, and there."""
    root = base.resolve()
    if not base.is_absolute() or not root.is_dir() or len(root.parts) < 3 or root == Path.home().resolve():
        raise GiveUp("bad_log_folder", f"日志目录不正确，未删除任何文件 / not a log folder, nothing deleted: {base}")
    return root


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files below, with what the system knows of them; a link counts as young, so its folder stays."""
    for place, folders, names in os.walk(folder, followlinks=False):
        for name in [*names, *(f for f in folders if (Path(place) / f).is_symlink())]:
            path = Path(place) / name
            try:
                yield path, path.lstat() if not path.is_symlink() else os.stat_result((0,) * 8 + (2**40, 0))
            except FileNotFoundError:
                continue


def _drop_empty(folder: Path) -> None:
    """Empty folders below, and the folder itself."""
    for place, _, _ in os.walk(folder, topdown=False, followlinks=False):
        _rmdir(Path(place))


def _rmdir(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:  # not empty: somebody wrote into it just now
        return False
    return True
