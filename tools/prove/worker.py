"""``python -m tools.prove.worker --name N --settings FILE``: the verbs in turn, for ever, with no Airflow around them.

What a person or a fault stops is tried again at once, under a new name as each try of an Airflow task has one; what
kills the process is somebody else's matter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import FinbridgeError
from finbridge.core.flow import Flow
from finbridge.core.places import include_folder
from finbridge.core.ports import Judge, Ledger, Source, Translator
from finbridge.flows import check, collect, deliver, write_back
from finbridge.flows.config import load_flows
from finbridge.hub import PostgresHub, open_hub
from finbridge.mapping import load_translator
from finbridge.quality import load_judge
from finbridge.systems import adapter_of

_LOG = logging.getLogger("prove.worker")
_IDLE_SECONDS = 0.5
_AFTER_ERROR_SECONDS = 0.5


class Worker:
    """One process's way through the verbs."""

    def __init__(self, name: str, settings: Mapping[str, Any], flow: Flow) -> None:
        self.name, self.flow, self.settings = name, flow, settings
        self.translator: Translator = load_translator(include_folder() / "mappings" / flow.mapping)
        self.judge: Judge = load_judge(include_folder() / "expectations")
        self.tries = 0

    def once(self) -> bool:
        """Every verb once, on connections of its own; whether there was anything to do.

        Raises:
            FinbridgeError: what Airflow would try again.
        """
        self.tries += 1
        with (
            open_hub(self.settings["hub"], secret=self.settings["secret"]) as hub,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(self._verbs(hub))

    async def _verbs(self, hub: PostgresHub) -> bool:
        flow, worker = self.flow, f"{self.name}:{self.tries}"
        source: Source = self._connect(flow.source_system, flow.source_connection, hub)
        ledger: Ledger = self._connect(flow.target_system, flow.target_connection, hub)
        try:
            await collect(flow=flow, hub=hub, source=source, translator=self.translator, worker=worker)
            if not await asyncio.to_thread(hub.due, flow.flow_id):
                return False
            await asyncio.to_thread(self._check, hub, worker)
            await deliver(flow=flow, hub=hub, source=source, ledger=ledger, translator=self.translator, worker=worker)
            await write_back(flow=flow, hub=hub, source=source, worker=worker)
            return True
        finally:
            await source.close()
            await ledger.close()

    def _check(self, hub: PostgresHub, worker: str) -> None:
        check(flow=self.flow, hub=hub, translator=self.translator, judge=self.judge, worker=worker, run_id=self.name)

    def _connect(self, system: str, conn_id: str, hub: PostgresHub) -> Any:
        settings = ConnectionSettings(**self.settings["connections"][conn_id])
        return adapter_of(system).connect(settings, tokens=hub.tokens, flow=self.flow)


def main() -> None:
    """Work until killed."""
    parser = argparse.ArgumentParser(prog="python -m tools.prove.worker", description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--flow", required=True)
    parser.add_argument("--settings", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for noisy in ("great_expectations", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = json.loads(options.settings.read_text(encoding="utf-8"))
    worker = Worker(options.name, settings, load_flows(include_folder() / "flows")[options.flow])
    print(json.dumps({"ready": True}), flush=True)
    while True:
        try:
            if not worker.once():
                time.sleep(_IDLE_SECONDS)
        except FinbridgeError as error:
            _LOG.warning("%s: %s", type(error).__name__, error)
            time.sleep(_AFTER_ERROR_SECONDS)


if __name__ == "__main__":
    main()
