"""Crash points: off without the variable, deadly with it, counted, and at most once where a marker file is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from finbridge.core.crashpoints import CRASH_POINTS, crash_point

_KILLED = -signal.SIGKILL
_PASS = "from finbridge.core.crashpoints import crash_point\nfor name in {names!r}:\n    crash_point(name)\n"


def _pass(*names: str, **env: str) -> int:
    script = _PASS.format(names=names)
    return subprocess.run([sys.executable, "-c", script], env={**os.environ, **env}, check=False).returncode


def test_off_without_the_variable() -> None:
    assert "FINBRIDGE_CRASH_AT" not in os.environ
    assert _pass(*CRASH_POINTS) == 0


def test_only_the_named_point_kills() -> None:
    assert _pass("C1", "C2", "C5", FINBRIDGE_CRASH_AT="C7") == 0
    assert _pass("C1", "C7", FINBRIDGE_CRASH_AT="C7") == _KILLED


def test_the_count_is_that_of_passes() -> None:
    assert _pass("C2", "C2", FINBRIDGE_CRASH_AT="C2:3") == 0
    assert _pass("C2", "C1", "C2", "C2", FINBRIDGE_CRASH_AT="C2:3") == _KILLED


def test_a_marker_makes_it_happen_once(tmp_path: Path) -> None:
    marker = str(tmp_path / "crashed")
    assert _pass("C7", FINBRIDGE_CRASH_AT="C7", FINBRIDGE_CRASH_ONCE=marker) == _KILLED
    assert Path(marker).exists()
    assert _pass("C7", FINBRIDGE_CRASH_AT="C7", FINBRIDGE_CRASH_ONCE=marker) == 0


def test_a_point_that_is_not_in_the_promise_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINBRIDGE_CRASH_AT", "C1")
    with pytest.raises(ValueError, match="C99"):
        crash_point("C99")
