"""A process that has loaded everything and forks workers: what crashes is a child, and loading is paid once.

``python -m tests.integration.crash_zygote`` reads one JSON object a line and answers each with one:
``{"world": {…}, "env": {…}, "lease": seconds}`` forks a worker that sweeps once: ``{"pid": …}``;
``{"wait": pid}`` waits for one: ``{"returncode": …}``, negative where a signal killed it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from finbridge.core.errors import FinbridgeError
from finbridge.flows import checking, collecting, delivering, writing_back
from finbridge.hub import open_hub
from finbridge.quality import load_judge, warm

from tests.hub_fixtures import SECRET
from tests.integration.claim_world import INCLUDE, TIMING, connect, short_flow, sweep, translator_of

_FAILED, _RETRY = 1, 75


def work(order: dict[str, Any]) -> int:
    """One worker's life: connect, sweep once."""
    os.environ.update(order["env"])
    for module in (checking, collecting, delivering, writing_back):
        module.LEASE_SECONDS = order["lease"]  # type: ignore[attr-defined]  # a test need not wait for a minute
    import uvloop

    flow, world = short_flow(), order["world"]
    translator, judge = translator_of(flow), load_judge(INCLUDE / "expectations")

    async def once() -> None:
        with open_hub(world["hub"], secret=SECRET, timing=TIMING) as hub:
            source, ledger = connect(flow, hub, oa_port=world["oa"], finance_port=world["finance"])
            try:
                worker = f"worker-{os.getpid()}"
                await sweep(flow, hub, source, ledger, translator=translator, judge=judge, worker=worker)
            finally:
                await source.close()
                await ledger.close()

    try:
        uvloop.run(once())
    except FinbridgeError as error:
        sys.stderr.write(f"worker {os.getpid()}: {error}\n")
        return _RETRY
    return 0


def _child(order: dict[str, Any]) -> None:
    code = _FAILED
    try:
        code = work(order)
    except BaseException:  # whatever it is, the child must end here and not go on as a second zygote
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _answer(order: dict[str, Any]) -> dict[str, int]:
    if "wait" in order:
        _, status = os.waitpid(order["wait"], 0)
        return {"returncode": os.waitstatus_to_exitcode(status)}
    pid = os.fork()
    if pid == 0:
        _child(order)
    return {"pid": pid}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until stdin ends."""
    warm()
    _say({"ready": True})
    for line in sys.stdin:
        _say(_answer(json.loads(line)))


if __name__ == "__main__":
    main()
