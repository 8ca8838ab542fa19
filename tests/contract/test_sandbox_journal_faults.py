"""Every fault that the finance stand-in can be told to show, seen by a plain caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.contract.sandbox_journal_kit import Finance, voucher
from tests.contract.sandbox_wire_kit import Server, control, journal, session

LOSSES: dict[str, type[BaseException]] = {
    "timeout": TimeoutError,
    "reset": aiohttp.ClientError,
    "close": aiohttp.ServerDisconnectedError,
    "http_502": json.JSONDecodeError,
    "http_504": json.JSONDecodeError,
    "html": json.JSONDecodeError,
    "error_body": KeyError,
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server("sandbox.journal", tmp_path / "books")
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
async def finance(server: Server) -> AsyncIterator[Finance]:
    async with session() as http:
        yield await Finance(server, http).log_in()


async def rules(finance: Finance, *items: dict[str, object]) -> None:
    await control(finance.server, "POST", "/faults", list(items))


async def outcomes(finance: Finance, *keys: str) -> list[str]:
    return [result["outcome"] for result in await finance.post(*[voucher(key) for key in keys])]


@pytest.mark.parametrize("after_commit", [False, True])
async def test_an_answer_lost_before_or_after_the_commit(finance: Finance, after_commit: bool) -> None:
    for fault, seen in LOSSES.items():
        first, second = f"{fault}1", f"{fault}2"
        await rules(finance, {"endpoint": "post", "fault": fault, "after_commit": after_commit})
        with pytest.raises(seen):
            async with asyncio.timeout(1):
                await outcomes(finance, first, second)
        stored = (await finance.get(company="1000", keys=f"{first},{second}"))["entries"]
        assert len(stored) == (2 if after_commit else 0), fault
        assert await outcomes(finance, first, second) == ["duplicate" if after_commit else "accepted"] * 2
    entries = await journal(finance.server)
    assert len({entry["key"] for entry in entries}) == len(entries) == 2 * len(LOSSES)


async def test_statuses_that_say_nothing_was_done(finance: Finance) -> None:
    for status, retry_after in ((503, None), (429, 3), (429, None), (403, None), (401, None)):
        rule: dict[str, object] = {"endpoint": "post", "fault": f"http_{status}", "body": {"error": "busy"}}
        await rules(finance, rule if retry_after is None else rule | {"retry_after": retry_after})
        found, headers, body = await finance.raw("POST", "/api/vouchers", json={"vouchers": [voucher("E1")]})
        assert (found, json.loads(body)) == (status, {"error": "busy"})
        assert headers.get("Retry-After") == (None if retry_after is None else str(retry_after))
        assert await journal(finance.server) == []
    assert await outcomes(finance, "E1") == ["accepted"]


async def test_html_where_a_lock_was_hit(finance: Finance) -> None:
    await rules(finance, {"endpoint": "post", "fault": "http_503", "count": 2})
    for _ in range(2):
        status, headers, body = await finance.raw("POST", "/api/vouchers", json={"vouchers": [voucher("E1")]})
        assert (status, headers["Content-Type"]) == (503, "text/html;charset=utf-8")
        assert body.startswith(b"<!DOCTYPE html>")
    assert await outcomes(finance, "E1") == ["accepted"]


async def test_a_session_that_ends_in_the_middle(finance: Finance) -> None:
    await rules(finance, {"endpoint": "post", "fault": "token_expired", "skip": 1})
    assert await outcomes(finance, "E1") == ["accepted"]
    for _ in range(2):
        assert (await finance.call("POST", "/api/vouchers", json={"vouchers": [voucher("E2")]}))[0] == 401
    await finance.log_in()
    assert await outcomes(finance, "E1", "E2") == ["duplicate", "accepted"]


async def test_a_part_of_a_batch(finance: Finance) -> None:
    await rules(finance, {"endpoint": "post", "fault": "partial_batch", "done": 1})
    assert await outcomes(finance, "E1", "E2", "E3") == ["accepted", "not_processed", "not_processed"]
    await rules(finance, {"endpoint": "post", "fault": "partial_batch", "then": "short"})
    assert await outcomes(finance, "E2", "E3") == ["accepted"]
    await rules(finance, {"endpoint": "post", "fault": "partial_batch", "done": 2, "then": "reset"})
    with pytest.raises(aiohttp.ClientError):
        await outcomes(finance, "E3", "E4", "E5")
    assert await outcomes(finance, "E3", "E4", "E5") == ["duplicate", "duplicate", "accepted"]


async def test_a_period_that_closes_between_check_and_post(finance: Finance) -> None:
    await rules(finance, {"endpoint": "post", "fault": "period_closes"})
    assert (await control(finance.server, "GET", "/periods"))["closed"] == []
    assert await outcomes(finance, "E1") == ["period_closed"]
    assert (await control(finance.server, "GET", "/periods"))["closed"] == [["1000", "2026-11"]]
    assert await outcomes(finance, "E1") == ["period_closed"]
    await control(finance.server, "POST", "/periods", {"company": "1000", "period": "2026-11", "open": True})
    assert await outcomes(finance, "E1") == ["accepted"]


async def test_refusals_told_beforehand(finance: Finance) -> None:
    await rules(finance, {"endpoint": "post", "fault": "rejected", "items": 1, "code": "vendor_blocked"})
    [first, second] = await finance.post(voucher("E1"), voucher("E2"))
    assert (first["outcome"], first["code"], second["outcome"]) == ("rejected", "vendor_blocked", "accepted")
    await rules(finance, {"endpoint": "post", "fault": "locked"})
    [locked] = await finance.post(voucher("E1"))
    assert (locked["outcome"], locked["code"]) == ("locked", "record_in_use")
    assert await outcomes(finance, "E1", "E2") == ["accepted", "duplicate"]


async def test_reads_that_lag(finance: Finance) -> None:
    await outcomes(finance, "E1")
    await rules(finance, {"endpoint": "find", "fault": "late_entries"}, {"endpoint": "period", "fault": "late_entries"})
    assert (await finance.get(company="1000", keys="E1"))["entries"] == []
    assert (await finance.get(company="1000", period="2026-11"))["entries"] == []
    assert len((await finance.get(company="1000", keys="E1"))["entries"]) == 1
    assert await outcomes(finance, "E1") == ["duplicate"]


async def test_reads_that_fail(finance: Finance) -> None:
    await outcomes(finance, "E1")
    await rules(finance, {"endpoint": "find", "fault": "truncate"}, {"endpoint": "login", "fault": "http_503"})
    with pytest.raises(aiohttp.ClientPayloadError):
        await finance.get(company="1000", keys="E1")
    assert (await finance.raw("POST", "/login", json={}))[0] == 503
    await rules(finance, {"endpoint": "find", "fault": "slow_drip", "bytes": 100, "seconds": 0.01})
    assert len((await finance.get(company="1000", keys="E1"))["entries"]) == 1
    assert (await control(finance.server, "GET", "/stats"))["faults"] == {"truncate": 1, "http_503": 1, "slow_drip": 1}
    assert all(rule["count"] == 0 for rule in await control(finance.server, "GET", "/faults"))
    assert await control(finance.server, "DELETE", "/faults") == []
