"""Code tables with maker and checker: export, propose, what is missing, master data. Approval is the hub's.

The mapping says which tables there are and what their targets mean to finance; nothing here is typed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from finbridge.core.codes import (
    UNKNOWN_CODE,
    ChangeKind,
    CodeChange,
    CodeKey,
    CodeRecord,
    MasterKind,
    MasterRecord,
    MasterSource,
    MissingCode,
    Proposal,
    difference,
)
from finbridge.core.errors import GiveUp
from finbridge.core.flow import Flow
from finbridge.core.money import to_text
from finbridge.flows.codes_file import EXTRA, FileError, read_file, write_file
from finbridge.flows.codes_reading import Known, check_targets, interpret
from finbridge.flows.codes_tables import CodeTable

_EXPLAINED = (
    "对照表（OA 代码 → 财务代码）",
    "Code tables: from the OA's codes to finance's.",
    "一张工作表对应一个对照表；修改后用 finbridge codes propose 提交，由另一人 finbridge codes approve 复核后生效。",
    "A sheet a table. Change it and hand it in by `finbridge codes propose`; valid once another person approves it.",
    "公司留空 = 适用所有公司；本公司的行优先。",
    "A blank company means every company; a company's own row wins.",
    "代码、目标一律为文本，前导零不能丢；公式不接受。",
    "Codes and targets are text with their leading zeros; no formulas.",
    "截止日不含当日；留空 = 长期有效。行不删除，只设截止日；文件中没有的行保持不变。",
    "The end day is exclusive, blank = open. Rows are never deleted: they end. A row left out stays as it is.",
    "多段代码以 | 连接，如 ADM|TRAVEL。",
    "Parts of a code are joined by |, e.g. ADM|TRAVEL.",
    "以 = + - @（含全角）开头的内容前有一个单引号，读入时去掉。",
    "What begins like a formula carries an apostrophe; it is taken away again when the file is read.",
    "斜体列仅供参考，读入时忽略。",
    "Columns in italics are shown only and ignored when the file is read.",
)
_EXPLAINED_MISSING = (
    "本文件列出缺失的代码：填写目标后提交；留空的行不会提交。",
    "This file lists missing codes: fill in the target; rows without one are left open.",
)


_PLURAL = {MasterKind.ACCOUNT: "accounts", MasterKind.COST_CENTRE: "cost_centres", MasterKind.PARTY: "parties"}


class CodeHub(Protocol):
    """What these verbs need of the hub's ``proposals``."""

    def records(self, flow_id: str) -> list[CodeRecord]:
        """All rows with maker, checker and time."""
        ...

    def missing(self, flow_id: str) -> list[MissingCode]:
        """Codes that hold documents."""
        ...

    def propose(self, flow_id: str, changes: Sequence[CodeChange], *, maker: str, note: str = "") -> Proposal:
        """Store an open proposal."""
        ...


class MasterStore(Protocol):
    """What these verbs need of the hub's ``master_data``."""

    def all(self, system: str) -> list[MasterRecord]:
        """All that is known of a system."""
        ...

    def replace(self, system: str, records: Sequence[MasterRecord]) -> dict[str, int]:
        """Make ``records`` what is known of a system."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A flow with its tables and what the hub knows of them.

    ``checks_targets``: whether the finance system shows master data, so that a target can be held against it.
    """

    flow: Flow
    tables: Mapping[str, CodeTable]
    codes: CodeHub
    master: MasterStore
    checks_targets: bool = True

    @property
    def system(self) -> str:
        """The finance system's name in the master data."""
        return f"{self.flow.target_system}:{self.flow.target_connection}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What a file asks for. ``proposal`` None: it was only looked at, or nothing changes."""

    changes: tuple[CodeChange, ...]
    left_open: tuple[str, ...]  # places of new codes without a target
    unnamed: int  # rows of the tables that the file does not name; they stay
    proposal: Proposal | None


# ---------------------------------------------------------------- export


def export(room: Room, path: Path) -> int:
    """Write all rows of the flow's tables; their number."""
    records = room.codes.records(room.flow.flow_id)
    names = {(r.kind, r.company, r.code): r.name for r in room.master.all(room.system)}
    rows = [_exported(room, record, names) for record in records]
    stamp = f"{room.flow.flow_id} · {datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {len(rows)} rows 行"
    write_file(path, rows, tables=_all_tables(room, records), explained=(*_EXPLAINED, stamp))
    return len(rows)


def _exported(room: Room, record: CodeRecord, names: Mapping[tuple[MasterKind, str, str], str]) -> dict[str, object]:
    row = record.row
    return {
        "table": row.table,
        "company": row.company,
        "code": row.code,
        "target": row.target,
        "target_name": _name(room, row.table, row.company, row.target, names),
        "valid_from": row.valid_from,
        "valid_to": row.valid_to,
        "maker": record.maker,
        "checker": record.checker,
        "changed_at": f"{record.changed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
    }


def _name(room: Room, table: str, company: str, target: str, names: Mapping[tuple[MasterKind, str, str], str]) -> str:
    kind = room.tables[table].target if table in room.tables else None
    if kind is None:
        return ""
    companies = [company] if company else ["", *sorted(room.flow.companies)]
    return next((names[kind, c, target] for c in (*companies, "") if (kind, c, target) in names), "")


def _all_tables(room: Room, records: Sequence[CodeRecord]) -> set[str]:
    """Tables of the mapping, and those that older versions of it used."""
    return {*room.tables, *(record.row.table for record in records)}


# ---------------------------------------------------------------- propose


def propose(room: Room, path: Path, *, maker: str, note: str = "", store: bool = True) -> Proposed:
    """Read a file, hold it against the tables and finance's master data, and store what differs as a proposal.

    Raises:
        FileError: every wrong cell with its place; nothing is stored.
        GiveUp: no maker, no such file, or finance's master data were never read.
    """
    records = room.codes.records(room.flow.flow_id)
    current = [record.row for record in records]
    tables = {name: CodeTable(name=name, parts=frozenset({1}), target=None) for name in _all_tables(room, records)}
    known = Known(
        tables={**tables, **room.tables},
        companies=frozenset(room.flow.companies),
        rows=current,
        missing=room.codes.missing(room.flow.flow_id),
        master=room.master.all(room.system),
    )
    read = interpret(read_file(path, known.tables), known)
    everything = difference(current, read.rows)
    changes = tuple(change for change in everything if change.kind is not ChangeKind.SAME)
    _check_targets(room, changes, known, read.places)
    proposal = None
    if store and changes:
        proposal = room.codes.propose(room.flow.flow_id, changes, maker=maker, note=note)
    named = sum(change.before is not None for change in everything)
    return Proposed(
        changes=tuple(everything), left_open=read.left_open, unnamed=len(current) - named, proposal=proposal
    )


def _check_targets(room: Room, changes: Sequence[CodeChange], known: Known, places: Mapping[CodeKey, str]) -> None:
    fresh = [c.row for c in changes if c.before is None or c.before.target != c.row.target]
    fresh = [row for row in fresh if known.tables[row.table].target is not None]
    if not fresh or not room.checks_targets:
        return
    if not known.master:
        raise GiveUp(
            "master_data_missing",
            f"尚未读取财务主数据，请先运行 finbridge codes master --flow {room.flow.flow_id} / finance's accounts were "
            f"never read: run `finbridge codes master --flow {room.flow.flow_id}` first",
        )
    mistakes = check_targets(fresh, known, places, served=room.flow.companies)
    if mistakes:
        raise FileError(mistakes)


# ---------------------------------------------------------------- what is missing


def export_missing(room: Room, path: Path) -> int:
    """Write the codes that hold documents as a file that can be filled in and proposed; the number of rows."""
    everywhere = _for_every_company(room)
    found: dict[tuple[str, str, str], list[MissingCode]] = {}
    for item in room.codes.missing(room.flow.flow_id):
        if item.reason == UNKNOWN_CODE:
            company = "" if item.table in everywhere else item.company
            found.setdefault((item.table, company, item.code), []).append(item)
    rows = [_missing_row(room, key, items) for key, items in found.items()]
    tables = {table for table, _, _ in found} or set(room.tables)
    write_file(path, rows, tables=tables, explained=(*_EXPLAINED_MISSING, *_EXPLAINED), extra=EXTRA)
    return len(rows)


def _missing_row(room: Room, key: tuple[str, str, str], items: Sequence[MissingCode]) -> dict[str, object]:
    """A row to fill in; ``items`` are the same code in several companies where the row is for all of them."""
    table, company, code = key
    first = min(item.first_day for item in items)
    alone = items[0] if len(items) == 1 else None
    return {
        "table": table,
        "company": company,
        "code": code,
        "valid_from": first,
        "documents": sum(item.documents for item in items),
        "amount": amount_text(alone, room.flow) if alone else "",
        "currency": _currency(alone, room.flow) if alone else "",
        "first_day": first,
        "held_since": min(item.held_since for item in items).astimezone(UTC).date(),
        "reason": UNKNOWN_CODE,
    }


def _for_every_company(room: Room) -> set[str]:
    """Tables all of whose rows are for every company: a new row is most likely for every company too."""
    companies: dict[str, set[str]] = {}
    for record in room.codes.records(room.flow.flow_id):
        companies.setdefault(record.row.table, set()).add(record.row.company)
    return {table for table, found in companies.items() if found == {""}}


def amount_text(item: MissingCode, flow: Flow) -> str:
    """The sum of what is held, in the company's currency; empty where no form shows one."""
    if item.amount_minor is None or item.company not in flow.companies:
        return ""
    text = to_text(item.amount_minor, flow.companies[item.company].currency)
    return f"{text} + {item.without_amount} ?" if item.without_amount else text


def _currency(item: MissingCode, flow: Flow) -> str:
    return flow.companies[item.company].currency if item.company in flow.companies else ""


# ---------------------------------------------------------------- master data


async def refresh_master(
    *, flow: Flow, master: MasterStore, ledger: MasterSource, companies: Collection[str] | None = None
) -> dict[str, int]:
    """Read accounts, cost centres and parties of the flow's companies from finance into the hub; counts.

    Raises:
        RetryLater: finance cannot say now.
        GiveUp: finance refuses, or shows not one account; what is known stays.
    """
    found: dict[tuple[str, str, str], MasterRecord] = {}
    for company in sorted(companies or flow.companies):
        async for page in ledger.master_data(company):
            found |= {(record.kind.value, record.company, record.code): record for record in page}
    counts = master.replace(f"{flow.target_system}:{flow.target_connection}", list(found.values()))
    kinds = Counter(record.kind for record in found.values())
    return {name: kinds[kind] for kind, name in _PLURAL.items()} | counts
