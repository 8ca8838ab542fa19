"""Servers that all replays of a test session share; each replay has databases and sandboxes of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from finbridge.cli.replay.servers import Workshop


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """Not in pytest's own folder: that of an older session is deleted by a younger one, servers and all."""
    with (
        tempfile.TemporaryDirectory(prefix="finbridge-replay-", ignore_cleanup_errors=True) as name,
        Workshop(Path(name)) as opened,
    ):
        yield opened
