"""The finance stand-in as a SinkHarness."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from finbridge.core.connections import ConnectionSettings
from finbridge.core.flow import Flow
from finbridge.systems.journal.adapter import JournalLedger, connect

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.sink_harness import SinkHarness

CHART = ["1002", "1221", "2202", "22210101", "2241", "660201", "660202"]
FAST = {"rate_per_second": 2000, "rate_burst": 200, "rate_parallel": 8}


class JournalHarness(SinkHarness):
    """One stand-in, one token store."""

    def __init__(self, process: SandboxProcess, folder: Path) -> None:
        self.process, self.folder, self.tokens = process, folder, MemoryTokens()
        for company in (self.company, self.other_company):
            for day in (self.closed_day, self.missing_day):
                period = {"company": company, "period": f"{day:%Y-%m}", "open": False}
                process.control("POST", "/periods", period)

    def open(
        self,
        *,
        port: int | None = None,
        tokens: MemoryTokens | None = None,
        login: str = "finbridge",
        password: str = "finbridge",
        flow: Flow | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> JournalLedger:
        """A client; without ``tokens`` it shares the harness's store."""
        settings = ConnectionSettings(
            conn_id="journal_test",
            host="127.0.0.1",
            port=port or self.process.port,
            login=login,
            password=password,
            extra={**FAST, **(extra or {})},
        )
        return connect(settings, tokens=tokens or self.tokens, flow=flow)

    async def connect(self, **extra: object) -> JournalLedger:
        return self.open(tokens=MemoryTokens(), extra=extra)

    @contextlib.asynccontextmanager
    async def faulty(self, fault: str, **more: object) -> AsyncIterator[JournalLedger]:
        """A client while posts meet a fault."""
        ledger = await self.connect()
        with self.process.faults({"endpoint": "post", "fault": fault, "count": 100, **more}):
            yield ledger
        await ledger.close()

    def losing_answers(self) -> contextlib.AbstractAsyncContextManager[JournalLedger]:
        return self.faulty("reset", after_commit=True)

    def cutting_requests(self) -> contextlib.AbstractAsyncContextManager[JournalLedger]:
        return self.faulty("close")

    @contextlib.asynccontextmanager
    async def refusing_connections(self) -> AsyncIterator[JournalLedger]:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            ledger = self.open(port=bound.getsockname()[1], tokens=MemoryTokens())
            yield ledger
            await ledger.close()

    def locked(self) -> contextlib.AbstractAsyncContextManager[JournalLedger]:
        return self.faulty("http_503")

    def throttling(self) -> contextlib.AbstractAsyncContextManager[JournalLedger]:
        return self.faulty("http_429", retry_after=3)

    @contextlib.asynccontextmanager
    async def expiring_session(self) -> AsyncIterator[JournalLedger]:
        ledger = await self.connect()
        assert await ledger.find(self.company, ["E000000000000000"]) == {}
        self.process.control("POST", "/access", {"expire_tokens": True})
        yield ledger
        await ledger.close()

    @contextlib.asynccontextmanager
    async def wrong_password(self) -> AsyncIterator[JournalLedger]:
        ledger = self.open(tokens=MemoryTokens(), password="not-the-password")
        yield ledger
        await ledger.close()

    def journal(self) -> list[dict[str, Any]]:
        entries = [json.loads(text) for text in (self.folder / "journal.jsonl").read_text("utf-8").splitlines()]
        for entry in entries:
            for item in entry["lines"]:
                item["party"] = item["party"] or None
        return entries
