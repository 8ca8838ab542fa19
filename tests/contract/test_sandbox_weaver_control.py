"""The OA stand-in's control port: imposed states, workflows made up, journal, stats; and that a kill loses nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.sandbox_wire_kit import (
    LINES,
    ROOT,
    Oa,
    Server,
    control,
    detail_rows,
    fields,
    journal,
    main_values,
    operations,
    session,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server("sandbox.weaver", tmp_path / "oa")
    running.start()
    yield running
    assert running.stop() == 0


def log_row(node: str, operation: str, operator: str, **more: str) -> dict[str, str]:
    return {
        "node": node,
        "operate_type": operation,
        "operator": operator,
        "date": "2017-03-04",
        "time": "05:06:07",
    } | more


async def impose(server: Server, *items: dict[str, Any]) -> list[str]:
    ids: list[str] = (await control(server, "POST", "/impose", {"items": list(items)}))["request_ids"]
    return ids


async def test_an_imposed_request_is_like_any_other(server: Server) -> None:
    await control(server, "POST", "/clock", {"now": "2026-11-22T09:00:00"})
    item = {
        "key": "case-1",
        "workflow_id": "102",
        "request_name": "declaration 1",
        "creator": "7",
        "main": {"bzje": "26.8512", "djbh": None},
        "details": {LINES: [{"fylx": "TRAVEL", "hdje": "26.85"}, {"fylx": "OFFICE"}]},
        "node": "财务过账",
        "log": [log_row("起草", "提交", "7", id="77"), log_row("审批", "批准", "500")],
    }
    [request_id] = await impose(server, item)
    async with session() as http:
        oa = await Oa(server, http).ready()
        data = await oa.detail(request_id)
        assert main_values(data)["bzje"] == "26.8512"
        assert main_values(data)["djbh"] == ""
        assert operations(data) == [("起草", "提交", "7"), ("审批", "批准", "500")]
        assert [row["id"] for row in data["workflowRequestLogs"]] == ["78", "77"]
        assert {row["operateDate"] for row in data["workflowRequestLogs"]} == {"2017-03-04"}
        assert data["lastOperateTime"] == "2026-11-22 09:00:00"
        saved = await oa.call(
            "submitRequest", "900", requestId=request_id, mainData=fields(pzh="记-1"), otherParams={"src": "save"}
        )
        assert saved["code"] == "SUCCESS"
        assert (await oa.call("submitRequest", "900", requestId=request_id))["code"] == "SUCCESS"


async def test_imposing_again_merges_fields_keeps_rows_and_appends_log(server: Server) -> None:
    first = {
        "key": "k",
        "workflow_id": "101",
        "creator": "7",
        "main": {"bzje": "1", "sy": "a"},
        "details": {LINES: [{"hdje": "1"}, {"hdje": "2"}]},
        "log": [log_row("起草", "提交", "7", id="5")],
    }
    [request_id] = await impose(server, first)
    again = {
        "key": "k",
        "main": {"bzje": "2"},
        "details": {LINES: [{"hdje": "3"}, {"hdje": "4"}, {"hdje": "5"}]},
        "log": [log_row("起草", "提交", "7", id="5"), log_row("审批", "退回", "500", id="6")],
        "node": "起草",
    }
    before, after = (await journal(server))[-1], None
    assert await impose(server, again) == [request_id]
    after = (await journal(server))[-1]
    assert (after["main"]["bzje"], after["main"]["sy"]) == ("2", "a")
    rows = after["details"][LINES]
    assert [row["hdje"] for row in rows] == ["3", "4", "5"]
    assert [row["id"] for row in rows[:2]] == [row["id"] for row in before["details"][LINES]]
    assert [row["id"] for row in after["log"]] == ["6"]
    assert (after["kind"], after["node"], after["node_type"], after["actor"]) == ("impose", "起草", 0, "")
    [same] = await impose(server, {"request_id": request_id, "request_name": "by id"})
    assert same == request_id


async def test_states_that_no_form_allows(server: Server) -> None:
    strange = [
        log_row("付款", "批准", "nobody"),
        log_row("财务 FINAL", "APPROVED", "7"),
        log_row("归档", "撤回", "7"),
        log_row("起草", "保存", "7"),
    ]
    [request_id] = await impose(
        server,
        {"key": "x", "workflow_id": "101", "creator": "emp-12", "node": "复核 9", "operators": ["900"], "log": strange},
    )
    async with session() as http:
        oa = await Oa(server, http).ready()
        data = await oa.detail(request_id)
        assert [(node, op) for node, op, _ in operations(data)] == [(r["node"], r["operate_type"]) for r in strange]
        assert data["currentNodeName"] == "复核 9"
        status = (await oa.call("getRequestStatus", "900", requestId=request_id))["data"]
        assert (status["currentNodeType"], status["isremark"]) == ("1", 0)
        assert len(await oa.rows("ToDo")) == 1
        await impose(server, {"key": "x", "deleted": True})
        assert await oa.rows("ToDo") == []
        await impose(server, {"key": "x"})
        assert len(await oa.rows("ToDo")) == 1


async def test_a_workflow_that_an_imposed_request_makes_up(server: Server) -> None:
    item = {"key": "n", "workflow_id": "555", "creator": "7", "main": {"amount": "1.10", "pzh": ""}, "node": "财务过账"}
    [request_id] = await impose(server, item)
    await impose(
        server, {"key": "n", "main": {"budget": "B1"}, "details": {"formtable_main_555_dt1": [{"je": "1.10"}]}}
    )
    server.kill()
    server.start()
    async with session() as http:
        oa = await Oa(server, http).ready()
        data = await oa.detail(request_id)
        assert main_values(data) == {"amount": "1.10", "pzh": "", "budget": "B1"}
        assert detail_rows(data, "formtable_main_555_dt1")[0]["je"] == "1.10"
        back = {"requestId": request_id, "otherParams": {"src": "save"}}
        assert (await oa.call("submitRequest", "900", mainData=fields(pzh="记-9"), **back))["code"] == "SUCCESS"
        assert (await oa.call("submitRequest", "900", mainData=fields(nope="x"), **back))["code"] == "PARAM_ERROR"


async def test_a_workflow_defined_beforehand(server: Server) -> None:
    nodes = [
        {"id": "11", "name": "填写", "type": 0, "operator": "creator"},
        {"id": "12", "name": "终", "type": 3, "operator": ""},
    ]
    spec = {
        "id": "201",
        "name": "付款申请单",
        "main": ["a", ["b", "乙", "integer"]],
        "details": {"dt": ["c"]},
        "nodes": nodes,
    }
    assert (await control(server, "POST", "/workflows", spec))["main_table"] == "formtable_main_201"
    assert await control(server, "GET", "/workflows") == ["101", "102", "201"]
    for wrong in (
        {"id": "x"},
        {"id": "1", "main": [3]},
        {"id": "1", "nodes": nodes[:1]},
        {"id": "1", "nodes": [{"id": "a", "type": 0}]},
    ):
        assert "error" in await control(server, "POST", "/workflows", wrong, status=400)
    assert "error" in await control(
        server, "POST", "/impose", {"items": [{"key": "q", "workflow_id": "201", "main": {"zzz": "1"}}]}, status=400
    )
    async with session() as http:
        oa = await Oa(server, http).ready()
        made = await oa.call("doCreateRequest", "7", workflowId="201", requestName="x", mainData=fields(a="1", b="2"))
        data = await oa.detail(str(made["data"]["requestid"]))
        assert (data["currentNodeName"], main_values(data)) == ("终", {"a": "1", "b": "2"})


async def test_an_item_that_makes_no_sense_undoes_the_whole_call(server: Server) -> None:
    good = {"key": "g", "workflow_id": "101", "creator": "7"}
    for bad in (
        {"key": "b"},
        {"key": "b", "workflow_id": "x"},
        {"key": "b", "workflow_id": "101", "main": {"unheard": "1"}},
        {"key": "b", "workflow_id": "101", "details": {LINES: [{"unheard": "1"}]}},
        {"key": "b", "workflow_id": "101", "details": {LINES: {"hdje": "1"}}},
        {"key": "b", "workflow_id": "101", "log": [{"node": "起草"}]},
        {"key": "b", "workflow_id": "101", "node": "y", "node_type": "z"},
    ):
        assert "error" in await control(server, "POST", "/impose", {"items": [good, bad]}, status=400), bad
    assert await journal(server) == []
    assert (await control(server, "GET", "/stats"))["requests"] == 0


async def test_ten_thousand_items_take_seconds(server: Server) -> None:
    items = [
        {
            "key": f"k{n}",
            "workflow_id": "101",
            "creator": str(n % 99 + 1),
            "main": {"djbh": f"B{n}", "bzje": "1.00"},
            "details": {LINES: [{"fylx": "TRAVEL", "hdje": "1.00"}]},
            "node": "财务过账",
            "log": [log_row("审批", "批准", "500")],
        }
        for n in range(10_000)
    ]
    started = time.monotonic()
    ids = await impose(server, *items)
    assert time.monotonic() - started < 15
    assert len(set(ids)) == 10_000
    tail = await journal(server, after=9_990)
    assert [entry["seq"] for entry in tail] == list(range(9_991, 10_001))
    limited = await control(server, "GET", "/journal?after=5&limit=3")
    assert [entry["seq"] for entry in limited] == [6, 7, 8]


async def test_the_journal_tells_each_change_as_documented(server: Server) -> None:
    await control(server, "POST", "/clock", {"now": "2026-11-22T10:00:00"})
    async with session() as http:
        oa = await Oa(server, http).ready()
        request_id = await oa.create("7", djbh="BX1")
    [entry] = await journal(server)
    assert list(entry) == [
        *("seq", "at", "oa_time", "kind", "request_id", "workflow_id", "actor", "integration", "node", "node_type"),
        *("log", "main", "details"),
    ]
    assert (entry["seq"], entry["request_id"], entry["workflow_id"], entry["actor"]) == (1, request_id, "101", "7")
    assert (entry["kind"], entry["integration"], entry["node"], entry["node_type"]) == ("create", False, "审批", 1)
    assert entry["oa_time"] == "2026-11-22 10:00:00"
    assert entry["log"] == [
        {"id": "1", "node": "起草", "operate_type": "提交", "operator": "7", "date": "2026-11-22", "time": "10:00:00"}
    ]
    assert entry["main"]["djbh"] == "BX1"
    assert len(entry["main"]) == 14
    assert entry["details"][LINES][0]["hdje"] == "60.00"
    at = datetime.fromisoformat(entry["at"])
    assert at.utcoffset() is not None
    assert entry["at"].endswith("+08:00")
    assert abs(at.timestamp() - time.time()) < 60


async def test_refused_and_read_calls_leave_no_entry(server: Server) -> None:
    async with session() as http:
        oa = await Oa(server, http).ready()
        request_id = await oa.create()
        await oa.call("submitRequest", "8", requestId=request_id)
        await oa.call("rejectRequest", "900", requestId=request_id)
        await oa.rows()
        await oa.detail(request_id)
    assert len(await journal(server)) == 1


async def test_stats_count_calls(server: Server) -> None:
    async with session() as http:
        oa = await Oa(server, http).ready()
        await control(server, "DELETE", "/stats")
        await asyncio.gather(*[oa.call("getAllWorkflowRequestCount", "900") for _ in range(20)])
    stats = await control(server, "GET", "/stats")
    assert stats["calls"] == {"getAllWorkflowRequestCount": 20}
    assert stats["total"] == stats["statuses"]["200"] == 20
    assert 1 <= stats["max_per_second"] <= 20
    assert 1 <= stats["max_in_flight"] <= 20
    assert (stats["requests"], stats["journal_seq"]) == (0, 0)


async def test_options_are_checked_and_kept(server: Server) -> None:
    for wrong in ({"nope": 1}, {"repeat": "3"}, {"jsessionid_trap": 1}, {"repeat": 2, "nope": 1}):
        assert "error" in await control(server, "POST", "/options", wrong, status=400)
    assert (await control(server, "GET", "/options"))["repeat"] == 1
    await control(server, "POST", "/options", {"repeat": 2, "list_lag_seconds": 1})
    await control(server, "POST", "/clock", {"now": "2030-01-02T03:04:05"})
    server.kill()
    server.start()
    assert (await control(server, "GET", "/options"))["repeat"] == 2
    assert (await control(server, "GET", "/clock"))["now"] == "2030-01-02T03:04:05"
    assert "error" in await control(server, "GET", "/nowhere", status=404)


async def test_nothing_answered_is_lost_by_a_kill(server: Server) -> None:
    """Writers run until the server dies in the middle; whatever was answered SUCCESS stands after the restart."""
    answered: dict[str, str] = {}
    async with session() as http:
        oa = await Oa(server, http).ready()
        token, ids = oa.token, [await oa.at_posting(str(n + 1)) for n in range(8)]
        enough = asyncio.Event()

        async def write(request_id: str) -> None:
            for n in range(100_000):
                value = f"{request_id}-{n}"
                reply = await oa.call(
                    "submitRequest",
                    "900",
                    requestId=request_id,
                    mainData=fields(pzh=value),
                    otherParams={"src": "save"},
                )
                assert reply["code"] == "SUCCESS"
                answered[request_id] = value
                if n == 40:
                    enough.set()

        writers = [asyncio.create_task(write(request_id)) for request_id in ids]
        await enough.wait()
        await asyncio.to_thread(server.kill)
        ends = await asyncio.gather(*writers, return_exceptions=True)
        assert all(isinstance(end, aiohttp.ClientError) for end in ends), ends
    await asyncio.to_thread(server.start)
    entries = await journal(server)
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) > 8 * 2 + 40
    async with session() as http:
        oa = await Oa(server, http).ready()
        oa.token = token  # the token from before the kill still counts
        for request_id, value in answered.items():
            shown = main_values(await oa.detail(request_id))["pzh"]
            assert int(shown.rpartition("-")[2]) - int(value.rpartition("-")[2]) in {0, 1}  # at most the unanswered one
            last = [entry for entry in entries if entry["request_id"] == request_id][-1]
            assert last["main"]["pzh"] == shown
        fresh = await oa.create()
        assert int(fresh) > max(map(int, ids))
        new = (await journal(server))[-1]
        assert new["seq"] == len(entries) + 1
        assert int(new["log"][0]["id"]) > max(int(row["id"]) for entry in entries for row in entry["log"])


async def test_a_stop_right_after_the_ready_line_is_clean(server: Server) -> None:
    for _ in range(3):
        assert server.stop() == 0
        server.start()
    assert await journal(server) == []


async def test_two_servers_never_share_a_folder(server: Server) -> None:
    command = [sys.executable, "-m", "sandbox.weaver", "--data", str(server.data)]
    second = await asyncio.to_thread(
        lambda: subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False, text=True)
    )
    assert second.returncode != 0
    assert "in use" in second.stderr
