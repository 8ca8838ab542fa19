"""Tryton's JSON-RPC with the standard library alone (contracts: trytond 8.2, ``POST /{database}/rpc/``)."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

HTTP_OK = 200


class RpcFailed(RuntimeError):
    """The call was refused: HTTP status and Tryton's own error list."""

    def __init__(self, method: str, status: int, error: object) -> None:
        super().__init__(f"{method}: HTTP {status}: {error}")
        self.status = status
        self.error = error


class TrytonRpc:
    """One session of one user; values go over the wire as Tryton writes them (``__class__`` marks dates, decimals)."""

    def __init__(self, url: str, database: str, user: str, password: str, *, timeout_seconds: float = 300.0) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_seconds)
        self._path = f"/{database}/rpc/"
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        self.user_id, token, *_ = self.call("common.db.login", [user, {"password": password}])
        session = base64.b64encode(f"{user}:{self.user_id}:{token}".encode()).decode()
        self._headers["Authorization"] = f"Session {session}"

    def call(self, method: str, params: list[Any]) -> Any:
        """One call.

        Raises:
            RpcFailed: any status but 200, or an error in the answer.
        """
        body = json.dumps({"id": 0, "method": method, "params": params})
        self._connection.request("POST", self._path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != HTTP_OK:
            raise RpcFailed(method, answer.status, content[:300].decode(errors="replace"))
        if answer.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        data = json.loads(content)
        if "error" in data:
            raise RpcFailed(method, answer.status, data["error"])
        return data["result"]

    def model(self, method: str, *params: Any, **context: Any) -> Any:
        """A model's method, with its context last."""
        return self.call(f"model.{method}", [*params, context])

    def search(self, model: str, *domain: tuple[str, str, Any], **context: Any) -> list[int]:
        """Ids that match."""
        found: list[int] = self.model(f"{model}.search", list(domain), 0, None, None, **context)
        return found

    def read(
        self, model: str, domain: list[tuple[str, str, Any]], fields: list[str], **context: Any
    ) -> list[dict[str, Any]]:
        """Rows that match."""
        rows: list[dict[str, Any]] = self.model(f"{model}.search_read", domain, 0, None, None, fields, **context)
        return rows

    def create(self, model: str, values: dict[str, Any], **context: Any) -> int:
        """One record; its id."""
        (made,) = self.model(f"{model}.create", [values], **context)
        return int(made)
