"""What a proof can kill beside the demo's processes."""

from __future__ import annotations

from finbridge.cli.stack.processes import ManagedProcess

from tools.demo.kills import Victim
from tools.demo.stack import Stack


class Restarted(Victim):
    """A process of the proof's own, which the proof starts again: a proxy, a worker."""

    def __init__(self, stack: Stack, process: ManagedProcess) -> None:
        super().__init__(stack)
        self._process = process

    def kill(self, *, clean: bool = False) -> int:
        """SIGKILL or SIGTERM."""
        pid = self._process.pid
        self._process.stop() if clean else self._process.kill()
        return pid

    def revive(self) -> None:
        """Start it again on its old port."""
        self._process.start().wait_ready(_READY_SECONDS)

    def lives(self) -> bool:
        """Whether it is there."""
        return self._process.running


_READY_SECONDS = 60.0
