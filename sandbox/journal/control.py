"""The control port of the finance stand-in: periods, faults, journal, stats, and an accountant's own hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from sandbox.journal.server import Finance
from sandbox.wire import BadRule, Reply, json_reply, response

Operation = Callable[[Any, web.BaseRequest], Reply]


class Control:
    """The handler of the control port."""

    def __init__(self, finance: Finance) -> None:
        self._finance = finance
        self._routes: dict[tuple[str, str], Operation] = {
            ("GET", "/health"): lambda _, __: json_reply({"ok": True}),
            ("GET", "/faults"): lambda _, __: json_reply(finance.faults.describe()),
            ("POST", "/faults"): self._add_faults,
            ("DELETE", "/faults"): self._clear_faults,
            ("GET", "/periods"): lambda _, __: self._closed(),
            ("POST", "/periods"): self._set_period,
            ("POST", "/companies"): self._add_company,
            ("POST", "/vouchers"): lambda body, _: json_reply({"results": finance.post_all(body["vouchers"])}),
            ("POST", "/access"): self._access,
            ("GET", "/journal"): self._journal,
            ("GET", "/stats"): lambda _, __: self._stats(),
            ("DELETE", "/stats"): self._reset_stats,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer; 400 with the reason for what makes no sense."""
        operation = self._routes.get((request.method, request.path))
        if operation is None:
            return response(json_reply({"error": f"no {request.method} {request.path}"}, 404))
        body = await request.read() if request.can_read_body else b""
        try:
            reply = operation(orjson.loads(body) if body else {}, request)
        except (BadRule, ValueError, KeyError, TypeError) as error:
            reply = json_reply({"error": f"{type(error).__name__}: {error}"}, 400)
        await self._finance.file.durable()
        return response(reply)

    def _add_faults(self, body: Any, _: web.BaseRequest) -> Reply:
        self._finance.faults.add(body)
        return json_reply(self._finance.faults.describe())

    def _clear_faults(self, _: Any, __: web.BaseRequest) -> Reply:
        self._finance.faults.clear()
        return json_reply([])

    def _closed(self) -> Reply:
        return json_reply({"closed": sorted([list(item) for item in self._finance.book.closed])})

    def _set_period(self, body: Any, _: web.BaseRequest) -> Reply:
        self._finance.set_period(str(body["company"]), str(body["period"]), is_open=bool(body["open"]))
        return self._closed()

    def _add_company(self, body: Any, _: web.BaseRequest) -> Reply:
        book = self._finance.book
        book.companies |= {str(body["company"])}
        return json_reply(sorted(book.companies))

    def _access(self, body: Any, _: web.BaseRequest) -> Reply:
        access = self._finance.access
        access.ttl_seconds = float(body.get("ttl_seconds", access.ttl_seconds))
        if body.get("expire_tokens"):
            access.tokens.clear()
        return json_reply({"ttl_seconds": access.ttl_seconds, "tokens": len(access.tokens)})

    def _journal(self, _: Any, request: web.BaseRequest) -> Reply:
        after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", 1000))
        return json_reply(self._finance.book.entries[after : after + limit])

    def _stats(self) -> Reply:
        book = self._finance.book
        return json_reply({**self._finance.stats.describe(), "journal_seq": len(book.entries)})

    def _reset_stats(self, _: Any, __: web.BaseRequest) -> Reply:
        self._finance.stats.reset()
        return self._stats()
