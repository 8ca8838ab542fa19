"""Airflow as four local processes (api-server, scheduler, dag-processor, triggerer) on a metadata database of ours.

Tuned for seconds, not for thousands of DAGs: a scheduler that naps a fifth of a second, forked tasks, heartbeats that
notice a dead process within half a minute. A component that ends unasked is started again, as systemd or Kubernetes
would do it. This module knows no Airflow: it starts processes and asks their health over HTTP.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from finbridge.cli.stack.postgres import free_port
from finbridge.cli.stack.processes import ManagedProcess, ProcessFailed

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
#: What must answer "healthy"; the API server shows by answering at all.
_HEALTH = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
_STOP_ORDER = ("triggerer", "dag-processor", "scheduler", "api-server")
_STOP_SECONDS = {"triggerer": 3.0, "scheduler": 8.0}
_RESTART_PAUSE_SECONDS = 1.0
_SAY_EVERY_SECONDS = 5.0
#: No log servers: they would listen on every interface, and the API server reads the log files itself.
_ARGUMENTS = {"scheduler": ("--skip-serve-logs",), "triggerer": ("--skip-serve-logs",)}
_HEX_KEY_BYTES = 32

Progress = Callable[[str], None]


class AirflowFailed(RuntimeError):
    """Airflow did not come up; the message carries the end of the log."""


@dataclass(frozen=True, slots=True)
class User:
    """A person of the UI. The password is generated once and kept in the state folder."""

    name: str
    role: str
    first_name: str
    last_name: str


ADMIN = User("admin", "Admin", "系统", "管理员")
ENGINEER = User("engineer", "User", "数据", "工程师")


@dataclass(kw_only=True)
class Airflow:
    """One Airflow installation.

    Args:
        project: folder that holds ``dags/``, ``plugins/`` and ``include/``.
        state: home of this installation: logs, keys, passwords (mode 0600).
        metadata: SQLAlchemy URL of the metadata database.
        port: of the UI and API; 0 takes a free one.
        environment: more variables for every component (connections, crash points).
        dags: folder of DAG files, by default the project's.
    """

    project: Path
    state: Path
    metadata: str = field(repr=False)
    port: int = 0
    instance_name: str = "finbridge"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    dags: Path | None = None
    users: tuple[User, ...] = (ADMIN, ENGINEER)

    def __post_init__(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self._processes: dict[str, ManagedProcess] = {}
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None
        self._lock = threading.RLock()
        self.restarts: dict[str, int] = {}

    # ------------------------------------------------------------------ facts

    @property
    def url(self) -> str:
        """Where the UI answers."""
        return f"http://127.0.0.1:{self.port}"

    def passwords(self) -> dict[str, str]:
        """User name to password, as printed at the end of the demo."""
        return {user.name: self._secret(f"password:{user.name}") for user in self.users}

    def variables(self) -> dict[str, str]:
        """The environment of every component."""
        return {
            "AIRFLOW_HOME": str(self.state),
            "PYTHONPATH": os.pathsep.join(
                part for part in (str(self.project / "config"), os.environ.get("PYTHONPATH", "")) if part
            ),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags or self.project / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.project / "plugins"),
            "AIRFLOW__CORE__FERNET_KEY": self._secret("fernet_key", fernet=True),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.metadata,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__INSTANCE_NAME": self.instance_name,
            "AIRFLOW__API__SECRET_KEY": self._secret("api_secret"),
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secret("jwt_secret"),
            "AIRFLOW_CONN_AIRFLOW_METADATA": _connection(self.metadata),  # housekeeping cleans with it
            **TUNING,
            **self.environment,
        }

    def _secret(self, name: str, *, fernet: bool = False) -> str:
        """A generated secret, the same at every start; the file is readable by its owner only."""
        path = self.state / "secrets.json"
        with self._lock:
            known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
            if name not in known:
                fresh = secrets.token_bytes(_HEX_KEY_BYTES)
                known[name] = base64.urlsafe_b64encode(fresh).decode() if fernet else secrets.token_urlsafe(18)
                path.touch(mode=0o600)
                path.write_text(json.dumps(known))
            return known[name]

    # ------------------------------------------------------------------ life

    def prepare(self, settings_file: Path | None, progress: Progress) -> None:
        """Make or migrate the metadata database, roles and users, and load the settings file: one process, about 6 s.

        Raises:
            AirflowFailed: it ended with an error.
        """
        argv = [sys.executable, "-m", "finbridge.tasks.bootstrap"]
        if settings_file is not None:
            argv += ["--settings", str(settings_file)]
        users = [
            {
                "name": u.name,
                "role": u.role,
                "first_name": u.first_name,
                "last_name": u.last_name,
                "password": self.passwords()[u.name],
            }
            for u in self.users
        ]
        log = self.state / "bootstrap.log"
        with log.open("w") as err:
            process = subprocess.Popen(  # noqa: S603 - our own module with our own arguments
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                cwd=self.project,
                env={**os.environ, **self.variables()},
                start_new_session=True,
            )
            if process.stdin is None or process.stdout is None:
                raise AirflowFailed("no pipes to the bootstrap process")
            process.stdin.write(json.dumps({"users": users}))
            process.stdin.close()
            for line in process.stdout:
                if line.startswith("* "):
                    progress(line[2:].strip())
            if process.wait():
                raise AirflowFailed(f"bootstrap ended with {process.returncode}\n{log.read_text()[-4000:]}")

    def start(self, components: Iterable[str] = COMPONENTS) -> None:
        """Start the components and keep them running until :meth:`stop`."""
        variables = self.variables()
        self._stopping.clear()
        with self._lock:
            for name in components:
                process = ManagedProcess(
                    f"airflow {name}",
                    [Path(sys.executable).parent / "airflow", name, *_ARGUMENTS.get(name, ())],
                    env=variables,
                    log=self.state / "components" / f"{name}.log",
                    cwd=self.project,
                )
                self._processes[name] = process.start()
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="airflow-keeper", daemon=True)
            self._keeper.start()

    def wait_healthy(self, progress: Progress, timeout: float = 120.0) -> None:
        """Until the API answers and those of scheduler, DAG processor and triggerer that were started are healthy.

        Raises:
            AirflowFailed: not within ``timeout`` seconds.
        """
        began = time.monotonic()
        until, told = began + timeout, began
        waiting = set(_HEALTH) & set(self._processes)
        answered = False
        while waiting or not answered:
            health = self.health()
            if health and not answered:
                answered = True
                progress(f"API answers at {self.url}")
            for name in [n for n in waiting if (health.get(_HEALTH[n]) or {}).get("status") == "healthy"]:
                waiting.discard(name)
                progress(f"{name} is healthy")
            if time.monotonic() > until:
                missing = sorted(waiting) or ["api-server"]
                tails = "\n".join(self._processes[n].tail() for n in missing if n in self._processes)
                raise AirflowFailed(f"not healthy after {timeout:.0f} s: {', '.join(missing)}\n{tails}")
            if time.monotonic() - told > _SAY_EVERY_SECONDS:
                told = time.monotonic()
                progress(f"its four processes are starting … {told - began:.0f} s")
            self._stopping.wait(0.2)

    def health(self) -> dict[str, Any]:
        """What the monitor says; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310 - http, ours
                found: dict[str, Any] = json.load(answer)
                return found
        except (urllib.error.URLError, OSError, ValueError):
            return {}

    def kill(self, component: str) -> None:
        """SIGKILL to a component alone, as the kernel's out-of-memory killer would; the keeper starts it again."""
        self._processes[component].kill(group=False)

    def pid(self, component: str) -> int:
        """Process id of a component; 0 where it never ran."""
        return self._processes[component].pid

    def stop(self) -> None:
        """Stop all components: those that make work first, the API last. Nothing of their groups survives."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join(timeout=10)
            self._keeper = None
        with self._lock:
            threads: list[threading.Thread] = []
            for name in _STOP_ORDER:
                if name not in self._processes:
                    continue
                process = self._processes[name]
                if name == "api-server":  # running tasks report to it until the scheduler is gone
                    for thread in threads:
                        thread.join()
                    process.stop(5.0)
                    continue
                thread = threading.Thread(target=process.stop, args=(_STOP_SECONDS.get(name, 5.0),))
                thread.start()
                threads.append(thread)
            self._processes.clear()

    def _keep(self) -> None:
        """Restart what ended unasked. What is left of its group (orphaned workers) is ended first."""
        while not self._stopping.wait(0.3):
            for name, process in list(self._processes.items()):
                if process.running or self._stopping.is_set():
                    continue
                process.kill()
                self._stopping.wait(_RESTART_PAUSE_SECONDS)
                with self._lock:
                    if not self._stopping.is_set():
                        self.restarts[name] = self.restarts.get(name, 0) + 1
                        try:
                            process.start()
                        except (OSError, ProcessFailed):
                            continue


def _connection(url: str) -> str:
    """A SQLAlchemy URL of PostgreSQL as an Airflow connection."""
    parts = urlsplit(url)
    given = {
        "conn_type": "postgres",
        "host": parts.hostname,
        "port": parts.port,
        "schema": parts.path.lstrip("/"),
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    return json.dumps(given)


TUNING: dict[str, str] = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    # All workers are forked at the scheduler's start: eight are more than two runs of five tasks in a row can use.
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    # Fork, not spawn: a task has what the scheduler has imported, Great Expectations included (spawn: 9 s a chain).
    "AIRFLOW__CORE__MP_START_METHOD": "fork",
    "AIRFLOW__API__HOST": "127.0.0.1",
    "AIRFLOW__API__WORKERS": "1",
    # A chain of five empty tasks takes 6 s with the default of 1 s, 1.6 s with this (a tenth of a core).
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    # A scheduler, task or triggerer that was killed is noticed within half a minute, not within five.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    # New DAG files show after five seconds; known ones are parsed again once a minute.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    "GX_ANALYTICS_ENABLED": "false",
    "FINBRIDGE_WARM": "1",  # config/airflow_local_settings.py
    "PYTHONDONTWRITEBYTECODE": "",  # set, it would make every process compile everything anew
}
