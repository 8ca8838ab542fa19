"""The real Tryton as a SinkHarness."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.cli.stack.postgres import free_port
from finbridge.core.connections import ConnectionSettings
from finbridge.systems.tryton.adapter import TrytonLedger, connect

from ledger.tryton_rpc import TrytonRpc
from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sink_harness import SinkHarness
from tests.fault_proxy import Fault, FaultProxy

NUMBER_SERIES = """
    SELECT 1 FROM ir_sequence_strict s JOIN company_company c ON c.id = s.company
    WHERE c.code = %s AND s.prefix = '记-2026-' FOR UPDATE OF s"""
PERIOD = """
    SELECT 1 FROM account_period p JOIN account_fiscalyear f ON f.id = p.fiscalyear
    JOIN company_company c ON c.id = f.company WHERE c.code = %s AND p.name = '2026-11' FOR UPDATE OF p"""


class TrytonHarness(SinkHarness):
    """One ledger for the session; each client has a session of its own."""

    def __init__(self, server: LedgerServer) -> None:
        self.server = server
        self.tokens = MemoryTokens()

    def settings(
        self, extra: Mapping[str, object] | None = None, *, port: int | None = None, password: str | None = None
    ) -> ConnectionSettings:
        """The connection, straight or through a proxy's port."""
        return ConnectionSettings(
            conn_id="tryton_test",
            host="127.0.0.1",
            port=port or self.server.port,
            login=self.server.user,
            password=password or self.server.password,
            database=self.server.database,
            extra=extra or {},
        )

    async def connect(self, **extra: object) -> TrytonLedger:
        return connect(self.settings(extra), tokens=MemoryTokens())

    @asynccontextmanager
    async def proxied(self) -> AsyncIterator[tuple[FaultProxy, TrytonLedger]]:
        """A client that has logged in through a proxy which does no harm yet."""
        async with FaultProxy(self.server.port).running() as proxy:
            ledger = connect(self.settings(port=proxy.port), tokens=self.tokens)
            await ledger.ping()
            yield proxy, ledger
            await ledger.close()

    @asynccontextmanager
    async def losing_answers(self) -> AsyncIterator[TrytonLedger]:
        async with self.proxied() as (proxy, ledger):
            proxy.fault = Fault.LOSE_ANSWER
            yield ledger
            assert proxy.hits

    @asynccontextmanager
    async def cutting_requests(self) -> AsyncIterator[TrytonLedger]:
        async with self.proxied() as (proxy, ledger):
            proxy.fault = Fault.CUT_REQUEST
            yield ledger
            assert proxy.hits

    @asynccontextmanager
    async def refusing_connections(self) -> AsyncIterator[TrytonLedger]:
        ledger = connect(self.settings(port=free_port()), tokens=MemoryTokens())
        yield ledger
        await ledger.close()

    @asynccontextmanager
    async def locked(self, statement: Any = NUMBER_SERIES) -> AsyncIterator[TrytonLedger]:
        ledger = await self.connect()
        async with await psycopg.AsyncConnection.connect(self.server.dsn()) as connection:
            cursor = await connection.execute(statement, [self.company])
            assert await cursor.fetchall() == [(1,)]
            yield ledger
            await connection.rollback()
        await ledger.close()

    @asynccontextmanager
    async def throttling(self) -> AsyncIterator[TrytonLedger]:
        async with self.proxied() as (proxy, ledger):
            proxy.answer("429 Too Many Requests", "Retry-After: 3")
            yield ledger
            assert proxy.hits == 1

    @asynccontextmanager
    async def expiring_session(self) -> AsyncIterator[TrytonLedger]:
        ledger = await self.connect()
        await ledger.ping()
        self.forget_sessions()
        yield ledger
        await ledger.close()

    @asynccontextmanager
    async def wrong_password(self) -> AsyncIterator[TrytonLedger]:
        ledger = connect(self.settings(password="not the password"), tokens=MemoryTokens())
        yield ledger
        await ledger.close()

    def forget_sessions(self) -> None:
        """Let Tryton forget who is logged in."""
        with psycopg.connect(self.server.dsn()) as connection:
            assert connection.execute("DELETE FROM ir_session").rowcount > 0

    def journal(self) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.jsonl"
            self.server.export_journal(path)
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Accountant:
    """A person at Tryton's own client."""

    def __init__(self, server: LedgerServer, company: str) -> None:
        self._rpc = TrytonRpc(server.url, server.database, "admin", server.admin_password)
        (self._company,) = self._rpc.search("company.company", ("code", "=", company))

    def cancel(self, *where: tuple[str, str, Any]) -> int:
        """Tryton's own cancel of a move, by its wizard; the id of the move that it makes."""
        (move,) = self._rpc.search("account.move", *where, company=self._company)
        context = {
            "company": self._company,
            "active_model": "account.move",
            "active_id": move,
            "active_ids": [move],
        }
        session, *_ = self._rpc.call("wizard.account.move.cancel.create", [context])
        state = {"default": {"description": "客户退单", "reversal": True}}
        self._rpc.call("wizard.account.move.cancel.execute", [session, state, "cancel", context])
        (made,) = self._rpc.search("account.move", ("origin", "=", f"account.move,{move}"), company=self._company)
        return made
