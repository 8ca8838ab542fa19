"""Records of the e-cology stand-in: users, workflows with their form and graph, and requests."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

CREATE, APPROVE, REALISE, ARCHIVE = 0, 1, 2, 3  # node types, contracts section 1.2
SEED = Path(__file__).with_name("seed.json")


@dataclass(frozen=True, slots=True)
class User:
    """An OA account. ``sees_all``: its lists are not limited to what it took part in."""

    id: str
    code: str
    name: str
    department: str = ""
    sees_all: bool = False
    monitor: bool = False
    integration: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a form."""

    name: str
    label: str
    db_type: str
    field_id: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the graph; ``operator`` is a user id, ``creator``, or empty."""

    id: str
    name: str
    type: int
    operator: str = ""


@dataclass(slots=True)
class Workflow:
    """One version of a workflow: form and graph, nodes in flow order."""

    id: str
    name: str
    type_id: str
    type_name: str
    form_id: str
    main_table: str
    main: dict[str, Column]
    details: dict[str, dict[str, Column]]
    nodes: list[Node]
    creator_withdraws_at: frozenset[str]
    grows: bool = False  # made up by an imposed request: further columns may come the same way

    def node(self, node_id: str) -> Node | None:
        """The node by id."""
        return next((node for node in self.nodes if node.id == node_id), None)

    def named(self, name: str) -> Node | None:
        """The node by name."""
        return next((node for node in self.nodes if node.name == name), None)

    def after(self, node: Node) -> Node:
        """The next node in the flow."""
        return self.nodes[min(self.nodes.index(node) + 1, len(self.nodes) - 1)]

    @property
    def first(self) -> Node:
        """The node where a request is drafted."""
        return self.nodes[0]

    @property
    def archive(self) -> Node:
        """The node where it ends."""
        return next(node for node in self.nodes if node.type == ARCHIVE)


def foreign_node(name: str, node_type: int = APPROVE) -> Node:
    """A node that the graph does not know: its id depends on the name only, so that it survives a restart."""
    return Node(str(1000 + zlib.crc32(name.encode()) % 9_000_000), name, node_type)


@dataclass(slots=True)
class LogRow:
    """A row of the approval log."""

    id: str
    node_id: str
    node: str
    operate_type: str
    operator: str
    date: str
    time: str
    remark: str = ""

    def journal(self) -> dict[str, str]:
        """The row as the journal shows it."""
        return {
            "id": self.id,
            "node": self.node,
            "operate_type": self.operate_type,
            "operator": self.operator,
            "date": self.date,
            "time": self.time,
        }


@dataclass(slots=True)
class Request:
    """A running document. Times are OA-local ``yyyy-MM-dd HH:mm:ss``; detail rows carry their id under ``id``."""

    id: int
    key: str
    workflow_id: str
    name: str
    level: str
    creator: str
    node_id: str
    node: str
    node_type: int
    operators: list[str]
    main: dict[str, str]
    details: dict[str, list[dict[str, str]]]
    log: list[LogRow]
    created: str
    received: str
    operated: str
    last_operator: str
    moved_by: str = ""  # who brought it to this node by submitting
    came_from: str = ""  # the node it came from by that submit
    direct_to: str = ""  # where the next submit goes after a rejection with isSubmitDirect=0
    status: str = ""
    participants: dict[str, str] = field(default_factory=dict)  # user -> time of the last operation
    deleted: bool = False
    changed_wall: float = field(default_factory=time.time)
    rows: dict[str, bytes] = field(default_factory=dict)  # list rows as bytes by isremark: a cache, never stored

    @property
    def archived(self) -> bool:
        """Whether the request has reached the archive."""
        return self.node_type == ARCHIVE

    def place(self, node: Node, operators: list[str]) -> None:
        """Put it at a node."""
        self.node_id, self.node, self.node_type, self.operators = node.id, node.name, node.type, operators
        self.status = node.name

    def isremark(self, user_id: str) -> str:
        """0 to do, 2 done, 4 archived, empty: has nothing to do with this user."""
        if not self.archived and user_id in self.operators:
            return "0"
        if user_id in self.participants or user_id == self.creator:
            return "4" if self.archived else "2"
        return ""

    def stored(self) -> bytes:
        """The record as the database keeps it (orjson writes the log's dataclasses itself)."""
        return orjson.dumps({name: getattr(self, name) for name in _STORED})


_STORED = tuple(item.name for item in fields(Request) if item.name not in {"rows", "changed_wall"})


def load_request(stored: bytes) -> Request:
    """A record as :meth:`Request.stored` wrote it."""
    record: dict[str, Any] = orjson.loads(stored)
    record["log"] = [LogRow(**row) for row in record["log"]]
    return Request(**record, changed_wall=0.0)


def _columns(rows: list[list[str]], first_id: int) -> dict[str, Column]:
    return {name: Column(name, label, kind, first_id + at) for at, (name, label, kind) in enumerate(rows)}


def workflow_from(spec: Mapping[str, Any], form: Mapping[str, Any]) -> Workflow:
    """A workflow from its seed form; missing parts are those of the simplest graph."""
    start = 10_000 + int(spec["id"]) * 200
    details = {
        table: _columns(columns, start + 50 * at) for at, (table, columns) in enumerate(form["details"].items(), 1)
    }
    return Workflow(
        id=str(spec["id"]),
        name=str(spec.get("name", spec["id"])),
        type_id=str(spec.get("type_id", "21")),
        type_name=str(spec.get("type_name", "")),
        form_id=str(form["id"]),
        main_table=str(form["main_table"]),
        main=_columns(form["main"], start),
        details=details,
        nodes=[Node(str(n["id"]), n["name"], int(n["type"]), str(n.get("operator", ""))) for n in form["nodes"]],
        creator_withdraws_at=frozenset(map(str, form.get("creator_withdraws_at", []))),
        grows=bool(spec.get("grows", False)),
    )


@dataclass(slots=True)
class Seed:
    """What a fresh OA holds."""

    apps: list[str]
    users: dict[str, User]
    workflows: list[dict[str, Any]]
    forms: dict[str, dict[str, Any]]
    modes: dict[str, Any]


def load_seed(path: Path = SEED) -> Seed:
    """Read a seed file."""
    raw: dict[str, Any] = orjson.loads(path.read_bytes())
    staff, departments = raw["employees"], raw["departments"]
    users = {
        str(number): User(
            str(number),
            staff["code"].format(number),
            staff["name"].format(number),
            departments[number % len(departments)],
        )
        for number in range(staff["from"], staff["to"] + 1)
    }
    users |= {item["id"]: User(**item) for item in raw["users"]}
    users |= {number: User(number, f"L{number}", "停用账号", locked=True) for number in raw["locked_users"]}
    return Seed(raw["apps"], users, raw["workflows"], raw["forms"], raw.get("modes", {}))
