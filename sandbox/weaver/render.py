"""Wire shapes of contracts section 1.2: what a request looks like to a caller."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import orjson

from sandbox.weaver.model import Column, LogRow, Request, User, Workflow
from sandbox.weaver.options import Options

NUMBER_OF_CODE = {"SUCCESS": 1, "PARAM_ERROR": 2, "NO_PERMISSION": 3, "FAIL": 6}


def result(
    options: Options,
    code: str,
    data: object = None,
    err_msg: Mapping[str, object] | None = None,
    fail: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """The common answer; on some builds ``code`` is an object."""
    shown: object = {"name": code, "statusCode": NUMBER_OF_CODE.get(code, 6)} if options.code_as_object else code
    reply: dict[str, object] = {"code": shown}
    if data is not None:
        reply["data"] = data
    reply["errMsg"] = dict(err_msg or {})
    reply["reqFailMsg"] = {
        "keyParameters": {},
        "msgInfo": {},
        "msgType": "",
        "otherParams": {"doAutoApprove": "0"},
        **(fail or {}),
    }
    return reply


class Renderer:
    """Renders requests; knows names of users and forms of workflows."""

    def __init__(self, workflows: Mapping[str, Workflow], users: Mapping[str, User], options: Options) -> None:
        self.workflows, self.users, self.options = workflows, users, options

    def name(self, user_id: str) -> str:
        """The shown name of a user; an id that is no account stands for itself."""
        user = self.users.get(user_id)
        return user.name if user else user_id

    def base_info(self, workflow: Workflow) -> dict[str, str]:
        """workflowBaseInfo."""
        return {
            "formId": workflow.form_id,
            "isBill": "1",
            "workflowId": workflow.id,
            "workflowName": workflow.name,
            "workflowTypeId": workflow.type_id,
            "workflowTypeName": workflow.type_name,
        }

    # ------------------------------------------------------------ lists

    def list_row(self, request: Request, user: User) -> bytes:
        """A row of a list, all strings; kept as bytes until the request changes."""
        isremark = request.isremark(user.id)
        row = request.rows.get(isremark)
        if row is None:
            row = request.rows[isremark] = orjson.dumps(self._list_row(request, isremark))
        return row

    def _list_row(self, request: Request, isremark: str) -> dict[str, object]:
        workflow = self.workflows[request.workflow_id]
        creator = self.users.get(request.creator)
        return {
            "requestId": str(request.id),
            "requestName": request.name,
            "requestLevel": request.level,
            "requestmark": request.main.get("djbh", ""),
            "status": request.status,
            "createTime": request.created,
            "receiveTime": request.received,
            "operateTime": request.operated,
            "lastOperateTime": request.operated,
            "creatorId": request.creator,
            "creatorName": self.name(request.creator),
            "creatorType": "0",
            "creatorDepartmentName": creator.department if creator else "",
            "creatorWorkcode": creator.code if creator else "",
            "lastOperatorId": request.last_operator,
            "lastOperatorName": self.name(request.last_operator),
            "currentNodeId": request.node_id,
            "currentNodeName": request.node,
            "currentnodetype": str(request.node_type),
            "nodeid": request.node_id,
            "isremark": isremark,
            "takisremark": "0",
            "preisremark": "-1",
            "isbereject": "1" if request.log and request.log[-1].operate_type == "退回" else "0",
            "isprocessed": "1" if isremark in {"2", "4"} else "0",
            "viewtype": "-2",
            "cid": str(request.id),
            "sysName": "OA",
            "usertype": "0",
            "workflowBaseInfo": self.base_info(workflow),
        }

    # ------------------------------------------------------------ one request

    def detail(self, request: Request, user: User) -> dict[str, Any]:
        """getWorkflowRequest.data."""
        workflow = self.workflows[request.workflow_id]
        edit = request.isremark(user.id) == "0"
        records = [
            {"recordOrder": 0, "workflowRequestTableFields": _fields(workflow.main, request.main, "0", edit=edit)}
        ]
        return {
            "requestId": str(request.id),
            "requestName": request.name,
            "requestLevel": request.level,
            "canEdit": edit,
            "canView": True,
            "createTime": request.created,
            "creatorId": request.creator,
            "creatorName": self.name(request.creator),
            "currentNodeId": request.node_id,
            "currentNodeName": request.node,
            "currentNodeType": str(request.node_type),
            "lastOperateTime": request.operated,
            "lastOperatorName": self.name(request.last_operator),
            "mustInputRemark": False,
            "needAffirmance": False,
            "status": request.status,
            "workflowBaseInfo": self.base_info(workflow),
            "workflowMainTableInfo": {"tableDBName": workflow.main_table, "requestRecords": records},
            "workflowDetailTableInfos": [
                self._table(number, table, columns, request.details.get(table, []), edit=edit)
                for number, (table, columns) in enumerate(workflow.details.items(), 1)
            ],
            "workflowRequestLogs": [self.log_row(row) for row in self.log_rows(request)],
        }

    @staticmethod
    def _table(
        number: int, table: str, columns: Mapping[str, Column], rows: list[dict[str, str]], *, edit: bool
    ) -> dict[str, Any]:
        return {
            "tableDBName": table,
            "tableFieldName": list(columns),
            "tableTitle": f"明细{number}",
            "workflowRequestTableRecords": [
                {
                    "recordOrder": int(row["id"]) if row["id"].isdigit() else row["id"],
                    "workflowRequestTableFields": _fields(columns, row, str(at), edit=edit),
                }
                for at, row in enumerate(rows)
            ],
        }

    def log_rows(self, request: Request) -> list[LogRow]:
        """Log rows as this build shows them: newest first; repeated and shuffled where asked for."""
        rows = request.log[::-1]
        options = self.options
        if options.repeat > 1:
            rows = rows * options.repeat
        if options.repeat > 1 or options.shuffle_log_rows:
            random.Random(options.seed * 1_000_003 + request.id).shuffle(rows)
        return rows

    def log_row(self, row: LogRow) -> dict[str, str]:
        """A row of workflowRequestLogs."""
        user = self.users.get(row.operator)
        return {
            "id": row.id,
            "nodeId": row.node_id,
            "nodeName": row.node,
            "operateDate": row.date,
            "operateTime": row.time,
            "operateType": row.operate_type,
            "operatorId": row.operator,
            "operatorName": self.name(row.operator),
            "operatorDept": user.department if user else "",
            "operatorSign": "",
            "receivedPersons": "",
            "remark": row.remark,
            "remarkSign": "",
            "annexDocHtmls": "",
            "agentor": "",
            "agentorDept": "",
        }

    def status(self, request: Request, user: User) -> dict[str, Any]:
        """getRequestStatus.data."""
        workflow = self.workflows[request.workflow_id]
        isremark = request.isremark(user.id)
        return {
            "requestId": request.id,
            "workflowId": int(workflow.id),
            "requestName": request.name,
            "status": request.status,
            "currentNodeId": int(request.node_id),
            "currentNodeType": str(request.node_type),
            "currentNodeName": request.node,
            "isremark": int(isremark) if isremark else -1,
            "takisremark": 0,
            "creatorId": int(request.creator) if request.creator.isdigit() else 0,
            "creatertype": 0,
            "lastOperateTime": request.operated,
            "rejcetToType": 0,
            "mainTableInfoEntity": {"billid": str(request.id), "tableDbName": workflow.main_table},
            "workflowBaseInfo": self.base_info(workflow),
        }

    def operators(self, request: Request) -> list[dict[str, str]]:
        """Rows of getRequestOperatorInfo: who has done something, who must."""
        rows = [
            self._operator(request, user_id, "4" if request.archived else "2", time)
            for user_id, time in request.participants.items()
            if request.archived or user_id not in request.operators
        ]
        rows += [self._operator(request, user_id, "0", "") for user_id in request.operators if not request.archived]
        for number, row in enumerate(rows, 1):
            row["id"] = str(request.id * 100 + number)
        return rows

    @staticmethod
    def _operator(request: Request, user_id: str, isremark: str, operated: str) -> dict[str, str]:
        received_date, _, received_time = request.received.partition(" ")
        date, _, clock = operated.partition(" ")
        last = next((row for row in reversed(request.log) if row.operator == user_id), None)
        here = isremark == "0" or last is None
        return {
            "id": "",
            "groupid": "0",
            "nodeid": request.node_id if here or last is None else last.node_id,
            "nodeName": request.node if here or last is None else last.node,
            "userid": user_id,
            "userType": "0",
            "viewType": "0" if isremark == "0" else "-2",
            "isremark": isremark,
            "receivedate": received_date,
            "receivetime": received_time,
            "operatedate": date,
            "operatetime": clock,
        }


def _fields(columns: Mapping[str, Column], values: Mapping[str, str], row: str, *, edit: bool) -> list[dict[str, Any]]:
    return [
        {
            "fieldId": str(column.field_id),
            "fieldName": name,
            "fieldShowName": column.label,
            "fieldValue": values.get(name, ""),
            "fieldShowValue": values.get(name, ""),
            "fieldFormName": f"field{column.field_id}_{row}",
            "fieldHtmlType": "1",
            "fieldType": "1",
            "fieldDBType": column.db_type,
            "fieldOrder": order,
            "edit": edit,
            "mand": False,
            "view": True,
            "selectnames": [],
            "selectvalues": [],
            "browserurl": "",
            "filedHtmlShow": f"<span id='field{column.field_id}_{row}span'>{values.get(name, '')}</span>",
        }
        for order, (name, column) in enumerate(columns.items())
    ]
