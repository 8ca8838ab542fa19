"""The OA's HTTP surface: form fields in; bare arrays, bare ints or result objects out; always the OA's own clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from sandbox.stats import Stats
from sandbox.weaver.auth import Auth, AuthError, login_timeout
from sandbox.weaver.clock import VirtualClock
from sandbox.weaver.damage import ANSWER_FAULTS, damaged_detail, damaged_log
from sandbox.weaver.engine import Engine
from sandbox.weaver.forms import Refusal, other_params
from sandbox.weaver.lists import SCOPES, Lists
from sandbox.weaver.model import User
from sandbox.weaver.modes import FAULTS as MODE_FAULTS
from sandbox.weaver.modes import PATH as MODE_PATH
from sandbox.weaver.modes import Modes
from sandbox.weaver.options import Options
from sandbox.weaver.render import Renderer, result
from sandbox.wire import WIRE_FAULTS, FaultBook, FaultRule, Reply, json_reply, response, show

AUTH_FAULTS = frozenset({"token_lost", "token_expired", "login_timeout", "account_error"})
LIST_FAULTS = frozenset({"page_drift", "wrong_count", "hidden_rows", "late_rows", "doubled_rows", "reordered_rows"})
FAULTS = AUTH_FAULTS | LIST_FAULTS | ANSWER_FAULTS | MODE_FAULTS | {"flow_on_failed"}
PA_SERVICE = "/api/workflow/paService/"
READS = frozenset({"getWorkflowRequest", "getRequestStatus", "getRequestLog", "getRequestOperatorInfo"})
_UTF8 = "utf-8"

Operation = Callable[[Mapping[str, str], User, FaultRule | None], object]


class Oa:
    """One OA server: engine, auth, lists, faults and the handler of its port."""

    def __init__(self, engine: Engine, auth: Auth, renderer: Renderer, modes: Modes, options: Options) -> None:
        self.engine, self.auth, self.renderer, self.modes, self.options = engine, auth, renderer, modes, options
        self.clock: VirtualClock = engine.clock
        self.lists = Lists(engine)
        self.faults = FaultBook(FAULTS)
        self.stats = Stats()
        self.operations = self._operations()

    def _operations(self) -> dict[str, Operation]:
        engine = self.engine
        writes: dict[str, Callable[[Mapping[str, str], User], None]] = {
            "submitRequest": engine.submit,
            "rejectRequest": engine.reject,
            "withdrawRequest": engine.withdraw,
            "doForceOver": engine.force_over,
            "deleteRequest": engine.delete,
        }
        operations: dict[str, Operation] = {name: self._write(call) for name, call in writes.items()}
        operations["doCreateRequest"] = self._create
        operations["getWorkflowRequest"] = self._detail
        operations["getRequestStatus"] = self._status
        operations["getRequestLog"] = self._log
        operations["getRequestOperatorInfo"] = self._operator_info
        for scope in SCOPES:
            operations[f"get{scope}List"] = self._list(scope)
            operations[f"get{scope}Count"] = self._count(scope)
        return operations

    # ------------------------------------------------------------ one call

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call, with a fault where a rule fires."""
        endpoint = endpoint_of(request.path)
        self.stats.begin(endpoint)
        status = 0
        try:
            rule = self.faults.pick(endpoint)
            if rule is not None:
                self.stats.faults[rule.fault] += 1
            if rule is not None and rule.fault in WIRE_FAULTS:
                body = orjson.dumps(result(self.options, "SYSTEM_INNER_ERROR", err_msg={"msg": "系统内部错误"}))
                answer = await show(rule, request, lambda: self._answer(request, endpoint, None), body)
            else:
                answer = response(await self._answer(request, endpoint, rule))
            if not answer.prepared:
                answer.headers["Date"] = self.clock.http_date()
            status = answer.status
            return answer
        finally:
            self.stats.end(status)

    async def _answer(self, request: web.BaseRequest, endpoint: str, fault: FaultRule | None) -> Reply:
        body = await request.read() if request.can_read_body else b""
        reply = self._reply(request, endpoint, body, fault)
        reply.headers["Date"] = self.clock.http_date()
        await self.engine.store.committed()
        return reply

    def _reply(self, request: web.BaseRequest, endpoint: str, body: bytes, fault: FaultRule | None) -> Reply:
        try:
            if request.path.startswith("/api/ec/dev/auth/") and request.method == "POST":
                return self._auth_call(request, endpoint)
            if request.path.startswith(MODE_PATH) and request.method == "POST":
                return self.modes.reply(endpoint, request.path.rpartition("/")[2], body, fault)
            operation = self.operations.get(endpoint) if request.path == PA_SERVICE + endpoint else None
            account = request.path == "/api/hrm/login/getAccountList"
            if operation is None and not account:
                return Reply(b"<html><body>404</body></html>", 404, "text/html")
            if request.method != ("GET" if account or endpoint in READS else "POST"):
                return Reply(b"<html><body>405</body></html>", 405, "text/html")
            user = self._user(request, fault)
            reply = self._account(user) if operation is None else self._run(operation, request, body, user, fault)
        except AuthError as error:
            return json_reply(error.body)
        reply.headers["Set-Cookie"] = f"JSESSIONID={self.auth.session_for(user)}; Path=/; HttpOnly"
        return reply

    def _auth_call(self, request: web.BaseRequest, endpoint: str) -> Reply:
        if endpoint == "regist":
            return json_reply(self.auth.regist(request.headers))
        if endpoint == "applytoken":
            return json_reply(self.auth.apply_token(request.headers))
        return Reply(b"<html><body>404</body></html>", 404, "text/html")

    def _user(self, request: web.BaseRequest, fault: FaultRule | None) -> User:
        if fault is not None and fault.fault in AUTH_FAULTS:
            if fault.fault == "token_expired":
                self.auth.expire_tokens()
            elif fault.fault == "login_timeout":
                raise login_timeout()
            elif fault.fault == "account_error":
                raise AuthError("该账号存在异常,单点登录失败")
            raise AuthError(f"token不存在或者超时：{request.headers.get('token', '')}")
        return self.auth.user_of(request.headers, request.cookies.get("JSESSIONID"))

    def _run(
        self, operation: Operation, request: web.BaseRequest, body: bytes, user: User, fault: FaultRule | None
    ) -> Reply:
        text = request.query_string if request.method == "GET" else body.decode(_UTF8, "replace")
        params = dict(parse_qsl(text, keep_blank_values=True))
        try:
            value = operation(params, user, fault)
        except Refusal as refusal:
            value = result(self.options, refusal.code, err_msg=refusal.err_msg, fail=refusal.fail)
        return Reply(value) if isinstance(value, bytes) else json_reply(value)

    # ------------------------------------------------------------ operations

    def _write(self, call: Callable[[Mapping[str, str], User], None]) -> Operation:
        def operation(params: Mapping[str, str], user: User, _: FaultRule | None) -> object:
            call(params, user)
            return result(self.options, "SUCCESS", data={})

        return operation

    def _create(self, params: Mapping[str, str], user: User, fault: FaultRule | None) -> object:
        fails = fault is not None and fault.fault == "flow_on_failed"
        number = self.engine.create(params, user, flow_on_fails=fails)
        if fails:
            return result(self.options, "FAIL", {"requestid": number}, fail={"msgType": "FLOW_ON_FAILED"})
        return result(self.options, "SUCCESS", {"requestid": number})

    def _detail(self, params: Mapping[str, str], user: User, fault: FaultRule | None) -> object:
        data = self.renderer.detail(self.engine.readable(params, user), user)
        return result(self.options, "SUCCESS", damaged_detail(data, fault))

    def _status(self, params: Mapping[str, str], user: User, _: FaultRule | None) -> object:
        return result(self.options, "SUCCESS", self.renderer.status(self.engine.readable(params, user), user))

    def _log(self, params: Mapping[str, str], user: User, fault: FaultRule | None) -> object:
        request = self.engine.readable(params, user)
        rows = damaged_log([self.renderer.log_row(row) for row in self.renderer.log_rows(request)], fault)
        other = other_params(params.get("otherParams"))
        size, number = _positive(other.get("pageSize"), 10), _positive(other.get("pageNumber"), 1)
        return result(self.options, "SUCCESS", rows[(number - 1) * size : number * size])

    def _operator_info(self, params: Mapping[str, str], user: User, _: FaultRule | None) -> object:
        return result(self.options, "SUCCESS", self.renderer.operators(self.engine.readable(params, user)))

    def _list(self, scope: str) -> Operation:
        def operation(params: Mapping[str, str], user: User, fault: FaultRule | None) -> object:
            rows = self.lists.page(scope, params, user, fault)
            return b"[" + b",".join([self.renderer.list_row(row, user) for row in rows]) + b"]"

        return operation

    def _count(self, scope: str) -> Operation:
        def operation(params: Mapping[str, str], user: User, fault: FaultRule | None) -> object:
            return self.lists.count(scope, params, user, fault)

        return operation

    def _account(self, user: User) -> Reply:
        data = {
            "userid": user.id,
            "username": user.name,
            "loginid": user.code,
            "deptid": "1",
            "deptname": user.department,
            "subcompanyid": "1",
            "accounts": [],
        }
        return json_reply({"status": "1", "data": data})


def endpoint_of(path: str) -> str:
    """What faults and counters call a call: the last part of its path; of a form-mode call, its operation."""
    return path.removeprefix(MODE_PATH).partition("/")[0] if path.startswith(MODE_PATH) else path.rpartition("/")[2]


def _positive(value: object, default: int) -> int:
    text = str(value)
    return int(text) if text.isdigit() and int(text) > 0 else default
