"""What the journal slice makes of every answer that its stand-in can give."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from finbridge.core.errors import FinbridgeError, GiveUp, RetryLater
from finbridge.core.flow import Company, Flow
from finbridge.core.outcomes import Conflict, Locked, Rejected, TakenBack, Throttled

from tests.contract.journal_harness import JournalHarness
from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.sink_harness import entry_of, kinds, make_voucher
from tests.unit.test_month_lines import text_of


@pytest.fixture(scope="module")
def finance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalHarness]:
    folder: Path = tmp_path_factory.mktemp("finance")
    with SandboxProcess("sandbox.journal", "--data", str(folder), "--companies", "1000,2000,CN01") as process:
        yield JournalHarness(process, folder)


UNKNOWN = ["reset", "close", "truncate", "html", "error_body", "http_500", "http_502", "http_504"]


@pytest.mark.parametrize("fault", UNKNOWN)
async def test_untrustworthy_answer_makes_every_voucher_unknown(finance: JournalHarness, fault: str) -> None:
    vouchers = [make_voucher(finance) for _ in range(3)]
    async with finance.faulty(fault, after_commit=True) as ledger:
        assert kinds(await ledger.post(vouchers)) == ["Unknown"] * 3
        assert set(await ledger.find("1000", [v.key for v in vouchers])) == {v.key for v in vouchers}


async def test_silence_is_unknown_after_the_time_out(finance: JournalHarness) -> None:
    voucher = make_voucher(finance)
    ledger = finance.open(extra={"timeout_seconds": 0.5})
    with finance.process.faults({"endpoint": "post", "fault": "timeout", "after_commit": True}):
        assert kinds(await ledger.post([voucher])) == ["Unknown"]
    assert set(await ledger.find("1000", [voucher.key])) == {voucher.key}
    await ledger.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"done": 1}, ["Accepted", "RefusedUnprocessed", "RefusedUnprocessed"]),
        ({"done": 1, "then": "short"}, ["Accepted", "Unknown", "Unknown"]),
        ({"done": 2, "then": "http_504"}, ["Unknown"] * 3),
    ],
    ids=["rest named", "rest left out", "answer lost"],
)
async def test_batch_done_in_part(finance: JournalHarness, options: dict[str, Any], expected: list[str]) -> None:
    vouchers = [make_voucher(finance) for _ in range(3)]
    async with finance.faulty("partial_batch", **options) as ledger:
        assert kinds(await ledger.post(vouchers)) == expected
        assert len(await ledger.find("1000", [v.key for v in vouchers])) == options["done"]


async def test_refusals_of_single_vouchers(finance: JournalHarness) -> None:
    vouchers = [make_voucher(finance) for _ in range(2)]
    async with finance.faulty("rejected", items=1) as ledger:
        first, second = await ledger.post(vouchers)
    assert isinstance(first, Rejected) and first.code == "vendor_blocked"
    assert kinds([second]) == ["Accepted"]
    async with finance.faulty("locked", items=1) as ledger:
        (outcome,) = await ledger.post([make_voucher(finance)])
    assert isinstance(outcome, Locked)


async def test_period_that_closes_between_check_and_post(finance: JournalHarness) -> None:
    voucher = make_voucher(finance, day=finance.paging_day)
    async with finance.faulty("period_closes") as ledger:
        assert kinds(await ledger.post([voucher])) == ["PeriodClosed"]
    finance.process.control("POST", "/periods", {"company": "1000", "period": "2026-02", "open": True})
    ledger = await finance.connect()
    assert kinds(await ledger.post([voucher])) == ["Accepted"]
    await ledger.close()


@pytest.mark.parametrize(("status", "expected"), [(403, "AuthFailed"), (401, "AuthFailed"), (503, "Locked")])
async def test_statuses_that_say_that_nothing_was_done(finance: JournalHarness, status: int, expected: str) -> None:
    voucher = make_voucher(finance)
    async with finance.faulty(f"http_{status}") as ledger:
        assert kinds(await ledger.post([voucher])) == [expected]
    assert finance.rows(voucher.key) == []


async def test_reader_may_not_post(finance: JournalHarness) -> None:
    ledger, voucher = finance.open(login="reader"), make_voucher(finance)
    assert kinds(await ledger.post([voucher])) == ["AuthFailed"]
    assert await ledger.find("1000", [voucher.key]) == {}
    await ledger.close()


async def test_batch_that_is_too_large_is_halved(finance: JournalHarness) -> None:
    vouchers = [make_voucher(finance) for _ in range(601)]
    ledger = await finance.connect(batch_size=1000)
    assert kinds(await ledger.post(vouchers)) == ["Accepted"] * 601
    assert len(await ledger.find("1000", [v.key for v in vouchers])) == 601
    await ledger.close()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("http_500", "NotSent"), ("html", "NotSent"), ("reset", "NotSent"), ("http_429", "Throttled")],
)
async def test_login_that_fails_means_that_nothing_left(finance: JournalHarness, fault: str, expected: str) -> None:
    ledger, voucher = await finance.connect(), make_voucher(finance)
    with finance.process.faults({"endpoint": "login", "fault": fault, "count": 2, "retry_after": 0}):
        outcomes = await ledger.post([voucher])
        with pytest.raises(RetryLater):
            await ledger.find("1000", [voucher.key])
    assert kinds(outcomes) == [expected]
    if isinstance(outcomes[0], Throttled):
        assert outcomes[0].after_seconds == 0.0
    assert kinds(await ledger.post([voucher])) == ["Accepted"]
    await ledger.close()


async def test_many_clients_share_one_login(finance: JournalHarness) -> None:
    tokens = MemoryTokens()
    ledgers = [finance.open(tokens=tokens) for _ in range(5)]
    finance.process.control("DELETE", "/stats")
    await asyncio.gather(*(ledger.find("1000", ["E1"]) for ledger in ledgers for _ in range(3)))
    finance.process.control("POST", "/access", {"expire_tokens": True})
    await asyncio.gather(*(ledger.find("1000", ["E1"]) for ledger in ledgers for _ in range(3)))
    assert finance.process.control("GET", "/stats")["calls"]["login"] == 2
    for ledger in ledgers:
        await ledger.close()


async def test_accepted_with_other_content_shows_as_a_conflict(finance: JournalHarness) -> None:
    voucher, ledger = make_voucher(finance), await finance.connect()
    entry = {
        "seq": 1,
        "company": "1000",
        "key": voucher.key,
        "number": "记-2026-000001",
        "date": "2026-11-20",
        "currency": "CNY",
        "state": "posted",
        "lines": [
            {"account": "660202", "debit": "100.00", "credit": "0.00", "party": ""},
            {"account": "2241", "debit": "0.00", "credit": "100.00", "party": "E0001"},
        ],
    }
    body = {"results": [{"key": voucher.key, "outcome": "accepted", "entry": entry}]}
    with finance.process.faults({"endpoint": "post", "fault": "error_body", "body": body}):
        (outcome,) = await ledger.post([voucher])
    await ledger.close()
    assert isinstance(outcome, Conflict)
    assert "660201" in outcome.difference and "660202" in outcome.difference and "2241" not in outcome.difference


@pytest.mark.parametrize(
    "result",
    [
        {"outcome": "accepted"},
        {"outcome": "parked", "entry": None},
        {"outcome": "accepted", "entry": {"seq": "?"}},
        {"key": "E000000000000000", "outcome": "rejected", "code": "x", "message": "y"},
        "accepted",
    ],
    ids=["no entry", "new word", "unreadable entry", "another voucher", "text"],
)
async def test_result_that_says_nothing_sure_is_unknown(finance: JournalHarness, result: Any) -> None:
    voucher, ledger = make_voucher(finance), await finance.connect()
    named = {"key": voucher.key, **result} if isinstance(result, dict) else result
    with finance.process.faults({"endpoint": "post", "fault": "error_body", "body": {"results": [named]}}):
        assert kinds(await ledger.post([voucher])) == ["Unknown"]
    await ledger.close()


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("fault", ["http_500", "http_503", "http_429", "html", "truncate", "error_body"])
async def test_finance_that_cannot_say_is_retry_later(finance: JournalHarness, fault: str) -> None:
    ledger = await finance.connect()
    with finance.process.faults({"endpoint": "find", "fault": fault, "retry_after": 0}), pytest.raises(RetryLater):
        await ledger.find("1000", ["E1"])
    with finance.process.faults({"endpoint": "period", "fault": fault, "retry_after": 0}), pytest.raises(RetryLater):
        await anext(ledger.period_entries("1000", "2026-11"))
    await ledger.close()


async def test_refused_credentials_stop_reading(finance: JournalHarness) -> None:
    async with finance.wrong_password() as ledger:
        with pytest.raises(GiveUp):
            await ledger.find("1000", ["E1"])


async def test_company_that_finance_lacks_holds_nothing(finance: JournalHarness) -> None:
    ledger = await finance.connect()
    assert await ledger.find("9999", ["E1"]) == {}
    await ledger.close()


async def test_vouchers_that_people_keyed_are_not_ours(finance: JournalHarness) -> None:
    ledger, voucher = await finance.connect(), make_voucher(finance, company="2000")
    await ledger.post([voucher])
    by_hand = {
        "key": "by-hand-1",
        "company": "2000",
        "kind": "expense",
        "posting_date": "2026-11-20",
        "currency": "CNY",
        "lines": [{"account": "1", "debit": "1.00"}, {"account": "2", "credit": "1.00"}],
    }
    (result,) = finance.process.control("POST", "/vouchers", {"vouchers": [by_hand]})["results"]
    assert result["outcome"] == "accepted"
    keys = [entry.key async for page in ledger.period_entries("2000", "2026-11") for entry in page]
    assert keys == [voucher.key]
    await ledger.close()


async def test_what_people_take_back_by_hand_is_shown_in_its_month_and_in_that_of_the_reversal(
    finance: JournalHarness,
) -> None:
    ledger, voucher = await finance.connect(), make_voucher(finance, company="2000")
    (posted,) = await ledger.post([voucher])
    entry = entry_of(posted)
    assert (entry.period, entry.taken_back) == (voucher.period, ())
    sent = finance.rows(voucher.key)[0]["lines"]
    by_hand = {
        "key": "by-hand-red",
        "company": "2000",
        "kind": "reversal",
        "reverses": voucher.key,
        "posting_date": "2026-12-05",
        "currency": "CNY",
        "lines": [{**ln, "debit": _negative(ln["debit"]), "credit": _negative(ln["credit"])} for ln in sent],
    }
    (result,) = finance.process.control("POST", "/vouchers", {"vouchers": [by_hand]})["results"]
    assert result["outcome"] == "accepted", result
    back = (TakenBack(result["entry"]["number"], date(2026, 12, 5), "2026-12"),)
    for period in (voucher.period, "2026-12"):
        shown = {e.key: e async for page in ledger.period_entries("2000", period) for e in page}
        assert (shown[voucher.key].taken_back, shown[voucher.key].period) == (back, voucher.period)
        assert "by-hand-red" not in shown
    await ledger.close()


def _negative(amount: str) -> str:
    return amount if amount == "0.00" else amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"


async def test_lines_are_shown_with_all_that_was_sent(finance: JournalHarness) -> None:
    ledger, voucher = await finance.connect(), make_voucher(finance)
    lines = tuple(replace(ln, amount_minor=ln.amount_minor // 7, currency="USD", tax_code="J1") for ln in voucher.lines)
    foreign = replace(voucher, lines=lines)
    (posted,) = await ledger.post([foreign])
    assert entry_of(posted).lines == text_of(foreign)
    await ledger.close()


async def test_flow_gives_finances_own_code_of_a_company(finance: JournalHarness) -> None:
    ours = Company(code="1000", currency="CNY", time_zone="Asia/Shanghai", ledger_company="CN01")
    flow = cast("Flow", SimpleNamespace(companies={"1000": ours}))
    ledger, voucher = finance.open(flow=flow), make_voucher(finance)
    assert kinds(await ledger.post([voucher])) == ["Accepted"]
    found = await ledger.find("1000", [voucher.key])
    listed = [entry async for page in ledger.period_entries("1000", "2026-11") for entry in page]
    await ledger.close()
    assert [row["company"] for row in finance.rows(voucher.key)] == ["CN01"]
    assert found[voucher.key].company == "1000"
    assert listed == [found[voucher.key]]


async def test_no_secret_in_any_log_record_or_error(finance: JournalHarness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    password = "canary-password-&=+"
    texts = []
    ledger = finance.open(tokens=MemoryTokens(), password=password)
    with pytest.raises(GiveUp) as caught:
        await ledger.find("1000", ["E1"])
    texts += [*traceback.format_exception(caught.value), caught.value.staff]
    texts.append(repr(await ledger.post([make_voucher(finance)])))
    await ledger.close()
    tokens = MemoryTokens()
    ledger = finance.open(tokens=tokens, extra={"timeout_seconds": 0.5})
    for fault in ("reset", "truncate", "http_500", "html", "timeout", "http_401"):
        with finance.process.faults({"endpoint": "[pf]*", "fault": fault, "count": 9, "seconds": 1}):
            texts.append(repr(await ledger.post([make_voucher(finance)])))
            try:
                await ledger.find("1000", ["E1"])
            except FinbridgeError as error:
                texts += [*traceback.format_exception(error), error.staff, error.engineer]
    await ledger.close()
    secrets = {password, *(value for value, _ in tokens.values.values())}
    texts += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    assert len(secrets) == 2
    assert sum(record.name == "finbridge.transport" for record in caplog.records) > 10
    assert [secret[:6] for secret in secrets for text in texts if secret in text] == []
