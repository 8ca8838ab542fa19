"""Lists and counts of the OA stand-in: bare JSON, whole days, offset pages over a live set, repeats, virtual clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.contract.sandbox_wire_kit import Oa, Server, control, fields, on_days, operations, session


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server("sandbox.weaver", tmp_path)
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
async def oa(server: Server) -> AsyncIterator[Oa]:
    async with session() as http:
        yield await Oa(server, http).ready()


async def clock(oa: Oa, now: str) -> None:
    await control(oa.server, "POST", "/clock", {"now": now})


async def impose(oa: Oa, *items: dict[str, object]) -> list[str]:
    reply = await control(oa.server, "POST", "/impose", {"items": list(items)})
    ids: list[str] = reply["request_ids"]
    return ids


def claims(count: int, **more: object) -> list[dict[str, object]]:
    return [
        {"key": f"k{n}", "workflow_id": "101", "request_name": f"R{n}", "creator": "7"} | more for n in range(count)
    ]


def ids_of(rows: list[dict[str, str]]) -> list[str]:
    return [row["requestId"] for row in rows]


async def test_lists_are_arrays_of_text_and_counts_are_integers(oa: Oa) -> None:
    await clock(oa, "2026-11-22T09:00:00")
    request_id = await oa.create("7", djbh="BX1")
    [row] = await oa.rows()
    assert row["requestId"] == request_id
    assert {k for k, v in row.items() if not isinstance(v, str)} == {"workflowBaseInfo"}
    assert row["lastOperateTime"] == row["receiveTime"] == "2026-11-22 09:00:00"
    assert (row["currentNodeId"], row["currentnodetype"], row["status"]) == ("2", "1", "审批")
    assert row["workflowBaseInfo"]["formId"] == "-11"
    assert await oa.call("getAllWorkflowRequestCount", "900") == 1
    assert await oa.call("getAllWorkflowRequestCount", "8") == 0


async def test_lists_are_scoped_to_the_caller(oa: Oa) -> None:
    mine = await oa.create("7")
    passed = await oa.at_posting("8")
    seen = {
        (scope, user): set(ids_of(await oa.rows(scope, user)))
        for scope in ("All", "ToDo", "My", "Handled", "Processed")
        for user in ("7", "8", "500", "900")
    }
    assert seen["All", "900"] == {mine, passed}
    assert seen["All", "7"] == seen["My", "7"] == {mine}
    assert seen["All", "500"] == {mine, passed}
    assert (seen["ToDo", "500"], seen["Handled", "500"]) == ({mine}, {passed})
    assert (seen["ToDo", "900"], seen["Processed", "900"]) == ({passed}, set())
    for user in ("900", "600"):
        await oa.call("submitRequest", user, requestId=passed)
    assert ids_of(await oa.rows("Processed", "900")) == [passed]
    assert ids_of(await oa.rows("Processed", "8")) == [passed]
    assert ids_of(await oa.rows("Handled", "500")) == []
    [row] = await oa.rows("Processed", "8")
    assert (row["isremark"], row["currentnodetype"]) == ("4", "3")


async def test_filters_know_whole_days_only(oa: Oa) -> None:
    for day in (20, 21, 22):
        await clock(oa, f"2026-11-{day}T23:59:59")
        await impose(oa, {"key": f"d{day}", "workflow_id": "101" if day < 22 else "102", "creator": "7"})
    assert [row["lastOperateTime"][8:10] for row in await oa.rows(conditions=on_days("2026-11-21", "2026-11-22"))] == [
        "22",
        "21",
    ]
    assert len(await oa.rows(conditions=on_days("2026-11-20", "2026-11-20"))) == 1
    assert len(await oa.rows(conditions=on_days("2026-11-20", "2026-11-22", workflowIds="102"))) == 1
    assert len(await oa.rows(conditions=on_days("2026-11-20", "2026-11-22", workflowIds="101,102"))) == 3
    for select, expected in (("0", 3), ("1", 1), ("2", 3), ("3", 3), ("5", 3), ("7", 0), ("8", 0)):
        assert await oa.call("getAllWorkflowRequestCount", "900", conditions={"operatedateselect": select}) == expected
    await clock(oa, "2026-12-01T08:00:00")
    assert await oa.call("getAllWorkflowRequestCount", "900", conditions={"createdateselect": "7"}) == 3


async def test_other_conditions(oa: Oa) -> None:
    await oa.create("7", djbh="BX-1")
    archived = await oa.at_posting("8", djbh="BX-2")
    await oa.call("doForceOver", "999", requestId=archived, otherParams={"ismonitor": "1"})
    for condition, expected in (
        ({"requestname": "BX-2"}, 1),
        ({"wfcode": "BX-"}, 2),
        ({"archivestatus": "1"}, 1),
        ({"archivestatus": "2"}, 1),
        ({"nodetype": "3"}, 1),
        ({"hrmcreaterid": "7"}, 1),
        ({"workcode": "E0008"}, 1),
        ({"requestlevel": "2"}, 0),
        ({"unheardof": "1"}, 2),
    ):
        assert await oa.call("getAllWorkflowRequestCount", "900", conditions=condition) == expected, condition


async def test_pages_are_offsets_into_a_live_list(oa: Oa) -> None:
    for n, item in enumerate(claims(6)):
        await clock(oa, f"2026-11-22T09:00:0{n}")
        await impose(oa, item)
    page = [await oa.rows(pageNo=str(n), pageSize="2") for n in (1, 2, 3, 4)]
    names = [[row["requestName"] for row in rows] for rows in page]
    assert names == [["R5", "R4"], ["R3", "R2"], ["R1", "R0"], []]
    await clock(oa, "2026-11-22T09:01:00")
    await impose(oa, *claims(1))  # the oldest moves to the head: everything shifts by one
    assert [row["requestName"] for row in await oa.rows(pageNo="2", pageSize="2")] == ["R4", "R3"]
    assert len(await oa.call("getAllWorkflowRequestList", "900")) == 6


async def test_a_row_shows_what_was_changed_last(oa: Oa) -> None:
    await clock(oa, "2026-11-22T09:00:00")
    request_id = await oa.at_posting("7", djbh="BX1")
    assert [row["lastOperateTime"] for row in await oa.rows()] == ["2026-11-22 09:00:00"]
    await clock(oa, "2026-11-22T09:00:01")
    save = {"otherParams": {"src": "save"}}
    await oa.call("submitRequest", "900", requestId=request_id, mainData=fields(djbh="BX2"), **save)
    [row] = await oa.rows()
    assert (row["lastOperateTime"], row["lastOperatorId"], row["requestmark"]) == ("2026-11-22 09:00:01", "900", "BX2")


async def test_repeat_shows_everything_n_times_and_late_again(oa: Oa) -> None:
    await clock(oa, "2026-11-20T09:00:00")
    log = [
        {"node": "起草", "operate_type": "提交", "operator": "7", "date": "2026-11-20", "time": f"08:00:0{n}"}
        for n in range(5)
    ]
    early = await impose(oa, *claims(40, log=log))
    await clock(oa, "2026-11-21T09:00:00")
    [today] = await impose(oa, {"key": "new", "workflow_id": "101", "creator": "7"})
    await control(oa.server, "POST", "/options", {"repeat": 3, "seed": 5})
    rows = await oa.rows(conditions=on_days("2026-11-21", "2026-11-21"))
    counts = Counter(ids_of(rows))
    assert counts.pop(today) == 3
    assert 0 < len(counts) < 40
    assert set(counts) < set(early)
    assert {row["lastOperateTime"] for row in rows} == {"2026-11-20 09:00:00", "2026-11-21 09:00:00"}
    all_rows = ids_of(await oa.rows(conditions=on_days("2026-11-20", "2026-11-21")))
    assert set(Counter(all_rows).values()) == {3}
    assert all_rows != sorted(all_rows, key=int, reverse=True)
    data = await oa.detail(early[0])
    log_ids = [row["id"] for row in data["workflowRequestLogs"]]
    assert set(Counter(log_ids).values()) == {3}
    assert len(set(log_ids)) == 5
    assert log_ids != sorted(log_ids, key=int, reverse=True)
    assert len({(row["id"], row["operateTime"]) for row in data["workflowRequestLogs"]}) == 5
    await control(oa.server, "POST", "/options", {"repeat": 1})
    assert len(await oa.rows(conditions=on_days("2026-11-21", "2026-11-21"))) == 1
    assert len(operations(await oa.detail(early[0]))) == 5


async def test_shuffled_log_rows_keep_their_content(oa: Oa) -> None:
    log = [
        {
            "id": str(500 + n),
            "node": "审批",
            "operate_type": "批准",
            "operator": "500",
            "date": "2026-11-20",
            "time": "08:00:00",
        }
        for n in range(8)
    ]
    [request_id] = await impose(oa, {"key": "s", "workflow_id": "101", "creator": "7", "log": log})
    await control(oa.server, "POST", "/options", {"shuffle_log_rows": True})
    shown = [row["id"] for row in (await oa.detail(request_id))["workflowRequestLogs"]]
    assert shown != sorted(shown, reverse=True)
    assert sorted(shown) == [str(500 + n) for n in range(8)]


async def test_a_lagging_index(oa: Oa) -> None:
    request_id = await oa.create()
    await control(oa.server, "POST", "/options", {"list_lag_seconds": 3600})
    assert await oa.rows() == []
    assert await oa.call("getAllWorkflowRequestCount", "900") == 0
    assert (await oa.detail(request_id))["currentNodeName"] == "审批"
    await control(oa.server, "POST", "/options", {"list_lag_seconds": 0})
    assert len(await oa.rows()) == 1


async def test_the_clock_stands_runs_and_shows_in_every_answer(oa: Oa) -> None:
    async def shown() -> datetime:
        _, headers, _ = await oa.raw("getAllWorkflowRequestCount", "900", {})
        return parsedate_to_datetime(headers["Date"])

    await clock(oa, "2031-03-01T00:30:00")
    assert await shown() == datetime(2031, 2, 28, 16, 30, tzinfo=UTC)
    request_id = await oa.create()
    data = await oa.detail(request_id)
    assert (data["createTime"], data["workflowRequestLogs"][0]["operateDate"]) == ("2031-03-01 00:30:00", "2031-03-01")
    assert await shown() == datetime(2031, 2, 28, 16, 30, tzinfo=UTC)
    await control(oa.server, "POST", "/options", {"date_skew_seconds": -90})
    assert await shown() == datetime(2031, 2, 28, 16, 28, 30, tzinfo=UTC)
    await control(oa.server, "POST", "/options", {"date_skew_seconds": 0})
    await control(oa.server, "POST", "/faults", [{"endpoint": "*", "fault": "http_503"}])
    status, headers, _ = await oa.raw("getAllWorkflowRequestCount", "900", {})
    assert (status, headers["Date"]) == (503, "Fri, 28 Feb 2031 16:30:00 GMT")
    started = (await control(oa.server, "POST", "/clock", {"now": "2031-03-01T00:30:00", "running": True}))["now"]
    assert timedelta() <= datetime.fromisoformat(started) - datetime(2031, 3, 1, 0, 30) < timedelta(seconds=5)  # noqa: DTZ001  # OA-local
    await control(oa.server, "POST", "/clock", {"now": None})
    assert abs(await shown() - datetime.now(UTC)) < timedelta(seconds=5)
    assert "error" in await control(oa.server, "POST", "/clock", {"now": "2031-03-01T00:30:00Z"}, status=400)
