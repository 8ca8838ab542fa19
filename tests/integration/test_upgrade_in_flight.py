"""The hub's schema is upgraded while workers of the release before are at work: migrate first, restart afterwards.

Workers of the old release, in processes of their own, go on while the schema changes under them; workers of this
release take over beside them. Nothing is lost, doubled, wrong or unexplained, and no worker fails twice in a row.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from finbridge.cli.stack.postgres import Postgres
from finbridge.core.errors import GiveUp
from finbridge.hub import migrate, open_hub
from finbridge.hub.schema import needed_revision
from finbridge.mapping import read_code_files

from tests.contract.sandbox_process import ROOT, SandboxProcess
from tests.hub_fixtures import APP_PASSWORD, OWNER_PASSWORD, SECRET
from tools.demo.claims import Company
from tools.demo.people import People

RELEASE = ROOT / "tests" / "fixtures" / "releases" / "hub-0001.tar.xz"
FLOW_ID = "weaver_tryton__expense_claim"
#: Claims approved before the upgrade, while it runs, and after it.
BEFORE, DURING, AFTER = 15, 25, 15
_numbers = itertools.count(1)


@dataclass
class Old:
    """A hub at revision 0001 with both ends, and workers at it."""

    folder: Path
    server: Postgres
    database: str
    oa: SandboxProcess
    finance: SandboxProcess
    release: Path
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def app_dsn(self) -> str:
        return self.server.dsn(self.database, "hub_app", APP_PASSWORD)

    @property
    def owner_dsn(self) -> str:
        return self.server.dsn(self.database, "hub_owner", OWNER_PASSWORD)

    def start(self, name: str, tree: Path) -> Path:
        """A worker of the release that lies in ``tree``; returns the file that stops it."""
        stop = self.folder / f"stop-{name}"
        given = {
            **{"plugins": str(tree / "plugins"), "include": str(tree / "include"), "stop": str(stop)},
            **{"worker": name, "dsn": self.app_dsn, "secret": SECRET},
            **{"oa": self.oa.port, "finance": self.finance.port},
        }
        argv = [sys.executable, str(Path(__file__).with_name("upgrade_worker.py")), json.dumps(given)]
        worker = subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        self.workers.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == "ready"
        return stop

    def ended(self, worker: subprocess.Popen[str]) -> dict[str, Any]:
        """What a worker that was told to stop says of itself."""
        output, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return found

    def approve(self, claims: int, seed: int) -> None:
        """People send claims in and the manager approves them, one after the other."""
        company = Company(seed, datetime.now(ZoneInfo("Asia/Shanghai")).date())

        async def work() -> None:
            async with People(f"http://127.0.0.1:{self.oa.port}") as people:
                for _ in range(claims):
                    await people.approve(await people.create(company.claim()))

        asyncio.run(work())

    def posted(self) -> int:
        """Vouchers in finance."""
        return len(self.finance.control("GET", "/journal?limit=100000"))

    def written(self) -> int:
        """Forms that carry their number."""
        entries = self.oa.control("GET", "/journal?limit=1000000")
        return len({entry["request_id"] for entry in entries if entry["main"].get("pzh")})


@contextmanager
def old_hub(server: Postgres) -> Iterator[tuple[str, str]]:
    """A database at revision 0001: name and owner's connection string."""
    name = f"hub_old_{next(_numbers)}"
    server.create_database(name, owner="hub_owner")
    owner_dsn = server.dsn(name, "hub_owner", OWNER_PASSWORD)
    migrate(owner_dsn, "0001")
    yield name, owner_dsn
    server.drop_database(name)


@pytest.fixture
def old(hub_server: Postgres, tmp_path: Path) -> Iterator[Old]:
    release = tmp_path / "release"
    with tarfile.open(RELEASE) as packed:
        packed.extractall(release, filter="data")
    with ExitStack() as stack:
        name, _ = stack.enter_context(old_hub(hub_server))
        oa = stack.enter_context(SandboxProcess("sandbox.weaver", "--data", str(tmp_path / "oa")))
        finance = stack.enter_context(SandboxProcess("sandbox.journal", "--data", str(tmp_path / "finance")))
        world = Old(tmp_path, hub_server, name, oa, finance, release)
        codes = read_code_files(ROOT / "include" / "codes" / "weaver_tryton")
        _load_codes(world, codes)
        try:
            yield world
        finally:
            for worker in world.workers:
                worker.kill()
                worker.wait()


def _load_codes(world: Old, codes: Any) -> None:
    """As the old release stored them: this release refuses a hub that is older than itself."""
    with psycopg.connect(world.app_dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO hub.code_table"
            " (flow_id, table_name, company, code, valid_from, valid_to, target, maker, checker)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, 'maker', 'checker')",
            [(FLOW_ID, c.table, c.company, c.code, c.valid_from, c.valid_to, c.target) for c in codes],
        )


def wait_until(what: str, reached: Any, seconds: float = 90.0) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.1)):
        if reached():
            return
        pause.wait(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


def test_an_upgrade_under_work_loses_nothing(old: Old) -> None:
    stops = [old.start(f"old-{number}", old.release) for number in (1, 2)]
    old.approve(BEFORE, 1)
    wait_until("the old release works", lambda: old.written() >= BEFORE // 2)
    busy = threading.Thread(target=old.approve, args=(DURING, 2))
    busy.start()
    migrate(old.owner_dsn)
    upgraded_at = old.posted()
    busy.join()
    wait_until(
        "the old release goes on on the new schema", lambda: old.posted() >= min(upgraded_at + 5, BEFORE + DURING)
    )
    stops.append(old.start("new-1", ROOT))  # beside the old ones, as in a rolling restart
    for stop in stops[:2]:
        stop.touch()
    old.approve(AFTER, 3)
    total = BEFORE + DURING + AFTER
    wait_until("everything is posted and written back", lambda: (old.posted(), old.written()) == (total, total))
    stops[2].touch()
    found = [old.ended(worker) for worker in old.workers]
    assert [worker["rounds"] > 0 for worker in found] == [True] * 3, found
    assert [worker["longest"] <= 1 for worker in found] == [True] * 3, found
    assert upgraded_at < total, "the upgrade came after the work: this proves nothing"
    _sets_are_empty(old, total)


def _sets_are_empty(old: Old, total: int) -> None:
    """The checker on the journals of both ends, and the hub's own account."""
    with open_hub(old.app_dsn, secret=SECRET) as hub:
        account = hub.account(FLOW_ID)
    assert (account.unexplained, dict(account.due), sum(account.documents.values())) == ((), {}, total)
    for name, end in (("oa.jsonl", old.oa), ("finance.jsonl", old.finance)):
        rows = end.control("GET", "/journal?limit=1000000")
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (old.folder / name).write_text(text, encoding="utf-8")
    (old.folder / "held.txt").write_text("")
    argv = [sys.executable, "-m", "tools.checker", "--minimum", str(total)]
    for side in ("oa", "finance"):
        argv += [f"--{side}", str(old.folder / f"{side}.jsonl")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_this_release_refuses_an_older_schema_with_what_to_do(hub_server: Postgres) -> None:
    with old_hub(hub_server) as (name, owner_dsn):
        dsn = hub_server.dsn(name, "hub_app", APP_PASSWORD)
        with open_hub(dsn, secret=SECRET) as hub:
            for _ in range(2):
                with pytest.raises(GiveUp, match="hub_schema_old") as raised:
                    hub.due(FLOW_ID)
            assert "finbridge hub migrate" in raised.value.staff
            assert "revision 0001 found" in raised.value.engineer
            migrate(owner_dsn)
            assert hub.due(FLOW_ID) == {}


def test_a_database_without_the_schema_is_refused_in_the_same_words(hub_server: Postgres) -> None:
    name = f"hub_old_{next(_numbers)}"
    hub_server.create_database(name, owner="hub_owner")
    with (
        open_hub(hub_server.dsn(name, "hub_app", APP_PASSWORD), secret=SECRET) as hub,
        pytest.raises(GiveUp, match="revision 0000 found"),
    ):
        hub.due(FLOW_ID)
    hub_server.drop_database(name)


def test_a_migration_begins_anew_behind_a_long_transaction_and_holds_nobody_up(hub_server: Postgres) -> None:
    with old_hub(hub_server) as (name, owner_dsn):
        dsn = hub_server.dsn(name, "hub_app", APP_PASSWORD)
        with psycopg.connect(dsn) as slow:
            slow.execute("SELECT count(*) FROM hub.document")  # a report that somebody left open
            migrating = threading.Thread(target=migrate, args=(owner_dsn,))
            migrating.start()
            with psycopg.connect(dsn, autocommit=True) as quick:
                quick.execute("SET statement_timeout = '10s'")
                waited = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
                wait_until("the migration waits", lambda: hub_server.execute(name, waited, [name])[0][0] > 0)
                quick.execute(
                    "SELECT count(*) FROM hub.document"
                )  # behind the waiting migration: seconds, not for ever
            assert migrating.is_alive()
        migrating.join(60)
        assert not migrating.is_alive()
        with open_hub(dsn, secret=SECRET) as hub:
            assert hub.due(FLOW_ID) == {}
    assert needed_revision() >= 2
