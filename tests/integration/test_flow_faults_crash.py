"""kill -9 at every crash point of the delivery promise: once, twice, five times in a row, beside a second worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from finbridge.core.crashpoints import CRASH_POINTS

from tests.contract.sandbox_process import ROOT
from tests.integration.claim_world import SETTLE_SECONDS, ClaimWorld, claim, row

_CLAIMS = 3
#: A dead worker's documents are free again after this.
_LEASE_SECONDS = 1.0
#: A point is passed more than once in one sweep: by the check and by the delivery, batch by batch, commit by commit.
PASSES = {
    "C1": (1, 2, 3, 4),
    "C2": (1, 2),
    "C3": (1, 2),
    "C4": (1, 2),
    "C5": (1,),
    "C6": (),  # inside the send: the sandbox cuts, see below
    "C7": (1,),
    "C8": (1,),
    "C9": (1,),
    "C10": (1,),
    "C11": (1,),
    "C12": (1, 2, 3, 4, 5),
}
_KILLED = -signal.SIGKILL
CRASHES = [f"{point}:{count}" for point, counts in PASSES.items() for count in counts]
#: Where a second crash meets what the first one left behind, and how often in a row.
CORE = [
    ("C5:1", 2),
    ("C7:1", 2),
    ("C8:1", 2),
    *((point, 5) for point in ("C4:2", "C5:1", "C7:1", "C8:1", "C10:1", "C12:3")),
]


class Workers:
    """Workers of the flow as processes of their own, forked from one that has loaded everything."""

    def __init__(self, world: ClaimWorld) -> None:
        self._world = {"hub": world.hub_dsn, "oa": world.oa.port, "finance": world.finance.port}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.crash_zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"GX_ANALYTICS_ENABLED": "false"},
            text=True,
        )
        assert self._read() == {"ready": True}

    def start(self, crash_at: str | None = None, *, lease: float = _LEASE_SECONDS) -> int:
        """A worker; its process id."""
        env = {} if crash_at is None else {"FINBRIDGE_CRASH_AT": crash_at}
        return int(self._ask({"world": self._world, "env": env, "lease": lease})["pid"])

    def wait(self, pid: int) -> int:
        """How it ended."""
        return int(self._ask({"wait": pid})["returncode"])

    def run(self, crash_at: str | None = None) -> int:
        """A worker to its end."""
        return self.wait(self.start(crash_at))

    def crash(self, point: str, times: int) -> None:
        """Start workers until so many were killed at this point; between them leases have to run out."""
        until = time.monotonic() + 20 + 10 * times
        killed = 0
        while killed < times:
            killed += self.run(point) == _KILLED
            assert time.monotonic() < until, f"{point} was passed {killed} times, not {times}"

    def settle(self, world: ClaimWorld, ids: Sequence[str]) -> None:
        """Workers without a crash until nothing is due."""
        until = time.monotonic() + 60
        while open_ones := world.open(ids):
            self.run()
            assert time.monotonic() < until, f"not settled: {open_ones}"

    def close(self) -> None:
        """End the process; its children have ended."""
        self._process.communicate(timeout=20)

    def _ask(self, order: dict[str, Any]) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, int]:
        assert self._process.stdout is not None
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def workers(claim_world: ClaimWorld) -> Iterator[Workers]:
    started = Workers(claim_world)
    yield started
    started.close()


def test_every_crash_point_is_visited() -> None:
    assert set(PASSES) == set(CRASH_POINTS)
    assert {crash.partition(":")[0] for crash in CRASHES} == set(CRASH_POINTS) - {"C6"}


@pytest.mark.parametrize("crash", CRASHES)
def test_killed_once(crash: str, workers: Workers, claim_world: ClaimWorld) -> None:
    ids = claim_world.impose([claim() for _ in range(_CLAIMS)])
    workers.crash(crash, 1)
    workers.settle(claim_world, ids)
    claim_world.assert_posted_once(ids)


@pytest.mark.parametrize(("crash", "times"), CORE)
def test_killed_again_and_again(crash: str, times: int, workers: Workers, claim_world: ClaimWorld) -> None:
    """Before each further crash there is new work, so that each worker gets to the point."""
    ids: list[str] = []
    for _ in range(times):
        ids += claim_world.impose([claim()])
        workers.crash(crash, 1)
    workers.settle(claim_world, ids)
    claim_world.assert_posted_once(ids)


@pytest.mark.parametrize("fault", [{"fault": "timeout"}, {"fault": "timeout", "after_commit": True}])
def test_killed_inside_the_send(fault: dict[str, Any], workers: Workers, claim_world: ClaimWorld) -> None:
    """C6: bytes are on their way when the worker dies; finance commits them or not."""
    ids = claim_world.impose([claim() for _ in range(_CLAIMS)])
    before = claim_world.finance.control("GET", "/stats")["calls"].get("post", 0)
    with claim_world.finance.faults({"endpoint": "post", **fault}):
        pid = workers.start(lease=10.0)
        until = time.monotonic() + 20
        while claim_world.finance.control("GET", "/stats")["calls"].get("post", 0) == before:
            assert time.monotonic() < until, "the worker never got to the send"
        os.kill(pid, signal.SIGKILL)
        assert workers.wait(pid) == _KILLED
        workers.settle(claim_world, ids)
    claim_world.assert_posted_once(ids)


def test_a_recall_while_the_worker_is_dead_is_reversed_or_never_posted(
    workers: Workers, claim_world: ClaimWorld
) -> None:
    """Killed before the send, after finance committed, and after the store: the recall meets each of them."""
    recall = {"log": [row("起草", "撤回", "11:00:00")], "node": "起草"}
    kinds = []
    for crash in ("C4:2", "C7:1", "C9:1"):
        (name,) = claim_world.impose([claim()])
        workers.crash(crash, 1)
        claim_world.impose([{"request_id": name, **recall}])
        workers.settle(claim_world, [name])
        kinds.append([entry["kind"] for entry in claim_world.vouchers(name)])
    assert kinds == [[], ["expense", "reversal"], ["expense", "reversal"]]


def test_archived_while_the_worker_is_dead_is_a_named_hold(workers: Workers, claim_world: ClaimWorld) -> None:
    """C11: posted, and the form is archived before its number could be written."""
    (name,) = claim_world.impose([claim()])
    workers.crash("C11:1", 1)
    claim_world.impose([{"request_id": name, "node": "归档"}])
    workers.settle(claim_world, [name])
    assert [entry["kind"] for entry in claim_world.vouchers(name)] == ["expense"]
    assert claim_world.held(name) == ["write_back_not_possible"]


@pytest.mark.parametrize("count", [2, 5])
def test_workers_side_by_side_share_the_documents(count: int, workers: Workers, claim_world: ClaimWorld) -> None:
    ids = claim_world.impose([claim() for _ in range(40)])
    pids = [workers.start(lease=30.0) for _ in range(count)]
    assert [workers.wait(pid) for pid in pids] == [0] * count
    workers.settle(claim_world, ids)
    claim_world.assert_posted_once(ids)


def test_an_orphan_that_still_sends_meets_the_next_worker(workers: Workers, claim_world: ClaimWorld) -> None:
    """A worker is stopped (not dead) before the send until its documents were taken over; then it goes on."""
    ids = claim_world.impose([claim() for _ in range(_CLAIMS)])
    posts = claim_world.finance.control("GET", "/stats")["calls"].get("post", 0)
    with claim_world.oa.faults({"endpoint": "getWorkflowRequest", "fault": "delay", "seconds": 0.5, "skip": _CLAIMS}):
        orphan = workers.start()
        until = time.monotonic() + 20
        while claim_world.oa.control("GET", "/faults")[0]["shown"] == 0:  # it reads for the second time
            assert time.monotonic() < until, "the worker never read again"
        os.kill(orphan, signal.SIGSTOP)
    stopped = time.monotonic()
    workers.settle(claim_world, ids)
    assert time.monotonic() - stopped > _LEASE_SECONDS / 2
    claim_world.assert_posted_once(ids)
    os.kill(orphan, signal.SIGCONT)
    assert workers.wait(orphan) in (0, 75)
    claim_world.assert_posted_once(ids)
    assert claim_world.finance.control("GET", "/stats")["calls"]["post"] == posts + 1
    assert SETTLE_SECONDS > _LEASE_SECONDS
