"""Child processes in a process group of their own, which say on stdout when they are ready."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_POLL_SECONDS = 0.02
_TAIL_BYTES = 4000


class ProcessFailed(RuntimeError):
    """A process ended or stayed silent where it had to become ready; the message carries the log's end."""


class ManagedProcess:
    """One server started by us.

    Args:
        name: for people.
        argv: the command.
        env: variables on top of this process's own environment (the child inherits all others).
        log: stderr goes here, appended; stdout goes to the same name with the suffix ``.out``, anew at each start.
        cwd: working folder of the child.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        log: Path,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.argv = [os.fspath(part) for part in argv]
        self.env = dict(env or {})
        self.log = log
        self.out = log.with_suffix(".out")
        self.cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group too; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the process itself (not only a child of it) lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs or was never started."""
        return self._process.poll() if self._process else None

    def start(self) -> Self:
        """Start; a no-op while it runs. Returns self."""
        if self.running:
            return self
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as err, self.out.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - the caller names the command, no shell
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.cwd,
                env={**os.environ, **self.env},
                start_new_session=True,
            )
        return self

    def wait_ready(self, timeout: float = 30.0) -> dict[str, Any]:
        """The parsed line of JSON with ``"ready": true``.

        Raises:
            ProcessFailed: the process ended, or ``timeout`` seconds passed.
        """
        until = time.monotonic() + timeout
        while True:
            ended = not self.running  # asked before reading: what it wrote last is seen
            for line in self.out.read_bytes().splitlines():
                ready = _ready_line(line)
                if ready is not None:
                    return ready
            if ended:
                raise ProcessFailed(f"{self.name} ended with {self.returncode} before it was ready\n{self.tail()}")
            if time.monotonic() > until:
                raise ProcessFailed(f"{self.name} was not ready after {timeout} s\n{self.tail()}")
            time.sleep(_POLL_SECONDS)

    def tail(self) -> str:
        """The end of stderr and of stdout, for error messages."""
        parts = [path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace") for path in (self.log, self.out)]
        return "\n".join(part for part in parts if part)

    def stop(self, timeout: float = 10.0) -> int | None:
        """SIGTERM, wait up to ``timeout`` seconds, then SIGKILL to what is left of the group. Returns how it ended."""
        if self._process is None:
            return None
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        return self.kill()

    def kill(self, *, group: bool = True) -> int | None:
        """SIGKILL to the whole group (``group=False``: to the process alone) and wait for it."""
        if self._process is None:
            return None
        try:
            if group:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        except ProcessLookupError:
            pass  # nobody of the group is left
        return self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _ready_line(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    try:
        parsed = json.loads(line)
    except ValueError:
        return None  # half a line: the rest comes with the next read
    return parsed if isinstance(parsed, dict) and parsed.get("ready") is True else None
