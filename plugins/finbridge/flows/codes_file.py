"""Code tables as Excel and CSV files: headings, cells, and what keeps a spreadsheet from running what it shows.

A cell that begins like a formula (``= + - @``, their full-width forms, a tab or a line break) is written with an
apostrophe before it, and one apostrophe is taken away when it is read: so the round trip changes nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from finbridge.core.errors import GiveUp

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

README = "说明 README"
#: Full-width forms are taken for formulas by spreadsheets of East Asian locales.
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'", "＇")
_TITLE_LENGTH = 31  # Excel's
_MAX_BYTES = 20_000_000
_MAX_ROWS = 200_000
_FIRST_EXCEL_DAY = date(1901, 1, 1)
_TEXT_FORMAT = "@"
_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column with its headings. ``read``: whether a file's values count; others are shown only."""

    name: str
    zh: str
    en: str
    read: bool = True
    width: int = 14

    @property
    def heading(self) -> str:
        """As it is written."""
        return f"{self.zh} {self.en}"

    def fits(self, heading: str) -> bool:
        """Whether a file's heading means this column."""
        return _bare(heading) in {_bare(self.name), _bare(self.zh), _bare(self.en), _bare(self.heading)}


TABLE = Column("table", "对照表", "table", width=22)
COLUMNS = (
    Column("company", "公司", "company"),
    Column("code", "代码", "code", width=30),
    Column("target", "目标", "target", width=18),
    Column("target_name", "目标名称", "target name", read=False, width=26),
    Column("valid_from", "起始日", "valid from"),
    Column("valid_to", "截止日（不含）", "valid to", width=18),
    Column("maker", "制表", "maker", read=False),
    Column("checker", "复核", "checker", read=False),
    Column("changed_at", "变更时间", "changed at", read=False, width=22),
)
#: Shown in lists of what is missing; may stand in any file.
EXTRA = (
    Column("documents", "单据数", "documents", read=False),
    Column("amount", "金额", "amount", read=False, width=18),
    Column("currency", "币种", "currency", read=False),
    Column("first_day", "最早业务日", "first day", read=False),
    Column("held_since", "挂起自", "held since", read=False),
    Column("reason", "原因", "reason", read=False, width=18),
    Column("note", "备注", "note", read=False),
)
_REQUIRED = frozenset({"company", "code", "target", "valid_from", "valid_to"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a file. ``place`` is for people; ``digits`` is how many digits its number format shows at least."""

    place: str
    value: object
    digits: int = 0

    @property
    def blank(self) -> bool:
        """Whether nothing stands in it."""
        return self.value is None or (isinstance(self.value, str) and not self.value.strip())


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row as it stands in the file: cells of the columns that are read, by name."""

    table: str
    place: str
    cells: Mapping[str, Cell] = field(repr=False)


class FileError(GiveUp):
    """A file that cannot be taken as it is. ``mistakes`` name each place and say what to do."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        shown = [*mistakes[:_EXAMPLES], *([f"… +{len(mistakes) - _EXAMPLES}"] if len(mistakes) > _EXAMPLES else [])]
        super().__init__("bad_code_file", "文件有误，未提交 / the file cannot be taken:\n  " + "\n  ".join(shown))
        self.mistakes = tuple(mistakes)


def neutral(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_RISKY) else text


def plain(text: str) -> str:
    """What `neutral` was given."""
    return text[1:] if text.startswith("'") else text


def sheet_titles(tables: Iterable[str]) -> dict[str, str]:
    """A title for each table, short enough for Excel; title -> table."""
    titles: dict[str, str] = {}
    for table in sorted(tables):
        title = table
        number = 1
        while len(title) > _TITLE_LENGTH or title in titles:
            number += 1
            title = f"{table[: _TITLE_LENGTH - len(str(number)) - 1]}~{number}"
        titles[title] = table
    return titles


# ---------------------------------------------------------------- writing


def write_file(
    path: Path,
    rows: Sequence[Mapping[str, object]],
    *,
    tables: Iterable[str],
    explained: Sequence[str],
    extra: Sequence[Column] = (),
) -> None:
    """Write rows (values by column name, with ``table``) as ``.xlsx`` (a sheet a table) or ``.csv`` (one list).

    Raises:
        GiveUp: another ending, or a text that no spreadsheet can hold.
    """
    columns = (*COLUMNS, *extra)
    if path.suffix.lower() == ".csv":
        _write_csv(path, rows, (TABLE, *columns))
    elif path.suffix.lower() == ".xlsx":
        _write_xlsx(path, rows, columns, sheet_titles(tables), explained)
    else:
        raise GiveUp("bad_file_name", f"只支持 .xlsx 与 .csv / only .xlsx and .csv are written: {path.name}")


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # Excel needs the mark to see UTF-8
        writer = csv.writer(file)
        writer.writerow([column.heading for column in columns])
        for row in rows:
            writer.writerow([_shown(row.get(column.name)) for column in columns])


def _shown(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else neutral(str(value))


def _write_xlsx(
    path: Path,
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[Column],
    titles: Mapping[str, str],
    explained: Sequence[str],
) -> None:
    from openpyxl import Workbook
    from openpyxl.utils.exceptions import IllegalCharacterError

    book = Workbook()
    first: Worksheet = book.active  # type: ignore[assignment]  # a new workbook has a worksheet
    first.title = README
    first.column_dimensions["A"].width = 110
    for line in explained:
        first.append([neutral(line)])
    by_table: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        by_table.setdefault(str(row["table"]), []).append(row)
    try:
        for title, table in titles.items():
            _fill(book.create_sheet(title), columns, by_table.get(table, []))
    except IllegalCharacterError:
        raise GiveUp(
            "bad_characters",
            "代码含有电子表格无法保存的控制字符，请改用 CSV / "
            "a code holds control characters that no spreadsheet can keep: write a CSV",
        ) from None
    book.save(path)


def _fill(sheet: Worksheet, columns: Sequence[Column], rows: Iterable[Mapping[str, object]]) -> None:
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    for number, column in enumerate(columns, start=1):
        heading = sheet.cell(1, number, column.heading)
        heading.font = Font(bold=True, italic=not column.read)
        dimension = sheet.column_dimensions[get_column_letter(number)]
        dimension.width = column.width
        dimension.number_format = _TEXT_FORMAT  # what is typed later stays text, with its leading zeros
    for line, row in enumerate(rows, start=2):
        for number, column in enumerate(columns, start=1):
            _put(sheet, line, number, row.get(column.name))
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{max(sheet.max_row, 1)}"


def _put(sheet: Worksheet, line: int, number: int, value: object) -> None:
    if value is None or value == "":
        return
    if isinstance(value, date) and value >= _FIRST_EXCEL_DAY:
        sheet.cell(line, number, value).number_format = "yyyy-mm-dd"
        return
    cell = sheet.cell(line, number)
    cell.number_format = _TEXT_FORMAT
    cell.value = value.isoformat() if isinstance(value, date) else neutral(str(value))
    cell.data_type = "s"


# ---------------------------------------------------------------- reading


def read_file(path: Path, tables: Iterable[str]) -> list[FileRow]:
    """Read every row that is not blank.

    Raises:
        FileError: names each wrong heading, sheet, formula or row.
        GiveUp: the file is not there, too large, or no such file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GiveUp("file_missing", f"文件读不到 / cannot be read: {path} ({error.strerror})") from None
    if len(content) > _MAX_BYTES:
        raise GiveUp("file_too_large", f"文件过大 / the file is larger than {_MAX_BYTES:,} bytes: {path.name}")
    if path.suffix.lower() == ".csv":
        return _read_csv(content)
    if path.suffix.lower() == ".xlsx":
        return _read_xlsx(path, content, sheet_titles(tables))
    raise GiveUp("bad_file_name", f"只支持 .xlsx 与 .csv / only .xlsx and .csv are read: {path.name}")


def _read_csv(content: bytes) -> list[FileRow]:
    text = _decoded(content)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, values) for values in reader]
    except csv.Error as error:
        raise FileError(
            [f"第 {reader.line_num} 行 / line {reader.line_num}: CSV 格式有误 / not valid CSV ({error})"]
        ) from None
    if not lines:
        raise FileError(["文件是空的 / the file is empty"])
    columns, mistakes = _columns([(f"第 1 行第 {n} 列 / line 1, column {n}", v) for n, v in enumerate(lines[0][1], 1)])
    if TABLE.name not in columns.values():
        mistakes.append(f"缺少列 / missing column: {TABLE.heading}")
    rows: list[FileRow] = []
    for line, values in lines[1:]:
        place = f"第 {line} 行 / line {line}"
        if len(values) > len(lines[0][1]) and any(value.strip() for value in values[len(lines[0][1]) :]):
            mistakes.append(f"{place}: 列数多于表头 / more values than headings")
            continue
        cells = {
            columns[n]: Cell(f"{place}, {columns[n]}", plain(value)) for n, value in enumerate(values) if n in columns
        }
        if any(not cell.blank for cell in cells.values()):
            rows.append(FileRow(str(cells[TABLE.name].value) if TABLE.name in cells else "", place, cells))
    if mistakes:
        raise FileError(mistakes)
    return rows


def _decoded(content: bytes) -> str:
    """UTF-8, or what Excel on a Chinese Windows writes."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise FileError(["编码不是 UTF-8 或 GB18030 / neither UTF-8 nor GB18030"])


def _read_xlsx(path: Path, content: bytes, titles: Mapping[str, str]) -> list[FileRow]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(io.BytesIO(content))
    except (InvalidFileException, BadZipFile, KeyError, ValueError, OSError, SyntaxError):
        raise FileError([f"{path.name}: 不是 Excel 工作簿 / not an Excel workbook; save it as .xlsx"]) from None
    rows: list[FileRow] = []
    mistakes: list[str] = []
    for sheet in book.worksheets:
        if sheet.title == README:
            continue
        if sheet.title not in titles:
            known = ", ".join(titles)
            mistakes.append(f"{sheet.title}: 没有这个对照表 / no such code table. Known: {known}. Rename the sheet.")
        else:
            _read_sheet(sheet, titles[sheet.title], rows, mistakes)
    if mistakes:
        raise FileError(mistakes)
    return rows


def _read_sheet(sheet: Worksheet, table: str, rows: list[FileRow], mistakes: list[str]) -> None:
    if sheet.max_row > _MAX_ROWS:
        mistakes.append(f"{sheet.title}: 行数超过 / more than {_MAX_ROWS:,} rows; delete what is empty")
        return
    lines = sheet.iter_rows()
    columns, wrong = _columns([(f"{sheet.title}!{cell.coordinate}", cell.value) for cell in next(lines, ())])
    mistakes.extend(wrong)
    for line in lines:
        cells = {columns[n]: _cell(sheet.title, cell, mistakes) for n, cell in enumerate(line) if n in columns}
        if any(not cell.blank for cell in cells.values()):
            rows.append(FileRow(table, f"{sheet.title}!{line[0].row}", cells))


def _cell(title: str, cell: Any, mistakes: list[str]) -> Cell:
    place = f"{title}!{cell.coordinate}"
    if cell.data_type == "f":
        mistakes.append(f"{place}: 是公式，请粘贴为值 / a formula; paste it as a value")
        return Cell(place, None)
    if cell.data_type == "e":
        mistakes.append(f"{place}: 是错误值 / an error value {cell.value}; mend it")
        return Cell(place, None)
    value = plain(cell.value) if isinstance(cell.value, str) else cell.value
    zeros = str(cell.number_format or "")  # 000000 says how many digits are meant; 0 and General say nothing
    return Cell(place, value, len(zeros) if len(zeros) > 1 and not zeros.strip("0") else 0)


def _columns(headings: Sequence[tuple[str, object]]) -> tuple[dict[int, str], list[str]]:
    """Position -> name of the columns that are read, and what is wrong with the headings."""
    found: dict[int, str] = {}
    mistakes: list[str] = []
    known = (TABLE, *COLUMNS, *EXTRA)
    for position, (place, heading) in enumerate(headings):
        text = plain(str(heading)) if heading is not None else ""
        if not text.strip():
            continue
        column = next((column for column in known if column.fits(text)), None)
        if column is None:
            names = ", ".join(column.heading for column in (TABLE, *COLUMNS))
            mistakes.append(f"{place}: 不认识的列名 / heading not known: {text[:40]}. Known: {names}")
        elif column.name in found.values():
            mistakes.append(f"{place}: 列名重复 / this heading stands twice: {text}")
        elif column.read:
            found[position] = column.name
    missing = _REQUIRED - set(found.values())
    if missing:
        at = headings[0][0].partition("!")[0] if headings else "?"
        names = ", ".join(column.heading for column in COLUMNS if column.name in missing)
        mistakes.append(f"{at}: 缺少列 / missing column(s): {names}")
    return found, mistakes


def _bare(text: str) -> str:
    return "".join(re.sub(r"[（(].*?[）)]", "", text.casefold()).replace("_", "").split())
