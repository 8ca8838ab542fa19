"""Imposed states: what the log player writes past the forms (real logs hold states that no form would allow)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.weaver.engine import Engine, journal_entry
from sandbox.weaver.model import (
    APPROVE,
    ARCHIVE,
    CREATE,
    Column,
    LogRow,
    Node,
    Request,
    Workflow,
    foreign_node,
    workflow_from,
)


class BadItem(ValueError):
    """An item that cannot be imposed; nothing of the call was done."""


def define_workflow(engine: Engine, spec: Mapping[str, Any]) -> Workflow:
    """Add or replace a workflow: ``{id, name?, main_table?, main: [col…], details: {table: [col…]}, nodes?: […]}``.

    A column is a name, or ``[name, label, db type]``. Kept over a restart.
    """
    if not str(spec.get("id", "")).isdigit():
        raise BadItem("a workflow needs a numeric id")
    form = {
        "id": spec.get("form_id", f"-{spec['id']}"),
        "main_table": spec.get("main_table", f"formtable_main_{spec['id']}"),
        "main": [_column(item) for item in spec.get("main", [])],
        "details": {table: [_column(c) for c in columns] for table, columns in spec.get("details", {}).items()},
        "nodes": spec.get("nodes") or _nodes(engine.workflows["101"]),
        "creator_withdraws_at": spec.get("creator_withdraws_at", ["2", "3"]),
    }
    if not all(str(node["id"]).isdigit() for node in form["nodes"]):
        raise BadItem("node ids are numeric")
    if {0, 3} - {int(node["type"]) for node in form["nodes"]}:
        raise BadItem("a graph needs a node of type 0 and one of type 3")
    workflow = workflow_from({**spec, "id": str(spec["id"])}, form)
    _keep(engine, workflow, {**spec, "id": workflow.id}, form)
    return workflow


def _keep(engine: Engine, workflow: Workflow, spec: Mapping[str, Any], form: Mapping[str, Any]) -> None:
    engine.workflows[workflow.id] = workflow
    engine.store.put_meta(f"workflow.{workflow.id}", {"spec": dict(spec), "form": dict(form)})


def _column(item: object) -> list[str]:
    if isinstance(item, str):
        return [item, item, "varchar2(300)"]
    if isinstance(item, list) and len(item) == 3:
        return [str(part) for part in item]
    raise BadItem(f"not a column: {item!r}")


def _nodes(workflow: Workflow) -> list[dict[str, object]]:
    return [{"id": n.id, "name": n.name, "type": n.type, "operator": n.operator} for n in workflow.nodes]


def impose(engine: Engine, items: list[dict[str, Any]]) -> list[str]:
    """Write all items, in order, into one transaction.

    Raises:
        BadItem: for the first item that makes no sense; then none is done.
    """
    for item in items:
        _check(engine, item)
    return [str(_impose_one(engine, item).id) for item in items]


def _check(engine: Engine, item: Mapping[str, Any]) -> None:
    workflow = engine.workflows.get(str(item.get("workflow_id", "")))
    existing = _existing(engine, item)
    if existing is not None:
        workflow = engine.workflows[existing.workflow_id]
    if workflow is None:
        if not str(item.get("workflow_id", "")).isdigit():
            raise BadItem(f"a new request needs a numeric workflow_id: {item.get('key')!r}")
        workflow = define_workflow(engine, {"id": item["workflow_id"], "grows": True})
    int(item.get("node_type", APPROVE))
    if not all(isinstance(rows, list) and all(isinstance(r, dict) for r in rows) for rows in _tables(item).values()):
        raise BadItem(f"details are lists of objects: {item.get('key')!r}")
    _check_columns(engine, workflow, item)
    for row in item.get("log", []):
        if not {"node", "operate_type", "operator", "date", "time"} <= set(row):
            raise BadItem(f"a log row lacks something: {row!r}")


def _tables(item: Mapping[str, Any]) -> dict[str, Any]:
    return dict(item.get("details", {}))


def _check_columns(engine: Engine, workflow: Workflow, item: Mapping[str, Any]) -> None:
    main = [name for name in item.get("main", {}) if name not in workflow.main]
    details = {
        table: [name for name in dict.fromkeys(n for row in rows for n in row) if name not in {"id", "_row"}]
        for table, rows in item.get("details", {}).items()
    }
    unknown = {t: [n for n in names if n not in workflow.details.get(t, {})] for t, names in details.items()}
    fresh_tables = [table for table in details if table not in workflow.details]
    if not (main or fresh_tables or any(unknown.values())):
        return
    if not workflow.grows:
        raise BadItem(f"workflow {workflow.id} has no such columns: {main or unknown}")
    _grow(engine, workflow, main, unknown)


def _grow(engine: Engine, workflow: Workflow, main: list[str], details: Mapping[str, list[str]]) -> None:
    """Add columns to a workflow that an imposed request made up."""

    def plus(known: Mapping[str, Column], names: list[str]) -> list[list[str]]:
        return [[c.name, c.label, c.db_type] for c in known.values()] + [_column(name) for name in names]

    tables = dict.fromkeys([*workflow.details, *details])
    spec = {
        "id": workflow.id,
        "name": workflow.name,
        "type_id": workflow.type_id,
        "type_name": workflow.type_name,
        "form_id": workflow.form_id,
        "main_table": workflow.main_table,
        "nodes": _nodes(workflow),
        "creator_withdraws_at": sorted(workflow.creator_withdraws_at),
        "grows": True,
        "main": plus(workflow.main, main),
        "details": {table: plus(workflow.details.get(table, {}), details.get(table, [])) for table in tables},
    }
    define_workflow(engine, spec)


def _existing(engine: Engine, item: Mapping[str, Any]) -> Request | None:
    if item.get("request_id"):
        return engine.store.requests.get(int(item["request_id"]))
    number = engine.store.by_key.get(str(item.get("key") or ""))
    return None if number is None else engine.store.requests[number]


def _impose_one(engine: Engine, item: Mapping[str, Any]) -> Request:
    request = _existing(engine, item) or _new(engine, item)
    workflow = engine.workflows[request.workflow_id]
    now = engine.clock.text()
    request.deleted = bool(item.get("deleted", False))
    request.name = str(item.get("request_name", request.name))
    request.main = dict.fromkeys(workflow.main, "") | request.main | _texts(item.get("main", {}))
    for table, rows in item.get("details", {}).items():
        request.details[table] = _rows(engine, workflow, request.details.get(table, []), table, rows)
    added = _add_log(engine, workflow, request, item.get("log", []))
    _place(engine, workflow, request, item, now)
    request.operated = now
    for row in added:
        request.participants[row.operator] = now
        request.last_operator = row.operator
    engine.store.changed(request, journal_entry(request, "impose", None, added, now))
    return request


def _new(engine: Engine, item: Mapping[str, Any]) -> Request:
    workflow = engine.workflows[str(item["workflow_id"])]
    store, now, creator = engine.store, engine.clock.text(), str(item.get("creator", "1"))
    number = int(item["request_id"]) if item.get("request_id") else store.next_request()
    store.last_request = max(store.last_request, number)
    request = Request(
        id=number,
        key=str(item.get("key") or ""),
        workflow_id=workflow.id,
        name=str(item.get("request_name", item.get("key", number))),
        level="0",
        creator=creator,
        node_id="",
        node="",
        node_type=CREATE,
        operators=[],
        main={},
        details={table: [] for table in workflow.details},
        log=[],
        created=now,
        received=now,
        operated=now,
        last_operator=creator,
    )
    request.place(workflow.first, [creator])
    return request


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _rows(
    engine: Engine, workflow: Workflow, before: list[dict[str, str]], table: str, rows: list[dict[str, Any]]
) -> list[dict[str, str]]:
    """The table's new rows; a row keeps its id by ``id``/``_row``, else by its place."""
    made = []
    for at, row in enumerate(rows):
        values = _texts({name: value for name, value in row.items() if name not in {"id", "_row"}})
        number = row.get("id") or row.get("_row") or (before[at]["id"] if at < len(before) else engine.store.next_row())
        made.append({"id": str(number), **dict.fromkeys(workflow.details[table], ""), **values})
    return made


def _add_log(engine: Engine, workflow: Workflow, request: Request, rows: list[dict[str, Any]]) -> list[LogRow]:
    known = {row.id for row in request.log}
    added = []
    for row in rows:
        log_id = str(row["id"]) if row.get("id") else engine.store.next_log()
        if log_id in known:
            continue  # the same row told again
        known.add(log_id)
        if log_id.isdigit():
            engine.store.last_log = max(engine.store.last_log, int(log_id))
        node = _node(workflow, str(row["node"]))
        added.append(
            LogRow(
                log_id,
                node.id,
                node.name,
                str(row["operate_type"]),
                str(row["operator"]),
                str(row["date"]),
                str(row["time"]),
                str(row.get("remark", "")),
            )
        )
    request.log.extend(added)
    return added


def _node(workflow: Workflow, name: str, node_type: int = APPROVE) -> Node:
    return workflow.named(name) or foreign_node(name, node_type)


def _place(engine: Engine, workflow: Workflow, request: Request, item: Mapping[str, Any], now: str) -> None:
    if "node" not in item:
        return
    node = _node(workflow, str(item["node"]), int(item.get("node_type", APPROVE)))
    operators = item.get("operators")
    if operators is None:
        operators = [] if node.type == ARCHIVE else engine.operators_at(node, request.creator)
    request.moved_by = request.came_from = request.direct_to = ""
    if node.id != request.node_id:
        request.received = now
    request.place(node, [str(operator) for operator in operators])
