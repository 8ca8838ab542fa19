"""A staged file of requests mapped to files of vouchers and lines: the statements of `engine`, no row in Python.

The staged file is CSV without header: the columns of the request table, delimiter tab, quote character 0x01 (which no
JSON text holds), so that PostgreSQL's COPY and DuckDB read the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from finbridge.core.ports import CodeRow, TranslationRequest
from finbridge.mapping.compiler import REQUEST_COLUMNS, compile_mapping
from finbridge.mapping.engine import DuckTranslator, Session, request_row
from finbridge.mapping.keysql import keys_sql
from finbridge.mapping.sqltext import UNIT, quote, select

QUOTE, NULL = "\x01", "\x02"


def stage(path: Path, requests: Iterable[TranslationRequest]) -> int:
    """Write requests as a staged file; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quotechar=QUOTE, lineterminator="\n")
        for count, request in enumerate(requests, start=1):
            writer.writerow(request_row(count, request))
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkReport:
    """What one staged file gave. ``statements``: all that ran after the code tables were loaded."""

    documents: int
    problems: int
    empty: int
    vouchers: int
    voucher_lines: int
    statements: int


class BulkMapper:
    """Maps staged files with one mapping. ``memory_limit`` is DuckDB's; what does not fit is spilled to a folder."""

    def __init__(
        self, mapping: Path, codes: Sequence[CodeRow], *, memory_limit: str, threads: int, spill: Path
    ) -> None:
        self._session = Session(memory_limit=memory_limit, threads=threads, temp_directory=spill)
        self._translator = DuckTranslator(compile_mapping(mapping, frames=False), self._session)
        self._session.expect(few=False)
        self._translator.load_codes(codes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.connection.close()

    def map_file(self, staged: Path, folder: Path) -> BulkReport:
        """Map every request of a staged file to ``vouchers.csv`` and ``voucher_lines.csv``: header, ready for COPY."""
        session = self._session
        before = session.statements
        columns = ", ".join(f"{quote(name)}: {quote(type_)}" for name, type_ in REQUEST_COLUMNS.items())
        options = f"header = false, delim = '\t', quote = {quote(QUOTE)}, escape = {quote(QUOTE)}"
        options += f", nullstr = {quote(NULL)}, auto_detect = false"
        source = f"read_csv({quote(str(staged))}, columns = {{{columns}}}, {options})"
        session.run(f"CREATE OR REPLACE TEMP VIEW request AS {select('*', source)}")
        self._translator.map()
        for name, rows in (("vouchers", self._vouchers()), ("voucher_lines", self._lines())):
            session.run(f"COPY ({rows}) TO {quote(str(folder / f'{name}.csv'))} (FORMAT csv, HEADER)")
        counts = [
            select("count(*)", "head"),
            select("count(DISTINCT document_id)", "problem"),
            select("count(*)", "good", where="amount = 0"),
            select("count(*)", "voucher", where="sound"),
            select("count(*)", f"posting SEMI JOIN ({select('seq', 'voucher', where='sound')}) AS s USING (seq)"),
        ]
        documents, problems, empty, vouchers, lines = session.run(
            "SELECT " + ", ".join(f"({count})" for count in counts)
        ).fetchall()[0]
        return BulkReport(
            documents=documents,
            problems=problems,
            empty=empty,
            vouchers=vouchers,
            voucher_lines=lines,
            statements=session.statements - before,
        )

    def _vouchers(self) -> str:
        """A row a voucher; ``seq`` joins it to its lines."""
        request = ["r_company AS company", "r_document_id AS document_id", "r_kind AS kind", "r_currency AS currency"]
        header = ["business_date", "document_date", "posting_date", "voucher_word", "attachment_count", "summary"]
        sound = select(["seq", *header], "voucher", where="sound")
        columns = ["seq", "key", *request, "r_cause AS cause", *header]
        return select(columns, f"head JOIN ({sound}) AS v USING (seq) JOIN ({keys_sql('head')}) AS k USING (seq)")

    def _lines(self) -> str:
        columns = ["seq", "line_no", "account", "side", "amount_minor", "party", "tax_code", "assignment"]
        columns += [f"x_{name} AS {name}" for name in self._translator.compiled.output.dimensions]
        columns.append(f"replace(source_lines, {quote(UNIT)}, ' ') AS source_lines")
        sound = select("seq", "voucher", where="sound")
        return select(columns, f"posting SEMI JOIN ({sound}) AS s USING (seq)")
