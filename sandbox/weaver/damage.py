"""Faults inside an answer: log rows doubled, reordered or missing; fields renamed, added or retyped."""

from __future__ import annotations

from typing import Any

from sandbox.wire import FaultRule

LOG_FAULTS = frozenset({"doubled_log_rows", "reordered_log_rows", "late_log_rows"})
FIELD_FAULTS = frozenset({"field_renamed", "field_added", "field_retyped", "field_missing"})
ANSWER_FAULTS = LOG_FAULTS | FIELD_FAULTS


def damaged_log(rows: list[dict[str, str]], fault: FaultRule | None) -> list[dict[str, str]]:
    """Log rows (newest first) as the fault shows them."""
    if fault is None or fault.fault not in LOG_FAULTS:
        return rows
    if fault.fault == "late_log_rows":
        return rows[int(fault.options.get("rows", 1)) :]
    if fault.fault == "doubled_log_rows":
        rows = rows * int(fault.options.get("times", 2))
    return fault.random.sample(rows, len(rows))


def damaged_detail(data: dict[str, Any], fault: FaultRule | None) -> dict[str, Any]:
    """getWorkflowRequest.data as the fault shows it; ``field`` names the main column."""
    if fault is None or fault.fault not in ANSWER_FAULTS:
        return data
    if fault.fault in LOG_FAULTS:
        data["workflowRequestLogs"] = damaged_log(data["workflowRequestLogs"], fault)
        return data
    fields: list[dict[str, Any]] = data["workflowMainTableInfo"]["requestRecords"][0]["workflowRequestTableFields"]
    wanted = str(fault.options.get("field", ""))
    if fault.fault == "field_added":
        fields.append({**fields[0], "fieldId": "99999", "fieldName": wanted or "xzl", "fieldValue": "新"})
    elif fault.fault == "field_missing":
        fields[:] = [item for item in fields if item["fieldName"] != wanted]
    for item in fields:
        if item["fieldName"] == wanted and fault.fault == "field_renamed":
            item["fieldName"] = str(fault.options.get("to", f"{wanted}_new"))
        elif item["fieldName"] == wanted and fault.fault == "field_retyped":
            item["fieldDBType"], item["fieldValue"] = "varchar2(100)", f"¥{item['fieldValue']}"
    return data
