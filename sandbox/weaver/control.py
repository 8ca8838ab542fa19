"""The control port: what tests, the log player and the demo may do that no caller of an OA can. Never the product."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from sandbox.weaver.impose import BadItem, define_workflow, impose
from sandbox.weaver.modes import Refused
from sandbox.weaver.options import BadOption
from sandbox.weaver.server import Oa
from sandbox.wire import BadRule, Reply, json_reply, response

Operation = Callable[[Any, web.BaseRequest], Reply]


class Control:
    """The handler of the control port."""

    def __init__(self, oa: Oa) -> None:
        self._oa = oa
        self._routes: dict[tuple[str, str], Operation] = {
            ("GET", "/health"): lambda _, __: json_reply({"ok": True}),
            ("GET", "/clock"): lambda _, __: self._clock_state(),
            ("POST", "/clock"): self._set_clock,
            ("POST", "/impose"): self._impose,
            ("POST", "/workflows"): self._workflow,
            ("GET", "/workflows"): lambda _, __: json_reply(sorted(oa.engine.workflows)),
            ("GET", "/faults"): lambda _, __: json_reply(oa.faults.describe()),
            ("POST", "/faults"): self._add_faults,
            ("DELETE", "/faults"): self._clear_faults,
            ("GET", "/options"): lambda _, __: json_reply(oa.options.describe()),
            ("POST", "/options"): self._set_options,
            ("GET", "/journal"): self._journal,
            ("GET", "/stats"): lambda _, __: self._stats(),
            ("DELETE", "/stats"): self._reset_stats,
            ("POST", "/modes"): lambda body, _: json_reply({"ids": oa.modes.by_hand(body["table"], body["rows"])}),
            ("GET", "/modes"): lambda _, request: json_reply(oa.modes.shown(request.query["table"])),
            ("POST", "/expire-tokens"): lambda _, __: json_reply({"expired": oa.auth.expire_tokens()}),
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer; 400 with the reason for what makes no sense."""
        operation = self._routes.get((request.method, request.path))
        if operation is None:
            return response(json_reply({"error": f"no {request.method} {request.path}"}, 404))
        body = await request.read() if request.can_read_body else b""
        try:
            reply = operation(orjson.loads(body) if body else {}, request)
        except (BadItem, BadOption, BadRule, Refused, ValueError, KeyError, TypeError) as error:
            reply = json_reply({"error": f"{type(error).__name__}: {error}"}, 400)
        await self._oa.engine.store.committed()
        return response(reply)

    def _clock_state(self) -> Reply:
        clock = self._oa.clock
        return json_reply({"now": clock.now().isoformat(), **clock.state()})

    def _set_clock(self, body: Any, _: web.BaseRequest) -> Reply:
        text, clock = body["now"], self._oa.clock
        moment = None if text is None else datetime.fromisoformat(text)
        if moment is not None and moment.tzinfo is not None:
            raise ValueError("the OA's clock is naive local time")
        clock.set(moment, running=bool(body.get("running", False)))
        self._oa.engine.store.put_meta("clock", clock.state())
        return self._clock_state()

    def _impose(self, body: Any, _: web.BaseRequest) -> Reply:
        return json_reply({"request_ids": impose(self._oa.engine, body["items"])})

    def _workflow(self, body: Any, _: web.BaseRequest) -> Reply:
        workflow = define_workflow(self._oa.engine, body)
        return json_reply({"workflow_id": workflow.id, "main_table": workflow.main_table})

    def _add_faults(self, body: Any, _: web.BaseRequest) -> Reply:
        self._oa.faults.add(body)
        return json_reply(self._oa.faults.describe())

    def _clear_faults(self, _: Any, __: web.BaseRequest) -> Reply:
        self._oa.faults.clear()
        return json_reply([])

    def _set_options(self, body: Any, _: web.BaseRequest) -> Reply:
        options = self._oa.options
        options.update(body)
        self._oa.clock.skew_seconds = options.date_skew_seconds
        self._oa.engine.store.version += 1  # what lists show may depend on options
        self._oa.engine.store.put_meta("options", options.describe())
        return json_reply(options.describe())

    def _journal(self, _: Any, request: web.BaseRequest) -> Reply:
        query = request.query
        after, limit = int(query.get("after", 0)), int(query.get("limit", 1000))
        return Reply(self._oa.engine.store.journal(after, limit))

    def _stats(self) -> Reply:
        store = self._oa.engine.store
        live = sum(not request.deleted for request in store.requests.values())
        return json_reply({**self._oa.stats.describe(), "requests": live, "journal_seq": store.journal_seq})

    def _reset_stats(self, _: Any, __: web.BaseRequest) -> Reply:
        self._oa.stats.reset()
        return self._stats()
