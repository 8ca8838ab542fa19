"""The OA stand-in's workflow: create, submit, save, reject, withdraw, force over, delete, and what a request shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contract.sandbox_wire_kit import (
    LINES,
    PAYEES,
    Oa,
    Server,
    control,
    detail_rows,
    fields,
    journal,
    main_values,
    operations,
    session,
    table,
)

NOW = "2026-11-22T09:30:00"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server("sandbox.weaver", Path(tmp_path_factory.mktemp("oa")))
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
async def oa(server: Server) -> AsyncIterator[Oa]:
    await control(server, "POST", "/clock", {"now": NOW})
    async with session() as http:
        yield await Oa(server, http).ready()


async def code(oa: Oa, name: str, user: str, request_id: str, **params: object) -> str:
    return str((await oa.call(name, user, requestId=request_id, **params))["code"])


async def test_the_whole_way_of_a_claim(oa: Oa) -> None:
    request_id = await oa.create("7", djbh="BX1")
    assert await code(oa, "submitRequest", "500", request_id, remark="同意") == "SUCCESS"
    assert await code(oa, "submitRequest", "900", request_id) == "SUCCESS"
    assert await code(oa, "submitRequest", "600", request_id) == "SUCCESS"
    data = await oa.detail(request_id)
    assert operations(data) == [
        ("起草", "提交", "7"),
        ("审批", "批准", "500"),
        ("财务过账", "提交", "900"),
        ("付款", "批准", "600"),
    ]
    assert (data["currentNodeName"], data["currentNodeType"]) == ("归档", "3")
    ids = [int(row["id"]) for row in data["workflowRequestLogs"]]
    assert ids == sorted(ids, reverse=True)
    assert {(row["operateDate"], row["operateTime"]) for row in data["workflowRequestLogs"]} == {
        ("2026-11-22", "09:30:00")
    }
    assert [row["remark"] for row in data["workflowRequestLogs"]] == ["", "", "同意", ""]
    kinds = [entry["kind"] for entry in await journal(oa.server) if entry["request_id"] == request_id]
    assert kinds == ["create", "approve", "submit", "pay"]


async def test_create_is_not_idempotent(oa: Oa) -> None:
    first, second = await oa.create(djbh="BX2"), await oa.create(djbh="BX2")
    assert first != second


async def test_a_draft_stays_with_its_creator(oa: Oa) -> None:
    reply = await oa.call(
        "doCreateRequest", "7", workflowId="102", requestName="草稿", otherParams={"isnextflow": 0, "isnextflow ": 1}
    )
    request_id = str(reply["data"]["requestid"])
    assert operations(await oa.detail(request_id, "7")) == [("起草", "保存", "7")]
    saved = await code(oa, "submitRequest", "7", request_id, mainData=fields(sy="改"), otherParams={"src": "save"})
    assert saved == "SUCCESS"
    assert [op for _, op, _ in operations(await oa.detail(request_id))] == ["保存", "保存"]
    assert await code(oa, "submitRequest", "7", request_id) == "SUCCESS"
    data = await oa.detail(request_id)
    assert data["currentNodeName"] == "审批"
    assert data["workflowBaseInfo"]["workflowId"] == "102"


async def test_amounts_keep_their_digits_and_rows_their_ids(oa: Oa) -> None:
    request_id = await oa.create("7", bzje="100.5000000000000001")
    main = json.dumps(fields(hdje=0)).replace(": 0}", ": 1234567890123456.10}")
    data = await oa.detail(request_id)
    rows = detail_rows(data, LINES)
    assert [row["hdje"] for row in rows] == ["60.00", "40.00"]
    change = [table(LINES, {"hdje": "59.90"}, order=rows[0]["_row"]), table(PAYEES, {"skr": "S0001", "zfje": "1"})]
    save = {"src": "save"}
    assert await code(oa, "submitRequest", "500", request_id, mainData=main, detailData=change, otherParams=save) == (
        "SUCCESS"
    )
    data = await oa.detail(request_id)
    assert main_values(data)["bzje"] == "100.5000000000000001"
    assert main_values(data)["hdje"] == "1234567890123456.10"
    assert [(row["_row"], row["hdje"]) for row in detail_rows(data, LINES)] == [
        (rows[0]["_row"], "59.90"),
        (rows[1]["_row"], "40.00"),
    ]
    assert [row["skr"] for row in detail_rows(data, PAYEES)] == ["E0007", "S0001"]


async def test_rows_are_deleted_on_submit_only(oa: Oa) -> None:
    request_id = await oa.create()
    first, second = detail_rows(await oa.detail(request_id), LINES)
    gone = [table(LINES, deleteKeys=first["_row"]), table(PAYEES, deleteAll="1")]
    await oa.call("submitRequest", "500", requestId=request_id, detailData=gone, otherParams={"src": "save"})
    data = await oa.detail(request_id)
    assert len(detail_rows(data, LINES)) == 2
    assert len(detail_rows(data, PAYEES)) == 1
    await oa.call("submitRequest", "500", requestId=request_id, detailData=gone)
    data = await oa.detail(request_id)
    assert [row["_row"] for row in detail_rows(data, LINES)] == [second["_row"]]
    assert detail_rows(data, PAYEES) == []


async def test_our_save_writes_no_log_row_but_moves_the_time(oa: Oa) -> None:
    request_id = await oa.at_posting()
    before = await oa.detail(request_id)
    await control(oa.server, "POST", "/clock", {"now": "2026-11-22T09:45:00"})
    back = fields(pzh="记-2026-000001", gzrq="2026-11-22", jzxx="ok")
    assert await code(oa, "submitRequest", "900", request_id, mainData=back, otherParams={"src": "save"}) == "SUCCESS"
    after = await oa.detail(request_id)
    assert after["workflowRequestLogs"] == before["workflowRequestLogs"]
    assert (before["lastOperateTime"], after["lastOperateTime"]) == ("2026-11-22 09:30:00", "2026-11-22 09:45:00")
    assert after["currentNodeName"] == "财务过账"
    assert main_values(after)["pzh"] == "记-2026-000001"
    entry = (await journal(oa.server))[-1]
    assert (entry["kind"], entry["actor"], entry["integration"]) == ("save", "900", True)
    assert entry["main"]["jzxx"] == "ok"
    assert entry["log"] == []


@pytest.mark.parametrize("user", ["7", "500", "600", "8"])
async def test_only_the_current_operator_submits(oa: Oa, user: str) -> None:
    request_id = await oa.at_posting()
    for other in ({"src": "save"}, {}):
        reply = await oa.call("submitRequest", user, requestId=request_id, mainData=fields(pzh="x"), otherParams=other)
        assert reply["code"] == "NO_PERMISSION"
        assert reply["reqFailMsg"]["msgType"] == "NO_REQUEST_SUBMIT_PERMISSION"
        assert reply["errMsg"]["isremark"] == (2 if user in {"7", "500"} else -1)
    assert main_values(await oa.detail(request_id))["pzh"] == ""


async def test_nothing_can_be_saved_in_the_archive(oa: Oa) -> None:
    request_id = await oa.at_posting()
    forced = {"otherParams": {"ismonitor": "1"}}
    assert await code(oa, "doForceOver", "7", request_id, **forced) == "NO_PERMISSION"
    assert await code(oa, "doForceOver", "999", request_id) == "NO_PERMISSION"
    assert await code(oa, "doForceOver", "999", "0", **forced) == "PARAM_ERROR"
    assert await code(oa, "doForceOver", "999", request_id, **forced) == "SUCCESS"
    assert await code(oa, "doForceOver", "999", request_id, **forced) == "NO_PERMISSION"
    assert await code(
        oa, "submitRequest", "900", request_id, mainData=fields(pzh="x"), otherParams={"src": "save"}
    ) == ("NO_PERMISSION")
    data = await oa.detail(request_id)
    assert operations(data)[-1] == ("财务过账", "强制归档", "999")
    assert data["currentNodeType"] == "3"


async def test_reject_only_at_an_approval_node(oa: Oa) -> None:
    request_id = await oa.at_posting()
    reply = await oa.call("rejectRequest", "900", requestId=request_id, remark="no")
    assert reply["code"] == "NO_PERMISSION"
    assert reply["errMsg"] == {"isremark": 0, "takisremark": 0, "nodeType": 2}
    await oa.call("submitRequest", "900", requestId=request_id)
    assert await code(oa, "rejectRequest", "500", request_id) == "NO_PERMISSION"
    for node, name in (("4", "RejectToNodeid"), ("77", "Invalid_parameter_RejectToNodeid"), ("5", "RejectToNodeid")):
        reply = await oa.call("rejectRequest", "600", requestId=request_id, otherParams={"RejectToNodeid": node})
        assert reply["code"] == "PARAM_ERROR"
        assert name in reply["errMsg"]
    assert await code(oa, "rejectRequest", "600", request_id, otherParams={"RejectToNodeid": 2}) == "SUCCESS"
    assert (await oa.detail(request_id))["currentNodeName"] == "审批"
    assert await code(oa, "rejectRequest", "500", request_id) == "SUCCESS"
    data = await oa.detail(request_id)
    assert data["currentNodeName"] == "起草"
    assert operations(data)[-2:] == [("付款", "退回", "600"), ("审批", "退回", "500")]


async def test_a_rejection_that_comes_straight_back(oa: Oa) -> None:
    request_id = await oa.at_posting()
    await oa.call("submitRequest", "900", requestId=request_id)
    assert await code(oa, "rejectRequest", "600", request_id, otherParams={"isSubmitDirect": 0}) == "SUCCESS"
    assert await code(oa, "submitRequest", "7", request_id) == "SUCCESS"
    assert (await oa.detail(request_id))["currentNodeName"] == "付款"


async def test_withdraw(oa: Oa) -> None:
    request_id = await oa.create("7")
    assert await code(oa, "withdrawRequest", "8", request_id) == "NO_PERMISSION"
    assert await code(oa, "withdrawRequest", "7", request_id) == "SUCCESS"
    assert operations(await oa.detail(request_id))[-1] == ("起草", "撤回", "7")
    assert await code(oa, "withdrawRequest", "7", request_id) == "NO_PERMISSION"
    await oa.call("submitRequest", "7", requestId=request_id)
    await oa.call("submitRequest", "500", requestId=request_id)
    assert await code(oa, "withdrawRequest", "500", request_id) == "SUCCESS"
    data = await oa.detail(request_id)
    assert (data["currentNodeName"], operations(data)[-1]) == ("审批", ("审批", "撤回", "500"))
    await oa.call("submitRequest", "500", requestId=request_id)
    assert await code(oa, "withdrawRequest", "7", request_id) == "SUCCESS"
    assert (await oa.detail(request_id))["currentNodeName"] == "起草"


async def test_no_withdrawal_after_finance_passed_it_on(oa: Oa) -> None:
    request_id = await oa.at_posting()
    await oa.call("submitRequest", "900", requestId=request_id)
    for user in ("7", "500"):
        assert await code(oa, "withdrawRequest", user, request_id) == "NO_PERMISSION"


async def test_delete_makes_a_request_invisible(oa: Oa) -> None:
    request_id = await oa.create("7")
    monitor = {"otherParams": {"ismonitor": "1"}}
    assert await code(oa, "deleteRequest", "7", request_id, **monitor) == "NO_PERMISSION"
    assert await code(oa, "deleteRequest", "999", request_id, **monitor) == "SUCCESS"
    reply = await oa.call("getWorkflowRequest", "900", requestId=request_id)
    assert (reply["code"], reply["errMsg"]) == ("PARAM_ERROR", {"requestId": request_id})
    assert request_id not in {row["requestId"] for row in await oa.rows()}
    await control(oa.server, "POST", "/options", {"gone_answer": "NO_PERMISSION"})
    assert (await oa.call("getWorkflowRequest", "900", requestId=request_id))["code"] == "NO_PERMISSION"
    await control(oa.server, "POST", "/options", {"gone_answer": "PARAM_ERROR"})
    assert (await journal(oa.server))[-1]["kind"] == "delete"


async def test_parameters_are_checked(oa: Oa) -> None:
    async def error(**params: object) -> dict[str, str]:
        reply = await oa.call("doCreateRequest", "7", **({"workflowId": "101", "requestName": "x"} | params))
        assert reply["code"] == "PARAM_ERROR", reply
        found: dict[str, str] = reply["errMsg"]
        return found

    assert await error(workflowId="999") == {"workflowId": "999"}
    assert "requestName" in await error(requestName="")
    assert await error(mainData="[{") == {"workflowId": "0"}
    assert await error(mainData="{}") == {"workflowId": "0"}
    assert (await error(mainData=fields(bzje="1", jine="2", foo="3")))["fieldName"] == "jine,foo"
    assert (await error(detailData=[table("formtable_main_12_dt1", {"hdje": "1"})]))["tableDBName"]
    assert (await error(detailData=[table(LINES, {"je": "1"})]))["fieldName"] == "je"
    assert (await error(detailData=[table(LINES, {"hdje": "1"}, order=5)]))["recordOrder"] == "5"


async def test_other_params_that_are_no_json_are_silently_nothing(oa: Oa) -> None:
    request_id = await oa.at_posting()
    reply = await oa.call("submitRequest", "900", requestId=request_id, otherParams="{src=save}")
    assert reply["code"] == "SUCCESS"
    assert (await oa.detail(request_id))["currentNodeName"] == "付款"


async def test_who_may_read(oa: Oa) -> None:
    request_id = await oa.create("7")
    for user, expected in (("7", "SUCCESS"), ("500", "SUCCESS"), ("900", "SUCCESS"), ("8", "NO_PERMISSION")):
        for name in ("getWorkflowRequest", "getRequestStatus", "getRequestLog", "getRequestOperatorInfo"):
            assert (await oa.call(name, user, requestId=request_id))["code"] == expected
    assert (await oa.call("getRequestStatus", "900", requestId="abc"))["code"] == "PARAM_ERROR"


async def test_what_a_request_shows(oa: Oa) -> None:
    request_id = await oa.at_posting("7", djbh="BX9")
    data = await oa.detail(request_id)
    assert data["canEdit"] is True
    assert (await oa.detail(request_id, "7"))["canEdit"] is False
    assert data["workflowMainTableInfo"]["tableDBName"] == "formtable_main_11"
    field = data["workflowMainTableInfo"]["requestRecords"][0]["workflowRequestTableFields"][0]
    assert (field["fieldName"], field["fieldValue"], field["fieldShowName"]) == ("djbh", "BX9", "单据编号")
    assert set(field) >= {"fieldId", "fieldFormName", "fieldDBType", "fieldHtmlType", "filedHtmlShow", "selectvalues"}
    assert [t["tableDBName"] for t in data["workflowDetailTableInfos"]] == [LINES, PAYEES]
    status = (await oa.call("getRequestStatus", "900", requestId=request_id))["data"]
    assert (status["currentNodeId"], status["currentNodeType"], status["isremark"]) == (3, "2", 0)
    assert status["mainTableInfoEntity"]["tableDbName"] == "formtable_main_11"
    assert "rejcetToType" in status
    people = (await oa.call("getRequestOperatorInfo", "900", requestid=request_id))["data"]
    assert [(row["userid"], row["isremark"], row["nodeName"]) for row in people] == [
        ("7", "2", "起草"),
        ("500", "2", "审批"),
        ("900", "0", "财务过账"),
    ]


async def test_the_log_comes_in_pages(oa: Oa) -> None:
    request_id = await oa.at_posting()
    first = await oa.call("getRequestLog", "900", requestId=request_id, otherParams={"pageSize": 1, "pageNumber": 1})
    second = await oa.call("getRequestLog", "900", requestId=request_id, otherParams={"pageSize": 1, "pageNumber": 2})
    assert [first["data"][0]["operateType"], second["data"][0]["operateType"]] == ["批准", "提交"]
    assert len((await oa.call("getRequestLog", "900", requestId=request_id))["data"]) == 2


async def test_a_build_that_answers_codes_as_objects(oa: Oa) -> None:
    request_id = await oa.create()
    await control(oa.server, "POST", "/options", {"code_as_object": True})
    try:
        reply = await oa.call("getRequestStatus", "900", requestId=request_id)
        refused = await oa.call("submitRequest", "8", requestId=request_id)
    finally:
        await control(oa.server, "POST", "/options", {"code_as_object": False})
    assert reply["code"] == {"name": "SUCCESS", "statusCode": 1}
    assert refused["code"] == {"name": "NO_PERMISSION", "statusCode": 3}
