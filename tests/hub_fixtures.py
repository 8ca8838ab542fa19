"""A hub database for tests: one server a session, migrated once, copied as a template for whoever needs one.

`hub_server` is the server; `hub_database` a fresh database for one test module; `hub` an open hub on it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from finbridge.cli.stack.postgres import Postgres
from finbridge.hub import PostgresHub, ensure_roles, migrate, open_hub

OWNER_PASSWORD = "owner of the tests"
APP_PASSWORD = "suite of the tests"
SECRET = "a secret of the tests"
TEMPLATE = "hub_template"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class HubDatabase:
    """One database with the hub's schema."""

    server: Postgres
    name: str

    @property
    def app_dsn(self) -> str:
        """As the suite connects."""
        return self.server.dsn(self.name, "hub_app", APP_PASSWORD)

    @property
    def owner_dsn(self) -> str:
        """As migrations connect."""
        return self.server.dsn(self.name, "hub_owner", OWNER_PASSWORD)

    @property
    def superuser_dsn(self) -> str:
        """For tests that look behind the curtain."""
        return self.server.dsn(self.name)

    def open(self) -> PostgresHub:
        """A hub; the caller closes it."""
        return open_hub(self.app_dsn, secret=SECRET)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for a server. Not one of pytest's: each new session of pytest takes those away from other users."""
    with tempfile.TemporaryDirectory(prefix="finbridge-pg-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def start_hub_server(folder: Path) -> Postgres:
    """A server with the two roles and a migrated template; the caller stops it."""
    server = Postgres(folder).start()
    ensure_roles(server.dsn("postgres"), owner_password=OWNER_PASSWORD, app_password=APP_PASSWORD)
    server.create_database(TEMPLATE, owner="hub_owner")
    migrate(server.dsn(TEMPLATE, "hub_owner", OWNER_PASSWORD))
    return server


def new_hub_database(server: Postgres) -> HubDatabase:
    """A fresh copy of the template."""
    name = f"hub_{next(_numbers)}"
    server.create_database(name, owner="hub_owner", template=TEMPLATE)
    return HubDatabase(server, name)


@pytest.fixture(scope="session")
def hub_server() -> Iterator[Postgres]:
    """Shared by the whole session: nobody may kill this one."""
    with server_folder() as folder:
        server = start_hub_server(folder)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def hub_database(hub_server: Postgres) -> Iterator[HubDatabase]:
    """A database for one test module; tests in it use flows of their own."""
    database = new_hub_database(hub_server)
    yield database
    hub_server.drop_database(database.name)


@pytest.fixture(scope="module")
def hub(hub_database: HubDatabase) -> Iterator[PostgresHub]:
    """An open hub on the module's database."""
    with hub_database.open() as opened:
        yield opened
