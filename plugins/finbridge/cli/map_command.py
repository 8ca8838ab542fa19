"""The command line of `finbridge map`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finbridge.mapping.yamlfile import INCLUDE, ConfigError

if TYPE_CHECKING:
    from finbridge.cli.map_bench import BenchResult

_MAPPING = INCLUDE / "mappings" / "weaver_tryton" / "expense_claim.v1.yaml"
_CODES = INCLUDE / "codes" / "weaver_tryton"
_LEAST_LINES = 1000


def map_(
    bench: Annotated[
        int | None, typer.Option(min=_LEAST_LINES, help="map so many generated lines, beside a COPY / 性能测试")
    ] = None,
    check: Annotated[Path | None, typer.Option(help="validate a mapping file / 校验凭证模板")] = None,
    seed: Annotated[int, typer.Option(help="seed of the generated claims")] = 20261122,
) -> None:
    """Check a mapping, or measure the engine against a plain COPY 凭证模板校验与性能测试"""
    if (bench is None) == (check is None):
        raise typer.BadParameter("give either --bench or --check")
    try:
        if check is not None:
            _check(check)
        elif bench is not None:
            _bench(bench, seed)
    except ConfigError as error:
        print(error.staff)
        raise typer.Exit(2) from None


def _check(path: Path) -> None:
    from finbridge.mapping import load_translator

    stamp = load_translator(path).stamp
    print(f"{stamp.mapping_id} version {stamp.version} sha256 {stamp.sha256}: 正确 / good")


def _bench(lines: int, seed: int) -> None:
    from finbridge.cli.map_bench import run_bench
    from finbridge.mapping import read_code_files

    result = run_bench(lines, seed=seed, mapping=_MAPPING, codes=read_code_files(_CODES), say=print)
    show(result)
    for text in result.broken():
        print(f"limit broken / 超出限值: {text}")
    if result.broken():
        raise typer.Exit(1)


def show(result: BenchResult) -> None:
    """The measurements, one a line."""
    statements = ", ".join(f"{count} for {documents:,}" for documents, count in result.statements.items())
    print(f"lines            {result.lines:,} in {result.documents:,} documents, {result.problems:,} of them held")
    print(f"mapped to        {result.vouchers:,} vouchers, {result.voucher_lines:,} voucher lines, written as CSV")
    print(f"map              {result.map_seconds:.2f} s (best of the rounds, here and below)")
    print(f"plain COPY       {result.copy_seconds:.2f} s (the same staged rows, PostgreSQL, committed)")
    print(f"ratio            {result.ratio:.2f} (limit {result.limits.ratio:g})")
    print(f"statements       {statements} documents")
    print(f"peak memory      {result.peak_mib:,} MiB (limit {result.limits.memory_mib:,})")
    print(
        f"one document     p50 {result.latency_p50_ms:.1f} ms, p95 {result.latency_p95_ms:.1f} ms, warm"
        f" (limit {result.limits.latency_ms:g})"
    )
