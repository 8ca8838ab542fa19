"""A worker of some release, in a process of its own: the verbs in a loop until a file appears.

``python upgrade_worker.py '{"plugins": …, "include": …, "stop": …, …}'``: the package comes from ``plugins``, whichever
release lies there. Prints one JSON line: rounds, and the failures by kind and length.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

given: dict[str, Any] = json.loads(sys.argv[1])
sys.path.insert(0, given["plugins"])

import finbridge  # noqa: E402 - the release is chosen above
from finbridge.core.connections import ConnectionSettings  # noqa: E402 - see above
from finbridge.flows import check, collect, deliver, write_back  # noqa: E402 - see above
from finbridge.flows.config import load_flow  # noqa: E402 - see above
from finbridge.hub import Timing, open_hub  # noqa: E402 - see above
from finbridge.mapping import load_translator  # noqa: E402 - see above
from finbridge.quality import load_judge  # noqa: E402 - see above
from finbridge.systems import adapter_of  # noqa: E402 - see above

INCLUDE = Path(given["include"])
FLOW = replace(
    load_flow(INCLUDE / "flows" / "weaver_tryton__expense_claim.yaml"), target_system="journal", settle_seconds=1.5
)
RATES = {"rate_per_second": 5000, "rate_burst": 5000, "timeout_seconds": 5.0}


async def main() -> dict[str, Any]:
    """Until told to stop."""
    assert Path(finbridge.__file__ or "").is_relative_to(given["plugins"]), finbridge.__file__
    translator = load_translator(INCLUDE / "mappings" / FLOW.mapping)
    judge = load_judge(INCLUDE / "expectations")
    timing = Timing(first_seconds=0.2, doubt_most_seconds=1.0, doubt_least_seconds=0.2, write_back_first_seconds=0.2)
    oa = ConnectionSettings(
        conn_id="oa", host="127.0.0.1", port=given["oa"], login="900", extra={"appid": "finbridge", **RATES}
    )
    finance = ConnectionSettings(
        conn_id="fin", host="127.0.0.1", port=given["finance"], login="finbridge", password="finbridge", extra=RATES
    )
    stop = Path(given["stop"])
    name, rounds, failures, row, longest = str(given["worker"]), 0, Counter[str](), 0, 0
    with open_hub(given["dsn"], secret=given["secret"], timing=timing) as hub:
        source = adapter_of("weaver").connect(oa, tokens=hub.tokens, flow=FLOW)
        ledger = adapter_of("journal").connect(finance, tokens=hub.tokens, flow=FLOW)
        say("ready")
        while not stop.exists():  # noqa: ASYNC240 - once a round, on a local disk
            try:
                await collect(flow=FLOW, hub=hub, source=source, translator=translator, worker=name)
                check(flow=FLOW, hub=hub, translator=translator, judge=judge, worker=name, run_id=name)
                await deliver(flow=FLOW, hub=hub, source=source, ledger=ledger, translator=translator, worker=name)
                await write_back(flow=FLOW, hub=hub, source=source, worker=name)
                row = 0
            except Exception as error:
                failures[f"{type(error).__name__} {getattr(error, 'code', error)}"] += 1
                row += 1
                longest = max(longest, row)
            rounds += 1
            await asyncio.sleep(0.02)
        await source.close()
        await ledger.close()
    return {"rounds": rounds, "failures": failures, "longest": longest}


def say(text: str) -> None:
    """One line for whoever started this."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


say(json.dumps(asyncio.run(main())))
