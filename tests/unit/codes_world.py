"""Code tables without a hub: a store in memory, the shipped flow, workbooks as people make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.codes import (
    CodeChange,
    CodeRecord,
    MasterKind,
    MasterRecord,
    MissingCode,
    Proposal,
    ProposalState,
    changes_hash,
)
from finbridge.core.ports import CodeRow
from finbridge.flows import codes as verbs
from finbridge.flows.codes import Room
from finbridge.flows.codes_file import FileError
from finbridge.flows.codes_tables import CodeTable, tables_of
from finbridge.flows.config import load_flow
from openpyxl import Workbook

ROOT = Path(__file__).resolve().parents[2]
FLOW = load_flow(ROOT / "include/flows/weaver_tryton__expense_claim.yaml")
TABLES = tables_of(ROOT / "include/mappings" / FLOW.mapping)
AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NEW_YEAR = date(2026, 1, 1)
HEADINGS = ["公司", "code", "目标 target", "Valid From", "valid_to"]


@dataclass
class Store:
    """The hub as the verbs see it."""

    rows: list[CodeRow] = field(default_factory=list)
    lacking: list[MissingCode] = field(default_factory=list)
    known: list[MasterRecord] = field(default_factory=list)
    made: list[Proposal] = field(default_factory=list)

    def records(self, flow_id: str) -> list[CodeRecord]:
        return [CodeRecord(row=row, maker="wang", checker="li", changed_at=AT) for row in self.rows]

    def missing(self, flow_id: str) -> list[MissingCode]:
        return self.lacking

    def propose(self, flow_id: str, changes: Sequence[CodeChange], *, maker: str, note: str = "") -> Proposal:
        self.made.append(
            Proposal(
                proposal_id=len(self.made) + 1,
                flow_id=flow_id,
                maker=maker,
                made_at=AT,
                note=note,
                changes=tuple(changes),
                sha256=changes_hash(changes),
                state=ProposalState.OPEN,
            )
        )
        return self.made[-1]

    def all(self, system: str) -> list[MasterRecord]:
        return self.known

    def replace(self, system: str, records: Sequence[MasterRecord]) -> dict[str, int]:
        self.known = list(records)
        return {"changed": len(records), "gone": 0}


def master(*codes: str, kind: MasterKind = MasterKind.ACCOUNT, active: bool = True) -> list[MasterRecord]:
    return [
        MasterRecord(kind=kind, company=company, code=code, name=f"名称{code}", active=active)
        for code in codes
        for company in ("1000", "2000")
    ]


def room_of(store: Store, *, checks: bool = True, tables: dict[str, CodeTable] | None = None) -> Room:
    return Room(flow=FLOW, tables=tables or TABLES, codes=store, master=store, checks_targets=checks)


def row(code: str = "ADM|TRAVEL", target: str = "660201", **more: Any) -> CodeRow:
    values = {"table": "expense_account", "company": "", "valid_from": NEW_YEAR, "valid_to": None, **more}
    return CodeRow(code=code, target=target, **values)


def sheet(path: Path, lines: Sequence[Sequence[object]], *, title: str = "expense_account") -> Path:
    """A workbook with one table below the usual headings."""
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = title
    page.append(HEADINGS)
    for line in lines:
        page.append(list(line))
    book.save(path)
    return path


def refused(room: Room, path: Path) -> str:
    with pytest.raises(FileError) as caught:
        verbs.propose(room, path, maker="wang")
    return "\n".join(caught.value.mistakes)
