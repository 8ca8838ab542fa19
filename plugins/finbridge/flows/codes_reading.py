"""From cells to rows of code tables: nothing is guessed, a lost leading zero is not taken for a code."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from finbridge.core.codes import CodeKey, MasterKind, MasterRecord, MissingCode, key_of, overlaps
from finbridge.core.ports import CodeRow
from finbridge.flows.codes_file import Cell, FileError, FileRow
from finbridge.flows.codes_tables import CodeTable

_DAY = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?")
_SCIENTIFIC = re.compile(r"\d(\.\d+)?E\+\d+", re.IGNORECASE)
_EXACT_DIGITS = 15  # what a number in Excel keeps
_AS_TEXT = "请把单元格设为文本再输入 / format the cell as text and type it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What numbers and lost zeros are compared with."""

    tables: Mapping[str, CodeTable]
    companies: Collection[str]
    rows: Sequence[CodeRow]
    missing: Sequence[MissingCode]
    master: Sequence[MasterRecord]

    def codes(self, table: str) -> set[str]:
        """Codes of a table, and those that hold documents."""
        return {r.code for r in self.rows if r.table == table} | {m.code for m in self.missing if m.table == table}

    def targets(self, table: str) -> set[str]:
        """Targets of a table, and what finance knows of their kind."""
        kind = self.tables[table].target
        named = {record.code for record in self.master if record.kind is kind} if kind else set()
        return {row.target for row in self.rows if row.table == table} | named


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreted:
    """A file's rows, and the places of rows that nobody filled in yet (a new code without a target)."""

    rows: tuple[CodeRow, ...]
    places: Mapping[CodeKey, str]
    left_open: tuple[str, ...]


def interpret(file_rows: Iterable[FileRow], known: Known) -> Interpreted:
    """All rows of a file as rows of code tables.

    Raises:
        FileError: names every wrong cell.
    """
    reading = _Reading(known)
    for file_row in file_rows:
        reading.take(file_row)
    if not reading.mistakes:
        reading.refuse_overlaps()
    if reading.mistakes:
        raise FileError(reading.mistakes)
    return Interpreted(rows=tuple(reading.rows.values()), places=reading.places, left_open=tuple(reading.left_open))


class _Reading:
    """One file being read; mistakes are gathered, so that people see all of them at once."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.rows: dict[CodeKey, CodeRow] = {}
        self.places: dict[CodeKey, str] = {}
        self.left_open: list[str] = []
        self.mistakes: list[str] = []
        self._codes = {table: known.codes(table) for table in known.tables}
        self._targets = {table: known.targets(table) for table in known.tables}
        self._standing = {(row.table, row.company, row.code) for row in known.rows}

    def take(self, file_row: FileRow) -> None:
        """Read one row, or say what is wrong with it."""
        if file_row.table not in self.known.tables:
            names = ", ".join(sorted(self.known.tables))
            self.mistakes.append(
                f"{file_row.place}: 没有这个对照表 / no such code table: {file_row.table[:40]!r}. Known: {names}"
            )
            return
        before = len(self.mistakes)
        table, cells = file_row.table, file_row.cells
        company = self._text(cells.get("company"), self.known.companies, optional=True)
        code = self._text(cells.get("code"), self._codes[table], at=f"{file_row.place}, code")
        target_cell = cells.get("target")
        unfilled = target_cell is None or target_cell.blank
        if unfilled and (table, company, code) not in self._standing and len(self.mistakes) == before:
            self.left_open.append(file_row.place)
            return
        target = self._text(target_cell, self._targets[table], at=f"{file_row.place}, target")
        start = self._day(cells.get("valid_from"), at=f"{file_row.place}, valid_from")
        end = self._day(cells.get("valid_to"), optional=True)
        if len(self.mistakes) == before and start is not None:
            row = CodeRow(table=table, company=company, code=code, target=target, valid_from=start, valid_to=end)
            self._check(row, file_row)
            if len(self.mistakes) == before:
                self._keep(row, file_row.place)

    def _check(self, row: CodeRow, file_row: FileRow) -> None:
        if row.company and row.company not in self.known.companies:
            names = ", ".join(sorted(self.known.companies))
            self.mistakes.append(
                f"{file_row.cells['company'].place}: 公司不在流程内 / the flow serves no company {row.company}. "
                f"Known: {names}; leave it blank for all"
            )
        parts = self.known.tables[row.table].parts
        if row.code.count("|") + 1 not in parts and parts != {1}:
            wanted = "/".join(map(str, sorted(parts)))
            self.mistakes.append(
                f"{file_row.cells['code'].place}: 代码段数不对 / {wanted} parts joined by | are looked up here, "
                f"this code has {row.code.count('|') + 1}"
            )
        if row.valid_to is not None and row.valid_to <= row.valid_from:
            self.mistakes.append(
                f"{file_row.cells['valid_to'].place}: 截止日须晚于起始日 / not after the first day (the end day is "
                "the first day on which the row is not valid any more)"
            )

    def _keep(self, row: CodeRow, place: str) -> None:
        key = key_of(row)
        if key in self.rows and self.rows[key] != row:
            self.mistakes.append(
                f"{place}: 与 {self.places[key]} 矛盾 / {self.places[key]} says something else about the same code "
                "from the same day"
            )
            return
        self.rows.setdefault(key, row)
        self.places.setdefault(key, place)

    def refuse_overlaps(self) -> None:
        """Two rows of one code valid on the same day, in the file or between the file and the table."""
        after = {key_of(row): row for row in self.known.rows} | self.rows
        touched = {(row.table, row.company, row.code) for row in self.rows.values()}
        for one, other in overlaps(row for row in after.values() if (row.table, row.company, row.code) in touched):
            places = [self.places.get(key_of(row)) or "对照表 / the table" for row in (one, other)]
            self.mistakes.append(
                f"{places[1]}: 有效期与 {places[0]} 重叠 / {other.table} {other.code} from {other.valid_from} "
                f"overlaps the row from {one.valid_from} ({places[0]}): give that one an end day"
            )

    # ------------------------------------------------------------ cells

    def _text(self, cell: Cell | None, candidates: Collection[str], *, optional: bool = False, at: str = "") -> str:
        if cell is None or cell.blank:
            if not optional:
                self.mistakes.append(f"{cell.place if cell else at}: 空白 / blank; fill it in")
            return ""
        value = cell.value
        if isinstance(value, str):
            return self._checked(cell, value, candidates)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            what = "日期或其他类型 / a date or another kind of value"
            self.mistakes.append(f"{cell.place}: 不是文本 / not a text: {what}; {_AS_TEXT}")
            return ""
        return self._number(cell, int(value), candidates)

    def _number(self, cell: Cell, value: int, candidates: Collection[str]) -> str:
        """A number is a code only where one known code alone can be meant, or its format says how many digits."""
        if value >= 0 and len(str(value)) <= _EXACT_DIGITS:
            if cell.digits:
                return str(value).zfill(cell.digits)
            meant = {text for text in candidates if text.isdecimal() and text.isascii() and int(text) == value}
            if len(meant) == 1:
                return meant.pop()
        self.mistakes.append(
            f"{cell.place}: 数字 {value} 可能丢失了前导零 / the number {value} may have lost leading zeros; {_AS_TEXT}"
        )
        return ""

    def _checked(self, cell: Cell, text: str, candidates: Collection[str]) -> str:
        if text in candidates:
            return text
        if text != text.strip():
            self.mistakes.append(f"{cell.place}: 首尾有空格 / blanks around the value; take them away")
        elif any(unicodedata.category(char) in {"Cc", "Cs"} for char in text):
            self.mistakes.append(f"{cell.place}: 含有控制字符 / control characters; type it again")
        elif _SCIENTIFIC.fullmatch(text):
            self.mistakes.append(f"{cell.place}: 科学计数法，数字已丢失 / digits were lost in {text}; {_AS_TEXT}")
        elif text.isdecimal() and (like := self._with_zeros(text, candidates)):
            self.mistakes.append(
                f"{cell.place}: {text} 可能丢失了前导零（已有 {like}） / {text} may have lost leading zeros: "
                f"{like} is known; {_AS_TEXT}"
            )
        return text

    @staticmethod
    def _with_zeros(text: str, candidates: Collection[str]) -> str:
        bare = text.lstrip("0")
        return next((c for c in sorted(candidates) if len(c) > len(text) and c.lstrip("0") == bare), "")

    def _day(self, cell: Cell | None, *, optional: bool = False, at: str = "") -> date | None:
        if cell is None or cell.blank:
            if not optional:
                self.mistakes.append(f"{cell.place if cell else at}: 空白 / blank; write a day as yyyy-MM-dd")
            return None
        value = cell.value
        if isinstance(value, datetime):
            if value.time() == time():
                return value.date()
        elif isinstance(value, date):
            return value
        elif isinstance(value, str) and (match := _DAY.fullmatch(value.strip())):
            try:
                return date(int(match[1]), int(match[2]), int(match[3]))
            except ValueError:
                pass
        self.mistakes.append(f"{cell.place}: 不是日期 / not a day; write yyyy-MM-dd, or format the cell as a date")
        return None


# ---------------------------------------------------------------- targets


def check_targets(
    rows: Iterable[CodeRow], known: Known, places: Mapping[CodeKey, str], *, served: Collection[str]
) -> list[str]:
    """What is wrong with targets that finance must know: a sentence for each, with what to do."""
    shown = {(r.kind, r.company, r.code): r.active for r in known.master}
    mistakes = []
    for row in rows:
        kind = known.tables[row.table].target
        if kind is None:
            continue
        bad = _bad_target(row, kind, shown, served)
        if bad:
            mistakes.append(f"{places.get(key_of(row), row.code)}: {bad}")
    return mistakes


def _bad_target(
    row: CodeRow, kind: MasterKind, shown: Mapping[tuple[MasterKind, str, str], bool], served: Collection[str]
) -> str:
    unknown, closed = [], []
    for company in [row.company] if row.company else sorted(served):
        active = shown.get((kind, company, row.target), shown.get((kind, "", row.target)))
        if active is None:
            unknown.append(company)
        elif not active:
            closed.append(company)
    word = {"account": "科目 account", "party": "往来单位 party", "cost_centre": "成本中心 cost centre"}[kind.value]
    if unknown:
        return (
            f"{word} {row.target}: 财务系统没有（公司 {', '.join(unknown)}） / finance has none in company "
            f"{', '.join(unknown)}; create it there, then run `finbridge codes master`, or use another target"
        )
    if closed:
        return (
            f"{word} {row.target}: 已停用或不可记账（公司 {', '.join(closed)}） / closed or a heading in company "
            f"{', '.join(closed)}; use another target"
        )
    return ""
