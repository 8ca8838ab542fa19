"""A plain HTTP caller of the finance stand-in, and vouchers to send."""

from __future__ import annotations

import json as json_text
from decimal import Decimal
from typing import Any

import aiohttp

from tests.contract.sandbox_wire_kit import Server


class Finance:
    """A caller with a bearer token."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server, self.http, self.token = server, http, ""

    async def log_in(self, user: str = "finbridge") -> Finance:
        """Take a fresh token."""
        status, body = await self.call("POST", "/login", json={"user": user, "password": "finbridge"})
        assert status == 200
        assert body["expires_in"] >= 0
        self.token = body["token"]
        return self

    async def raw(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one call."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.request(method, self.server.base + path, headers=headers, **options) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON of one call."""
        status, _, body = await self.raw(method, path, **options)
        return status, json_text.loads(body)

    async def post(self, *vouchers: dict[str, Any]) -> list[dict[str, Any]]:
        """Results of a batch that is answered with 200."""
        status, body = await self.call("POST", "/api/vouchers", json={"vouchers": list(vouchers)})
        assert status == 200, body
        results: list[dict[str, Any]] = body["results"]
        return results

    async def get(self, **params: str) -> Any:
        """A look-up that is answered with 200."""
        status, body = await self.call("GET", "/api/vouchers", params=params)
        assert status == 200, body
        return body


def line(account: str, *, debit: str = "0", credit: str = "0", **more: str) -> dict[str, str]:
    """A line as it is sent."""
    return {"account": account, "debit": debit, "credit": credit, **more}


def voucher(key: str, **change: Any) -> dict[str, Any]:
    """An expense of 100.00 owed to an employee."""
    lines = [line("660201", debit="100", department="行政部"), line("2241", credit="100.00", party="E0001")]
    plain = {
        "key": key,
        "company": "1000",
        "kind": "expense",
        "document_id": "90001",
        "posting_date": "2026-11-22",
        "currency": "CNY",
        "summary": "差旅费",
        "voucher_word": "记",
        "attachment_count": 0,
        "business_number": "BX1",
        "reverses": None,
        "lines": lines,
    }
    return plain | change


def red(key: str, original: dict[str, Any], **change: Any) -> dict[str, Any]:
    """The 红字 of a voucher: the same sides, negative."""

    def negative(text: str) -> str:
        return str(-Decimal(text))

    lines = [ln | {"debit": negative(ln["debit"]), "credit": negative(ln["credit"])} for ln in original["lines"]]
    return original | {"key": key, "kind": "reversal", "reverses": original["key"], "lines": lines} | change


def bare(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as comparable JSON."""
    value: dict[str, Any] = json_text.loads(json_text.dumps(entry, sort_keys=True))
    return value
