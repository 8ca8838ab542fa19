"""Everything the demo runs on: two PostgreSQL servers, the OA's stand-in, the ledger, the hub and Airflow.

Started in parallel where one does not need the other, stopped in order whatever happens. What an earlier demo left
behind when it was killed is ended first; state is fresh each time, only the ledger's template is kept.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import psutil
from finbridge.cli.stack.airflow import Airflow
from finbridge.cli.stack.ledger import LedgerServer, demo_spec
from finbridge.cli.stack.ledger_template import LedgerTemplate
from finbridge.cli.stack.postgres import HOST, Postgres
from finbridge.cli.stack.processes import ManagedProcess
from finbridge.core.people import SAMPLE_CHECKER, SAMPLE_MAKER
from finbridge.hub import PostgresHub, ensure_roles, migrate, open_hub
from finbridge.mapping.codes import read_code_files
from finbridge.tasks.settings import ConnectionRow, Settings, read_settings

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS_FILE = PROJECT / "airflow_settings.yaml"
FLOW_ID = "weaver_tryton__expense_claim"
CODES = PROJECT / "include" / "codes" / "weaver_tryton"
AIRFLOW_PORT = 8080
_MAX_INSTANCES = 9
MARK = "FINBRIDGE_DEMO"
#: For Airflow, as a careful company installs it: nothing runs until somebody says so.
PAUSED = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}

Say = Callable[[str], None]


class StackFailed(RuntimeError):
    """A part did not come up."""


class Stack:
    """One demo's servers.

    Args:
        state: folder of this demo; it is emptied at the start.
        say: takes lines of progress.
        airflow_environment: more variables for Airflow's processes (crash points under test, all DAGs paused at first).
        oa_ready: called with the control port's URL once the OA answers, before Airflow does.
    """

    def __init__(
        self,
        state: Path,
        say: Say,
        *,
        airflow_environment: Mapping[str, str] | None = None,
        oa_ready: Callable[[str], None] | None = None,
    ) -> None:
        self.state = state
        self.say = say
        self._oa_ready = oa_ready
        self.settings: Settings = read_settings(SETTINGS_FILE)
        self._extra = dict(airflow_environment or {})
        self._kept = {row.conn_id: KeptPort(row.port or 0) for row in self.settings.connections}
        self._kept["airflow"] = KeptPort(AIRFLOW_PORT)
        self._kept["control"] = KeptPort(0)
        self._ports = {name: kept.number for name, kept in self._kept.items()}
        self.suite = Postgres(state / "suite", port=self._ports["hub_default"])
        self.ledger_postgres = Postgres(state / "ledger-postgres")
        self.ledger: LedgerServer | None = None
        self.weaver = ManagedProcess(
            "weaver",
            [
                *(sys.executable, "-m", "sandbox.weaver"),
                *("--port", str(self._ports["weaver_default"]), "--control-port", str(self._ports["control"])),
                *("--data", str(state / "weaver")),
            ],
            log=state / "weaver.log",
            cwd=PROJECT,
        )
        self.control_url = f"http://{HOST}:{self._ports['control']}"
        self.airflow: Airflow | None = None
        self.seconds: dict[str, float] = {}
        self._owner_password = secrets.token_urlsafe(18)
        self._airflow_password = secrets.token_urlsafe(18)

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Start everything; returns when all of it answers.

        Raises:
            StackFailed: a part did not come up; its own message follows.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        parts = {
            "OA stand-in": self._start_weaver,
            "ledger (Tryton)": self._start_ledger,
            "hub and Airflow": self._start_suite,
        }
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for name, work in parts.items():  # daemons: an interrupted start does not wait for a ledger that is being made
            threading.Thread(target=self._timed, args=(name, work, ended), daemon=True).start()
        for _ in parts:
            error = _next(ended)
            if error is not None:
                raise error

    def stop(self) -> None:
        """Stop everything that was started, the makers of work first. Goes on after a failure of one part."""
        self.say("stopping Airflow, ledger, OA and databases")
        for kept in self._kept.values():
            kept.give()
        parts: list[Callable[[], object]] = [self.weaver.stop, self.suite.stop, self.ledger_postgres.stop]
        if self.ledger is not None:
            parts.insert(0, self.ledger.stop)
        if self.airflow is not None:
            parts.insert(0, self.airflow.stop)
        for part in parts:
            try:
                part()
            except Exception as error:  # whatever it is, the other parts must be stopped
                self.say(f"while stopping: {type(error).__name__}: {error}")
        while end_leftovers(self.state):  # what an interrupted start was just starting
            time.sleep(0.1)
        os.environ.pop(MARK, None)

    def _timed(self, name: str, work: Callable[[], None], ended: queue.SimpleQueue[BaseException | None]) -> None:
        begin = time.monotonic()
        try:
            work()
        except Exception as error:
            failure = StackFailed(f"{name}: {error}")
            failure.__cause__ = error
            ended.put(failure)
            return
        self.seconds[name] = time.monotonic() - begin
        self.say(f"{name} ready after {self.seconds[name]:.0f} s")
        ended.put(None)

    # ------------------------------------------------------------------ parts

    def _start_weaver(self) -> None:
        self._kept["weaver_default"].give()
        self._kept["control"].give()
        self.weaver.start().wait_ready(60)
        if self._oa_ready is not None:
            self._oa_ready(self.control_url)

    def _start_ledger(self) -> None:
        self.ledger_postgres.start()
        row = self._row("tryton_default")
        spec, database = demo_spec(password=row.password or ""), str(row.extra["database"])
        LedgerTemplate(spec, cache=None, say=self.say).restore(self.ledger_postgres, database)
        self.ledger = LedgerServer(
            self.state / "ledger",
            self.ledger_postgres,
            spec=spec,
            port=self._ports["tryton_default"],
            database=database,
            say=self.say,
        )
        self._kept["tryton_default"].give()
        self.ledger.start()

    def _start_suite(self) -> None:
        self._kept["hub_default"].give()
        self.suite.start()
        row = self._row("hub_default")
        ensure_roles(self.suite.dsn("postgres"), owner_password=self._owner_password, app_password=row.password or "")
        self.suite.create_database(row.schema or "hub", owner="hub_owner")
        migrate(self.suite.dsn(row.schema or "hub", "hub_owner", self._owner_password))
        with self.open_hub() as hub:
            loaded = hub.load_codes(FLOW_ID, read_code_files(CODES), maker=SAMPLE_MAKER, checker=SAMPLE_CHECKER)
        self.say(f"hub migrated, {loaded} rows of code tables loaded")
        self._start_airflow()

    def _start_airflow(self) -> None:
        self.suite.ensure_role("airflow", self._airflow_password)
        self.suite.create_database("airflow", owner="airflow")
        self.airflow = Airflow(
            project=PROJECT,
            state=self.state / "airflow",
            metadata=f"postgresql+psycopg2://airflow:{self._airflow_password}@{HOST}:{self.suite.port}/airflow",
            port=self._ports["airflow"],
            instance_name="finbridge 报销入账演示",
            environment={**self.overrides(), **self._extra},
        )
        self.airflow.prepare(SETTINGS_FILE, lambda text: self.say(f"Airflow: {text}"))
        self._kept["airflow"].give()
        self.airflow.start()
        self.airflow.wait_healthy(lambda text: self.say(f"Airflow: {text}"))

    # ------------------------------------------------------------------ use

    def open_hub(self) -> PostgresHub:
        """The hub as the product opens it."""
        row = self._row("hub_default")
        dsn = self.suite.dsn(row.schema or "hub", row.login or "hub_app", row.password)
        return open_hub(dsn, secret=str(row.extra.get("token_secret", "")))

    @property
    def airflow_up(self) -> Airflow:
        """Airflow, once it was started."""
        if self.airflow is None:
            raise StackFailed("Airflow was never started")
        return self.airflow

    @property
    def ledger_up(self) -> LedgerServer:
        """The ledger, once it was started."""
        if self.ledger is None:
            raise StackFailed("the ledger was never started")
        return self.ledger

    @property
    def oa_url(self) -> str:
        """Where people reach the OA."""
        return f"http://{HOST}:{self._ports['weaver_default']}"

    def connection(self, conn_id: str) -> ConnectionRow:
        """A connection of the settings file with the port that it really has."""
        return replace(self._row(conn_id), port=self._ports[conn_id])

    def overrides(self) -> dict[str, str]:
        """``AIRFLOW_CONN_<ID>`` for each connection whose port is another one than the file says."""
        rows = {row.conn_id: (row, self.connection(row.conn_id)) for row in self.settings.connections}
        return {
            f"AIRFLOW_CONN_{name.upper()}": real.as_json()
            for name, (row, real) in rows.items()
            if row.port != real.port
        }

    def server_port(self, conn_id: str) -> int:
        """Where the server of a connection itself answers."""
        return self._ports[conn_id]

    def _row(self, conn_id: str) -> ConnectionRow:
        return next(row for row in self.settings.connections if row.conn_id == conn_id)


def _next(ended: queue.SimpleQueue[BaseException | None]) -> BaseException | None:
    """The next part's end; awake often enough for a signal to get through."""
    while True:
        with suppress(queue.Empty):
            return ended.get(timeout=0.2)


class KeptPort:
    """A port of 127.0.0.1, kept by listening on it until its server is about to start.

    The wanted one, or another where that is taken. Only asking whether it is free would give the same port to two demos
    that start side by side.
    """

    def __init__(self, wanted: int) -> None:
        try:
            self._socket = socket.create_server((HOST, wanted))
        except OSError:
            self._socket = socket.create_server((HOST, 0))
        self.number = int(self._socket.getsockname()[1])

    def give(self) -> None:
        """Let go; harmless twice."""
        self._socket.close()


# ---------------------------------------------------------------------- the state folder


def take_folder(root: Path) -> tuple[Path, IO[str]]:
    """An empty state folder that no other demo uses, and the lock that keeps it ours.

    What a demo that was killed left running in it is ended first.

    Raises:
        StackFailed: nine demos run already.
    """
    root.mkdir(parents=True, exist_ok=True)
    for number in range(1, _MAX_INSTANCES + 1):
        name = "demo" if number == 1 else f"demo-{number}"
        lock = (root / f"{name}.lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        folder = root / name
        end_leftovers(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.environ[MARK] = str(folder.resolve())  # every process started from here on inherits it
        return folder, lock
    raise StackFailed(f"{_MAX_INSTANCES} demos are running in {root}")


def end_leftovers(folder: Path) -> list[int]:
    """SIGKILL to what a demo in this very folder left when its conductor died: its mark is in their environment."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    ended = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            if process.pid not in mine and process.environ().get(MARK) == str(folder.resolve()):
                process.send_signal(signal.SIGKILL)
                ended.append(process.pid)
    return ended


def write_facts(folder: Path, facts: Mapping[str, object]) -> None:
    """What people and tests need to find the running demo; readable by its owner only."""
    path = folder / "demo.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
