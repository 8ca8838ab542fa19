"""``python -m tools.demo [--once] [--seed N] [--documents N]``: the suite at work on this machine, nothing else needed.

Exit code with ``--once``: 0 when everything settled, the four sets are empty, nothing is unexplained and what the demo
promises to show did happen; 1 otherwise; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from tools.demo import report
from tools.demo.conductor import Clock, Result, facts, perform
from tools.demo.stack import PROJECT, Stack, StackFailed, take_folder, write_facts

INTERRUPTED = 130
TARGET_P95_SECONDS = 15.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: stop everything and go. Of this kind, because an event loop lets nothing else through."""


def main() -> int:
    """Start, play, tell, and stay up or end."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the table; the exit code tells")
    parser.add_argument("--seed", type=int, default=20260, help="of the claims and of what happens to them")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--root", type=Path, default=PROJECT / ".run", help="where the state folder lies")
    options = parser.parse_args()
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    clock = Clock()
    try:
        return _demo(options, clock)
    except Interrupted:
        return INTERRUPTED
    except StackFailed as error:
        print(error, file=sys.stderr)
        return 1


def _demo(options: argparse.Namespace, clock: Clock) -> int:
    folder, lock = take_folder(options.root)
    clock.say(f"seed {options.seed}; state in {folder}")
    stack = Stack(folder, clock.say)
    try:
        stack.start()
        write_facts(folder, facts(stack, folder))
        clock.phases["start"] = clock.now
        result = asyncio.run(perform(stack, clock, seed=options.seed, documents=options.documents))
        clock.say("done")
        tell(result, stack, clock, options.seed)
        if not options.once:
            print("\nThe UI stays up; Ctrl-C stops everything. 按 Ctrl-C 结束。", flush=True)
            signal.pause()
        return 1 if result.failures else 0
    finally:
        for number in _SIGNALS:  # a second Ctrl-C must leave nothing behind
            signal.signal(number, signal.SIG_IGN)
        stack.stop()
        lock.close()
        clock.say("everything stopped")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number, frame)


def tell(result: Result, stack: Stack, clock: Clock, seed: int) -> None:
    """The table."""
    vouchers = Counter(row["kind"] for row in result.finance)
    happened = result.happened
    print(f"\n== Documents by final state 单据最终状态 ({len(result.play.documents)}, seed {seed})")
    print(report.table(dict(report.final_states(result.oa, result.held).most_common())))
    print("\n== Vouchers in the ledger 凭证")
    print(
        report.table(
            {
                "posted expense vouchers 报销凭证": vouchers["expense"],
                "reversed 红字冲销": vouchers["reversal"],
                "payment vouchers 付款凭证": vouchers["payment"],
                "documents with their number written back 已回写": happened.written_back,
                **{f"held: {reason} 挂起": count for reason, count in Counter(result.held.values()).items()},
            }
        )
    )
    print("\n== What happened 发生了什么")
    print(report.table({name: getattr(happened, name) for name in happened.__slots__}))
    for what, count in result.play.refused.items():
        print(f"  refused by the OA, as it should: {what}: {count}")
    print("\n== Lag from the approval's commit in the OA to the write-back's commit there 时延")
    print(report.table({"the paced approvals": result.lag_paced, "all approvals, burst included": result.lag_all}))
    if result.lag_paced is not None:
        met = "met" if result.lag_paced.p95 <= TARGET_P95_SECONDS else "MISSED"
        print(f"  target: p95 of the paced approvals ≤ {TARGET_P95_SECONDS:.0f} s: {met}")
    print("\n== The checker's four sets (journals of OA and ledger only) 核对")
    print("  " + result.checker_text.replace("\n", "\n  "))
    _tell_time(result, stack, clock)
    if result.failures:
        print("\n== NOT shown 未达成")
        print("\n".join(f"  {failure}" for failure in result.failures))
    _tell_where(stack)


def _tell_time(result: Result, stack: Stack, clock: Clock) -> None:
    print("\n== Where the time went 时间 (parts of the start run side by side)")
    parts = {f"start: {name}": f"{seconds:.0f} s" for name, seconds in stack.seconds.items()}
    phases = {name: f"{seconds:.0f} s" for name, seconds in clock.phases.items()}
    print(report.table({**parts, **phases, "whole": f"{clock.now:.0f} s"}))
    states = ", ".join(f"{state} {count}" for state, count in result.runs["states"].items())
    mean, longest = result.runs["run"]
    if mean is not None:
        print(
            f"  DAG runs: {states}; a run takes {mean.total_seconds():.1f} s, at most {longest.total_seconds():.1f} s"
        )
    for task, average, most in result.runs["tasks"]:
        print(f"  task {task}: mean {average:.2f} s, max {most:.2f} s")


def _tell_where(stack: Stack) -> None:
    if stack.airflow is None:
        return
    print(f"\n== Airflow UI: {stack.airflow.url}")
    for name, password in stack.airflow.passwords().items():
        print(f"  {name} / {password}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
