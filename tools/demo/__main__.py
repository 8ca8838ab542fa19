"""``python -m tools.demo [--once] [--kill all] [--seed N] [--documents N] [--month N]``: the suite at work on this
machine, nothing else needed.

Exit code with ``--once``: 0 when everything settled, the four sets are empty, nothing is unexplained, the past month
and the repairs by hand came out right, and what the demo promises to show did happen (with ``--kill``: each process
named was killed once); 1 otherwise; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType

from tools.demo import history
from tools.demo.clock import Clock
from tools.demo.conductor import OA_ZONE, facts, perform
from tools.demo.kills import Kills, names_of
from tools.demo.stack import PAUSED, PROJECT, Stack, StackFailed, take_folder, write_facts
from tools.demo.telling import tell

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: stop everything and go. Of this kind, because an event loop lets nothing else through."""


def main() -> int:
    """Start, play, tell, and stay up or end."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the table; the exit code tells")
    parser.add_argument("--seed", type=int, default=20260, help="of the claims and of what happens to them")
    parser.add_argument("--documents", type=int, default=400, help="of the live stream")
    parser.add_argument("--month", type=int, default=2000, help="documents of the past month; 0 leaves it out")
    parser.add_argument("--kill", type=names_of, default=(), help="all, or names of processes with commas between")
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
    clock.say(f"seed {options.seed}; state in {folder}, empty: what an earlier demo left there is gone")
    month = (
        history.past_month(options.seed, datetime.now(OA_ZONE).replace(tzinfo=None), options.month)
        if options.month
        else None
    )
    stack = Stack(
        folder,
        clock.say,
        airflow_environment=PAUSED if month else None,
        oa_ready=partial(_tell_history, clock, month) if month else None,
    )
    kills = Kills(stack, clock, options.kill) if options.kill else None
    try:
        stack.start()
        write_facts(folder, facts(stack, folder))
        clock.phases["start"] = clock.now
        result = asyncio.run(
            perform(stack, clock, seed=options.seed, documents=options.documents, month=month, repair=True, kills=kills)
        )
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


def _tell_history(clock: Clock, month: history.Month, control_url: str) -> None:
    history.tell(control_url, month)
    clock.say(f"the OA holds {len(month.documents)} documents of {month.period}, from before the suite came")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number, frame)


if __name__ == "__main__":
    sys.exit(main())
