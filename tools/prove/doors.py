"""The proxies in front of OA, finance and hub: the suite knows only these, people and journals go past them."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from pathlib import Path

from finbridge.cli.stack.processes import ManagedProcess

from tools.demo.stack import PROJECT, KeptPort
from tools.prove.proxy import HOST

_READY_SECONDS = 30.0
_CONTROL_SECONDS = 5.0


class Door:
    """One proxy process on a port that it keeps over its deaths.

    Args:
        name: for people.
        target: port of the server behind it.
        folder: its log and the record of what fired lie there.
    """

    def __init__(self, name: str, target: int, folder: Path) -> None:
        self.name = name
        self._kept, self._control = KeptPort(0), KeptPort(0)
        self.port = self._kept.number
        self.fired_file = folder / f"{name}.fired"
        self.process = ManagedProcess(
            name,
            [
                *(sys.executable, "-m", "tools.prove.proxy"),
                *("--port", str(self.port), "--target", str(target), "--control", str(self._control.number)),
                *("--fired", str(self.fired_file)),
            ],
            log=folder / f"{name}.log",
            cwd=PROJECT,
        )

    def start(self) -> None:
        """Start, also again after a kill."""
        self._kept.give()
        self._control.give()
        self.fired_file.parent.mkdir(parents=True, exist_ok=True)
        self.process.start().wait_ready(_READY_SECONDS)

    def arm(self, kind: str, *, count: int = 1, seconds: float = 3.0) -> None:
        """Break the next requests. Raises OSError while the proxy is dead."""
        self._order({"kind": kind, "count": count, "seconds": seconds})

    def clear(self) -> None:
        """Forget faults that have not fired. Raises OSError while the proxy is dead."""
        self._order({"clear": True})

    def fired(self) -> Counter[str]:
        """Faults that fired so far, by kind."""
        return Counter(self.fired_file.read_text(encoding="utf-8").split()) if self.fired_file.exists() else Counter()

    def _order(self, order: dict[str, object]) -> None:
        with socket.create_connection((HOST, self._control.number), timeout=_CONTROL_SECONDS) as control:
            control.sendall(json.dumps(order).encode() + b"\n")
            answer = json.loads(control.makefile("rb").readline() or b"{}")
        if "armed" not in answer:
            raise ConnectionError(f"{self.name} refused an order: {answer}")
