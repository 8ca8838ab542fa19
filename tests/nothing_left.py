"""After the suite no process that it started is alive: else the run fails, names them and ends them.

A test that forgets a server would slow down whatever comes after it, and a product that leaves one would do so on a
company's machine. Whoever loses its parent becomes a child of the main process here (Linux's child subreaper), so
nothing escapes by starting a session of its own or by a new title, as PostgreSQL and Airflow do.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Generator
from contextlib import suppress

import psutil
import pytest

_PR_SET_CHILD_SUBREAPER = 36
_REAP_EVERY_SECONDS = 0.5
#: Python's own helpers end with the process that they help.
_HELPER = "from multiprocessing."
#: A process that was told to end may still be ending.
GRACE_SECONDS = 10.0


class Family:
    """The processes below this one, orphans included."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._workers: set[int] = set()

    def adopt(self) -> None:
        """Become the parent of orphans from now on, and reap those that end, as process 1 would."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        threading.Thread(target=self._reap, name="reaper", daemon=True).start()

    def know_workers(self) -> None:
        """Children that live now are waited for by who started them."""
        self._workers = {process.pid for process in psutil.Process().children()}

    def stop_reaping(self) -> None:
        """Before the workers end."""
        self._done.set()

    def _reap(self) -> None:
        while not self._done.wait(_REAP_EVERY_SECONDS):
            for process in psutil.Process().children():
                with suppress(psutil.Error, ChildProcessError):
                    if process.pid not in self._workers and process.status() == psutil.STATUS_ZOMBIE:
                        os.waitpid(process.pid, os.WNOHANG)


def alive_below() -> list[psutil.Process]:
    """Living descendants of this process, zombies not counted."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and _HELPER not in " ".join(process.cmdline()):
                found.append(process)
    return found


def left_alive(seconds: float = GRACE_SECONDS) -> list[psutil.Process]:
    """What still lives when it had time to end."""
    until = time.monotonic() + seconds
    while (found := alive_below()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def told(processes: list[psutil.Process]) -> str:
    """A line for each, for whoever looks for the test that forgot it."""
    lines = []
    for process in processes:
        with suppress(psutil.Error):
            lines.append(f"{process.pid} {process.name()} {' '.join(process.cmdline())[:300]}")
    return "\n".join(lines)


class Hygiene:
    """The check as a plugin of the process that prints the closing line."""

    def __init__(self, family: Family) -> None:
        self._family = family

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """The workers were started just before."""
        self._family.know_workers()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Once the workers have ended; before the closing line is made."""
        self._family.stop_reaping()
        yield
        if found := left_alive():
            _fail(session, told(found))
            for process in found:
                with suppress(psutil.Error):
                    process.kill()


def _fail(session: pytest.Session, text: str) -> None:
    """An error of its own in the report, and a red exit code."""
    name = "processes that the suite left alive"
    report = pytest.TestReport(name, (name, None, name), {}, "failed", text, "teardown")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.stats.setdefault("error", []).append(report)
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    """In the main process of a run with workers, and in the only one of a run without."""
    if hasattr(config, "workerinput"):
        return
    family = Family()
    if config.getoption("numprocesses", None):  # without workers the tests' own children are children here
        family.adopt()
    config.pluginmanager.register(Hygiene(family), "finbridge-hygiene")
