"""The ledger (Tryton) as a server of our own: a database from a cached template, trytond in its own environment.

Making the database takes about half a minute (Tryton's tables, chart, years, parties); that happens once for each
version of `ledger/` and each spec, and is kept as a dump in `.run/ledger/`. A second server takes a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from finbridge.cli.stack.ledger_template import LEDGER, LedgerTemplate, Passwords, python_of_ledger
from finbridge.cli.stack.postgres import Postgres
from finbridge.cli.stack.processes import ManagedProcess

_READY_SECONDS = 60.0
_CONFIG = """\
[database]
uri = {uri}
retry = 25
list = False
[session]
timeout = 3600
"""


def demo_spec(years: Sequence[int] | None = None, *, password: str = "finbridge-demo") -> dict[str, Any]:  # noqa: S107 - the demo's
    """The demo's two companies, 40 employees and 10 suppliers (ledger/demo_spec.json); see ledger/set_up.py for the
    shape. ``years`` replaces the accounting years.
    """
    spec: dict[str, Any] = json.loads((LEDGER / "demo_spec.json").read_text(encoding="utf-8"))
    return {**spec, "years": list(years or spec["years"]), "user": {**spec["user"], "password": password}}


class LedgerServer:
    """One trytond on one database of a PostgreSQL server.

    Args:
        work_dir: configuration and log go here.
        postgres: a started server; best one of its own, so that killing the suite's does not kill the ledger's.
        spec: companies, years, parties, user; the shape is that of ledger/set_up.py.
        port: 0 takes a free one at the first start and keeps it for restarts.
        database: its name in the server; where it exists it is kept, and updated where `ledger/` or the spec changed.
        cache: where templates are kept (default: `.run/ledger` of the project).
        say: takes lines of progress.
    """

    def __init__(
        self,
        work_dir: Path,
        postgres: Postgres,
        *,
        spec: Mapping[str, Any],
        port: int = 0,
        database: str = "fin",
        cache: Path | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.work_dir = work_dir.resolve()
        self.postgres = postgres
        self.database = database
        self.port = port
        self.user: str = spec["user"]["login"]
        self._say = say
        self._template = LedgerTemplate(spec, cache=cache, say=say)
        self._passwords: Passwords | None = None
        self._process: ManagedProcess | None = None

    # ------------------------------------------------------------------ life

    def start(self) -> Self:
        """Make the database where there is none, start trytond and wait until it serves.

        Raises:
            RuntimeError: the ledger's environment is missing, or the database cannot be made.
            ProcessFailed: trytond does not become ready.
        """
        if self.running:
            return self
        self.work_dir.mkdir(parents=True, exist_ok=True)
        passwords = self._template.restore(self.postgres, self.database)
        config = self._write_config()
        old = passwords.key != self._template.key
        if old:
            self._template.update_tables(config, self.database)
        process = ManagedProcess(
            "ledger",
            [
                python_of_ledger(),
                LEDGER / "serve.py",
                *("--config", config, "--database", self.database, "--port", str(self.port)),
            ],
            log=self.work_dir / "ledger.log",
        )
        self.port = process.start().wait_ready(_READY_SECONDS)["port"]
        self._process, self._passwords = process, passwords
        if old:
            self._template.set_up(self.url, self.database, passwords)
            self._passwords = self._template.updated(self.postgres, self.database, passwords)
        return self

    def stop(self) -> None:
        """End trytond after the requests that are running."""
        if self._process:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL to trytond, as a crash would do."""
        if self._process:
            self._process.kill()

    @property
    def pid(self) -> int:
        """Process id of trytond; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether trytond lives."""
        return self._process is not None and self._process.running

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ use

    @property
    def url(self) -> str:
        """Base URL without the database."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        """The integration user's password."""
        return self._known_passwords().user

    @property
    def admin_password(self) -> str:
        """The password of Tryton's user ``admin``; never used by the product."""
        return self._known_passwords().admin

    def dsn(self) -> str:
        """Connection string to the ledger's own database as its superuser, for journals and tests."""
        return self.postgres.dsn(self.database)

    def close_period(self, company: str, period: str) -> None:
        """Close an accounting period (``YYYY-MM``) as the ledger's administrator, over its API."""
        self._change_period("close", company, period)

    def reopen_period(self, company: str, period: str) -> None:
        """Open a closed accounting period again."""
        self._change_period("reopen", company, period)

    def export_journal(self, path: Path) -> int:
        """Write the finance journal (JSONL, one move a line, by rising id) from the ledger's own tables.

        All moves are in it: one made by hand has the key null. ``at`` is when the ledger received the voucher.
        Returns the number of lines.
        """
        with psycopg.connect(self.dsn()) as connection, path.open("w", encoding="utf-8") as file:
            cursor = connection.cursor("journal")
            cursor.execute(_JOURNAL)
            count = 0
            for (row,) in cursor:
                count += 1
                file.write(json.dumps({"seq": count, **row}, ensure_ascii=False) + "\n")
            return count

    # ------------------------------------------------------------------ inside

    def _known_passwords(self) -> Passwords:
        if self._passwords is None:
            raise RuntimeError("the ledger was not started yet")
        return self._passwords

    def _write_config(self) -> Path:
        path = self.work_dir / "trytond.conf"
        path.touch(mode=0o600)
        path.write_text(_CONFIG.format(uri=self._template.uri(self.postgres)))
        return path

    def _change_period(self, verb: str, company: str, period: str) -> None:
        done = subprocess.run(  # noqa: S603 - our own script
            [
                sys.executable,
                str(LEDGER / "period.py"),
                *("--url", self.url, "--database", self.database, verb, company, period),
            ],
            env={**os.environ, "FINBRIDGE_LEDGER_ADMIN_PASSWORD": self.admin_password},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"cannot {verb} period {period} of company {company}:\n{done.stderr[-2000:]}")


#: Numbers as text with the currency's decimals; a red line is negative on its own side.
_JOURNAL = """
SELECT json_build_object(
    'at', to_char(coalesce(m.received_at, m.create_date), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'company', c.code, 'key', m.external_ref, 'kind', m.external_kind, 'document_id', m.external_document,
    'number', m.number, 'date', m.date, 'period', p.name, 'currency', y.code, 'reverses', o.external_ref,
    'summary', coalesce(m.description, ''), 'state', m.state,
    'lines', coalesce((
        SELECT json_agg(json_build_object(
            'account', a.code, 'debit', round(l.debit, y.digits)::text, 'credit', round(l.credit, y.digits)::text,
            'party', q.code, 'department', l.department) ORDER BY l.id)
        FROM account_move_line l JOIN account_account a ON a.id = l.account LEFT JOIN party_party q ON q.id = l.party
        WHERE l.move = m.id), '[]'::json))
FROM account_move m
JOIN company_company c ON c.id = m.company
JOIN currency_currency y ON y.id = c.currency
JOIN account_period p ON p.id = m.period
LEFT JOIN account_move o ON o.id = m.reverses
ORDER BY m.id
"""
