"""Sandboxes as processes that may be killed, and plain HTTP callers of them: no client of the product is in between."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROOT = Path(__file__).resolve().parents[2]
PA = "/api/workflow/paService/"
CLAIM = "formtable_main_11"
LINES, PAYEES = f"{CLAIM}_dt1", f"{CLAIM}_dt2"


class Server:
    """A sandbox over a data folder: start, kill -9, start again."""

    def __init__(self, module: str, data: Path, *arguments: str) -> None:
        self.data = data
        self._argv = [sys.executable, "-m", module, "--data", str(data), *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.base = self.control = ""
        self.registered: dict[str, tuple[str, str]] = {}

    def start(self) -> None:
        """Start and wait for the ready line."""
        process = subprocess.Popen(self._argv, cwd=ROOT, stdout=subprocess.PIPE)
        self._process = process
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        assert line, f"{self._argv} gave no ready line"
        ready = json.loads(line)
        assert ready["ready"] is True
        self.base = f"http://127.0.0.1:{ready['port']}"
        self.control = f"http://127.0.0.1:{ready['control_port']}"

    def kill(self) -> None:
        """SIGKILL: no handler runs."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        os.kill(process.pid, number)
        try:
            code = process.wait(20)
        finally:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()
        return code


def session() -> aiohttp.ClientSession:
    """A caller that keeps no cookie and no connection: a fault shows on the call that it was meant for."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(force_close=True),
        timeout=aiohttp.ClientTimeout(total=30),
    )


async def control(server: Server, method: str, path: str, body: object = None, status: int = 200) -> Any:
    """One call of the control port."""
    async with session() as caller, caller.request(method, server.control + path, json=body) as answer:
        value = await answer.json()
        assert answer.status == status, value
        return value


async def journal(server: Server, after: int = 0) -> list[dict[str, Any]]:
    """The journal from ``after`` on."""
    entries: list[dict[str, Any]] = await control(server, "GET", f"/journal?after={after}&limit=100000")
    return entries


def public_key(spk: str) -> rsa.RSAPublicKey:
    """regist's ``spk``: base64 DER without armour."""
    key = serialization.load_der_public_key(base64.b64decode(spk))
    assert isinstance(key, rsa.RSAPublicKey)
    return key


def encrypt(spk: str, text: str) -> str:
    """Base64 of PKCS #1 v1.5 over UTF-8."""
    return base64.b64encode(public_key(spk).encrypt(text.encode(), padding.PKCS1v15())).decode()


class Oa:
    """A caller of the OA with one application's registration and a token."""

    def __init__(self, server: Server, http: aiohttp.ClientSession, appid: str = "finbridge") -> None:
        self.server, self.http, self.appid = server, http, appid
        self.token = self.spk = self.secret = ""
        self._userid: dict[str, str] = {}

    async def auth_call(self, step: str, **headers: str) -> dict[str, Any]:
        """regist or applytoken, parameters as headers."""
        async with self.http.post(f"{self.server.base}/api/ec/dev/auth/{step}", headers=headers) as answer:
            assert answer.status == 200
            value: dict[str, Any] = await answer.json()
            return value

    async def register(self) -> dict[str, Any]:
        """regist; keeps spk and secret."""
        reply = await self.auth_call("regist", appid=self.appid, cpk="123")
        self.spk, self.secret = reply["spk"], reply["secret"]
        self.server.registered[self.appid] = (self.spk, self.secret)
        self._userid.clear()
        return reply

    async def log_in(self, **headers: str) -> dict[str, Any]:
        """applytoken; keeps the token."""
        secret = encrypt(self.spk, self.secret)
        reply = await self.auth_call("applytoken", appid=self.appid, secret=secret, **headers)
        self.token = reply.get("token", "")
        return reply

    async def ready(self) -> Oa:
        """Registered (once per server) and logged in."""
        known = self.server.registered.get(self.appid)
        if known is None:
            await self.register()
        else:
            self.spk, self.secret = known
        assert (await self.log_in())["status"] is True
        return self

    def headers(self, user: str) -> dict[str, str]:
        """The three headers of a business call."""
        if user not in self._userid:
            self._userid[user] = encrypt(self.spk, user)
        return {"token": self.token, "appid": self.appid, "userid": self._userid[user]}

    async def raw(
        self, name: str, user: str, params: Mapping[str, str], extra: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of a paService call; GET for the four reads of one request."""
        url, headers = self.server.base + PA + name, self.headers(user) | dict(extra or {})
        if name.startswith("getRequest") or name == "getWorkflowRequest":
            call = self.http.get(url, params=params, headers=headers)
        else:
            call = self.http.post(url, data=params, headers=headers)
        async with call as answer:
            return answer.status, answer.headers, await answer.read()

    async def call(self, name: str, user: str, **params: object) -> Any:
        """The JSON of a paService call; what is no text goes as JSON text."""
        form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
        status, _, body = await self.raw(name, user, form)
        assert status == 200, body
        return json.loads(body)

    # ------------------------------------------------------------ what tests need often

    async def create(self, user: str = "7", *, workflow: str = "101", **main: str) -> str:
        """A claim with two lines and one payee, submitted by its creator; its id."""
        reply = await self.call(
            "doCreateRequest",
            user,
            workflowId=workflow,
            requestName=f"报销-{main.get('djbh', 'X')}",
            mainData=fields(**({"gsdm": "1000", "bzje": "100.00", "hdje": "100.00"} | main)),
            detailData=[
                table(LINES, {"fylx": "TRAVEL", "hdje": "60.00"}, {"fylx": "OFFICE", "hdje": "40.00"}),
                table(PAYEES, {"skr": "E0007", "zfje": "100.00"}),
            ],
        )
        assert reply["code"] == "SUCCESS", reply
        assert isinstance(reply["data"]["requestid"], int)
        return str(reply["data"]["requestid"])

    async def at_posting(self, user: str = "7", **main: str) -> str:
        """A claim that 500 approved: it stands at 财务过账."""
        request_id = await self.create(user, **main)
        assert (await self.call("submitRequest", "500", requestId=request_id))["code"] == "SUCCESS"
        return request_id

    async def detail(self, request_id: str, user: str = "900") -> dict[str, Any]:
        """getWorkflowRequest.data."""
        reply = await self.call("getWorkflowRequest", user, requestId=request_id)
        assert reply["code"] == "SUCCESS", reply
        data: dict[str, Any] = reply["data"]
        return data

    async def rows(self, scope: str = "All", user: str = "900", **params: object) -> list[dict[str, Any]]:
        """One page of a list."""
        params.setdefault("pageSize", "1000")
        value = await self.call(f"get{scope}WorkflowRequestList", user, **params)
        assert isinstance(value, list), value
        return value


def fields(**values: object) -> list[dict[str, object]]:
    """Values as mainData wants them."""
    return [{"fieldName": name, "fieldValue": value} for name, value in values.items()]


def table(name: str, *rows: Mapping[str, object], order: str | int = 0, **extra: object) -> dict[str, object]:
    """A table as detailData wants it."""
    records = [{"recordOrder": order, "workflowRequestTableFields": fields(**row)} for row in rows]
    return {"tableDBName": name, "workflowRequestTableRecords": records, **extra}


def main_values(data: Mapping[str, Any]) -> dict[str, str]:
    """Main columns of getWorkflowRequest.data."""
    record = data["workflowMainTableInfo"]["requestRecords"][0]
    return {item["fieldName"]: item["fieldValue"] for item in record["workflowRequestTableFields"]}


def detail_rows(data: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """Rows of a detail table of getWorkflowRequest.data, with their row id."""
    [found] = [item for item in data["workflowDetailTableInfos"] if item["tableDBName"] == name]
    return [
        {"_row": str(record["recordOrder"])}
        | {item["fieldName"]: item["fieldValue"] for item in record["workflowRequestTableFields"]}
        for record in found["workflowRequestTableRecords"]
    ]


def operations(data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(node, operation, operator) of the log in order of ids."""
    rows = sorted(data["workflowRequestLogs"], key=lambda row: int(row["id"]))
    return [(row["nodeName"], row["operateType"], row["operatorId"]) for row in rows]


def on_days(first: str, last: str, **more: str) -> dict[str, str]:
    """Conditions: operated between two days."""
    return {"operatedateselect": "6", "operatedatefrom": first, "operatedateto": last, **more}
