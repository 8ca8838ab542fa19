"""Airflow's REST API as one user sees it: what the demo does there, people do with the mouse."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_ENDED = ("success", "failed")


class ApiRefused(RuntimeError):
    """Airflow answered with an error."""


class AirflowApi:
    """A user with a token; without one, an anonymous caller.

    Args:
        url: of the API server.
        user: name, and ``password`` theirs.
    """

    def __init__(self, url: str, user: str | None = None, password: str = "") -> None:
        self.url = url
        self.token = ""
        if user is not None:
            status, answer = self.call("POST", "/auth/token", {"username": user, "password": password})
            if "access_token" not in answer:
                raise ApiRefused(f"no token for {user}: {status}")
            self.token = answer["access_token"]

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and parsed body of any answer."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(  # noqa: S310 - http, ours
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(), headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - http, ours
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The parsed body of a success.

        Raises:
            ApiRefused: anything else.
        """
        status, answer = self.call(method, path, body)
        if status >= 300:
            raise ApiRefused(f"{method} {path}: {status} {json.dumps(answer, ensure_ascii=False)[:500]}")
        return answer

    def pause(self, pattern: str, paused: bool) -> list[str]:
        """Pause or unpause the DAGs whose id contains the pattern (``%`` stands for anything). Returns their ids."""
        query = urlencode({"dag_id_pattern": pattern, "limit": 100})
        found = self.must("PATCH", f"/api/v2/dags?{query}", {"is_paused": paused})
        return sorted(str(dag["dag_id"]) for dag in found["dags"])

    def unpause(self, pattern: str) -> list[str]:
        """Unpause, and have Airflow parse the files of watched DAGs at once: only then does it start their watchers."""
        found = self.pause(pattern, False)
        for dag_id in found:
            if dag_id.endswith("__wake"):
                token = self.must("GET", f"/api/v2/dags/{dag_id}")["file_token"]
                self.must("PUT", f"/api/v2/parseDagFile/{quote(token, safe='')}")
        return found

    def dags(self) -> dict[str, bool]:
        """Id of each DAG that Airflow knows, and whether it is paused."""
        found = self.must("GET", "/api/v2/dags?limit=100")["dags"]
        return {str(dag["dag_id"]): bool(dag["is_paused"]) for dag in found}

    def trigger(self, dag_id: str, conf: Mapping[str, object]) -> str:
        """Start a run with its parameters; returns its id."""
        body = {"conf": dict(conf), "logical_date": None}
        return str(self.must("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A run as Airflow shows it."""
        found: dict[str, Any] = self.must("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")
        return found

    async def ended(self, dag_id: str, run_id: str, seconds: float) -> dict[str, Any]:
        """Wait until a run is green or red; the run as it is when the time is over. No thread waits: Ctrl-C ends it."""
        until = time.monotonic() + seconds
        while True:
            found = await asyncio.to_thread(self.run, dag_id, run_id)
            if found["state"] in _ENDED or time.monotonic() > until:
                return found
            await asyncio.sleep(_LOOK_SECONDS)

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        found: list[dict[str, Any]] = self.must("GET", path)["task_instances"]
        return found
