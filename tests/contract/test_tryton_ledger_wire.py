"""Tryton's own answers and silences, and what the slice makes of each."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.outcomes import (
    AuthFailed,
    Locked,
    NotSent,
    Outcome,
    RefusedUnprocessed,
    Unknown,
)
from finbridge.systems.tryton.adapter import connect

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sink_harness import kinds, make_voucher
from tests.contract.tryton_harness import TrytonHarness
from tests.fault_proxy import Fault


@pytest.fixture
def sink(ledger_server: LedgerServer) -> TrytonHarness:
    """The session's ledger."""
    return TrytonHarness(ledger_server)


def rpc_error(*error: object) -> bytes:
    """The body of a 200 that carries an error."""
    return json.dumps({"id": 0, "error": error}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("400 Bad Request", b"", RefusedUnprocessed),
        ("403 Forbidden", b"<h1>Forbidden</h1>", RefusedUnprocessed),
        ("404 Not Found", b"", RefusedUnprocessed),
        ("500 Internal Server Error", b"", Unknown),
        ("502 Bad Gateway", b"", Unknown),
        ("504 Gateway Timeout", b"", Unknown),
        ("302 Found", b"", Unknown),
        ("503 Service Unavailable", b"<h1>could not obtain lock</h1>", Locked),
        ("200 OK", b"<html>please log in</html>", Unknown),
        ("200 OK", b"", Unknown),
        ("200 OK", b"[]", Unknown),
        ("200 OK", b'{"id": 0, "result": []}', Unknown),
        ("200 OK", b'{"id": 0, "result": [{"outcome": "done"}]}', Unknown),
        ("200 OK", rpc_error("UserError", ["message", "", None]), RefusedUnprocessed),
        ("200 OK", rpc_error("duplicate key value violates unique constraint", ""), RefusedUnprocessed),
    ],
)
async def test_answer_instead_of_the_post(
    sink: TrytonHarness, status: str, body: bytes, expected: type[Outcome]
) -> None:
    """Somebody in between answers the post; the read-back by key reaches the ledger and finds nothing."""
    voucher = make_voucher(sink)
    async with sink.proxied() as (proxy, ledger):
        proxy.answer(status, body=body, fault=Fault.ANSWER_ONCE)
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, expected), outcome
        assert proxy.hits == 1
        assert kinds(await ledger.post([voucher])) == ["Accepted"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("503 Service Unavailable", b""),
        ("403 Forbidden", b""),
        ("200 OK", rpc_error("UserError", ["after the commit", "", None])),
    ],
)
async def test_refusal_after_the_commit_is_not_believed(sink: TrytonHarness, status: str, body: bytes) -> None:
    """trytond answers 503 when its database dies during the commit: only the books say whether it was done."""
    vouchers = [make_voucher(sink), make_voucher(sink)]
    async with sink.proxied() as (proxy, ledger):
        proxy.answer(status, body=body, fault=Fault.SWAP_ONCE)
        outcomes = await ledger.post(vouchers)
        assert kinds(outcomes) == ["Duplicate", "Duplicate"]
        assert proxy.hits == 1
    assert [len(sink.rows(v.key)) for v in vouchers] == [1, 1]


async def test_refusal_without_a_read_back_is_unknown(sink: TrytonHarness) -> None:
    async with sink.proxied() as (proxy, ledger):
        proxy.answer("503 Service Unavailable")
        assert kinds(await ledger.post([make_voucher(sink)])) == ["Unknown"]


async def test_answer_cut_in_the_middle_is_unknown(sink: TrytonHarness) -> None:
    voucher = make_voucher(sink)
    async with sink.proxied() as (proxy, ledger):
        proxy.fault = Fault.CUT_ANSWER
        (outcome,) = await ledger.post([voucher])
        assert isinstance(outcome, Unknown), outcome
        proxy.fault = Fault.NONE
        assert set(await ledger.find(sink.company, [voucher.key])) == {voucher.key}


async def test_after_a_failed_call_the_rest_is_not_sent(sink: TrytonHarness) -> None:
    """Five vouchers in calls of two: the first call's answer is lost, the other three never leave."""
    vouchers = [make_voucher(sink) for _ in range(5)]
    async with sink.proxied() as (proxy, _):
        ledger = connect(sink.settings({"batch_size": 2}, port=proxy.port), tokens=sink.tokens)
        proxy.fault = Fault.LOSE_ANSWER
        outcomes = await ledger.post(vouchers)
        await ledger.close()
        assert proxy.hits == 1
    assert kinds(outcomes) == ["Unknown", "Unknown", "NotSent", "NotSent", "NotSent"]
    assert [len(sink.rows(v.key)) for v in vouchers] == [1, 1, 0, 0, 0]


# ---------------------------------------------------------------- session


async def test_clients_of_one_store_share_one_login(sink: TrytonHarness) -> None:
    tokens = MemoryTokens()
    ledgers = [connect(sink.settings(), tokens=tokens) for _ in range(4)]
    await asyncio.gather(*(ledger.ping() for ledger in ledgers))
    assert sum(tokens.puts.values()) == 1
    sink.forget_sessions()
    await asyncio.gather(*(ledger.ping() for ledger in ledgers))
    assert sum(tokens.puts.values()) == 2
    for ledger in ledgers:
        await ledger.close()


async def test_two_old_sessions_still_end_in_a_login(sink: TrytonHarness) -> None:
    """Ours has expired, and so has the one that another process put into the store."""
    tokens = MemoryTokens()
    ledger = connect(sink.settings(), tokens=tokens)
    await ledger.ping()
    (name,) = tokens.values
    old = "ZmluYnJpZGdlOjQ6b2xk"
    tokens.put(name, old, None)
    sink.forget_sessions()
    await ledger.ping()
    assert tokens.get(name) not in (None, old)
    await ledger.close()


async def test_login_that_gets_no_answer_sends_no_voucher(sink: TrytonHarness) -> None:
    async with sink.proxied() as (proxy, _):
        for status in ("503 Service Unavailable", "500 Internal Server Error", "404 Not Found"):
            proxy.answer(status)
            ledger = connect(sink.settings(port=proxy.port), tokens=MemoryTokens())
            (outcome,) = await ledger.post([make_voucher(sink)])
            assert isinstance(outcome, NotSent), outcome
            with pytest.raises(RetryLater):
                await ledger.find(sink.company, ["x"])
            await ledger.close()


async def test_secrets_show_in_no_error(sink: TrytonHarness) -> None:
    async with sink.wrong_password() as ledger:
        (outcome,) = await ledger.post([make_voucher(sink)])
        assert isinstance(outcome, AuthFailed)
        with pytest.raises(GiveUp) as caught:
            await ledger.ping()
    for text in (outcome.message, str(caught.value), repr(sink.settings())):
        assert "not the password" not in text and sink.server.password not in text


async def test_user_outside_the_integration_group_may_nothing(sink: TrytonHarness) -> None:
    admin = replace(sink.settings(password=sink.server.admin_password), login="admin")
    ledger = connect(admin, tokens=MemoryTokens())
    voucher = make_voucher(sink)
    (outcome,) = await ledger.post([voucher])
    assert isinstance(outcome, AuthFailed), outcome
    with pytest.raises(GiveUp):
        await ledger.find(sink.company, [voucher.key])
    await ledger.close()


def test_connection_without_a_database_says_so() -> None:
    with pytest.raises(GiveUp, match="bad_connection"):
        connect(ConnectionSettings(conn_id="x", host="h", login="u"), tokens=MemoryTokens())
