"""The SinkContract against the real Tryton."""

from __future__ import annotations

import pytest
from finbridge.cli.stack.ledger import LedgerServer

from tests.contract.sink_contract import SinkContract
from tests.contract.tryton_harness import TrytonHarness


class TestTrytonSink(SinkContract):
    """Every promise of a sink, kept by Tryton."""

    @pytest.fixture
    def sink(self, ledger_server: LedgerServer) -> TrytonHarness:
        return TrytonHarness(ledger_server)
