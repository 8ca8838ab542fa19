"""`make replay-full`: the whole real logs in all variants on the journal sandbox, and in the base variant on Tryton.

Each row of each pass is compared with the set-based reference of the tests, which shares no code with the product.
FINBRIDGE_DATA names the folder of the logs (docs/real-data.md); ends non-zero unless every row agrees.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from finbridge.cli.replay.options import ReplayOptions, Target
from finbridge.cli.replay.run import replay
from finbridge.cli.replay.servers import Workshop

from tests.integration.replay_check import SAME, differences, options_of
from tests.integration.replay_logs import NO_DATA, REAL_LOGS, real_log
from tests.integration.replay_reference import Row, expected

_WAYS = [
    *(("journal", variant) for variant in ("base", "repeat", "shuffle", "day")),
    ("tryton", "base"),
]
_HEAD = (
    f"{'log':<18} {'target':<8} {'way':<22} {'documents':>9} {'vouchers':>9} {'new':>5} {'differ':>6} "
    f"{'OA calls':>9} {'GX':>5} {'seconds':>8}  longest phases"
)


def main() -> int:
    """Play everything and print a line a pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", action="append", choices=REAL_LOGS, help="only this log; may be repeated")
    parser.add_argument("--target", action="append", choices=["journal", "tryton"])
    parser.add_argument("--way", action="append", choices=sorted(SAME))
    parser.add_argument("--documents", type=int, help="only the first so many of each log")
    asked = parser.parse_args()
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logs = [log for name in asked.log or REAL_LOGS if (log := real_log(name)) is not None]
    if not logs:
        print(NO_DATA)
        return 2
    print(_HEAD, flush=True)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="finbridge-replay-full-", ignore_cleanup_errors=True) as name:
        for log in logs:
            reference = expected(log)
            for target, variant in _WAYS:
                if target in (asked.target or [target]) and variant in (asked.way or [variant]):
                    options = options_of(
                        variant,
                        log,
                        Path(name) / "out.csv",
                        Path(name) / f"{log.name}-{target}-{variant}",
                        target=Target(target),
                        documents=asked.documents,
                    )
                    for line, bad in _play(options, variant, reference):
                        print(line, flush=True)
                        wrong += bad
    print("every row agrees" if not wrong else f"{wrong} DIFFERENCES")
    return int(wrong > 0)


def _play(options: ReplayOptions, variant: str, reference: dict[str, Row]) -> Iterator[tuple[str, int]]:
    """A line for each pass of one replay, and how many of its rows are wrong."""
    began = time.perf_counter()
    with Workshop(options.work) as workshop:
        result = replay(options, workshop)
    seconds = time.perf_counter() - began
    longest = sorted(result.seconds.items(), key=lambda item: -item[1])[1:5]  # the first one is the total
    for number, one in enumerate(result.passes):
        bad = differences(one.rows, reference, SAME[variant])
        for document, columns in bad[:3]:
            print(f"  {document}: {columns}")
        way = variant if number == 0 else f"{variant}, {one.name}"
        tail = ""
        if one is result.passes[-1]:
            calls = sum(count for call, count in result.calls.items() if call.startswith("OA "))
            phases = ", ".join(f"{name} {value:.0f}" for name, value in longest)
            tail = f"{calls:>9} {sum(result.validations.values()):>5} {seconds:>8.1f}  {phases}"
        log = options.log.name.removeprefix("bpic2020_")
        yield (
            f"{log:<18.18} {options.target.value:<8} {way:<22} {result.documents:>9} "
            f"{result.vouchers:>9} {one.vouchers if number else 0:>5} {len(bad):>6} {tail}",
            len(bad) + (one.vouchers if number else 0) + (0 if result.ok else 1),
        )


if __name__ == "__main__":
    sys.exit(main())
