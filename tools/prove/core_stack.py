"""The framework-free core alone: two worker processes on hub, OA and ledger, with the same proxies, and no Airflow."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from finbridge.cli.stack.processes import ManagedProcess

from tools.demo.kills import Victim
from tools.demo.settling import settings_of
from tools.demo.stack import FLOW_ID, PROJECT, Say
from tools.prove.stack import ProvingStack
from tools.prove.victims import Restarted

WORKERS = ("worker-1", "worker-2")
_READY_SECONDS = 60.0


class CoreStack(ProvingStack):
    """As `ProvingStack` without Airflow."""

    def __init__(self, state: Path, say: Say) -> None:
        super().__init__(state, say)
        self._file = state / "worker.json"
        self.workers = {
            name: ManagedProcess(
                name,
                [
                    *(sys.executable, "-m", "tools.prove.worker"),
                    *("--name", name, "--flow", FLOW_ID, "--settings", str(self._file)),
                ],
                log=state / "workers" / f"{name}.log",
                cwd=PROJECT,
            )
            for name in WORKERS
        }

    def start(self) -> None:
        """The servers, then the workers."""
        super().start()
        for worker in self.workers.values():
            worker.start()
        for worker in self.workers.values():
            worker.wait_ready(_READY_SECONDS)

    def stop(self) -> None:
        """The workers first."""
        for worker in self.workers.values():
            worker.stop()
        super().stop()

    @property
    def killable(self) -> tuple[str, ...]:
        """Everything but Airflow."""
        return (*WORKERS, "tryton", "oa", "ledger-postgres", "hub-postgres", *self.doors)

    def victim(self, name: str) -> Victim:
        """A worker is started again by us."""
        return Restarted(self, self.workers[name]) if name in self.workers else super().victim(name)

    def _start_airflow(self) -> None:
        """None; the workers are told where everything is instead."""
        hub = self.connection("hub_default")
        systems = ("weaver_default", "tryton_default")
        settings = {
            "hub": f"host=127.0.0.1 port={hub.port} dbname={hub.schema} user={hub.login} password={hub.password}",
            "secret": str(hub.extra.get("token_secret", "")),
            "connections": {name: _plain(asdict(settings_of(self.connection(name)))) for name in systems},
        }
        self._file.touch(mode=0o600)
        self._file.write_text(json.dumps(settings), encoding="utf-8")


def _plain(fields: dict[str, object]) -> dict[str, object]:
    """Mappings as JSON takes them."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in fields.items()}
