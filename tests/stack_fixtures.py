"""Servers that are dear to start and serve a whole test session. Tests use keys of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from finbridge.cli.stack.ledger import LedgerServer, demo_spec
from finbridge.cli.stack.postgres import Postgres


@pytest.fixture(scope="session")
def ledger_server() -> Iterator[LedgerServer]:
    """The real ledger: Tryton on a PostgreSQL server of its own, with the demo's companies.

    January 2026 of company 1000 is closed. Nobody else may close periods of 2026 here: the session shares it.
    Its folder is not pytest's: those of older sessions are deleted by younger ones, servers and all.
    """
    with tempfile.TemporaryDirectory(prefix="finbridge-ledger-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (
            Postgres(folder / "postgres") as postgres,
            LedgerServer(folder / "server", postgres, spec=demo_spec()) as server,
        ):
            server.close_period("1000", "2026-01")
            yield server
