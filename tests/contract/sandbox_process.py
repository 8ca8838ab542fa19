"""A sandbox as a process, and its control port: the path by which tests look at it past the product's clients."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


class SandboxProcess:
    """``python -m MODULE --port 0 …`` until the block ends. ``ready`` is its ready line."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.ready: dict[str, Any] = {}
        self._argv = [sys.executable, "-m", module, "--port", "0", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        process = subprocess.Popen(
            self._argv, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"}
        )
        self._process = process
        watchdog = threading.Timer(_START_SECONDS, process.kill)
        watchdog.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        if not line:
            self.stop()
            raise RuntimeError(f"{self._argv} gave no ready line; it ended with {process.returncode}")
        self.ready = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not listen."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def port(self) -> int:
        """Where the product calls."""
        return int(self.ready["port"])

    def control(self, method: str, path: str, body: object = None) -> Any:
        """One call of the control port (JSON in, JSON out); an error answer is an error of the test."""
        port = self.ready.get("control_port", self.ready["port"])
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    @contextlib.contextmanager
    def faults(self, *rules: dict[str, object]) -> Iterator[None]:
        """These faults while the block runs."""
        self.control("POST", "/faults", list(rules))
        try:
            yield
        finally:
            self.control("DELETE", "/faults")

    @contextlib.contextmanager
    def options(self, **wanted: object) -> Iterator[None]:
        """These switches while the block runs."""
        before = self.control("GET", "/options")
        self.control("POST", "/options", wanted)
        try:
            yield
        finally:
            self.control("POST", "/options", {name: before[name] for name in wanted})
