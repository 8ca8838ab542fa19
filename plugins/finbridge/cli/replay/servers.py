"""The processes of a replay: database servers that many may share, and the sandboxes that each has for itself."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import uuid4

from finbridge.cli.replay.options import PROJECT, Target
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.cli.stack.postgres import Postgres
from finbridge.cli.stack.processes import ManagedProcess
from finbridge.core.connections import ConnectionSettings
from finbridge.core.flow import Flow
from finbridge.hub import PostgresHub, ensure_roles, migrate, open_hub

_TEMPLATE = "hub_template"
_USER = "finbridge"
_PARTIES = (("E0001", "员工0001"), ("S0001", "供应商0001"))
_OA_ACCOUNT = "900"


class Workshop:
    """Two PostgreSQL servers, the hub's and (if asked for) the ledger's; each replay has databases of its own.

    Args:
        folder: servers and sandboxes keep their files here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._passwords = {name: secrets.token_urlsafe(18) for name in ("owner", "app", "secret")}
        self._hub: Postgres | None = None
        self._ledger: Postgres | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the servers."""
        for server in (self._hub, self._ledger):
            if server is not None:
                server.stop()
        self._hub = self._ledger = None

    def hub_server(self) -> Postgres:
        """The hub's server, with its roles and a migrated template."""
        if self._hub is None:
            self._hub = Postgres(self.folder / "hub-postgres").start()
            ensure_roles(
                self._hub.dsn("postgres"),
                owner_password=self._passwords["owner"],
                app_password=self._passwords["app"],
            )
            self._hub.create_database(_TEMPLATE, owner="hub_owner")
            migrate(self._hub.dsn(_TEMPLATE, "hub_owner", self._passwords["owner"]))
        return self._hub

    def ledger_postgres(self) -> Postgres:
        """The ledger's server: killing the one does not kill the other."""
        if self._ledger is None:
            self._ledger = Postgres(self.folder / "ledger-postgres").start()
        return self._ledger

    def new_hub(self, flow: Flow) -> tuple[str, PostgresHub]:
        """A fresh hub: its database's name, and the hub as the suite opens it."""
        server, name = self.hub_server(), f"hub_{uuid4().hex[:12]}"
        server.create_database(name, owner="hub_owner", template=_TEMPLATE)
        hub = open_hub(server.dsn(name, "hub_app", self._passwords["app"]), secret=self._passwords["secret"])
        hub.configure_flow(flow.flow_id, write_back=flow.write_back is not None)
        return name, hub

    def drop_hub(self, name: str) -> None:
        """Give a hub's disk back."""
        self.hub_server().drop_database(name)


class Oa:
    """The e-cology sandbox with an empty folder."""

    def __init__(self, folder: Path, *, parallel: int) -> None:
        self._parallel = parallel
        self._process = _sandbox("weaver", folder)
        self._ready = self._process.start().wait_ready()

    @property
    def control_url(self) -> str:
        """Base URL of the control port."""
        return f"http://127.0.0.1:{self._ready['control_port']}"

    def settings(self, conn_id: str) -> ConnectionSettings:
        """The connection as the flow knows it; the sandbox is ours, so nothing holds the rate back."""
        return ConnectionSettings(
            conn_id=conn_id,
            host="127.0.0.1",
            port=self._ready["port"],
            login=_OA_ACCOUNT,
            extra={
                "appid": "finbridge",
                "rate_per_second": 1_000_000,
                "rate_burst": 1_000_000,
                "rate_parallel": self._parallel,
                "write_parallel": self._parallel,
                "page_size": 500,
                "max_clock_ahead_seconds": 0,  # the sandbox's clock is virtual
            },
        )

    def stop(self) -> None:
        """End the process."""
        self._process.stop()


class Finance(Protocol):
    """A finance system that a replay posts into."""

    def settings(self, conn_id: str) -> ConnectionSettings: ...

    def journal(self) -> Path:
        """The finance journal (JSONL) as it stands now."""
        ...

    def stop(self) -> None: ...


class JournalFinance:
    """The journal sandbox with an empty folder."""

    def __init__(self, folder: Path, flow: Flow) -> None:
        self._data = folder
        companies = ",".join(sorted(company.ledger_company for company in flow.companies.values()))
        self._process = _sandbox("journal", folder, "--companies", companies)
        self._ready = self._process.start().wait_ready()

    def settings(self, conn_id: str) -> ConnectionSettings:
        """The connection as the flow knows it."""
        return ConnectionSettings(
            conn_id=conn_id,
            host="127.0.0.1",
            port=self._ready["port"],
            login=_USER,
            password=_USER,
            extra={"rate_per_second": 1_000_000, "rate_burst": 1_000_000, "rate_parallel": 8},
        )

    def journal(self) -> Path:
        """The sandbox's own file."""
        return self._data / "journal.jsonl"

    def stop(self) -> None:
        """End the process."""
        self._process.stop()


class TrytonFinance:
    """A Tryton of its own on a fresh database, with the companies and currency of the flow and the years of the log."""

    def __init__(self, folder: Path, workshop: Workshop, flow: Flow, years: tuple[int, ...]) -> None:
        self._folder = folder
        self._server = LedgerServer(
            folder,
            workshop.ledger_postgres(),
            spec=_spec(flow, years),
            database=f"fin_{uuid4().hex[:12]}",
        ).start()

    def settings(self, conn_id: str) -> ConnectionSettings:
        """The connection as the flow knows it."""
        return ConnectionSettings(
            conn_id=conn_id,
            host="127.0.0.1",
            port=self._server.port,
            login=_USER,
            password=self._server.password,
            database=self._server.database,
            extra={"rate_per_second": 1_000_000, "rate_burst": 1_000_000, "rate_parallel": 4, "batch_size": 100},
        )

    def journal(self) -> Path:
        """Exported from the ledger's own tables."""
        path = self._folder / "journal.jsonl"
        self._server.export_journal(path)
        return path

    def stop(self) -> None:
        """End the process and give the disk back."""
        self._server.stop()
        self._server.postgres.drop_database(self._server.database)


def start_finance(target: Target, folder: Path, workshop: Workshop, flow: Flow, years: tuple[int, ...]) -> Finance:
    """The finance system that was asked for."""
    if target is Target.JOURNAL:
        return JournalFinance(folder, flow)
    return TrytonFinance(folder, workshop, flow, years)


def _spec(flow: Flow, years: tuple[int, ...]) -> dict[str, Any]:
    return {
        "companies": [
            {
                "code": company.ledger_company,
                "name": f"回放 {company.ledger_company}",
                "currency": company.currency,
                "time_zone": company.time_zone,
            }
            for company in flow.companies.values()
        ],
        "years": list(years),
        "journals": [{"code": "FIN", "name": "费用报销"}],
        "parties": [{"code": code, "name": name} for code, name in _PARTIES],
        "user": {"login": _USER, "name": "凭证集成", "password": "finbridge-replay"},
    }


def _sandbox(name: str, folder: Path, *arguments: str) -> ManagedProcess:
    """A sandbox as a process: it shares no code with the suite."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", f"sandbox.{name}", "--port", "0", "--data", str(folder), *arguments]
    return ManagedProcess(name, argv, log=folder / "process.log", cwd=PROJECT)
