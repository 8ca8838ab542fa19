"""The translator: one DuckDB connection, a compiled mapping, a fixed number of statements a call."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finbridge.core.money import decimals
from finbridge.core.ports import CodeRow, Problem, Translation, TranslationRequest
from finbridge.core.vouchers import MappingStamp
from finbridge.mapping.codes import CodeRange, for_keys, ranges
from finbridge.mapping.compiler import REQUEST_COLUMNS, Compiled, compile_mapping
from finbridge.mapping.frames import Frames
from finbridge.mapping.problems import fault_problem
from finbridge.mapping.vouchers import build_vouchers

if TYPE_CHECKING:
    import duckdb

_CODE_TABLE = (
    "CREATE OR REPLACE TEMP TABLE code (tab VARCHAR, company VARCHAR, code VARCHAR, target VARCHAR, "
    "valid_from DATE, valid_to DATE, except_for VARCHAR[])"
)
_CODE_TYPES = ("VARCHAR", "VARCHAR", "VARCHAR", "VARCHAR", "DATE", "DATE", "VARCHAR[]")
_REQUEST_TABLE = "CREATE OR REPLACE TEMP TABLE request ({})".format(
    ", ".join(f"{name} {type_}" for name, type_ in REQUEST_COLUMNS.items())
)


#: Up to so many requests a call is planned for speed of planning, above for speed of work.
FEW = 1000


class Session:
    """A DuckDB connection that counts its statements."""

    def __init__(self, *, memory_limit: str = "1GB", threads: int = 2, temp_directory: Path | None = None) -> None:
        import duckdb

        self.connection: duckdb.DuckDBPyConnection = duckdb.connect(":memory:")
        self.statements = 0
        self._parsed: dict[str, duckdb.Statement] = {}
        self._threads = threads
        self._few: bool | None = None
        self.expect(few=True)
        self.run(f"SET memory_limit = '{memory_limit}'")
        self.run("SET preserve_insertion_order = false")  # every result that is read has its own order
        self.run("SET TimeZone = 'UTC'")
        if temp_directory is not None:
            self.run(f"SET temp_directory = '{temp_directory}'")

    def expect(self, *, few: bool) -> None:
        """Plan the coming statements for few rows or for many.

        For few, planning is nearly all of the time: without the optimizer and with one thread a call takes half of it.
        """
        if few is not self._few:
            self._few = few
            self.run(f"SET threads = {1 if few else self._threads}")
            self.run(f"PRAGMA {'disable' if few else 'enable'}_optimizer")

    def run(self, sql: str, values: Sequence[Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Execute one statement."""
        self.statements += 1
        return self.connection.execute(sql, values) if values is not None else self.connection.execute(sql)

    def repeat(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Execute a statement that comes again with every call: its text is parsed once (a third of its time)."""
        if sql not in self._parsed:
            self._parsed[sql] = self.connection.extract_statements(sql)[0]
        self.statements += 1
        return self.connection.execute(self._parsed[sql])

    def load(self, table: str, types: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
        """Insert columns of values in one statement."""
        values = ", ".join(f"unnest(CAST(${i} AS {type_}[]))" for i, type_ in enumerate(types, start=1))
        self.run(f"INSERT INTO {table} SELECT {values}", [list(column) for column in columns])


def request_row(seq: int, request: TranslationRequest) -> tuple[int | str | date, ...]:
    """A request as a row of the request table."""
    return (
        seq,
        request.document_id,
        request.kind.value,
        request.cause.log_id,
        request.cause.operator,
        request.cause.local_at.date(),
        request.company,
        request.source,
        request.business_number,
        request.currency,
        f"e{decimals(request.currency)}",
        request.split,
        request.canonical.decode(),
    )


class DuckTranslator:
    """`finbridge.core.ports.Translator` on DuckDB. One call at a time; a lock keeps others waiting."""

    def __init__(self, compiled: Compiled, session: Session | None = None) -> None:
        self.compiled = compiled
        self.session = session or Session()
        self._lock = threading.Lock()
        self._codes: tuple[CodeRow, ...] | None = None
        self._disputed: list[CodeRange] = []

    @property
    def stamp(self) -> MappingStamp:
        """Id, version and SHA-256 of the file's bytes."""
        return self.compiled.stamp

    @property
    def main_fields(self) -> frozenset[str]:
        """Columns of the main table that make a version."""
        return self.compiled.main_columns

    @property
    def detail_fields(self) -> Mapping[str, frozenset[str]]:
        """Columns of each detail table that make a version."""
        return self.compiled.detail_columns

    def translate(self, requests: Sequence[TranslationRequest], codes: Sequence[CodeRow]) -> Translation:
        """See the port. The number of statements depends on the mapping, never on the number of requests."""
        with self._lock:
            self.session.expect(few=len(requests) <= FEW)
            self.load_codes(codes)
            self._load(requests)
            self.map()
            return self._read(requests)

    def load_codes(self, codes: Sequence[CodeRow]) -> None:
        """Load the code tables unless they are those of the last call."""
        if self._codes == tuple(codes):
            return
        rows = ranges(for_keys(codes, self.compiled.key_parts))
        self.session.run(_CODE_TABLE)
        columns = list(zip(*rows, strict=True)) or [()] * len(_CODE_TYPES)
        self.session.load("code", _CODE_TYPES, columns)
        self._disputed = [row for row in rows if row[3] is None]
        self._codes = tuple(codes)

    def _load(self, requests: Sequence[TranslationRequest]) -> None:
        self.session.repeat(_REQUEST_TABLE)
        rows = [request_row(seq, request) for seq, request in enumerate(requests)]
        columns = list(zip(*rows, strict=True)) or [()] * len(REQUEST_COLUMNS)
        self.session.load("request", tuple(REQUEST_COLUMNS.values()), columns)

    def map(self) -> None:
        """Run the compiled statements over the table (or view) ``request``."""
        for sql in self.compiled.statements.values():
            self.session.repeat(sql)

    def _read(self, requests: Sequence[TranslationRequest]) -> Translation:
        output = self.compiled.output
        run = self.session.repeat
        empty = run(output.empty).fetchall()
        headers = run(output.vouchers).fetchall()
        lines = run(output.voucher_lines).fetchall()
        documents = run(output.documents).fetchnumpy()
        rows = run(output.lines).fetchnumpy() if output.lines else None
        vouchers = build_vouchers(requests, headers, lines, output.dimensions, self.stamp)
        return Translation(
            vouchers=vouchers,
            problems=self._problems(),
            empty=tuple((requests[seq].document_id, requests[seq].kind) for (seq,) in empty),
            frames=Frames(vouchers, documents, rows),
        )

    def _problems(self) -> tuple[Problem, ...]:
        output, mistakes = self.compiled.output, self.compiled.mistakes
        same: defaultdict[tuple[str, int, str], list[str]] = defaultdict(list)
        for document_id, number, text, rows in self.session.repeat(output.problems).fetchall():
            same[document_id, number, mistakes[number].told(text, self._disputed)] += rows or ()
        found = [mistakes[number].problem(name, told, rows) for (name, number, told), rows in same.items()]
        found += [fault_problem(*row) for row in self.session.repeat(output.faults).fetchall()]
        return tuple(sorted(found, key=lambda p: (p.document_id, p.code, p.field, p.detail)))


def load_translator(path: Path) -> DuckTranslator:
    """Compile a mapping file.

    Raises:
        ConfigError: the file is wrong; names file, line and field.
    """
    return DuckTranslator(compile_mapping(path))
