"""The hub's database dies between statements, and the hub's process dies before a commit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from finbridge.cli.stack.postgres import Postgres
from finbridge.core.errors import RetryLater
from finbridge.core.lifecycle import VoucherState
from finbridge.core.outcomes import Outcome
from finbridge.core.ports import Deliverable, Sent, Stage
from finbridge.hub import open_hub
from psycopg.conninfo import make_conninfo

from tests.hub_fixtures import SECRET, HubDatabase, new_hub_database, server_folder, start_hub_server
from tests.hub_world import APPROVED, World, document

T = TypeVar("T")


@pytest.fixture(scope="module")
def mortal_server() -> Iterator[Postgres]:
    """A server of this module alone: it is killed here."""
    with server_folder() as folder:
        server = start_hub_server(folder)
        yield server
        server.start()
        server.stop()


@pytest.fixture
def mortal(mortal_server: Postgres) -> HubDatabase:
    return new_hub_database(mortal_server.start())


def test_committed_work_survives_and_the_next_call_connects_anew(mortal: HubDatabase) -> None:
    with mortal.open() as hub:
        world = World(hub, "restart")
        world.store(document("1", *APPROVED))
        world.check()
        mortal.server.kill()
        with pytest.raises(RetryLater) as away:
            hub.due("restart")
        assert away.value.code == "hub_away"
        with pytest.raises(RetryLater):
            world.claim(Stage.DELIVER)
        mortal.server.start()
        assert world.due() == {"deliver": 1}
        world.deliver()
        assert world.states("1") == {"expense:2": "posted"}


def test_no_secret_stands_in_the_error(mortal: HubDatabase) -> None:
    with mortal.open() as hub:
        mortal.server.kill()
        with pytest.raises(RetryLater) as away:
            hub.due("restart")
    assert "suite of the tests" not in f"{away.value} {away.value.staff} {away.value.engineer}"


def test_a_row_that_somebody_holds_is_a_reason_to_come_back(mortal: HubDatabase) -> None:
    with mortal.open() as hub:
        world = World(hub, "busy")
        world.store(document("1", *APPROVED))
    impatient = make_conninfo(mortal.app_dsn, options="-c lock_timeout=50ms")
    with psycopg.connect(mortal.app_dsn) as blocker, open_hub(impatient, secret=SECRET) as hub:
        blocker.execute("SELECT 1 FROM hub.document FOR UPDATE")
        world = World(hub, "busy")
        with pytest.raises(RetryLater) as busy:
            world.store(document("1", *APPROVED, amount="1.00"))
        assert busy.value.code == "hub_busy"
        blocker.rollback()
        assert world.store(document("1", *APPROVED, amount="1.00")) == 1


@dataclass
class _Survivor:
    """Calls the hub until it answers; now and then the server is killed first."""

    server: Postgres
    chance: random.Random
    kills: int = 0

    def __call__(self, call: Callable[[], T]) -> T:
        while True:
            if self.chance.random() < 0.12 and self.kills < 4:
                self.kills += 1
                self.server.kill()
            try:
                return call()
            except RetryLater:
                self.server.start()


@pytest.mark.parametrize("seed", [20261122, 7])
def test_kills_between_any_two_statements_lose_and_double_nothing(mortal: HubDatabase, seed: int) -> None:
    names = [f"{number:02}" for number in range(12)]
    survive = _Survivor(mortal.server, random.Random(seed))
    with mortal.open() as hub:
        world = World(hub, f"kills {seed}")
        survive(lambda: world.store(*(document(name, *APPROVED) for name in names)))
        for _ in range(400):
            _round(world, survive)
            if survive(lambda: hub.account(world.flow)).documents == {"posted": 12}:
                break
        account = survive(lambda: hub.account(world.flow))
    assert survive.kills >= 2
    assert account.documents == {"posted": 12}
    assert len(world.finance.posted) == 12, "each posted once"


def _round(world: World, survive: _Survivor) -> None:
    """A little of everything, under leases so short that a restart outlasts them."""
    works = survive(lambda: world.claim(Stage.PLAN, limit=5, seconds=0.2))
    survive(lambda: world.hub.save_plans(world.flow, [world.plan(work) for work in works]))
    leases = [work.lease for work in survive(lambda: world.claim(Stage.DELIVER, limit=5, seconds=0.2))]
    for item in survive(lambda: world.hub.deliverables(world.flow, leases)):
        _deliver(world, survive, item)
    survive(lambda: world.hub.release(world.flow, leases))
    survive(world.write_back)


def _deliver(world: World, survive: _Survivor, item: Deliverable) -> None:
    key = item.voucher.key
    attempts: dict[str, str] = {}
    outcome: Outcome | None = None
    if item.state is VoucherState.READY:
        attempts = survive(lambda: world.hub.mark_sending({key: item.lease}))
        if not attempts:
            return
        outcome = world.finance.post(item.voucher)
    elif key in world.finance.posted:
        outcome = world.finance.post(item.voucher)
    sent = Sent(lease=item.lease, key=key, attempt_id=attempts.get(key), outcome=outcome, not_found=outcome is None)
    survive(lambda: world.hub.record(world.flow, [sent]))


CRASHING = """
import sys
from finbridge.hub import open_hub
from tests.hub_world import World, document, APPROVED
dsn, secret, flow = sys.argv[1:]
hub = open_hub(dsn, secret=secret)
world = World(hub, flow)
world.check()
world.deliver()
print("lived")
"""


@pytest.mark.parametrize(("point", "after"), [("C12:1", {}), ("C12:2", {"ready"}), ("C12:3", {"sending"})])
def test_a_process_that_dies_before_a_commit_stored_nothing_of_it(
    hub_database: HubDatabase, hub_world: World, point: str, after: set[str]
) -> None:
    hub_world.store(document("1", *APPROVED))
    arguments = [sys.executable, "-c", CRASHING, hub_database.app_dsn, SECRET, hub_world.flow]
    environment = {**os.environ, "FINBRIDGE_CRASH_AT": point, "PYTHONPATH": str(Path(__file__).parents[2])}
    crashed = subprocess.run(arguments, env=environment, capture_output=True, check=False)
    assert crashed.returncode == -signal.SIGKILL, crashed.stderr.decode()
    assert b"lived" not in crashed.stdout
    assert set(hub_world.states("1").values()) == set(after)
