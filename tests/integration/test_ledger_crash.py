"""The ledger dies while it posts: what the slice says then, and what stands in the books afterwards."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from finbridge.cli.stack.ledger import LedgerServer, demo_spec
from finbridge.cli.stack.postgres import Postgres
from finbridge.core.errors import RetryLater
from finbridge.core.outcomes import NotSent, Outcome, Unknown
from finbridge.core.vouchers import Voucher

from tests.contract.sink_harness import kinds, make_voucher
from tests.contract.tryton_harness import TrytonHarness


@pytest.fixture
def server(ledger_server: LedgerServer, tmp_path: Path) -> Iterator[LedgerServer]:
    """A trytond of its own to be killed, on a database of its own."""
    with LedgerServer(tmp_path, ledger_server.postgres, spec=demo_spec(), database="crash") as server:
        yield server
    ledger_server.postgres.drop_database("crash")


@pytest.fixture
def server_and_postgres() -> Iterator[LedgerServer]:
    """Also a PostgreSQL of its own, to be killed."""
    with tempfile.TemporaryDirectory(prefix="finbridge-crash-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (
            Postgres(folder / "postgres") as postgres,
            LedgerServer(folder / "server", postgres, spec=demo_spec()) as server,
        ):
            yield server


async def settled(sink: TrytonHarness, vouchers: list[Voucher]) -> None:
    """Each voucher is there whole or not at all; what is missing can be posted; nothing is there twice."""
    ledger = await sink.connect()
    found = await ledger.find(sink.company, [v.key for v in vouchers])
    assert all(found[v.key].content == v.content for v in vouchers if v.key in found)
    again = await ledger.post(vouchers)
    assert kinds(again) == ["Duplicate" if v.key in found else "Accepted" for v in vouchers]
    await ledger.close()
    rows = [row for row in sink.journal() if row["key"] in {v.key for v in vouchers}]
    assert len(rows) == len(vouchers)
    numbers = sorted(int(row["number"].rpartition("-")[2]) for row in sink.journal())
    assert numbers == list(range(1, len(numbers) + 1)), "no number is lost and none is there twice"


async def posting_when_killed(sink: TrytonHarness, vouchers: list[Voucher], kill: object) -> list[Outcome]:
    """Post in calls of five; kill once the third call's transaction works on the number series."""
    ledger = await sink.connect(batch_size=5)
    await ledger.ping()
    posting = asyncio.create_task(ledger.post(vouchers))
    async with await psycopg.AsyncConnection.connect(sink.server.dsn(), autocommit=True) as watcher:
        while True:
            done = await (await watcher.execute("SELECT count(*) FROM account_move")).fetchone()
            busy = await (
                await watcher.execute("SELECT 1 FROM pg_locks WHERE relation = 'ir_sequence_strict'::regclass LIMIT 1")
            ).fetchone()
            if done and done[0] >= 10 and busy:
                break
            assert not posting.done(), "posted before the kill"
            await asyncio.sleep(0.001)
        await asyncio.to_thread(kill)  # type: ignore[arg-type] # a bound method without arguments
    outcomes = await posting
    await ledger.close()
    return outcomes


async def test_trytond_is_killed_while_it_posts(server: LedgerServer) -> None:
    sink = TrytonHarness(server)
    vouchers = [make_voucher(sink) for _ in range(40)]
    outcomes = await posting_when_killed(sink, vouchers, server.kill)
    assert kinds(outcomes)[:10] == ["Accepted"] * 10
    assert set(kinds(outcomes)) <= {"Accepted", "Unknown", "NotSent"}
    assert any(isinstance(outcome, Unknown | NotSent) for outcome in outcomes)
    ledger = await sink.connect()
    with pytest.raises(RetryLater):
        await ledger.find(sink.company, [vouchers[0].key])
    assert kinds(await ledger.post([vouchers[0]])) == ["NotSent"]
    await ledger.close()
    server.start()
    await settled(sink, vouchers)


async def test_its_database_is_killed_while_it_posts(server_and_postgres: LedgerServer) -> None:
    server = server_and_postgres
    sink = TrytonHarness(server)
    vouchers = [make_voucher(sink) for _ in range(40)]

    def kill_and_restart() -> None:
        server.postgres.kill()
        server.postgres.start()

    outcomes = await posting_when_killed(sink, vouchers, kill_and_restart)
    assert kinds(outcomes)[:10] == ["Accepted"] * 10
    assert set(kinds(outcomes)) <= {"Accepted", "Duplicate", "Unknown", "NotSent", "Locked", "RefusedUnprocessed"}
    async with asyncio.timeout(20):  # whoever had the turn at the number series died with it
        await settled(sink, vouchers)


def test_journal_of_an_empty_ledger_is_empty(server: LedgerServer, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert server.export_journal(path) == 0
    assert path.read_text() == ""


async def test_journal_shows_what_was_made_by_hand(server: LedgerServer, tmp_path: Path) -> None:
    """A move without a key is in the journal: the checker must be able to see what nobody called for."""
    sink = TrytonHarness(server)
    ledger = await sink.connect()
    await ledger.post([make_voucher(sink)])
    await ledger.close()
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("UPDATE account_move SET external_ref = NULL, external_kind = NULL")
    path = tmp_path / "journal.jsonl"
    assert server.export_journal(path) == 1
    row = json.loads(path.read_text(encoding="utf-8"))
    assert (row["seq"], row["key"], row["kind"], row["number"]) == (1, None, None, "记-2026-000001")
    assert row["at"].endswith("Z")
