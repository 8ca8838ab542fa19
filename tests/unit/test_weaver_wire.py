"""e-cology's answers as the slice reads them, without a server."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import orjson
import pytest
from finbridge.core.connections import ConnectionSettings
from finbridge.core.documents import DocumentRef
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.transport import Response
from finbridge.systems.weaver.client import Conditions, _tables
from finbridge.systems.weaver.models import WorkflowRequestData, operated_at
from finbridge.systems.weaver.replies import AUTH_RULES, Code, Means, code_of, read_reply
from finbridge.systems.weaver.walking import walk
from pydantic import ValidationError

from tests.contract.memory_tokens import MemoryTokens


def reply(body: object, *, at: str = "", status: int = 200) -> Means:
    """What an answer with this body means."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_reply(Response(status, {}, raw), at).means


EXPIRED = {"msg": "token不存在或者超时：1b2", "code": -1, "msgShowType": "none", "status": False}


@pytest.mark.parametrize(
    ("body", "at", "means"),
    [
        ([], "", Means.DONE),
        (7, "", Means.DONE),
        ({"code": "SUCCESS", "data": {}}, "", Means.DONE),
        ({"code": "PARAM_ERROR", "errMsg": {"workflowId": "0"}}, "", Means.DONE),
        (EXPIRED, "", Means.TOKEN_REFUSED),
        ({**EXPIRED, "code": "-1"}, "", Means.TOKEN_REFUSED),
        ({"msg": "登录信息超时", "errorCode": "002", "status": False}, "", Means.TOKEN_REFUSED),
        ({**EXPIRED, "msg": "该账号存在异常,单点登录失败"}, "", Means.ACCOUNT_REFUSED),
        ({**EXPIRED, "msg": "授权已过期"}, "", Means.ACCOUNT_REFUSED),
        ({**EXPIRED, "msg": "secret解密失败,请检查加密内容."}, "applytoken", Means.REGISTRATION_DEAD),
        ({**EXPIRED, "msg": "认证信息错误"}, "applytoken", Means.REGISTRATION_DEAD),
        ({**EXPIRED, "msg": "系统维护"}, "applytoken", Means.ACCOUNT_REFUSED),
        ({"code": 0, "status": True, "token": "t"}, "applytoken", Means.DONE),
        ({"code": "0", "status": "true", "spk": "s"}, "regist", Means.DONE),
        ({"code": "-1", "status": False, "msg": "appid不存在"}, "regist", Means.ACCOUNT_REFUSED),
        ({"hello": "world"}, "", Means.UNCLEAR),
        ([], "applytoken", Means.UNCLEAR),
        (b"<html>", "", Means.UNCLEAR),
        (b"", "", Means.UNCLEAR),
    ],
)
def test_what_a_body_means(body: object, at: str, means: Means) -> None:
    assert reply(body, at=at) is means


@pytest.mark.parametrize(
    ("status", "means"),
    [
        (429, Means.THROTTLED),
        (403, Means.TOKEN_REFUSED),
        (500, Means.UNCLEAR),
        (302, Means.UNCLEAR),
        (404, Means.UNCLEAR),
    ],
)
def test_what_a_status_means(status: int, means: Means) -> None:
    assert reply({"code": "SUCCESS"}, status=status) is means


def test_each_rule_names_its_source() -> None:
    assert len(AUTH_RULES) == 7
    assert all(rule.source for rule in AUTH_RULES)


@pytest.mark.parametrize("code", ["SUCCESS", 1, "1", {"name": "SUCCESS", "statusCode": 1}, {"statusCode": 1}])
def test_forms_of_success(code: object) -> None:
    assert code_of({"code": code}) is Code.SUCCESS


@pytest.mark.parametrize(
    ("code", "known"),
    [
        (2, Code.PARAM_ERROR),
        ("3", Code.NO_PERMISSION),
        (6, Code.FAIL),
        (0, None),
        (-1, None),
        ("NEW", None),
        (None, None),
    ],
)
def test_other_codes(code: object, known: Code | None) -> None:
    assert code_of({"code": code}) is known


def data(**changes: Any) -> dict[str, Any]:
    """``data`` of getWorkflowRequest with little in it."""
    record = {"recordOrder": 0, "workflowRequestTableFields": [{"fieldName": "je", "fieldValue": "12.50"}]}
    return {
        "currentNodeId": 3,
        "currentNodeName": "财务过账",
        "lastOperateTime": "2026-11-22 09:00:00",
        "workflowBaseInfo": {"workflowId": 101},
        "workflowMainTableInfo": {"requestRecords": [record]},
        **changes,
    }


def log(number: str, time: str = "09:00:00") -> dict[str, str]:
    """A log row."""
    return {"id": number, "operateDate": "2026-11-22", "operateTime": time, "operateType": "批准", "operatorId": "500"}


def test_values_stay_text_and_null_is_empty() -> None:
    fields = [
        {"fieldName": name, "fieldValue": value} for name, value in [("a", "012.50"), ("b", None), ("c", ""), ("d", 7)]
    ]
    main = {"requestRecords": [{"recordOrder": 0, "workflowRequestTableFields": fields}]}
    document = WorkflowRequestData.model_validate(data(workflowMainTableInfo=main)).document("9", b"raw")
    assert document.main == {"a": "012.50", "b": "", "c": "", "d": "7"}
    assert (document.template, document.stamp, document.raw) == ("101", "2026-11-22 09:00:00|3", b"raw")


def test_log_rows_come_once_in_the_order_of_the_oa() -> None:
    rows = [log("3"), log("1", "08:00"), log("3"), log("2")]
    document = WorkflowRequestData.model_validate(data(workflowRequestLogs=rows)).document("9", b"")
    assert [row.log_id for row in document.log] == ["3", "1", "2"]
    assert document.log[1].local_at == datetime.fromisoformat("2026-11-22T08:00:00")


@pytest.mark.parametrize(
    "changes",
    [
        {"workflowBaseInfo": None},
        {"workflowMainTableInfo": {}},
        {"workflowMainTableInfo": {"requestRecords": []}},
        {"workflowRequestLogs": [log("1", "noon")]},
        {"workflowRequestLogs": [{"id": "1"}]},
    ],
    ids=["no version", "no main table", "no record", "no time", "no date"],
)
def test_document_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, ValidationError)):
        WorkflowRequestData.model_validate(data(**changes)).document("9", b"")


def test_operation_time_inside_a_stamp() -> None:
    assert operated_at("2026-11-22 09:00:00|3") == datetime.fromisoformat("2026-11-22T09:00:00")
    assert operated_at("|3") is None
    assert operated_at("gestern|3") is None


def test_conditions_and_tables_on_the_wire() -> None:
    day = date(2026, 11, 22)
    form = Conditions(operated_from=day, operated_to=day, workflow_ids=frozenset({"102", "101"})).form()
    assert orjson.loads(form["conditions"]) == {
        "operatedateselect": "6",
        "operatedatefrom": "2026-11-22",
        "operatedateto": "2026-11-22",
        "workflowIds": "101,102",
    }
    tables = _tables({"pzh": "记-1"}, {"t_dt1": [{"je": "1"}, {"_row": "12", "je": "2"}]})
    assert orjson.loads(tables["mainData"]) == [{"fieldName": "pzh", "fieldValue": "记-1"}]
    (table,) = orjson.loads(tables["detailData"])
    assert [row["recordOrder"] for row in table["workflowRequestTableRecords"]] == [0, 12]


class RestlessList:
    """A list whose every page shows requests that no page showed before."""

    def __init__(self) -> None:
        self.shown = 0
        self.walks = 0

    async def count(self, _: Conditions) -> int:
        return 11

    async def rows(self, _: Conditions, page: int, size: int) -> list[Any]:
        self.walks += page == 1
        if page > 2:
            return []
        self.shown += size

        class Row:
            def __init__(self, number: int) -> None:
                self.ref = DocumentRef(str(number), "101", "2026-11-22 09:00:00|3")

        return [Row(number) for number in range(self.shown - size, self.shown)]


async def test_list_that_never_rests_ends_with_retry_later() -> None:
    restless: Any = RestlessList()
    seen = 0
    with pytest.raises(RetryLater, match="list_keeps_moving"):
        async for refs in walk(restless, Conditions(), datetime.fromisoformat("2026-11-22T10:00:00"), 5):
            seen += len(refs)
    assert seen == restless.shown
    assert restless.walks == 8


@pytest.mark.parametrize("missing", ["appid", "login"])
def test_incomplete_connection_stops_before_any_call(missing: str) -> None:
    from finbridge.systems.weaver.adapter import connect

    extra = {} if missing == "appid" else {"appid": "a"}
    login = "" if missing == "login" else "900"
    with pytest.raises(GiveUp, match="appid"):
        connect(ConnectionSettings(conn_id="c", host="h", login=login, extra=extra), tokens=MemoryTokens())


def test_unknown_time_zone_stops() -> None:
    from finbridge.systems.weaver.adapter import connect

    extra = {"appid": "a", "time_zone": "Asia/Nowhere"}
    with pytest.raises(GiveUp, match="Nowhere"):
        connect(ConnectionSettings(conn_id="c", host="h", login="900", extra=extra), tokens=MemoryTokens())
