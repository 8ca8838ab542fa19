"""Ctrl-C leaves no process behind, and what a killed conductor leaves is ended by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tools.demo.stack import MARK, PROJECT, end_leftovers

pytestmark = pytest.mark.slow


def left_in(folder: Path) -> list[str]:
    """Living processes that carry the mark of the demo in this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def demo(tmp_path: Path) -> object:
    """A demo that has just begun: its OA and both databases run, the rest is coming up."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "tools.demo", "--once", "--documents", "40", "--root", str(tmp_path)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "hub migrated" in line:
            break
    yield process, tmp_path / "demo"
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end_leftovers(tmp_path / "demo")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_everything(demo: tuple[subprocess.Popen[str], Path], number: signal.Signals) -> None:
    process, folder = demo
    until = time.monotonic() + 20
    while len(left_in(folder)) <= 3 and time.monotonic() < until:  # the parts come up side by side
        time.sleep(0.1)
    assert len(left_in(folder)) > 3
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "everything stopped" in output
    assert left_in(folder) == []


def test_what_a_killed_conductor_left_is_ended(demo: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = demo
    process.kill()
    process.wait()
    assert len(left_in(folder)) > 1, "nothing was left: this proves nothing"
    end_leftovers(folder)
    until = time.monotonic() + 20
    while left_in(folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert left_in(folder) == []
