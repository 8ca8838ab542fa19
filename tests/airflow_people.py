"""A stand-in for the three routes of Airflow's API that say who somebody is and which DAG they may read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

PASSWORD = "a long secret"


@dataclass
class AirflowPeople:
    """Who is known, and who of them may read no DAG. All have one password."""

    known: dict[str, str] = field(
        default_factory=lambda: {name: name for name in ("wang", "li", "zhao", "zhou", "admin")}
    )
    blind: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path))
        if (method, path) == ("POST", "/auth/token"):
            good = body.get("password") == PASSWORD and body.get("username") in self.known
            return (201, {"access_token": f"token of {body['username']}"}) if good else (401, {"detail": "Invalid"})
        user = token.removeprefix("Bearer token of ")
        if user not in self.known:
            return 401, {"detail": "Not authenticated"}
        if (method, path) == ("GET", "/ui/auth/me"):
            return 200, {"id": "1", "username": self.known[user]}
        if path.startswith("/api/v2/dags/"):
            return (403, {"detail": "Forbidden"}) if user in self.blind else (200, {"dag_id": path.rpartition("/")[2]})
        return 404, {}


@contextmanager
def airflow_people() -> Iterator[AirflowPeople]:
    """Serve them."""
    people = AirflowPeople()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = people.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        people.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield people
        finally:
            server.shutdown()
            thread.join()


def log_in(monkeypatch: pytest.MonkeyPatch, people: AirflowPeople, user: str, password: str = PASSWORD) -> None:
    """From here on this person sits at the keyboard."""
    monkeypatch.setenv("FINBRIDGE_AIRFLOW_URL", people.url)
    monkeypatch.setenv("FINBRIDGE_USER", user)
    monkeypatch.setenv("FINBRIDGE_PASSWORD", password)
