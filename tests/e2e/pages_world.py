"""The pages in a real Airflow API server on a hub with a small company's day: one start for all tests of pages.

The API server alone (FAB, PostgreSQL), no scheduler: what the pages show comes from the hub, filled through its own
methods. Three people: an engineer (role User), a reader of no DAG (role Public), an administrator.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from finbridge.cli.stack.airflow import ADMIN, ENGINEER, Airflow, User
from finbridge.cli.stack.postgres import HOST, Postgres
from finbridge.hub import PostgresHub

from tests.e2e.pages_day import FLOW, Day, fill
from tests.hub_fixtures import APP_PASSWORD, SECRET, HubDatabase, new_hub_database, server_folder, start_hub_server

PROJECT = Path(__file__).resolve().parents[2]
STRANGER = User("stranger", "Public", "外部", "人员")
_METADATA_PASSWORD = "metadata of the tests"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer of its own."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass
class PagesWorld:
    """A running API server with pages, and the day that its hub holds."""

    airflow: Airflow
    server: Postgres
    database: HubDatabase
    hub: PostgresHub
    day: Day
    flow: str = FLOW

    def __post_init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._opener = urllib.request.build_opener(_Stay)

    @property
    def url(self) -> str:
        """Of the Airflow UI."""
        return self.airflow.url

    def token(self, user: str) -> str:
        """A token of a person, as the UI's login gives it."""
        if user not in self._tokens:
            body = json.dumps({"username": user, "password": self.airflow.passwords()[user]}).encode()
            self._tokens[user] = self._token(body)
        return self._tokens[user]

    def _token(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/auth/token", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(json.load(answer)["access_token"])

    def add_person(self, name: str, *dag_ids: str) -> None:
        """A person whose role may read these DAGs and nothing else."""
        resources = [f"DAG:{dag_id}" for dag_id in dag_ids]
        with psycopg.connect(self.server.dsn("airflow"), autocommit=True) as connection:
            for resource in resources:  # a DAG with access_control makes its own; none is parsed here
                connection.execute(
                    "INSERT INTO ab_view_menu (id, name) "
                    "SELECT coalesce(max(id), 0) + 1, %s FROM ab_view_menu ON CONFLICT DO NOTHING",
                    [resource],
                )
        actions = [{"action": {"name": "can_read"}, "resource": {"name": resource}} for resource in resources]
        self._post("/auth/fab/v1/roles", {"name": f"role of {name}", "actions": actions})
        person = {"username": name, "password": name * 2, "email": f"{name}@example.invalid", "first_name": name}
        self._post("/auth/fab/v1/users", {**person, "last_name": name, "roles": [{"name": f"role of {name}"}]})
        body = json.dumps({"username": name, "password": name * 2}).encode()
        self._tokens[name] = self._token(body)

    def _post(self, path: str, body: object) -> None:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token(ADMIN.name)}"}
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status in (200, 201)

    def get(
        self,
        path: str,
        user: str | None = ENGINEER.name,
        query: Mapping[str, str] | None = None,
        *,
        language: str = "zh",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """GET a path of the server with the cookie that the UI's frame would send; redirects are not followed."""
        sent = {"Accept-Language": language}
        if user is not None:
            sent["Cookie"] = f"_token={self.token(user)}"
        address = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(address, headers={**sent, **(headers or {})})
        try:
            with self._opener.open(request, timeout=60) as answer:
                return Answer(answer.status, _lower(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, _lower(error.headers), error.read().decode())

    def page(
        self, path: str, user: str | None = ENGINEER.name, query: Mapping[str, str] | None = None, **how: Any
    ) -> Answer:
        """GET a page of ours: ``path`` begins after the prefix."""
        return self.get(f"/finbridge{path}", user, query, **how)


@pytest.fixture(scope="session")
def pages_world() -> Iterator[PagesWorld]:
    """Shared by all tests of pages: they read; who writes uses documents of their own."""
    with server_folder() as folder:
        server = start_hub_server(folder / "postgres")
        airflow: Airflow | None = None
        try:
            server.ensure_role("airflow", _METADATA_PASSWORD)
            server.create_database("airflow", owner="airflow")
            database = new_hub_database(server)
            day = fill(database)
            airflow = started(server, database, folder / "airflow")
            with database.open() as hub:
                yield PagesWorld(airflow, server, database, hub, day)
        finally:
            if airflow is not None:
                airflow.stop()
            server.stop()


def started(server: Postgres, database: HubDatabase, state: Path) -> Airflow:
    """An API server whose ``hub_default``, in the metadata database, is the test's hub; the caller stops it."""
    connection = {
        "conn_id": "hub_default",
        "conn_type": "postgres",
        "conn_host": HOST,
        "conn_port": server.port,
        "conn_schema": database.name,
        "conn_login": "hub_app",
        "conn_password": APP_PASSWORD,
        "conn_extra": {"token_secret": SECRET},
    }
    settings = state.with_suffix(".yaml")
    settings.write_text(json.dumps({"airflow": {"connections": [connection]}}), encoding="utf-8")
    airflow = Airflow(
        project=PROJECT,
        state=state,
        metadata=f"postgresql+psycopg2://airflow:{_METADATA_PASSWORD.replace(' ', '%20')}@{HOST}:{server.port}/airflow",
        users=(ADMIN, ENGINEER, STRANGER),
    )
    airflow.prepare(settings, lambda _: None)
    airflow.start(("api-server",))
    airflow.wait_healthy(lambda _: None)
    return airflow
