"""Code tables 对照表 as people change them: rows with maker and checker, differences, proposals, master data.

Shapes and pure functions alone. A hold for a code that was looked up in vain ends with the words of `HELD_WORDS` and
`lookup_detail`; the hub finds by that text what a loaded code may release.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, Protocol

from finbridge.core.ports import CodeRow

UNKNOWN_CODE = "unknown_code"
AMBIGUOUS_CODE = "ambiguous_code"
#: By reason code: what stands before `lookup_detail`, in Chinese and English.
HELD_WORDS = {
    UNKNOWN_CODE: "对照表没有这个代码 / not in the code table: ",
    AMBIGUOUS_CODE: "对照表有重叠的行 / two rows of the code table are valid at once: ",
}

#: (table, company, code, first day)
CodeKey = tuple[str, str, str, date]


def lookup_detail(table: str, code: str, company: str, day: date) -> str:
    """The end of a hold's detail that names what was looked up in vain. Only the code may hold a comma."""
    return f"table {table}, code {code}, company {company}, date {day.isoformat()}"


def key_of(row: CodeRow) -> CodeKey:
    """What makes a row of a flow's code tables the same row."""
    return (row.table, row.company, row.code, row.valid_from)


# ---------------------------------------------------------------- rows and differences


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRecord:
    """A row with who made it, who checked it, and when."""

    row: CodeRow
    maker: str
    checker: str
    changed_at: datetime


class ChangeKind(StrEnum):
    """How a proposed row differs from the table."""

    NEW = "new"
    CHANGED = "changed"
    ENDED = "ended"  # the same target, an end day earlier than before
    SAME = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeChange:
    """A proposed row beside the row that stands in the table (None: there is none)."""

    kind: ChangeKind
    row: CodeRow
    before: CodeRow | None


def difference(current: Iterable[CodeRow], wanted: Iterable[CodeRow]) -> list[CodeChange]:
    """Each wanted row beside the current one, in the order of the keys. Rows that nobody names stay as they are."""
    standing = {key_of(row): row for row in current}
    named = {key_of(row): row for row in wanted}
    return [_change(standing.get(key), row) for key, row in sorted(named.items())]


def _change(before: CodeRow | None, row: CodeRow) -> CodeChange:
    if before is None:
        kind = ChangeKind.NEW
    elif before == row:
        kind = ChangeKind.SAME
    elif before.target == row.target and row.valid_to and (before.valid_to is None or row.valid_to < before.valid_to):
        kind = ChangeKind.ENDED
    else:
        kind = ChangeKind.CHANGED
    return CodeChange(kind=kind, row=row, before=before)


def overlaps(rows: Iterable[CodeRow]) -> list[tuple[CodeRow, CodeRow]]:
    """Pairs of rows of one code that are valid on the same day."""
    ordered = sorted(rows, key=key_of)
    found = []
    for one, other in pairwise(ordered):
        same = (one.table, one.company, one.code) == (other.table, other.company, other.code)
        if same and (one.valid_to is None or one.valid_to > other.valid_from):
            found.append((one, other))
    return found


# ---------------------------------------------------------------- proposals


class ProposalState(StrEnum):
    """Where a proposal stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Changes that one person asks for; ``changes`` hold only what is new, changed or ended."""

    proposal_id: int
    flow_id: str
    maker: str
    made_at: datetime
    note: str
    changes: tuple[CodeChange, ...]
    sha256: str
    state: ProposalState
    checker: str = ""
    decided_at: datetime | None = None
    decision_note: str = ""


def changes_json(changes: Sequence[CodeChange]) -> list[dict[str, Any]]:
    """Changes as JSON values, for storage."""
    return [
        {
            "table": change.row.table,
            "company": change.row.company,
            "code": change.row.code,
            "valid_from": change.row.valid_from.isoformat(),
            "valid_to": _iso(change.row.valid_to),
            "target": change.row.target,
            "was": None
            if change.before is None
            else {"target": change.before.target, "valid_to": _iso(change.before.valid_to)},
        }
        for change in changes
    ]


def changes_of(stored: Iterable[Mapping[str, Any]]) -> tuple[CodeChange, ...]:
    """What `changes_json` made, as changes again."""
    found = []
    for item in stored:
        key = {"table": item["table"], "company": item["company"], "code": item["code"]}
        start = date.fromisoformat(item["valid_from"])
        row = CodeRow(**key, target=item["target"], valid_from=start, valid_to=_day(item["valid_to"]))
        was = item["was"]
        before = None
        if was is not None:
            before = CodeRow(**key, target=was["target"], valid_from=start, valid_to=_day(was["valid_to"]))
        found.append(_change(before, row))
    return tuple(found)


def changes_hash(changes: Sequence[CodeChange]) -> str:
    """SHA-256 of the changes in canonical form: what is approved is what was proposed."""
    text = json.dumps(changes_json(changes), ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


# ---------------------------------------------------------------- what holds documents


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCode:
    """A code that holds documents. A document that lacks two codes counts for both."""

    table: str
    code: str
    company: str
    reason: str  # unknown_code or ambiguous_code
    documents: int
    amount_minor: int | None  # of those documents whose form shows a total; None where none does
    without_amount: int  # documents whose form shows no total
    first_day: date  # the earliest day for which the code was looked up
    held_since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedUnderOldCode:
    """A voucher that went to finance with a target that was corrected later. Never changed: a person decides."""

    company: str
    document_id: str
    business_number: str
    key: str
    state: str
    finance_number: str  # "" while in doubt
    posting_date: date
    targets: str  # the superseded ones on its lines


# ---------------------------------------------------------------- master data


class MasterKind(StrEnum):
    """What finance keeps itself and nobody types here."""

    ACCOUNT = "account"
    COST_CENTRE = "cost_centre"
    PARTY = "party"


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterRecord:
    """One account, cost centre or party. ``company`` "" = every company. A party's name may be a person's."""

    kind: MasterKind
    company: str
    code: str
    name: str
    active: bool


class MasterSource(Protocol):
    """A finance system that shows its master data."""

    def master_data(self, company: str) -> AsyncIterator[list[MasterRecord]]:
        """Accounts, cost centres and parties of a company, in pages, each once."""
        ...
