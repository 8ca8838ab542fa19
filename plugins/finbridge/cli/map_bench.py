"""`finbridge map --bench`: seeded claims into a staged file, mapped by sets, beside a plain COPY of the same rows."""

from __future__ import annotations

import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.ids import VoucherKind
from finbridge.core.ports import CodeRow, TranslationRequest

if TYPE_CHECKING:
    from finbridge.cli.stack.postgres import Postgres

_MEMORY_LIMIT = "900MB"
_THREADS = 2
_ROUNDS = 3
_LATENCY_ROUNDS, _LATENCY_CALLS = 5, 100
_LINES_AT_MOST = 9  # a claim has one to nine lines: five on average
_FIRST_DAY = date(2026, 1, 1)
_APPROVED_AT = datetime(2026, 11, 2, 9, 0)  # noqa: DTZ001 - the log's times are local, without a zone
_KINDS = ("ADM", "SAL", "PRD", "RND")
_TYPES = ("TRAVEL", "OFFICE", "ENTERTAIN", "WELFARE", "ALLOWANCE")
_INVOICES = ("SPECIAL", "SPECIAL", "ORDINARY", "NONE")
_RATES = ("0.03", "0.06", "0.09", "0.13")
_REASONS = ("上海差旅费", "深圳客户拜访", "办公用品", "年会", "研发材料样品")
_NAMES = ("张三", "李四", "王五", "赵六", "陈晓明", "欧阳静")
_STAGED = "staged.csv"
#: The server reads the file itself (its working folder is `<folder>/cluster`): nothing is faster.
_COPY: Final = r"COPY staged FROM '../../staged.csv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\x01', NULL E'\x02')"
_UNKNOWN_EVERY = 500  # one claim in so many names a cost centre that nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What must hold: mapping over plain COPY, peak memory of this process, one warm document (p95)."""

    ratio: float = 3.0
    memory_mib: int = 1536
    latency_ms: float = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """What was measured. Seconds are wall time; memory is this process's peak."""

    lines: int
    documents: int
    vouchers: int
    voucher_lines: int
    problems: int
    map_seconds: float
    copy_seconds: float
    statements: dict[int, int]
    peak_mib: int
    latency_p50_ms: float
    latency_p95_ms: float
    limits: Limits = Limits()

    @property
    def ratio(self) -> float:
        """Mapping over plain COPY."""
        return self.map_seconds / self.copy_seconds

    def broken(self) -> list[str]:
        """The limits that do not hold."""
        found = []
        limits = self.limits
        if self.ratio > limits.ratio:
            found.append(f"ratio {self.ratio:.2f} > {limits.ratio:g}")
        if self.peak_mib > limits.memory_mib:
            found.append(f"memory {self.peak_mib} MiB > {limits.memory_mib}")
        if len(set(self.statements.values())) != 1:
            found.append(f"statements depend on the rows: {self.statements}")
        if self.latency_p95_ms > limits.latency_ms:
            found.append(f"latency p95 {self.latency_p95_ms:.1f} ms > {limits.latency_ms:g}")
        if not 0 < self.problems < self.documents or self.vouchers + self.problems != self.documents:
            found.append(f"{self.vouchers} vouchers and {self.problems} problems of {self.documents} documents")
        return found


# ---------------------------------------------------------------- generated claims


def claims(lines: int, seed: int) -> Iterator[TranslationRequest]:
    """Approved claims with so many expense lines in all; the same seed gives the same claims."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable load, no secret
    left, number = lines, 0
    while left:
        number += 1
        count = min(left, chance.randint(1, _LINES_AT_MOST))
        left -= count
        yield _request(number, _canonical(number, count, chance))


def _request(number: int, canonical: bytes) -> TranslationRequest:
    return TranslationRequest(
        document_id=str(number),
        kind=VoucherKind.EXPENSE,
        cause=LogEntry(str(number), EventKind.APPROVED, _APPROVED_AT, "审批", "批准", "500"),
        company="1000",
        source="weaver:bench",
        business_number=f"BX2026{number:08d}",
        currency="CNY",
        canonical=canonical,
    )


def _canonical(number: int, count: int, chance: random.Random) -> bytes:
    rows, total = [], 0
    for row in range(count):
        gross, rate, invoice = chance.randint(1_00, 5000_00), chance.choice(_RATES), chance.choice(_INVOICES)
        percent = int(rate[2:])
        tax = (2 * gross * percent + 100 + percent) // (2 * (100 + percent)) if invoice != "NONE" else 0
        unknown = row == 0 and number % _UNKNOWN_EVERY == 0
        rows.append(
            {
                "_row": str(10 * number + row),
                "cbzx": "CC-XXX-99" if unknown else f"CC-{chance.choice(_KINDS)}-0{chance.randint(1, 3)}",
                "fpzl": invoice,
                "fylx": chance.choice(_TYPES),
                "fyrq": str(_FIRST_DAY + timedelta(days=chance.randint(0, 300))),
                "hdje": _yuan(gross),
                "se": _yuan(tax),
                "sl": rate if invoice != "NONE" else "0",
                "sqje": _yuan(gross),
            }
        )
        total += gross
    employee = f"E{chance.randint(1, 40):04d}"
    main = {
        "bm": "财务部",
        "bz": "CNY",
        "bzje": _yuan(total),
        "djbh": f"BX2026{number:08d}",
        "fjzs": str(count),
        "gsdm": "1000",
        "hdje": _yuan(total),
        "sqr": employee,
        "sqrxm": chance.choice(_NAMES),
        "sy": chance.choice(_REASONS),
        "ywrq": rows[0]["fyrq"],
    }
    payees = [{"_row": str(number), "skr": employee, "skrlx": "EMPLOYEE", "zfje": _yuan(total)}]
    details = {"formtable_main_11_dt1": rows, "formtable_main_11_dt2": payees}
    content = {"details": details, "main": main, "template": "101"}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _yuan(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


# ---------------------------------------------------------------- the run


def run_bench(
    lines: int, *, seed: int, mapping: Path, codes: Sequence[CodeRow], say: Callable[[str], None]
) -> BenchResult:
    """Generate, then map and COPY in turns, and take the latency of one warm document.

    Of each the best round counts: what else runs on the machine only ever adds time. ``say`` tells of the
    long steps.
    """
    from finbridge.cli.stack.postgres import Postgres
    from finbridge.mapping.bulk import BulkMapper, stage

    with tempfile.TemporaryDirectory(prefix="finbridge-map-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL reads the staged file under a user of its own
        say(f"generating {lines:,} lines (seed {seed})")
        staged = folder / _STAGED
        documents = stage(staged, claims(lines, seed))
        say(f"staged {staged.stat().st_size >> 20:,} MiB; {_THREADS} threads, DuckDB may use {_MEMORY_LIMIT}")
        statements, mapped, copied = {}, [], []
        with (
            Postgres(folder / "postgres") as server,
            BulkMapper(mapping, codes, memory_limit=_MEMORY_LIMIT, threads=_THREADS, spill=folder / "spill") as mapper,
        ):
            server.create_database("bench")
            for few in (1, min(1000, documents)):
                stage(folder / "few.csv", islice(claims(lines, seed), few))
                statements[few] = mapper.map_file(folder / "few.csv", folder).statements
            for number in range(1, _ROUNDS + 1):
                started = time.perf_counter()
                report = mapper.map_file(staged, folder)
                mapped.append(time.perf_counter() - started)
                copied.append(_plain_copy(server))
                say(f"round {number}: map {mapped[-1]:.2f} s, plain COPY {copied[-1]:.2f} s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    p50, p95 = min(
        (one_document(next(claims(5, seed)), mapping, codes) for _ in range(_LATENCY_ROUNDS)), key=lambda t: t[1]
    )
    return BenchResult(
        lines=lines,
        documents=documents,
        vouchers=report.vouchers,
        voucher_lines=report.voucher_lines,
        problems=report.problems,
        map_seconds=min(mapped),
        copy_seconds=min(copied),
        statements={**statements, documents: report.statements},
        peak_mib=peak,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
    )


def one_document(request: TranslationRequest, mapping: Path, codes: Sequence[CodeRow]) -> tuple[float, float]:
    """Median and 95th percentile of a warm call with one document, in milliseconds."""
    from finbridge.mapping import load_translator

    translator = load_translator(mapping)
    for _ in range(10):
        translator.translate([request], codes)
    taken = []
    for _ in range(_LATENCY_CALLS):
        started = time.perf_counter()
        translator.translate([request], codes)
        taken.append(1000 * (time.perf_counter() - started))
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 95 // 100]


def _plain_copy(server: Postgres) -> float:
    """Seconds of PostgreSQL's own COPY of the staged file into a table without keys, committed to disk."""
    server.execute("bench", "DROP TABLE IF EXISTS staged")
    server.execute(
        "bench",
        "CREATE TABLE staged (seq bigint, document_id text, kind text, cause text, operator text,"
        " posting_date date, company text, source text, business_number text, currency text,"
        " scale text, split int, canonical text)",
    )
    started = time.perf_counter()
    server.execute("bench", _COPY)
    return time.perf_counter() - started
