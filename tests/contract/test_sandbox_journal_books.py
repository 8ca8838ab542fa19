"""The finance stand-in's books by plain HTTP: keys, outcomes, numbers, periods, reversal, reads, login, durability."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.sandbox_journal_kit import Finance, bare, line, red, voucher
from tests.contract.sandbox_wire_kit import Server, control, journal, session

CHART = ["660201", "2241", "1002", "22210101"]


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


async def test_an_accepted_voucher(finance: Finance) -> None:
    sent = voucher("E1", prepared_by="张三", attachment_count=3)
    [result] = await finance.post(sent)
    entry = result["entry"]
    assert (result["key"], result["outcome"]) == ("E1", "accepted")
    assert (entry["seq"], entry["number"], entry["period"], entry["state"]) == (
        1,
        "记-2026-000001",
        "2026-11",
        "posted",
    )
    assert {
        name: entry[name] for name in ("company", "key", "kind", "document_id", "date", "currency", "reverses")
    } == {
        "company": "1000",
        "key": "E1",
        "kind": "expense",
        "document_id": "90001",
        "date": "2026-11-22",
        "currency": "CNY",
        "reverses": None,
    }
    assert (entry["summary"], entry["prepared_by"], entry["attachment_count"]) == ("差旅费", "张三", 3)
    assert [(ln["account"], ln["debit"], ln["credit"], ln["party"], ln["department"]) for ln in entry["lines"]] == [
        ("660201", "100.00", "0.00", "", "行政部"),
        ("2241", "0.00", "100.00", "E0001", ""),
    ]
    assert entry["at"].endswith("Z")
    assert datetime.fromisoformat(entry["at"]).utcoffset() is not None
    assert await journal(finance.server) == [entry]
    assert [json.loads(text) for text in (finance.server.data / "journal.jsonl").read_text().splitlines()] == [entry]


async def test_numbers_run_by_company_year_and_word(finance: Finance) -> None:
    results = await finance.post(
        voucher("A1"),
        voucher("A2", company="2000"),
        voucher("A3", posting_date="2027-01-01"),
        voucher("A4"),
        voucher("A5", voucher_word="付"),
        voucher("A6", voucher_word=""),
    )
    assert [r["entry"]["number"] for r in results] == [
        "记-2026-000001",
        "记-2026-000001",
        "记-2027-000001",
        "记-2026-000002",
        "付-2026-000001",
        "记-2026-000003",
    ]


async def test_the_same_key_again(finance: Finance) -> None:
    [first] = await finance.post(voucher("E1"))
    shuffled = voucher("E1", summary="another text", lines=list(reversed(voucher("E1")["lines"])))
    [again] = await finance.post(shuffled)
    assert (again["outcome"], again["entry"]) == ("duplicate", first["entry"])
    for change in (
        {"posting_date": "2026-11-23"},
        {"currency": "EUR"},
        {"kind": "payment"},
        {"lines": [line("660201", debit="100.01"), line("2241", credit="100.01", party="E0001")]},
        {"lines": [line("660201", debit="100"), line("2241", credit="100", party="E0002")]},
        {"lines": [line("1002", debit="100"), line("2241", credit="100", party="E0001")]},
        {"lines": [line("660201", credit="-100"), line("2241", credit="100", party="E0001")]},
    ):
        [other] = await finance.post(voucher("E1", **change))
        assert (other["outcome"], other["entry"]) == ("conflict", first["entry"]), change
    [elsewhere] = await finance.post(voucher("E1", company="2000"))
    assert elsewhere["outcome"] == "accepted"
    assert len(await journal(finance.server)) == 2


async def test_one_item_decides_nothing_about_another(finance: Finance) -> None:
    unbalanced = [line("660201", debit="100"), line("2241", credit="99.99")]
    batch = [voucher("E1"), voucher("E2", lines=unbalanced), voucher("E3"), voucher("E1"), voucher("", company="1000")]
    results = await finance.post(*batch)
    assert [(r["key"], r["outcome"], r.get("code")) for r in results] == [
        ("E1", "accepted", None),
        ("E2", "rejected", "unbalanced"),
        ("E3", "accepted", None),
        ("E1", "duplicate", None),
        ("", "rejected", "missing_key"),
    ]


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"company": "3000"}, "unknown_company"),
    ({"kind": "gift"}, "unknown_kind"),
    ({"posting_date": "2026-02-30"}, "bad_date"),
    ({"lines": []}, "no_lines"),
    ({"lines": ["x"]}, "no_lines"),
    ({"attachment_count": "three"}, "bad_attachment_count"),
    ({"lines": [line("", debit="1"), line("2241", credit="1")]}, "unknown_account"),
    ({"lines": [line("660201", debit="1.001"), line("2241", credit="1.001")]}, "bad_amount"),
    ({"lines": [line("660201", debit="1e2"), line("2241", credit="100")]}, "bad_amount"),
    ({"lines": [line("660201", debit="1", credit="1"), line("2241", credit="1")]}, "bad_amount"),
    ({"lines": [line("660201", debit="0"), line("2241", credit="0")]}, "bad_amount"),
    ({"lines": [{"account": "660201", "debit": 1.5}, line("2241", credit="1.5")]}, "bad_amount"),
    ({"kind": "reversal"}, "reversal_without_original"),
    ({"reverses": "E9"}, "reversal_without_original"),
    ({"kind": "reversal", "reverses": "E9"}, "original_missing"),
]


async def test_refusals(finance: Finance) -> None:
    results = await finance.post(*[voucher("E1", **change) for change, _ in REFUSALS])
    assert [(result["outcome"], result["code"]) for result in results] == [("rejected", code) for _, code in REFUSALS]
    assert all(result["message"] for result in results)
    assert await journal(finance.server) == []


async def test_a_reversal_is_the_exact_negative_once(finance: Finance) -> None:
    original = voucher("E1")
    [posted] = await finance.post(original)
    wrong_amount = red("R1", original, lines=[line("660201", debit="-99"), line("2241", credit="-99", party="E0001")])
    swapped = red("R1", original, lines=[line("660201", credit="100"), line("2241", debit="100", party="E0001")])
    for bad in (wrong_amount, swapped, red("R1", original, currency="EUR")):
        [result] = await finance.post(bad)
        assert (result["outcome"], result["code"]) == ("rejected", "not_exact_negative")
    [done, twice] = await finance.post(red("R1", original), red("R2", original))
    assert (done["outcome"], done["entry"]["reverses"]) == ("accepted", "E1")
    assert [ln["debit"] for ln in done["entry"]["lines"]] == ["-100.00", "0.00"]
    assert done["entry"]["number"] == "记-2026-000002"
    assert (twice["outcome"], twice["code"]) == ("rejected", "already_reversed")
    [again, of_red, of_posted] = await finance.post(
        red("R1", original), red("R3", red("R1", original), reverses="R1"), original
    )
    assert again["outcome"] == "duplicate"
    assert (of_red["outcome"], of_red["code"]) == ("rejected", "original_is_reversal")
    assert (of_posted["outcome"], of_posted["entry"]) == ("duplicate", posted["entry"])
    [other] = await finance.post(red("R4", original, company="2000"))
    assert other["code"] == "original_missing"


async def test_two_racing_reversals_make_one(finance: Finance) -> None:
    original = voucher("E1")
    await finance.post(original)
    results = await asyncio.gather(*[finance.post(red(f"R{n}", original)) for n in range(8)])
    assert sorted(result["outcome"] for [result] in results) == ["accepted"] + ["rejected"] * 7


async def test_closed_periods(finance: Finance) -> None:
    await finance.post(voucher("E1"))
    closed = {"company": "1000", "period": "2026-11", "open": False}
    assert await control(finance.server, "POST", "/periods", closed) == {"closed": [["1000", "2026-11"]]}
    results = await finance.post(
        voucher("E2"), voucher("E3", company="2000"), voucher("E4", posting_date="2026-12-01"), voucher("E1")
    )
    assert [r["outcome"] for r in results] == ["period_closed", "accepted", "accepted", "duplicate"]
    finance.server.kill()
    finance.server.start()
    await finance.log_in()
    assert [r["outcome"] for r in await finance.post(voucher("E2"))] == ["period_closed"]
    assert await control(finance.server, "POST", "/periods", closed | {"open": True}) == {"closed": []}
    assert [r["outcome"] for r in await finance.post(voucher("E2"))] == ["accepted"]


async def test_a_chart_refuses_other_accounts(tmp_path: Path) -> None:
    chart = tmp_path / "chart.json"
    chart.write_text(json.dumps(CHART))
    server = Server("sandbox.journal", tmp_path / "books", "--chart", str(chart), "--companies", "*")
    server.start()
    try:
        async with session() as http:
            finance = await Finance(server, http).log_in()
            results = await finance.post(
                voucher("E1", company="anything"),
                voucher("E2", lines=[line("6602", debit="1"), line("2241", credit="1")]),
            )
    finally:
        server.stop()
    assert [(r["outcome"], r.get("code")) for r in results] == [("accepted", None), ("rejected", "unknown_account")]


async def test_reading_by_key(finance: Finance) -> None:
    results = await finance.post(voucher("E1"), voucher("E2"), voucher("E3", company="2000"))
    found = await finance.get(company="1000", keys="E2,E3,E9,E1")
    assert found == {"entries": [results[1]["entry"], results[0]["entry"]]}
    many = [voucher(f"K{n:015}") for n in range(500)]
    await finance.post(*many)
    entries = (await finance.get(company="1000", keys=",".join(v["key"] for v in many)))["entries"]
    assert [entry["key"] for entry in entries] == [v["key"] for v in many]
    status, body = await finance.call("GET", "/api/vouchers", params={"company": "7", "keys": "E1"})
    assert (status, body) == (404, {"error": "unknown_company"})


async def test_reading_a_period_in_pages(finance: Finance) -> None:
    await finance.post(*[voucher(f"E{n}", posting_date=f"2026-{11 + n % 2}-05") for n in range(10)])
    await finance.post(voucher("F1", company="2000"))
    seen: list[str] = []
    after = 0
    for _ in range(3):
        page = await finance.get(company="1000", period="2026-11", after=str(after), limit="2")
        seen += [entry["key"] for entry in page["entries"]]
        after = page["next"] or 0
    assert seen == ["E0", "E2", "E4", "E6", "E8"]
    assert after == 0
    assert await finance.get(company="1000", period="2020-01") == {"entries": [], "next": None, "open": True}


async def test_login_tokens_and_rights(finance: Finance) -> None:
    status, body = await finance.call("POST", "/login", json={"user": "finbridge", "password": "no"})
    assert (status, body) == (401, {"error": "bad_credentials"})
    finance.token, token = "nonsense", finance.token
    for method, params in (("POST", {}), ("GET", {"company": "1000", "keys": "E1"})):
        status, body = await finance.call(method, "/api/vouchers", params=params)
        assert (status, body) == (401, {"error": "unauthorized"})
    await control(finance.server, "POST", "/access", {"ttl_seconds": 0})
    await finance.log_in()
    assert (await finance.call("POST", "/api/vouchers", json={"vouchers": []}))[0] == 401
    await control(finance.server, "POST", "/access", {"ttl_seconds": 60})
    finance.token = token
    assert await finance.post(voucher("E1"))
    assert (await control(finance.server, "POST", "/access", {"expire_tokens": True}))["tokens"] == 0
    assert (await finance.call("POST", "/api/vouchers", json={"vouchers": []}))[0] == 401
    await finance.log_in("reader")
    status, body = await finance.call("POST", "/api/vouchers", json={"vouchers": [voucher("E2")]})
    assert (status, body["error"]) == (403, "forbidden")
    assert len((await finance.get(company="1000", keys="E1,E2"))["entries"]) == 1


async def test_calls_of_a_wrong_shape(finance: Finance) -> None:
    shapes: list[object] = [{"vouchers": {}}, {"vouchers": ["x"]}, [], {}]
    for body in shapes:
        status, reply = await finance.call("POST", "/api/vouchers", json=body)
        assert (status, reply["error"]) == (400, "bad_request")
    status, reply = await finance.call(
        "POST", "/api/vouchers", json={"vouchers": [voucher(f"E{n}") for n in range(501)]}
    )
    assert (status, reply["error"]) == (413, "batch_too_large")
    assert (await finance.call("GET", "/api/vouchers"))[0] == 404
    assert (await finance.call("DELETE", "/api/vouchers"))[0] == 404
    params = {"company": "1000", "period": "2026-11", "after": "x"}
    assert (await finance.call("GET", "/api/vouchers", params=params))[0] == 400
    assert await journal(finance.server) == []


async def test_the_control_port(finance: Finance) -> None:
    [hand] = (await control(finance.server, "POST", "/vouchers", {"vouchers": [voucher("H1")]}))["results"]
    assert hand["outcome"] == "accepted"
    assert [r["outcome"] for r in await finance.post(voucher("H1", summary="ours"))] == ["duplicate"]
    assert "3000" in await control(finance.server, "POST", "/companies", {"company": "3000"})
    assert [r["outcome"] for r in await finance.post(voucher("H2", company="3000"))] == ["accepted"]
    await control(finance.server, "DELETE", "/stats")
    await finance.get(company="1000", keys="H1")
    stats = await control(finance.server, "GET", "/stats")
    assert (stats["calls"], stats["journal_seq"]) == ({"find": 1}, 2)
    assert [entry["seq"] for entry in await control(finance.server, "GET", "/journal?after=1&limit=5")] == [2]
    assert "error" in await control(finance.server, "POST", "/faults", {"fault": "page_drift"}, status=400)
    assert "error" in await control(finance.server, "POST", "/periods", {"company": "1000"}, status=400)


async def test_nothing_answered_is_lost_by_a_kill(server: Server) -> None:
    """Posters run until the server dies in the middle; every voucher that was answered stands after the restart."""
    answered: dict[str, dict[str, Any]] = {}
    async with session() as http:
        finance = await Finance(server, http).log_in()
        enough = asyncio.Event()

        async def write(poster: int) -> None:
            for n in range(100_000):
                results = await finance.post(*[voucher(f"P{poster}-{n}-{i}") for i in range(5)])
                answered.update({result["key"]: result["entry"] for result in results})
                if n == 40:
                    enough.set()

        posters = [asyncio.create_task(write(n)) for n in range(6)]
        await enough.wait()
        await asyncio.to_thread(server.kill)
        ends = await asyncio.gather(*posters, return_exceptions=True)
        assert all(isinstance(end, aiohttp.ClientError) for end in ends), ends
    with (server.data / "journal.jsonl").open("ab") as file:
        file.write(b'{"seq": 999999, "torn')  # what a kill in the middle of a write leaves
    await asyncio.to_thread(server.start)
    entries = await journal(server)
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    stored = {entry["key"]: entry for entry in entries}
    assert len(answered) >= 200
    assert {key: stored.get(key) for key in answered} == answered
    numbers = [entry["number"] for entry in entries]
    assert numbers == [f"记-2026-{n:06}" for n in range(1, len(entries) + 1)]
    async with session() as http:
        finance = Finance(server, http)
        assert (await finance.call("POST", "/api/vouchers", json={"vouchers": []}))[0] == 401  # tokens died with it
        await finance.log_in()
        key = next(iter(answered))
        [known, fresh] = await finance.post(voucher(key), voucher("fresh"))
    assert known["outcome"] == "duplicate"
    assert fresh["entry"]["seq"] == len(entries) + 1
    lines = (server.data / "journal.jsonl").read_text().splitlines()
    assert bare(json.loads(lines[-1])) == bare(fresh["entry"])
