"""Every fault that the OA stand-in can be told to show, seen by a plain caller."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.sandbox_wire_kit import Oa, Server, control, fields, journal, main_values, operations, session


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server("sandbox.weaver", Path(tmp_path_factory.mktemp("oa")))
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
async def oa(server: Server) -> AsyncIterator[Oa]:
    async with session() as http:
        yield await Oa(server, http).ready()
    await control(server, "DELETE", "/faults")


async def rules(oa: Oa, *items: dict[str, object]) -> None:
    await control(oa.server, "POST", "/faults", list(items))


async def save(oa: Oa, request_id: str, value: str, within_seconds: float = 30) -> Any:
    async with asyncio.timeout(within_seconds):
        return await oa.call(
            "submitRequest", "900", requestId=request_id, mainData=fields(pzh=value), otherParams={"src": "save"}
        )


async def number(oa: Oa, request_id: str) -> str:
    return main_values(await oa.detail(request_id))["pzh"]


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("fault", ["timeout", "reset", "close", "http_504", "html", "error_body"])
async def test_an_answer_lost_before_or_after_the_commit(oa: Oa, fault: str, after_commit: bool) -> None:
    request_id = await oa.at_posting()
    seq = len(await journal(oa.server))
    await rules(oa, {"endpoint": "submitRequest", "fault": fault, "count": 1, "after_commit": after_commit})
    answer: object = None
    try:
        answer = await save(oa, request_id, "记-1", within_seconds=1)
    except (TimeoutError, aiohttp.ClientError, AssertionError, json.JSONDecodeError) as error:
        answer = error
    kinds = {
        "timeout": TimeoutError,
        "reset": aiohttp.ClientError,
        "close": aiohttp.ServerDisconnectedError,
        "http_504": AssertionError,
        "html": json.JSONDecodeError,
        "error_body": dict,
    }
    assert isinstance(answer, kinds[fault]), answer
    if isinstance(answer, dict):
        assert answer["code"] == "SYSTEM_INNER_ERROR"
    assert await number(oa, request_id) == ("记-1" if after_commit else "")
    assert len(await journal(oa.server)) == seq + after_commit
    assert (await save(oa, request_id, "记-2"))["code"] == "SUCCESS"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
async def test_statuses_with_and_without_retry_after(oa: Oa, status: int) -> None:
    await rules(
        oa,
        {"endpoint": "getAll*Count", "fault": f"http_{status}", "count": 1, "retry_after": 2},
        {"endpoint": "getAll*Count", "fault": f"http_{status}", "count": 1, "body": {"msg": "busy"}},
    )
    found, headers, body = await oa.raw("getAllWorkflowRequestCount", "900", {})
    assert (found, headers["Retry-After"], headers["Content-Type"]) == (status, "2", "text/html;charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")
    found, headers, body = await oa.raw("getAllWorkflowRequestCount", "900", {})
    assert (found, json.loads(body), "Retry-After" in headers) == (status, {"msg": "busy"}, False)
    assert isinstance(await oa.call("getAllWorkflowRequestCount", "900"), int)


async def test_a_create_whose_answer_is_lost_makes_two_when_repeated(oa: Oa) -> None:
    before = await oa.call("getMyWorkflowRequestCount", "33")
    await rules(oa, {"endpoint": "doCreateRequest", "fault": "reset", "after_commit": True})
    with pytest.raises(aiohttp.ClientError):
        await oa.create("33")
    await oa.create("33")
    assert await oa.call("getMyWorkflowRequestCount", "33") == before + 2


async def test_token_faults(oa: Oa) -> None:
    await rules(oa, {"endpoint": "getAll*", "fault": "token_lost"}, {"endpoint": "getAll*", "fault": "login_timeout"})
    lost = await oa.call("getAllWorkflowRequestCount", "900")
    assert lost["msg"] == f"token不存在或者超时：{oa.token}"
    assert await oa.call("getAllWorkflowRequestCount", "900") == {
        "msg": "登录信息超时",
        "errorCode": "002",
        "status": False,
    }
    assert isinstance(await oa.call("getAllWorkflowRequestCount", "900"), int)  # the token itself was never gone
    await rules(oa, {"endpoint": "getAll*", "fault": "account_error"})
    assert (await oa.call("getAllWorkflowRequestCount", "900"))["msg"] == "该账号存在异常,单点登录失败"


async def test_a_token_that_ends_in_mid_page(oa: Oa) -> None:
    await rules(oa, {"endpoint": "getAll*List", "fault": "token_expired", "count": 1, "skip": 1})
    assert isinstance(await oa.rows(pageNo="1", pageSize="1"), list)
    for _ in range(2):  # it is really gone, not only for one call
        reply = await oa.call("getAllWorkflowRequestList", "900", pageNo="2", pageSize="1")
        assert "token不存在" in reply["msg"]
    await oa.log_in()
    assert isinstance(await oa.rows(pageNo="2", pageSize="1"), list)
    assert (await control(oa.server, "POST", "/expire-tokens"))["expired"] >= 1
    assert "token不存在" in (await oa.call("getAllWorkflowRequestCount", "900"))["msg"]


async def names(oa: Oa, **params: str) -> list[str]:
    return [row["requestId"] for row in await oa.rows("All", "900", **params)]


async def test_pages_that_drift(oa: Oa) -> None:
    for n in range(6):
        await oa.create(str(60 + n))
    whole = await names(oa)
    for by, second in ((1, whole[3:5]), (-1, whole[1:3])):
        await rules(oa, {"endpoint": "getAll*List", "fault": "page_drift", "by": by, "skip": 1})
        assert await names(oa, pageNo="1", pageSize="2") == whole[:2]
        assert await names(oa, pageNo="2", pageSize="2") == second
        assert await names(oa, pageNo="2", pageSize="2") == whole[2:4]
    for by, second in ((-1, whole[1:3]), (1, whole[3:5])):
        await control(oa.server, "POST", "/options", {"page_drift": by})
        assert await names(oa, pageNo="1", pageSize="2") == whole[:2]
        assert await names(oa, pageNo="2", pageSize="2") == second
    await control(oa.server, "POST", "/options", {"page_drift": 0})


async def test_lists_that_hide_double_and_reorder(oa: Oa) -> None:
    for n in range(8):
        await oa.create(str(70 + n))
    whole = await names(oa, pageSize="8")
    await rules(oa, {"endpoint": "getAll*List", "fault": "hidden_rows", "rows": 2, "seed": 4})
    hidden = await names(oa, pageSize="8")
    assert len(hidden) == 6
    assert set(hidden) < set(whole)
    await rules(oa, {"endpoint": "getAll*List", "fault": "doubled_rows", "rows": 3, "seed": 4})
    doubled = await names(oa, pageSize="8")
    assert len(doubled) == 11
    assert set(doubled) == set(whole)
    await rules(oa, {"endpoint": "getAll*List", "fault": "reordered_rows", "seed": 4})
    reordered = await names(oa, pageSize="8")
    assert reordered != whole
    assert sorted(reordered) == sorted(whole)
    await rules(oa, {"endpoint": "getAll*List", "fault": "late_rows", "seconds": 3600})
    assert await names(oa, pageSize="8") == []
    count = await oa.call("getAllWorkflowRequestCount", "900")
    await rules(oa, {"endpoint": "getAll*Count", "fault": "wrong_count", "by": -2})
    assert await oa.call("getAllWorkflowRequestCount", "900") == count - 2
    assert await oa.call("getAllWorkflowRequestCount", "900") == count


async def test_log_rows_doubled_reordered_late(oa: Oa) -> None:
    request_id = await oa.at_posting()
    await oa.call("submitRequest", "900", requestId=request_id)
    true = operations(await oa.detail(request_id))
    await rules(oa, {"endpoint": "getWorkflowRequest", "fault": "doubled_log_rows", "seed": 3})
    doubled = (await oa.detail(request_id))["workflowRequestLogs"]
    assert (len(doubled), len({row["id"] for row in doubled})) == (6, 3)
    await rules(oa, {"endpoint": "getWorkflowRequest", "fault": "reordered_log_rows", "seed": 5})
    shown = [int(row["id"]) for row in (await oa.detail(request_id))["workflowRequestLogs"]]
    assert shown != sorted(shown, reverse=True)
    await rules(oa, {"endpoint": "getWorkflowRequest", "fault": "late_log_rows"})
    assert operations(await oa.detail(request_id)) == true[:2]
    await rules(oa, {"endpoint": "getRequestLog", "fault": "late_log_rows", "rows": 2})
    assert len((await oa.call("getRequestLog", "900", requestId=request_id))["data"]) == 1
    assert operations(await oa.detail(request_id)) == true


async def test_fields_that_change_under_the_mapping(oa: Oa) -> None:
    request_id = await oa.create(bzje="100.00")

    async def shown(fault: str, **more: object) -> dict[str, str]:
        await rules(oa, {"endpoint": "getWorkflowRequest", "fault": fault, **more})
        return main_values(await oa.detail(request_id))

    true = main_values(await oa.detail(request_id))
    renamed = await shown("field_renamed", field="bzje", to="bzje1")
    assert ("bzje" in renamed, renamed["bzje1"]) == (False, "100.00")
    assert await shown("field_added", field="xzl") == true | {"xzl": "新"}
    assert (await shown("field_retyped", field="bzje"))["bzje"] == "¥100.00"
    assert "bzje" not in await shown("field_missing", field="bzje")
    assert main_values(await oa.detail(request_id)) == true


async def test_flow_on_that_fails_deletes_the_request(oa: Oa) -> None:
    before = await oa.call("getMyWorkflowRequestCount", "44")
    await rules(oa, {"endpoint": "doCreateRequest", "fault": "flow_on_failed", "count": 2})
    form = {"workflowId": "101", "requestName": "x"}
    reply = await oa.call("doCreateRequest", "44", **form)
    assert (reply["code"], reply["data"]["requestid"]) == ("FAIL", 0)
    assert await oa.call("getMyWorkflowRequestCount", "44") == before
    assert [entry["kind"] for entry in await journal(oa.server)][-2:] == ["create", "delete"]
    kept = await oa.call("doCreateRequest", "44", **form, otherParams={"delReqFlowFaild": 0})
    assert kept["code"] == "FAIL"
    data = await oa.detail(str(kept["data"]["requestid"]))
    assert data["currentNodeName"] == "起草"


async def test_slow_answers_and_cut_bodies(oa: Oa) -> None:
    request_id = await oa.create()
    await rules(oa, {"endpoint": "getWorkflowRequest", "fault": "slow_drip", "bytes": 2000, "seconds": 0.05})
    started = time.monotonic()
    assert (await oa.detail(request_id))["requestId"] == request_id
    assert time.monotonic() - started > 0.2
    await rules(oa, {"endpoint": "getRequestStatus", "fault": "delay", "seconds": 0.3})
    started = time.monotonic()
    assert (await oa.call("getRequestStatus", "900", requestId=request_id))["code"] == "SUCCESS"
    assert time.monotonic() - started > 0.3
    await rules(oa, {"endpoint": "getWorkflowRequest", "fault": "truncate"})
    with pytest.raises(aiohttp.ClientPayloadError):
        await oa.detail(request_id)


async def test_probability_is_seeded_and_the_first_rule_that_fires_decides(oa: Oa) -> None:
    async def pattern() -> str:
        await control(oa.server, "DELETE", "/faults")
        await rules(
            oa, {"endpoint": "getAll*Count", "fault": "error_body", "body": [1], "probability": 0.3, "seed": 11}
        )
        return "".join(["x" if await oa.call("getAllWorkflowRequestCount", "900") == [1] else "." for _ in range(60)])

    first = await pattern()
    assert first == await pattern()
    assert 5 < first.count("x") < 35
    [rule] = await control(oa.server, "GET", "/faults")
    assert (rule["shown"], rule["count"], rule["probability"]) == (first.count("x"), None, 0.3)
    await control(oa.server, "DELETE", "/faults")
    await rules(oa, {"kind": "error_body", "body": "a"}, {"kind": "error_body", "body": "b"})
    assert [await oa.call("getAllWorkflowRequestCount", "900") for _ in range(2)] == ["a", "b"]
    stats = await control(oa.server, "GET", "/stats")
    assert stats["faults"]["error_body"] >= 2


async def test_a_rule_that_nobody_understands(oa: Oa) -> None:
    for wrong in ({"fault": "nonsense"}, {"endpoint": "*"}, {"fault": "reset", "count": "x"}):
        assert "error" in await control(oa.server, "POST", "/faults", [wrong], status=400)
    assert await control(oa.server, "GET", "/faults") == []
