"""``python -m tools.prove [--documents N] [--seed N …] [--kills N]``: the real thing, killed and disturbed.

Airflow with all its components, hub, OA and ledger run on this machine, with durability on; proxies stand between.
Exit code: 0 when all four sets are empty for each seed, nothing is in doubt, and enough was killed and moved; 1 else.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from types import FrameType

from tools.demo.clock import Clock
from tools.demo.stack import PROJECT, StackFailed, take_folder
from tools.prove.conductor import Order, Proof, perform
from tools.prove.core_stack import CoreStack
from tools.prove.stack import ProvingStack
from tools.prove.telling import tell

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: stop everything and go."""


def main() -> int:
    """One stack a seed, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tools.prove", description=__doc__)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--seed", type=int, action="append", help="may be given more than once")
    parser.add_argument("--kills", type=int, default=24, help="at least, for each seed")
    parser.add_argument("--minutes", type=float, default=8.0, help="over which the documents are spread")
    parser.add_argument("--core", action="store_true", help="the framework-free core alone: two workers, no Airflow")
    parser.add_argument("--settle", type=float, default=300.0, help="seconds that the suite may take afterwards")
    parser.add_argument("--root", type=Path, default=PROJECT / ".run" / "prove", help="where the state folder lies")
    options = parser.parse_args()
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        proofs = [_prove(options, seed) for seed in options.seed or [20261]]
    except Interrupted:
        return INTERRUPTED
    except StackFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{sum(len(proof.kills) for proof in proofs)} kills over {len(proofs)} seeds; ", end="")
    bad = [proof.seed for proof in proofs if proof.failures]
    print(f"NOT PROVEN for seeds {bad}" if bad else "all four sets empty for each seed 四个集合全部为空")
    return 1 if bad else 0


def _prove(options: argparse.Namespace, seed: int) -> Proof:
    clock = Clock()
    folder, lock = take_folder(options.root)
    clock.say(f"seed {seed}; state in {folder}")
    stack = CoreStack(folder, clock.say) if options.core else ProvingStack(folder, clock.say)
    order = Order(
        seed=seed,
        documents=options.documents,
        kills=options.kills,
        play_seconds=options.minutes * 60,
        settle_seconds=options.settle,
    )
    try:
        stack.start()
        proof = asyncio.run(perform(stack, clock, order))
        tell(proof)
        return proof
    finally:
        for number in _SIGNALS:  # a second Ctrl-C must leave nothing behind
            signal.signal(number, signal.SIG_IGN)
        stack.stop()
        lock.close()
        for number in _SIGNALS:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number, frame)


if __name__ == "__main__":
    sys.exit(main())
