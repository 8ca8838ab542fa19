"""The finance stand-in's API: login, batches of vouchers, look-up by key and by period."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from sandbox.journal.book import Book, Entry
from sandbox.journal.file import JournalFile
from sandbox.stats import Stats
from sandbox.wire import WIRE_FAULTS, FaultBook, FaultRule, Reply, json_reply, response, show

MAX_BATCH = 500
MAX_PAGE = 1000
_ERROR_BODY = orjson.dumps({"error": "internal_error", "message": "系统内部错误"})
FAULTS = frozenset({"token_expired", "partial_batch", "period_closes", "rejected", "locked", "late_entries"})


@dataclass(slots=True)
class Access:
    """Who may log in and for how long."""

    user: str = "finbridge"
    password: str = "finbridge"
    reader: str = "reader"  # logs in with the same password; may not post
    ttl_seconds: float = 1800.0
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def login(self, user: object, password: object) -> str | None:
        """A bearer token, or None."""
        if user not in {self.user, self.reader} or password != self.password:
            return None
        token = uuid.uuid4().hex
        self.tokens[token] = (str(user), time.monotonic() + self.ttl_seconds)
        return token

    def user_of(self, header: str) -> str | None:
        """Who the header's token belongs to."""
        user, expires = self.tokens.get(header.removeprefix("Bearer "), ("", 0.0))
        return user if user and expires > time.monotonic() else None


class Finance:
    """The handler of the API's port."""

    def __init__(self, book: Book, file: JournalFile, access: Access, periods: Path) -> None:
        self.book, self.file, self.access, self._periods = book, file, access, periods
        self.faults = FaultBook(FAULTS)
        self.stats = Stats()
        self.posted_at: dict[tuple[str, str], float] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call, with a fault where a rule fires."""
        endpoint = _endpoint(request)
        self.stats.begin(endpoint)
        status = 0
        try:
            rule = self.faults.pick(endpoint)
            if rule is not None:
                self.stats.faults[rule.fault] += 1
            wire = None if rule is None else _wire_part(rule)
            if wire is not None:
                answer = await show(wire, request, lambda: self._answer(request, endpoint, rule), _ERROR_BODY)
            else:
                answer = response(await self._answer(request, endpoint, rule))
            status = answer.status
            return answer
        finally:
            self.stats.end(status)

    async def _answer(self, request: web.BaseRequest, endpoint: str, fault: FaultRule | None) -> Reply:
        body = await request.read() if request.can_read_body else b""
        try:
            reply = self._reply(request, endpoint, body, fault)
        except ValueError as error:
            reply = json_reply({"error": "bad_request", "message": str(error)}, 400)
        await self.file.durable()
        return reply

    def _reply(self, request: web.BaseRequest, endpoint: str, body: bytes, fault: FaultRule | None) -> Reply:
        if endpoint == "login":
            return self._login(orjson.loads(body))
        if fault is not None and fault.fault == "token_expired":
            self.access.tokens.clear()
        user = self.access.user_of(request.headers.get("Authorization", ""))
        if user is None:
            return json_reply({"error": "unauthorized"}, 401)
        if endpoint == "post":
            if user == self.access.reader:
                return json_reply({"error": "forbidden", "message": "无过账权限 / may not post"}, 403)
            return self._post(orjson.loads(body), fault)
        if endpoint in {"find", "period"}:
            return self._read(endpoint, request.query, fault)
        return json_reply({"error": "not_found"}, 404)

    def _login(self, body: Mapping[str, Any]) -> Reply:
        if not isinstance(body, dict):
            raise ValueError("a JSON object is wanted")
        token = self.access.login(body.get("user"), body.get("password"))
        if token is None:
            return json_reply({"error": "bad_credentials"}, 401)
        return json_reply({"token": token, "expires_in": self.access.ttl_seconds})

    def _post(self, body: Mapping[str, Any], fault: FaultRule | None) -> Reply:
        vouchers = body.get("vouchers") if isinstance(body, dict) else None
        if not isinstance(vouchers, list) or not all(isinstance(item, dict) for item in vouchers):
            raise ValueError("vouchers is a list of objects")
        if len(vouchers) > MAX_BATCH:
            return json_reply({"error": "batch_too_large", "message": f"at most {MAX_BATCH} vouchers a call"}, 413)
        if fault is not None and fault.fault == "period_closes":
            for voucher in vouchers:
                self.set_period(str(voucher.get("company")), str(voucher.get("posting_date"))[:7], is_open=False)
        return json_reply({"results": self._outcomes(vouchers, fault)})

    def set_period(self, company: str, period: str, *, is_open: bool) -> None:
        """Open or close a period, durably."""
        closed = self.book.closed
        if is_open:
            closed.discard((company, period))
        else:
            closed.add((company, period))
        draft = self._periods.with_suffix(".new")
        draft.write_bytes(orjson.dumps(sorted(closed)))
        draft.replace(self._periods)

    def _outcomes(self, vouchers: Sequence[Mapping[str, Any]], fault: FaultRule | None) -> list[dict[str, Any]]:
        options: Mapping[str, Any] = {} if fault is None else fault.options
        name = "" if fault is None else fault.fault
        if name == "partial_batch":
            done = int(options.get("done", len(vouchers) // 2))
            results = self.post_all(vouchers[:done])
            if options.get("then") != "short":
                results += [_undone(v, "not_processed", "batch_stopped") for v in vouchers[done:]]
            return results
        if name in {"rejected", "locked"}:
            hit = int(options.get("items", len(vouchers)))
            code = str(options.get("code", "record_in_use" if name == "locked" else "vendor_blocked"))
            return [_undone(v, name, code) for v in vouchers[:hit]] + self.post_all(vouchers[hit:])
        return self.post_all(vouchers)

    def post_all(self, vouchers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Post one after the other: a refusal of one decides nothing about another."""
        results = []
        for voucher in vouchers:
            outcome, entry = self.book.post(voucher)
            if entry is not None:
                self.file.append(entry)
                self.posted_at[entry["company"], entry["key"]] = time.monotonic()
            results.append(outcome)
        return results

    def _read(self, endpoint: str, query: Mapping[str, str], fault: FaultRule | None) -> Reply:
        company = query.get("company", "")
        if not self.book.serves(company):
            return json_reply({"error": "unknown_company"}, 404)
        lag = fault.seconds(60.0) if fault is not None and fault.fault == "late_entries" else 0.0
        if endpoint == "find":
            keys = [key for key in query["keys"].split(",") if key]
            found = [self.book.by_key[company, key] for key in keys if (company, key) in self.book.by_key]
            return json_reply({"entries": self._shown(self._settled(found, lag))})
        after, limit = int(query.get("after", 0)), min(int(query.get("limit", 100)), MAX_PAGE)
        rows = self._settled(self.book.by_period.get((company, query["period"]), []), lag)
        rest = [entry for entry in rows if entry["seq"] > after]
        page = rest[:limit]
        is_open = (company, query["period"]) not in self.book.closed
        following = page[-1]["seq"] if len(rest) > limit else None
        return json_reply({"entries": self._shown(page), "next": following, "open": is_open})

    def _shown(self, entries: list[Entry]) -> list[Entry]:
        """Entries, each with the voucher that took it back, if any."""
        book, shown = self.book, []
        for entry in entries:
            by = book.by_key.get((entry["company"], book.reversed_by.get((entry["company"], entry["key"]), "")))
            back = {} if by is None else {name: by[name] for name in ("key", "number", "date", "period")}
            shown.append(entry | ({"reversed_by": back} if back else {}))
        return shown

    def _settled(self, entries: list[Entry], lag_seconds: float) -> list[Entry]:
        """Entries older than the read lag."""
        if lag_seconds <= 0:
            return entries
        limit = time.monotonic() - lag_seconds
        return [e for e in entries if self.posted_at.get((e["company"], e["key"]), 0.0) <= limit]


def _wire_part(rule: FaultRule) -> FaultRule | None:
    """The rule as a fault of the line: itself, or what comes after a part of a batch was done."""
    if rule.fault in WIRE_FAULTS:
        return rule
    then = rule.options.get("then")
    return replace(rule, fault=str(then), after_commit=True) if then in WIRE_FAULTS else None


def _undone(voucher: Mapping[str, Any], outcome: str, code: str) -> dict[str, Any]:
    message = "未处理 / nothing was done with this voucher"
    return {"key": str(voucher.get("key")), "outcome": outcome, "code": code, "message": message}


def _endpoint(request: web.BaseRequest) -> str:
    if request.path == "/login":
        return "login" if request.method == "POST" else "other"
    if request.path != "/api/vouchers":
        return "other"
    if request.method == "POST":
        return "post"
    if request.method != "GET":
        return "other"
    return "find" if "keys" in request.query else "period" if "period" in request.query else "other"
