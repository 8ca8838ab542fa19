"""Form-mode 建模 tables over REST (OA contracts, section 1.4): equality filters, pages, inserts, updates by ``id``.

There is no uniqueness of any kind: the same row saved twice without an id is two rows. Values are checked against the
table's columns only; numbers are kept with the scale of their column, as a database shows them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

import orjson

from sandbox.weaver.clock import VirtualClock
from sandbox.weaver.model import User
from sandbox.weaver.options import Options
from sandbox.weaver.store import Store
from sandbox.wire import FaultRule, Reply

PATH = "/api/cube/restful/interface/"
LIST, COUNT, SAVE = "getModeDataPageList", "getModeDataPageCount", "saveOrUpdateModeData"
FAULTS = frozenset({"mode_refused", "mode_partial"})
_STAMP = "%Y%m%d%H%M%S"
_SKEW = timedelta(minutes=5)
_NUMBER = re.compile(r"number\(\d+,(\d+)\)")
Row = dict[str, str]


class Refused(Exception):
    """Answered with a status other than "1"; nothing was done unless the fault says so."""


@dataclass(frozen=True, slots=True)
class ModeTable:
    """A table of the form engine: column -> database type."""

    name: str
    label: str
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModeSeed:
    """Callers with their passwords, tables, and interface ids with (table, what they may do)."""

    systems: Mapping[str, str]
    tables: Mapping[str, ModeTable]
    interfaces: Mapping[str, tuple[str, frozenset[str]]]


def mode_seed(raw: Mapping[str, Any]) -> ModeSeed:
    """The part ``modes`` of the seed; an OA without it has no interface."""
    tables = {
        name: ModeTable(name, item["label"], {column: kind for column, _, kind in item["columns"]})
        for name, item in raw.get("tables", {}).items()
    }
    interfaces = {
        name: (item["table"], frozenset(item["operations"])) for name, item in raw.get("interfaces", {}).items()
    }
    return ModeSeed(raw.get("systems", {}), tables, interfaces)


class Modes:
    """The form-mode interfaces of one OA."""

    def __init__(
        self, seed: ModeSeed, store: Store, clock: VirtualClock, users: Mapping[str, User], options: Options
    ) -> None:
        self._seed, self._store, self._clock, self._options = seed, store, clock, options
        self._users = users
        self._codes = {user.code: user for user in users.values()}

    # ------------------------------------------------------------ one call

    def reply(self, operation: str, interface: str, body: bytes, fault: FaultRule | None) -> Reply:
        """Answer; HTTP 200 whatever happened."""
        try:
            value = self._run(operation, interface, body, fault)
        except Refused as refusal:
            value = {"status": "4", "message": str(refusal)}
        return self._encoded(value)

    def _run(self, operation: str, interface: str, body: bytes, fault: FaultRule | None) -> dict[str, Any]:
        if fault is not None and fault.fault == "mode_refused":
            raise Refused(str(fault.options.get("message", "数据保存失败")))
        asked = _json(dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)).get("datajson", ""))
        self._let_in(asked.get("header"))
        table_name, operations = self._seed.interfaces.get(interface, ("", frozenset()))
        if operation not in operations:
            raise Refused(f"接口{interface}不存在或未启用{operation}")
        table = self._seed.tables[table_name]
        if operation == SAVE:
            return self._save(table, interface, asked, fault)
        rows = list(self._matching(table, asked.get("mainTable") or {}))
        if operation == COUNT:
            off = int(fault.options.get("by", 1)) if fault is not None and fault.fault == "wrong_count" else 0
            return {"result": str(len(rows) + off)}
        return {"result": _text([{"mainTable": row} for row in self._page(rows, asked.get("pageInfo") or {}, fault)])}

    def _encoded(self, value: dict[str, Any]) -> Reply:
        text = _text(_text(value) if self._options.mode_reply_as_string else value)
        charset = self._options.mode_charset
        if charset == "gbk":  # some gateways recode the whole body
            return Reply(text.encode("gb18030"), content_type="application/json;charset=GBK")
        declared = "application/json;charset=GBK" if charset == "declared-gbk" else "application/json"
        return Reply(text.encode(), content_type=declared)

    def _let_in(self, header: object) -> None:
        given = header if isinstance(header, dict) else {}
        system, stamp = str(given.get("systemid", "")), str(given.get("currentDateTime", ""))
        password = self._seed.systems.get(system)
        if password is None:
            raise Refused("系统标识不存在")
        signed = hashlib.md5((system + password + stamp).encode()).hexdigest()  # noqa: S324  # the vendor's choice
        if str(given.get("Md5", "")) != signed:
            raise Refused("Md5校验失败")
        try:
            moment = datetime.strptime(stamp, _STAMP)  # noqa: DTZ007  # the OA's own local time
        except ValueError:
            raise Refused("currentDateTime格式错误") from None
        if abs(moment - self._clock.now()) > _SKEW:
            raise Refused("请求已过期")

    # ------------------------------------------------------------ reading

    def _matching(self, table: ModeTable, filters: object) -> Iterator[Row]:
        """Rows with these values, newest first; an empty value is no filter."""
        if not isinstance(filters, dict) or set(filters) - {*table.columns, "id"}:
            raise Refused("查询字段不存在")
        wanted = {name: str(value) for name, value in filters.items() if value not in ("", None)}
        rows = self._store.mode_rows(table.name)
        for number in sorted(rows, reverse=True):
            row = {**rows[number], "id": str(number)}
            if all(row[name] == value for name, value in wanted.items()):
                yield row

    def _page(self, rows: Sequence[Row], page: Mapping[str, Any], fault: FaultRule | None) -> Sequence[Row]:
        number, size = _positive(page.get("pageNo"), 1), _positive(page.get("pageSize"), 10)
        drift = int(fault.options.get("by", 1)) if fault is not None and fault.fault == "page_drift" else 0
        start = (number - 1) * size + (drift if number > 1 else 0)
        found = rows[start : start + size]
        return found[int(fault.options.get("rows", 1)) :] if fault and fault.fault == "hidden_rows" else found

    # ------------------------------------------------------------ writing

    def _save(
        self, table: ModeTable, interface: str, asked: Mapping[str, Any], fault: FaultRule | None
    ) -> dict[str, Any]:
        items = asked.get("data")
        if not isinstance(items, list) or not items:
            raise Refused("data不能为空")
        checked = [self._checked(table, item) for item in items]
        partial = fault is not None and fault.fault == "mode_partial"
        if fault is not None and partial:
            checked = checked[: int(fault.options.get("done", 1))]
        done = [{"billid": self._put(table, interface, user, main)} for user, main in checked]
        if partial:
            raise Refused("部分数据保存失败")
        return {"status": "1", "datajson": _text({"data": done})}

    def _checked(self, table: ModeTable, item: object) -> tuple[User, Row]:
        """Who saves what; the row with ``id`` where one is to be changed."""
        if not isinstance(item, dict) or not isinstance(item.get("mainTable"), dict):
            raise Refused("mainTable不能为空")
        if any(item.get(name) for name in item if name.startswith("detail")):
            raise Refused("该表没有明细表")
        operator = str((item.get("operationinfo") or {}).get("operator", ""))
        user = self._users.get(operator) or self._codes.get(operator)
        if user is None or user.locked:
            raise Refused(f"操作人{operator}不存在")
        main = {name: "" if value is None else str(value) for name, value in item["mainTable"].items()}
        number = main.pop("id", "")
        unknown = set(main) - set(table.columns)
        if unknown:
            raise Refused(f"字段不存在：{','.join(sorted(unknown))}")
        main = {name: _shown(value, table.columns[name], name) for name, value in main.items()}
        if number and (not number.isdigit() or int(number) not in self._store.mode_rows(table.name)):
            raise Refused(f"数据{number}不存在")
        return user, {**main, **({"id": number} if number else {})}

    def _put(self, table: ModeTable, interface: str, user: User | None, main: Row) -> int:
        number = int(main.pop("id", 0)) or self._store.next_mode_row()
        before = self._store.mode_rows(table.name).get(number) or dict.fromkeys(table.columns, "")
        after = before | main
        entry = {
            "oa_time": self._clock.text(),
            "kind": "mode_save",
            "interface": interface,
            "table": table.name,
            "billid": str(number),
            "main": after,
            "actor": "" if user is None else user.id,
            "integration": user is not None and user.integration,
            # Of no request by itself: what it is about stands in its columns.
            **{"request_id": "", "workflow_id": "", "node": "", "node_type": -1, "log": [], "details": {}},
        }
        self._store.mode_changed(table.name, number, after, entry)
        return number

    # ------------------------------------------------------------ the control port

    def by_hand(self, table: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Rows as a person at the screen keys them: inserted, or changed where they carry an id. Returns the ids."""
        known = self._seed.tables[table]
        checked = [self._checked(known, {"mainTable": dict(row), "operationinfo": {"operator": "1"}}) for row in rows]
        return [str(self._put(known, "", user, main)) for user, main in checked]

    def shown(self, table: str) -> list[Row]:
        """All rows of a table by id."""
        return [{**row, "id": str(number)} for number, row in sorted(self._store.mode_rows(table).items())]


def _shown(value: str, kind: str, column: str) -> str:
    """A value as the column keeps it; raises Refused where the column cannot."""
    number = _NUMBER.fullmatch(kind)
    if not value:
        return ""
    if kind == "integer" and not value.lstrip("-").isdigit():
        raise Refused(f"字段{column}的值不是整数")
    if number is None:
        return value
    try:
        return str(Decimal(value).quantize(Decimal(1).scaleb(-int(number[1]))))
    except InvalidOperation:
        raise Refused(f"字段{column}的值不是数字") from None


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_float=str, parse_int=str)
    except ValueError:
        raise Refused("datajson格式错误") from None
    if not isinstance(value, dict):
        raise Refused("datajson格式错误")
    return value


def _text(value: object) -> str:
    return orjson.dumps(value).decode()


def _positive(value: object, default: int) -> int:
    text = str(value)
    return int(text) if text.isdigit() and int(text) > 0 else default
