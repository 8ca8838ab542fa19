"""The claims' world with the real ledger behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.ports import Judge, Ledger, Source
from finbridge.systems import adapter_of

from tests.contract.sandbox_process import SandboxProcess
from tests.contract.tryton_harness import TrytonHarness
from tests.integration.claim_world import ClaimWorld, short_flow


@dataclass(kw_only=True)
class TrytonWorld(ClaimWorld):
    """Claims whose vouchers go into Tryton; ``port`` is a proxy's where there is one."""

    ledger: TrytonHarness
    known: int = 0  # entries of the ledger from before: other tests share it, and their documents have the same ids
    port: int | None = None

    def journal(self) -> list[dict[str, Any]]:
        """What the ledger took since this world began, by rising id."""
        return self.ledger.journal()[self.known :]

    def vouchers(self, document_id: str) -> list[dict[str, Any]]:
        return [entry for entry in self.journal() if entry["document_id"] == document_id]

    def connect(self) -> tuple[Source, Ledger]:
        source, stand_in = super().connect()
        del stand_in  # never opened
        settings = self.ledger.settings({"rate_per_second": 1000, "rate_burst": 100}, port=self.port)
        return source, adapter_of("tryton").connect(settings, tokens=self.hub.tokens, flow=self.flow)


@contextmanager
def open_tryton_world(folder: Path, hub_dsn: str, judge: Judge, server: LedgerServer) -> Iterator[TrytonWorld]:
    """A world of its own before the session's ledger."""
    with SandboxProcess("sandbox.weaver", "--data", str(folder / "oa")) as oa:
        oa.control("POST", "/clock", {"now": "2020-01-01T09:00:00"})
        made = TrytonWorld(
            oa=oa,
            finance=oa,  # there is no stand-in of finance: nobody asks it
            hub_dsn=hub_dsn,
            judge=judge,
            flow=short_flow(target_system="tryton"),
            ledger=TrytonHarness(server),
        )
        made.known = len(made.ledger.journal())
        try:
            yield made
        finally:
            made.close()
