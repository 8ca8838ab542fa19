"""The suite's own machinery: groups for two workers, and nobody left alive at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.two_workers import ORDER, group_of, place

PROJECT = Path(__file__).resolve().parents[2]
#: A test that leaves a process behind as servers do: a session of its own, no parent, nothing inherited.
FORGETFUL = """
import subprocess
import sys

ORPHAN = "import subprocess; null = subprocess.DEVNULL; subprocess.Popen(['/bin/sleep', '{seconds}'], "
ORPHAN += "start_new_session=True, env={{}}, stdin=null, stdout=null, stderr=null)"


def test_it():
    subprocess.run([sys.executable, "-c", ORPHAN], check=True, env={{}})
"""


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("e2e/test_browser.py", "e2e"),
        ("e2e/test_pages_day.py", "pages"),
        ("dags/test_pausing.py", "dags"),
        ("contract/test_tryton_ledger.py", "ledger_server"),
        ("integration/test_month_reconcile.py", "ledger_server"),
        ("integration/test_replay_synthetic.py", "workshop"),
        ("unit/test_watch.py", "unit/test_watch"),
    ],
)
def test_who_shares_something_dear_stays_together(path: str, group: str) -> None:
    assert group_of(path) == group


def test_every_folder_has_its_place_and_installations_begin_first() -> None:
    folders = {path.parent.name for path in (PROJECT / "tests").glob("*/test_*.py")}
    assert folders <= set(ORDER)
    assert place("e2e") < place("integration/test_hub_only") < place("unit/test_watch") < place("unheard")


def run_pytest(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A small suite of its own under the same check."""
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "tests.nothing_left", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        [*command, "--rootdir", folder, folder], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_run_that_leaves_a_process_alive_fails_and_ends_it(tmp_path: Path) -> None:
    seconds = "86399.25"
    done = run_pytest(tmp_path, FORGETFUL.format(seconds=seconds), "-n", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "processes that the suite left alive" in done.stdout
    assert f"sleep {seconds}" in done.stdout
    assert "1 passed, 1 error" in done.stdout.splitlines()[-1]
    assert not [p for p in psutil.process_iter(["cmdline"]) if seconds in (p.info["cmdline"] or ())]


def test_a_run_whose_processes_ended_is_green(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, FORGETFUL.format(seconds="0"), "-n", "1")
    assert done.returncode == 0, done.stdout + done.stderr
