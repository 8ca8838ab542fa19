"""mainData and detailData: JSON texts inside form fields, checked against the form's columns.

Numbers keep the digits of the source: the JSON is read with its numbers as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox.weaver.model import Request, Workflow


class Refusal(Exception):
    """A business refusal: answered as HTTP 200 with this body; nothing was done."""

    def __init__(self, code: str, err_msg: Mapping[str, object], fail: Mapping[str, object] | None = None) -> None:
        super().__init__(code)
        self.code, self.err_msg, self.fail = code, dict(err_msg), dict(fail or {})


def param_error(**err_msg: object) -> Refusal:
    """PARAM_ERROR naming what is wrong."""
    return Refusal("PARAM_ERROR", err_msg)


def read_json(text: str | None, id_name: str) -> Any:
    """A JSON parameter, or None where absent.

    Raises:
        Refusal: malformed JSON shows as if the id were missing (contracts section 1.2).
    """
    if not text:
        return None
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except ValueError:
        raise param_error(**{id_name: "0"}) from None


def other_params(text: str | None) -> Mapping[str, Any]:
    """otherParams as a mapping; what is not JSON (a Java map's toString) is silently nothing."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _value(raw: object) -> str:
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "1" if raw else "0"
    if isinstance(raw, list):  # attachments: the names stand for what the server would fetch
        return ",".join(str(item.get("fileName", "")) for item in raw if isinstance(item, dict))
    return str(raw)


def _fields(items: object, columns: Iterable[str], id_name: str) -> dict[str, str]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise param_error(**{id_name: "0"})
    known = set(columns)
    wrong = [str(item.get("fieldName")) for item in items if item.get("fieldName") not in known]
    if wrong:
        raise param_error(fieldName=",".join(wrong), msg=f"字段不存在：{','.join(wrong)}")
    return {item["fieldName"]: _value(item.get("fieldValue")) for item in items}


def read_main(text: str | None, workflow: Workflow, id_name: str) -> dict[str, str]:
    """mainData as column -> text; raises Refusal for an unknown column, naming it."""
    items = read_json(text, id_name)
    return {} if items is None else _fields(items, workflow.main, id_name)


class DetailChange:
    """What detailData asks of one detail table."""

    def __init__(self, table: str, spec: Mapping[str, Any], workflow: Workflow, id_name: str) -> None:
        columns = workflow.details[table]
        self.table = table
        self.delete_all = str(spec.get("deleteAll", "")) == "1"
        self.delete_keys = {key for key in str(spec.get("deleteKeys", "")).split(",") if key}
        self.rows: list[tuple[str, dict[str, str]]] = []
        for record in spec.get("workflowRequestTableRecords") or []:
            values = _fields(record.get("workflowRequestTableFields", []), columns, id_name)
            self.rows.append((str(record.get("recordOrder", "0")), values))

    def check(self, request: Request | None) -> None:
        """A row id that the request does not have is refused."""
        known = {row["id"] for row in request.details.get(self.table, [])} if request else set()
        for row_id, _ in self.rows:
            if row_id not in {"0", ""} and row_id not in known:
                raise param_error(recordOrder=row_id, tableDBName=self.table)

    def apply(self, request: Request, workflow: Workflow, next_row: Callable[[], str], *, may_delete: bool) -> None:
        """Delete (on submit only), update by row id, insert where the id is 0."""
        rows = request.details.setdefault(self.table, [])
        if may_delete:
            rows[:] = [row for row in rows if not self.delete_all and row["id"] not in self.delete_keys]
        by_id = {row["id"]: row for row in rows}
        for row_id, values in self.rows:
            if row_id in by_id:
                by_id[row_id].update(values)
            else:
                rows.append({"id": next_row(), **dict.fromkeys(workflow.details[self.table], ""), **values})


def read_details(text: str | None, workflow: Workflow, request: Request | None, id_name: str) -> list[DetailChange]:
    """detailData, checked; raises Refusal for an unknown table, column or row."""
    specs = read_json(text, id_name)
    if specs is None:
        return []
    if not isinstance(specs, list):
        raise param_error(**{id_name: "0"})
    changes = []
    for spec in specs:
        table = spec.get("tableDBName") if isinstance(spec, dict) else None
        if table not in workflow.details:
            raise param_error(tableDBName=str(table))
        change = DetailChange(table, spec, workflow, id_name)
        change.check(request)
        changes.append(change)
    return changes
