"""Code tables 对照表: read from CSV, cut into ranges that never overlap, so that a look-up finds one row or none."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path

from finbridge.core.ports import CodeRow
from finbridge.mapping.yamlfile import ConfigError

COLUMNS = ("table", "company", "code", "target", "valid_from", "valid_to")
OPTIONAL_COLUMNS = ("note",)
OPEN_END = date(9999, 12, 31)
EVERY_COMPANY = ""
BAR = "|"
#: (table, company, code, target or None where two rows disagree, from, to, companies that this row is not for)
CodeRange = tuple[str, str, str, str | None, date, date, list[str]]


def read_code_files(folder: Path) -> list[CodeRow]:
    """All ``*.csv`` of a folder in order of name. Columns: table, company, code, target, valid_from, valid_to[, note].

    Raises:
        ConfigError: names file, line and column.
    """
    rows: list[CodeRow] = []
    for path in sorted(folder.glob("*.csv")):
        rows.extend(_read(path))
    return rows


def _read(path: Path) -> list[CodeRow]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # Excel writes a byte order mark
        reader = csv.DictReader(file, strict=True)
        names = tuple(reader.fieldnames or ())
        unknown = [name for name in names if name not in (*COLUMNS, *OPTIONAL_COLUMNS)]
        missing = [name for name in COLUMNS if name not in names]
        if unknown or missing:
            wrong = ", ".join((*unknown, *missing))
            raise ConfigError(path, 1, wrong, f"列名不对 / wrong header. The columns are {', '.join(COLUMNS)}[, note].")
        return [_row(path, reader.line_num, line) for line in reader]


def _row(path: Path, line: int, values: dict[str, str]) -> CodeRow:
    if None in values or None in values.values():
        raise ConfigError(path, line, "(row)", "列数不对 / wrong number of columns in this row.")
    for name in ("table", "code", "target", "valid_from"):
        if not values[name] or values[name] != values[name].strip():
            raise ConfigError(path, line, name, "空白 / blank, or blanks around the value. Mend the cell.")
    start = _day(path, line, "valid_from", values["valid_from"])
    end = _day(path, line, "valid_to", values["valid_to"]) if values["valid_to"] else None
    if end is not None and end <= start:
        raise ConfigError(path, line, "valid_to", "不晚于起始日 / not after valid_from (the end day is exclusive).")
    return CodeRow(
        table=values["table"],
        company=values["company"],
        code=values["code"],
        target=values["target"],
        valid_from=start,
        valid_to=end,
    )


def _day(path: Path, line: int, name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(path, line, name, "不是日期 / not a day; write yyyy-MM-dd.") from None


def ranges(rows: Iterable[CodeRow]) -> list[CodeRange]:
    """Cut the rows of each code so that for one company and day one row at most is found.

    Where rows with different targets overlap, the target is None. A row for every company names the companies that
    have a row of their own at that time.
    """
    key = attrgetter("table", "code")
    cut: list[CodeRange] = []
    for (table, code), group in groupby(sorted(set(rows), key=lambda r: (*key(r), r.company, r.valid_from)), key=key):
        own = list(group)
        if len(own) == 1:
            only = own[0]
            end = only.valid_to or OPEN_END
            cut.append((table, only.company, code, only.target, only.valid_from, end, []))
        else:
            cut.extend(_pieces(table, code, own))
    return cut


def _pieces(table: str, code: str, rows: Sequence[CodeRow]) -> Iterator[CodeRange]:
    spans = [(row.valid_from, row.valid_to or OPEN_END, row) for row in rows]
    for start, end in pairwise(sorted({day for first, last, _ in spans for day in (first, last)})):
        targets: dict[str, set[str]] = {}
        for first, last, row in spans:
            if first <= start and end <= last:
                targets.setdefault(row.company, set()).add(row.target)
        for company, found in targets.items():
            others = sorted(set(targets) - {EVERY_COMPANY}) if company == EVERY_COMPANY else []
            yield table, company, code, found.pop() if len(found) == 1 else None, start, end, others


def for_keys(rows: Iterable[CodeRow], parts: Mapping[str, frozenset[int]]) -> list[CodeRow]:
    """The rows that a look-up can mean. ``parts``: for each table, how many parts the keys of its look-ups have.

    A key of n parts is joined by n - 1 bars. A code with another number of bars is left out, so that a bar inside a
    part finds nothing instead of the code of another key.
    """
    return [r for r in rows if r.table in parts and (parts[r.table] == {1} or r.code.count(BAR) + 1 in parts[r.table])]
