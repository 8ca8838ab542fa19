"""Child processes: ready lines, ends, groups."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from finbridge.cli.stack.processes import ManagedProcess, ProcessFailed

SERVER = """
import json, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
print("warming up", flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
sys.stderr.write("started\\n"); sys.stderr.flush()
print(json.dumps({"ready": True, "port": 4711, "child": child.pid}), flush=True)
while True: time.sleep(60)
"""
STUBBORN = SERVER.replace('lambda *_: (print("bye", flush=True), sys.exit(0))', "signal.SIG_IGN")


def server(tmp_path: Path, code: str = SERVER) -> ManagedProcess:
    return ManagedProcess("server", [sys.executable, "-c", code], log=tmp_path / "logs" / "server.log")


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_ready_line_is_given_and_the_end_is_clean(tmp_path: Path) -> None:
    process = server(tmp_path)
    with process:
        ready = process.wait_ready(30)
        assert ready["port"] == 4711
        assert os.getpgid(process.pid) == process.pid
        assert os.getpgid(ready["child"]) == process.pid
    assert process.returncode == 0
    assert process.out.read_text().endswith("bye\n")
    assert process.log.read_text() == "started\n"
    psutil.wait_procs([psutil.Process(ready["child"])] if psutil.pid_exists(ready["child"]) else [], timeout=5)
    assert gone(ready["child"]), "nothing of the group is left"


@pytest.mark.parametrize("group", [True, False])
def test_kill_takes_the_group_or_the_process_alone(tmp_path: Path, group: bool) -> None:
    process = server(tmp_path).start()
    child = process.wait_ready(30)["child"]
    assert process.kill(group=group) == -signal.SIGKILL
    if group:
        psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=5)
    assert gone(child) is group
    process.kill()


def test_a_stubborn_process_is_killed_after_its_time(tmp_path: Path) -> None:
    process = server(tmp_path, STUBBORN).start()
    process.wait_ready(30)
    assert process.stop(timeout=0.2) == -signal.SIGKILL


def test_it_can_be_started_again_and_is_ready_again(tmp_path: Path) -> None:
    process = server(tmp_path).start()
    first = process.wait_ready(30)["child"]
    process.kill()
    process.start()
    assert process.wait_ready(30)["child"] != first, "the old ready line does not count"
    process.stop()
    assert process.log.read_text() == "started\n" * 2


def test_an_end_before_ready_says_why(tmp_path: Path) -> None:
    process = server(tmp_path, "import sys; sys.exit('port is taken')").start()
    with pytest.raises(ProcessFailed, match="port is taken"):
        process.wait_ready(30)
    assert process.returncode == 1


def test_silence_is_not_ready(tmp_path: Path) -> None:
    process = server(tmp_path, "import time; print('{\"ready\": false}', flush=True); time.sleep(600)").start()
    with pytest.raises(ProcessFailed, match="not ready after"):
        process.wait_ready(0.3)
    assert process.running
    process.stop()
    assert not process.running


def test_variables_come_on_top(tmp_path: Path) -> None:
    code = "import json, os; print(json.dumps({'ready': True, 'a': os.environ['A'], 'path': 'PATH' in os.environ}))"
    process = ManagedProcess(
        "env", [sys.executable, "-c", code], env={"A": "1"}, log=tmp_path / "env.log", cwd=tmp_path
    )
    process.start()
    assert process.wait_ready(30) == {"ready": True, "a": "1", "path": True}
    process.stop()
