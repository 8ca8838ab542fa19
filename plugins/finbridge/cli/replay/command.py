"""The command line of `finbridge replay`."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finbridge.cli.replay.options import RULES, ReplayOptions, Sweep, Target, Twice

if TYPE_CHECKING:
    from finbridge.cli.replay.run import ReplayResult


def replay(
    *,
    log: Annotated[Path, typer.Option(help="folder with cases.parquet and events.parquet / 日志文件夹")],
    out: Annotated[Path, typer.Option(help="CSV file: one row a document / 结果文件")],
    target: Annotated[Target, typer.Option(help="finance system / 财务系统")] = Target.JOURNAL,
    sweep: Annotated[Sweep, typer.Option(help="look after each wave, or once a day of the log")] = Sweep.WAVE,
    repeat: Annotated[int, typer.Option(min=1, help="list and log rows come so many times, also late")] = 1,
    twice: Annotated[Twice | None, typer.Option(help="the same OA again; the ledger is kept")] = None,
    shuffle: Annotated[int | None, typer.Option(help="seed: events of one second change places")] = None,
    documents: Annotated[str | None, typer.Option(help="so many, or a file with one document id a line")] = None,
    currency: Annotated[str | None, typer.Option(help="currency of the company, by default the flow's")] = None,
    work: Annotated[Path | None, typer.Option(help="folder of servers and sandboxes, by default a new one")] = None,
    rules: Annotated[Path, typer.Option(help="logs.yaml, flows, mappings, expectations of the logs")] = RULES,
) -> None:
    """Play a real log through OA, mapping, checks, delivery and finance, without Airflow 真实日志回放"""
    began = time.perf_counter()
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from finbridge.cli.replay.run import replay as run
    from finbridge.cli.replay.servers import Workshop
    from finbridge.core.errors import FinbridgeError

    loaded = time.perf_counter() - began
    with tempfile.TemporaryDirectory(prefix="finbridge-replay-", ignore_cleanup_errors=True) as name:
        options = ReplayOptions(
            log=log,
            out=out,
            work=work or Path(name),
            target=target,
            sweep=sweep,
            repeat=repeat,
            twice=(twice,) if twice else (),
            shuffle=shuffle,
            documents=_documents(documents),
            currency=currency,
            rules=rules,
        )
        try:
            with Workshop(options.work) as workshop:
                result = run(options, workshop)
        except FinbridgeError as error:
            print(f"{error.staff}\n({error.code}: {error.engineer})")
            raise typer.Exit(2) from None
    show(result, options, loaded)
    if not result.ok:
        raise typer.Exit(1)


def _documents(text: str | None) -> int | Path | None:
    if text is None:
        return None
    return int(text) if text.isdigit() else Path(text)


def show(result: ReplayResult, options: ReplayOptions, loaded: float = 0.0) -> None:
    """Print what a replay did."""
    print(
        f"{result.flow_id} → {options.target.value}: {result.documents} documents, {result.events} events in "
        f"{result.turns} {options.sweep.value}s; {len(result.passes[-1].rows)} rows in {options.out}"
    )
    print(f"vouchers in finance's journal  {result.vouchers}")
    for again in result.passes[1:]:
        print(f"second pass ({again.name})  {again.vouchers} new vouchers")
    _line("documents by standing", result.standing)
    _line(f"HTTP calls {result.calls.total()}", result.calls)
    _line(f"GX validations {result.validations.total()}", result.validations)
    _line("GX rows judged", result.judged_rows)
    _line("rows per table", result.tables)
    seconds = {"load modules": loaded, **result.seconds} if loaded else result.seconds
    print("seconds  " + "  ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    if result.unexplained:
        print(f"UNEXPLAINED {len(result.unexplained)}: {', '.join(result.unexplained[:20])}")
    if result.missing:
        print(f"MISSING {result.missing} documents are not in the hub")


def _line(title: str, counts: Mapping[str, int]) -> None:
    print(f"{title}  " + "  ".join(f"{name} {count}" for name, count in sorted(counts.items())))
