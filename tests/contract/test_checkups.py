"""What each system's look at its connection tells: it lets us in, its clock, the name of its token; or why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, TransportError

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess

WRONG = "a-wrong-password"


@pytest.fixture(scope="module")
def weaver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectionSettings]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path_factory.mktemp("weaver"))) as process:
        extra = {"appid": "finbridge"}
        yield ConnectionSettings(conn_id="oa", host="127.0.0.1", port=process.port, login="900", extra=extra)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectionSettings]:
    with SandboxProcess("sandbox.journal", "--data", str(tmp_path_factory.mktemp("journal"))) as process:
        yield ConnectionSettings(
            conn_id="fin", host="127.0.0.1", port=process.port, login="finbridge", password="finbridge"
        )


@pytest.fixture(scope="module")
def tryton(ledger_server: LedgerServer) -> ConnectionSettings:
    host, port = ledger_server.url.removeprefix("http://").split(":")
    return ConnectionSettings(
        conn_id="fin",
        host=host,
        port=int(port),
        login="finbridge",
        password=ledger_server.password,
        database=ledger_server.database,
    )


async def look(system: str, settings: ConnectionSettings, tokens: Any) -> Any:
    return await import_module(f"finbridge.systems.{system}.checkup").checkup(settings, tokens=tokens)


@pytest.mark.parametrize("system", ["weaver", "journal", "tryton"])
async def test_a_look_logs_in_reads_and_shows_their_clock(system: str, request: pytest.FixtureRequest) -> None:
    settings, tokens = request.getfixturevalue(system), MemoryTokens()
    for _ in range(2):  # the second look uses the first one's token
        found = await look(system, settings, tokens)
        assert found.read
        assert found.server_at is not None
        assert abs((found.server_at - datetime.now(UTC)).total_seconds()) < 30
        assert tokens.get(found.token) is not None


@pytest.mark.parametrize("system", ["journal", "tryton"])
async def test_a_wrong_password_is_no_matter_of_time(system: str, request: pytest.FixtureRequest) -> None:
    settings = replace(request.getfixturevalue(system), password=WRONG)
    with pytest.raises(GiveUp) as raised:
        await look(system, settings, MemoryTokens())
    assert WRONG not in str(raised.value)


@pytest.mark.parametrize("system", ["weaver", "journal", "tryton"])
async def test_a_system_that_is_away_is_a_matter_of_time(system: str, request: pytest.FixtureRequest) -> None:
    settings = replace(request.getfixturevalue(system), port=9)
    with pytest.raises(TransportError):
        await look(system, settings, MemoryTokens())
