"""Payment statuses on the e-cology stand-in: what a lost answer, a refusal and a doubled row do to the board."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.payment_status import WORDS, PaymentState, PaymentStatus, PaymentStatusRule, StatusChange
from finbridge.core.ports import WriteBackResult
from finbridge.flows import PaymentStatusReport, write_payment_status
from finbridge.systems.weaver.adapter import WeaverSource

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.weaver_harness import FAST
from tests.unit.flow_fakes import make_flow
from tests.unit.test_payment_status import Books, Store, entry, work

RULE = PaymentStatusRule(
    save="fkztSave",
    list="fkztQuery",
    columns={
        "document": "lcid",
        "business_number": "djbh",
        "status": "fkzt",
        "voucher_number": "fkpzh",
        "paid_on": "fkrq",
        "amount": "fkje",
        "currency": "bz",
    },
    words=WORDS,
)
SAVED, UNKNOWN, RETRY, REFUSED = (
    WriteBackResult.SAVED,
    WriteBackResult.UNKNOWN,
    WriteBackResult.RETRY,
    WriteBackResult.NOT_ALLOWED,
)
PASSWORD = "local-only-mode"
SAVE, LIST, COUNT = "saveOrUpdateModeData", "getModeDataPageList", "getModeDataPageCount"


@pytest.fixture(scope="module")
def oa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    folder: Path = tmp_path_factory.mktemp("oa")
    with SandboxProcess("sandbox.weaver", "--data", str(folder)) as process:
        yield process


def source_of(port: int, rule: PaymentStatusRule | None = RULE, **extra: object) -> WeaverSource:
    given = {"appid": "finbridge", "mode_systemid": "finbridge", "mode_password": PASSWORD, "timeout_seconds": 1.0}
    settings = ConnectionSettings(
        conn_id="oa", host="127.0.0.1", port=port, login="900", extra={**FAST, **given, **extra}
    )
    return WeaverSource(settings, tokens=MemoryTokens(), statuses=rule)


@pytest.fixture
async def board(oa: SandboxProcess) -> AsyncIterator[WeaverSource]:
    source = source_of(oa.port, mode_page_size=4, mode_batch_size=3)
    yield source
    await source.close()


def status(name: str, **changes: Any) -> PaymentStatus:
    paid = PaymentStatus(
        document_id=name,
        business_number=f"BX-{name}",
        state=PaymentState.PAID,
        number="记-2026-000001",
        paid_on=date(2026, 11, 20),
        amount_minor=10_600,
        currency="CNY",
    )
    return replace(paid, **changes)


def opened(name: str) -> PaymentStatus:
    return status(name, state=PaymentState.OPEN, number="", paid_on=None, amount_minor=0)


def rows(oa: SandboxProcess, name: str) -> list[dict[str, str]]:
    return [row for row in oa.control("GET", "/modes?table=uf_fkzt") if row["lcid"] == name]


def by_hand(oa: SandboxProcess, *values: dict[str, str]) -> list[str]:
    ids: list[str] = oa.control("POST", "/modes", {"table": "uf_fkzt", "rows": list(values)})["ids"]
    return ids


async def test_what_is_shown_is_read_back_and_changed_in_its_row(oa: SandboxProcess, board: WeaverSource) -> None:
    assert await board.shown(["1", "2"]) == {}
    [result] = await board.show([StatusChange(status=opened("1"))])
    assert result.result is SAVED
    shown = (await board.shown(["1", "2"]))["1"]
    assert (shown.status, shown.surplus) == (opened("1"), ())
    await board.show([StatusChange(status=status("1"), row_id=shown.row_id)])
    assert (await board.shown(["1"]))["1"].status == status("1")
    [row] = rows(oa, "1")
    assert (row["fkzt"], row["fkpzh"], row["fkrq"], row["fkje"]) == ("已付", "记-2026-000001", "2026-11-20", "106.0000")


async def test_few_are_looked_up_and_many_are_read_by_pages(oa: SandboxProcess, board: WeaverSource) -> None:
    names = [str(100 + number) for number in range(10)]
    await board.show([StatusChange(status=status(name)) for name in names])
    oa.control("DELETE", "/stats")
    assert set(await board.shown(names[:2])) == set(names[:2])
    calls = oa.control("GET", "/stats")["calls"]
    assert (calls[LIST], calls[COUNT]) == (2, 1)
    oa.control("DELETE", "/stats")
    assert {name: found.status for name, found in (await board.shown(names)).items()} == {n: status(n) for n in names}
    calls = oa.control("GET", "/stats")["calls"]
    assert (calls[LIST], calls[COUNT]) == (3, 2), "eleven rows and more, four a page; counted before and after"


@pytest.mark.parametrize("fault", [{"fault": "hidden_rows"}, {"fault": "page_drift"}, {"fault": "wrong_count"}])
async def test_a_walk_that_missed_a_row_is_walked_again(
    oa: SandboxProcess, board: WeaverSource, fault: dict[str, str]
) -> None:
    names = [f"20{number}" for number in range(9)]
    missing = [name for name in names if name not in await board.shown(names)]
    await board.show([StatusChange(status=status(name)) for name in missing])
    endpoint = COUNT if fault["fault"] == "wrong_count" else LIST
    with oa.faults({"endpoint": endpoint, **fault, "count": 1, "skip": 1}):
        assert set(await board.shown(names)) == set(names)
    with oa.faults({"endpoint": endpoint, **fault, "probability": 1}), pytest.raises(RetryLater) as caught:
        await board.shown(names)
    assert caught.value.code == "mode_table_moves" or fault["fault"] == "wrong_count"


@pytest.mark.parametrize("fault", ["timeout", "reset", "close", "html", "http_504"])
@pytest.mark.parametrize("after_commit", [False, True])
async def test_after_a_lost_answer_the_read_back_decides(
    oa: SandboxProcess, board: WeaverSource, fault: str, after_commit: bool
) -> None:
    name = f"3{len(fault)}{ord(fault[-1])}{int(after_commit)}"
    with oa.faults({"endpoint": SAVE, "fault": fault, "after_commit": after_commit}):
        [result] = await board.show([StatusChange(status=status(name))])
    assert result.result is UNKNOWN
    assert (name in await board.shown([name])) == after_commit
    assert len(rows(oa, name)) == after_commit


async def test_nothing_left_or_nothing_done_is_retry(oa: SandboxProcess, board: WeaverSource) -> None:
    with oa.faults({"endpoint": SAVE, "fault": "http_429", "retry_after": 0}):
        [result] = await board.show([StatusChange(status=status("401"))])
    assert result.result is RETRY and rows(oa, "401") == []
    nobody = source_of(1)
    try:
        [result] = await nobody.show([StatusChange(status=status("401"))])
        assert result.result is RETRY
        with pytest.raises(RetryLater):
            await nobody.shown(["401"])
    finally:
        await nobody.close()


async def test_a_refusal_names_the_oas_words_and_one_bad_row_can_be_sent_alone(
    oa: SandboxProcess, board: WeaverSource
) -> None:
    bad = StatusChange(status=status("not a number"))
    results = await board.show([StatusChange(status=status("501")), bad, StatusChange(status=status("502"))])
    assert [r.result for r in results] == [REFUSED] * 3
    assert "lcid" in results[0].detail
    results = await board.show(
        [StatusChange(status=status("501")), bad, StatusChange(status=status("502"))], alone=True
    )
    assert [r.result for r in results] == [SAVED, REFUSED, SAVED]


async def test_where_all_are_refused_it_does_not_ask_a_thousand_times(oa: SandboxProcess, board: WeaverSource) -> None:
    oa.control("DELETE", "/stats")
    changes = [StatusChange(status=status(f"bad {number}")) for number in range(60)]
    results = await board.show(changes, alone=True)
    assert [r.result for r in results] == [REFUSED] * 60
    assert oa.control("GET", "/stats")["calls"][SAVE] == 20


async def test_a_part_of_a_batch_is_seen_by_the_read_back(oa: SandboxProcess, board: WeaverSource) -> None:
    names = ["601", "602", "603"]
    with oa.faults({"endpoint": SAVE, "fault": "mode_partial", "done": 2}):
        results = await board.show([StatusChange(status=status(name)) for name in names])
    assert [r.result for r in results] == [REFUSED] * 3
    assert set(await board.shown(names)) == {"601", "602"}


async def test_a_doubled_row_keeps_its_first_and_the_others_go(oa: SandboxProcess, board: WeaverSource) -> None:
    first, second, third = by_hand(oa, *({"lcid": "701", "fkzt": "未付"} for _ in range(3)))
    shown = (await board.shown(["701"]))["701"]
    assert (shown.row_id, shown.surplus) == (first, (second, third))
    await board.void(shown.surplus)
    shown = (await board.shown(["701"]))["701"]
    assert (shown.row_id, shown.surplus) == (first, ())
    gone = [row for row in oa.control("GET", "/modes?table=uf_fkzt") if row["id"] in (second, third)]
    assert [(row["lcid"], row["fkzt"]) for row in gone] == [("", "作废")] * 2


@pytest.mark.parametrize(
    "row",
    [
        {"fkzt": "处理中", "fkje": "1", "bz": "CNY"},
        {"fkzt": "已付", "fkje": "", "bz": "CNY"},
        {"fkzt": "已付", "fkrq": "20261120", "fkje": "1,2", "bz": "CNY"},
    ],
)
async def test_what_a_person_wrote_is_no_status_of_ours(
    oa: SandboxProcess, board: WeaverSource, row: dict[str, str]
) -> None:
    name = f"80{len(row)}{len(row['fkzt'])}"
    if row["fkje"] == "1,2":
        row = {**row, "fkje": "1"}
    by_hand(oa, {"lcid": name, **row})
    found = (await board.shown([name]))[name]
    assert found.status is None or found.status.paid_on == date(2026, 11, 20)


@pytest.mark.parametrize("as_string", [False, True])
@pytest.mark.parametrize("charset", ["utf-8", "declared-gbk", "gbk"])
async def test_replies_in_any_wrapping_and_letters_are_read(
    oa: SandboxProcess, board: WeaverSource, as_string: bool, charset: str
) -> None:
    name = f"90{len(charset)}{int(as_string)}"
    with oa.options(mode_reply_as_string=as_string, mode_charset=charset):
        [result] = await board.show([StatusChange(status=status(name))])
        assert result.result is SAVED
        assert (await board.shown([name]))[name].status == status(name)


async def test_another_clock_is_learned_from_the_oa(oa: SandboxProcess) -> None:
    source = source_of(oa.port)
    oa.control("POST", "/clock", {"now": "2020-01-01T09:00:00"})
    try:
        assert await source.shown(["1001"]) == {}
        [result] = await source.show([StatusChange(status=status("1001"))])
        assert result.result is SAVED
        oa.control("POST", "/clock", {"now": "2020-03-01T09:00:00"})
        assert "1001" in await source.shown(["1001"])
    finally:
        oa.control("POST", "/clock", {"now": None})
        await source.close()


async def test_a_wrong_password_stops_and_shows_in_no_log(oa: SandboxProcess, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source, silent = source_of(oa.port, mode_password="wrong-secret"), source_of(oa.port, mode_password="")
    undeclared = source_of(oa.port, rule=None)
    try:
        with pytest.raises(GiveUp) as caught:
            await source.shown(["1"])
        assert caught.value.code == "mode_refused"
        [result] = await source.show([StatusChange(status=status("1101"))])
        assert result.result is REFUSED
        with pytest.raises(GiveUp, match="mode_systemid"):
            await silent.shown(["1"])
        with pytest.raises(GiveUp, match="payment_status"):
            await undeclared.shown(["1"])
        with oa.faults({"endpoint": SAVE, "fault": "mode_refused", "message": "wrong-secret"}):
            [result] = await source.show([StatusChange(status=status("1101"))])
        assert "wrong-secret" not in result.detail and "***" in result.detail
    finally:
        for opened_one in (source, silent, undeclared):
            await opened_one.close()
    assert "saveOrUpdateModeData/fkztSave" in caplog.text
    assert "wrong-secret" not in caplog.text and "Md5" not in caplog.text


async def test_calls_keep_the_rate_of_the_connection(oa: SandboxProcess) -> None:
    source = source_of(oa.port, rate_parallel=2, write_parallel=1, mode_batch_size=1)
    oa.control("DELETE", "/stats")
    try:
        changes = [StatusChange(status=status(f"12{number:02}")) for number in range(12)]
        await asyncio.gather(source.show(changes[:6]), source.show(changes[6:]))
    finally:
        await source.close()
    assert 1 <= oa.control("GET", "/stats")["max_in_flight"] <= 2


async def test_a_pause_while_a_refused_batch_goes_row_by_row_stops_the_next_row(
    oa: SandboxProcess, board: WeaverSource
) -> None:
    names = [str(9000 + number) for number in range(12)]
    bad = "no number"  # the OA refuses its whole batch
    store = Store({name: work(name) for name in [*names, bad]})
    books = Books({f"E{name}": entry(f"E{name}", document_id=name) for name in [*names, bad]})
    source = source_of(oa.port)

    def shown() -> int:
        return sum(bool(rows(oa, name)) for name in names)

    async def bring(may_send: Callable[[], bool]) -> PaymentStatusReport:
        return await write_payment_status(
            flow=make_flow(payment_status=RULE),
            hub=store,
            source=source,
            ledger=books,  # type: ignore[arg-type]  # as much of a ledger as the verb needs
            company="1000",
            period="2026-11",
            may_send=may_send,
        )

    report = await bring(lambda: shown() < 3)
    assert (report.paused, shown()) == (1, 3)
    assert set(store.sent_at) <= set(names[:3]), "what did not leave is not in doubt"
    report = await bring(lambda: True)
    await source.close()
    assert (report.paused, report.in_doubt, report.put_off, report.not_written, shown()) == (0, 0, 0, 1, 12)
    assert [len(rows(oa, name)) for name in names] == [1] * 12
