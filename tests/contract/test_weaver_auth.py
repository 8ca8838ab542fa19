"""Registration, tokens, sessions and secrets of the e-cology slice; each test has a stand-in of its own."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from finbridge.core.errors import FinbridgeError, GiveUp, RetryLater
from finbridge.core.ports import WriteBackResult
from finbridge.systems.weaver.adapter import WeaverSource, connect

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.source_harness import listed
from tests.contract.weaver_harness import WeaverHarness, settings_for


@pytest.fixture
def oa(tmp_path: Path) -> Iterator[WeaverHarness]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path)) as process:
        yield WeaverHarness(process, MemoryTokens())


def calls(oa: WeaverHarness) -> Counter[str]:
    return Counter(oa.process.control("GET", "/stats")["calls"])


def user(oa: WeaverHarness, number: str, appid: str = "finbridge") -> WeaverSource:
    return connect(settings_for(oa.process.port, number, appid), tokens=oa.tokens)


async def close(*sources: WeaverSource) -> None:
    for source in sources:
        await source.close()


async def test_many_clients_register_once_and_share_one_token(oa: WeaverHarness) -> None:
    sources = [oa.connect() for _ in range(6)]
    await asyncio.gather(*(source.now() for source in sources for _ in range(3)))
    assert (calls(oa)["regist"], calls(oa)["applytoken"]) == (1, 1)
    oa.process.control("POST", "/expire-tokens")
    await asyncio.gather(*(source.now() for source in sources for _ in range(3)))
    assert (calls(oa)["regist"], calls(oa)["applytoken"]) == (1, 2)
    await close(*sources)


async def test_clients_of_two_event_loops_share_one_token(oa: WeaverHarness) -> None:
    async def ask() -> datetime:
        source = oa.connect()
        try:
            return await source.now()
        finally:
            await source.close()

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, ask()) for _ in range(4)))
    assert (calls(oa)["regist"], calls(oa)["applytoken"]) == (1, 1)


@pytest.mark.parametrize("fault", ["reset", "html", "http_500", "http_429"])
async def test_write_whose_token_cannot_be_had_did_not_leave(oa: WeaverHarness, fault: str) -> None:
    oa.new_day()
    (name,) = oa.add(1)
    source = oa.connect()
    await source.read([name])
    with oa.process.faults(
        {"endpoint": "submitRequest", "fault": "token_expired"}, {"endpoint": "applytoken", "fault": fault, "count": 9}
    ):
        assert await source.write_back(name, oa.node, {"pzh": "1"}) is WriteBackResult.RETRY
    assert await source.write_back(name, oa.node, {"pzh": "1"}) is WriteBackResult.SAVED
    await close(source)
    assert oa.kinds(name) == ["save"]


async def test_set_up_registers_once(oa: WeaverHarness) -> None:
    first, second = oa.connect(), oa.connect()
    made = [await first.client.auth.register(), await first.client.auth.register(), await second.client.auth.register()]
    await close(first, second)
    assert made == [True, False, False]
    assert calls(oa)["regist"] == 1


async def test_dead_registration_stops_and_says_so_and_is_never_replaced(oa: WeaverHarness) -> None:
    source, other = oa.connect(), connect(settings_for(oa.process.port), tokens=MemoryTokens())
    await source.now()
    await other.now()  # its own store is empty, so it registers again: on most builds that kills ours
    oa.process.control("POST", "/expire-tokens")
    for _ in range(3):
        with pytest.raises(GiveUp, match="Find out who called regist") as caught:
            await source.now()
        assert caught.value.code == "registration_dead"
        assert "重新注册" in caught.value.staff
    assert calls(oa)["regist"] == 2
    await other.now()
    await close(source, other)


async def test_registration_that_a_person_renewed_is_taken_up(oa: WeaverHarness) -> None:
    source = oa.connect()
    await source.now()
    name = next(name for name in oa.tokens.values if name.endswith("|registration"))
    oa.tokens.forget(name)
    renewing = oa.connect()
    assert await renewing.client.auth.register()
    oa.process.control("POST", "/expire-tokens")
    assert isinstance(await source.now(), datetime)
    assert calls(oa)["regist"] == 2
    await close(source, renewing)


async def test_registration_handed_out_by_administrators_never_registers(oa: WeaverHarness) -> None:
    source = oa.connect()
    await source.now()
    name = next(name for name in oa.tokens.values if name.endswith("|registration"))
    made = orjson.loads(oa.tokens.values[name][0])
    settings = settings_for(oa.process.port, spk=made["spk"])
    given = connect(
        type(settings)(
            conn_id="given",
            host=settings.host,
            port=settings.port,
            login="900",
            password=made["secret"],
            extra=settings.extra,
        ),
        tokens=MemoryTokens(),
    )
    await given.now()
    await close(source, given)
    assert calls(oa)["regist"] == 1


async def test_unknown_application_and_locked_account_stop(oa: WeaverHarness) -> None:
    stranger, locked = user(oa, "900", appid="stranger"), user(oa, "499")
    with pytest.raises(GiveUp):
        await stranger.now()
    with pytest.raises(GiveUp, match="499"):
        await locked.now()
    await close(stranger, locked)
    assert calls(oa)["applytoken"] <= 2


async def test_nodes_that_do_not_know_a_fresh_token_are_asked_again(oa: WeaverHarness) -> None:
    oa.new_day()
    names = oa.add(40)
    source = oa.connect()
    with oa.process.options(token_miss=0.1):
        documents: dict[str, Any] = {}
        for name in names:
            try:
                documents |= await source.read([name])
            except RetryLater as error:
                assert error.code == "token_not_kept"
    assert len(documents) >= 35
    assert calls(oa)["regist"] == 1
    await close(source)


async def whoami(line: WeaverSource, account: WeaverSource) -> str:
    """As whom the OA sees a call over one client's connections with another's headers."""
    headers = await account.client.auth.headers()
    response = await line.client.http.request("GET", "/api/hrm/login/getAccountList", headers=headers)
    return str(response.json()["data"]["userid"])


async def test_two_users_in_one_process_act_as_themselves(oa: WeaverHarness) -> None:
    """The JSESSIONID trap: whoever sends the cookie back goes on as the session's first user."""
    oa.new_day()
    approver, integration = user(oa, "500", appid="employees"), oa.connect()
    assert oa.process.control("GET", "/options")["jsessionid_trap"] is True
    names = oa.add(3, node="审批")
    for name in names:
        assert (await integration.read([name]))[name] is not None
        reply = await approver.client.submit(name, remark="同意")
        assert reply.code == "SUCCESS"
        assert await integration.write_back(name, oa.node, {"pzh": "1"}) is WriteBackResult.SAVED
    seen = [await whoami(integration, approver), await whoami(integration, integration)]
    assert seen == ["500", "900"]
    await close(approver, integration)
    done = [[(c["kind"], c["actor"]) for c in oa.changes(name)][1:] for name in names]
    assert done == [[("approve", "500"), ("save", "900")]] * 3


async def test_whole_way_of_a_document_through_the_clients_calls(oa: WeaverHarness) -> None:
    oa.new_day()
    employee, approver = user(oa, "7", appid="employees"), user(oa, "500", appid="employees")
    lines = {"formtable_main_11_dt1": [{"fylx": "TRAVEL", "hdje": "12.5000"}, {"fylx": "OFFICE", "hdje": "1"}]}
    created = await employee.client.create("101", "报销", {"djbh": "BX7", "bzje": "13.50"}, lines)
    name = str(created.data["requestid"])
    assert (await approver.client.reject(name, remark="缺发票")).code == "SUCCESS"
    assert (await employee.client.submit(name, main={"bzje": "12.50"})).code == "SUCCESS"
    assert (await employee.client.withdraw(name)).code == "SUCCESS"
    assert (await approver.client.submit(name)).code == "NO_PERMISSION"
    document = await employee.client.document(name)
    await close(employee, approver)
    assert document is not None
    assert (document.node, document.main["bzje"]) == ("起草", "12.50")
    assert [row["hdje"] for row in document.details["formtable_main_11_dt1"]] == ["12.5000", "1"]
    assert [c["kind"] for c in oa.changes(name)] == ["create", "reject", "submit", "withdraw"]


async def test_codes_as_objects_mean_the_same(oa: WeaverHarness) -> None:
    oa.new_day()
    names = oa.add(2)
    oa.delete(names[1:])
    source = oa.connect()
    with oa.process.options(code_as_object=True):
        documents = await source.read(names)
        assert await source.write_back(names[0], oa.node, {"pzh": "1"}) is WriteBackResult.SAVED
        assert await source.write_back(names[0], "付款", {"pzh": "2"}) is WriteBackResult.NOT_ALLOWED
    with oa.process.options(gone_answer="NO_PERMISSION"):
        assert (await source.read(names))[names[1]] is None
    await close(source)
    assert documents[names[0]] is not None and documents[names[1]] is None


async def test_version_that_nobody_configured_shows_itself_when_listed_by_type(oa: WeaverHarness) -> None:
    now = oa.new_day()
    names = oa.add(4)
    only_one, by_type = oa.connect(), oa.connect(workflow_types="21")
    assert {ref.template for ref in await listed(only_one, now, frozenset({"101"}))} == {"101"}
    refs = await listed(by_type, now, frozenset({"101"}))
    await close(only_one, by_type)
    assert {ref.document_id for ref in refs} == set(names)
    assert {ref.template for ref in refs} == {"101", "102"}


async def test_rate_budget_holds_on_the_wire(oa: WeaverHarness) -> None:
    oa.new_day()
    names = oa.add(30)
    source = connect(settings_for(oa.process.port, rate_per_second=40, rate_burst=5, rate_parallel=3), tokens=oa.tokens)
    await source.now()
    oa.process.control("DELETE", "/stats")
    await source.read(names)
    await close(source)
    stats = oa.process.control("GET", "/stats")
    assert stats["calls"]["getWorkflowRequest"] == 30
    assert stats["max_in_flight"] <= 3
    assert stats["max_per_second"] <= 40 + 5


async def test_no_secret_in_any_log_record_or_error(oa: WeaverHarness, caplog: pytest.LogCaptureFixture) -> None:
    """Canaries: registration, token, user header; shown by neither logs nor errors, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    now = oa.new_day()
    (name,) = oa.add(1)
    source = oa.connect(timeout_seconds=0.5)
    texts: list[str] = [str(source.client.http), repr(source), repr(settings_for(1, spk="canary-public-key"))]
    await source.read([name])
    secrets = {value for value, _ in oa.tokens.values.values()}
    secrets |= {(await source.client.auth.headers())["userid"]}
    for fault in ("token_lost", "account_error", "login_timeout", "reset", "truncate", "html", "http_500", "timeout"):
        for on in ("read", "list", "write"):
            with oa.fault(fault, on=on, count=9, seconds=1):
                try:
                    await source.read([name])
                    await listed(source, now, oa.templates)
                    await source.write_back(name, oa.node, {"pzh": "1"})
                except FinbridgeError as error:
                    texts += [*traceback.format_exception(error), error.staff, error.engineer, repr(error)]
                    texts.append(repr(error.__context__))
            secrets |= {value for value, _ in oa.tokens.values.values()}
    await close(source)
    texts += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    parts = {part for value in secrets for part in (orjson.loads(value).values() if value[0] == "{" else [value])}
    assert len(parts) >= 5
    assert len([record for record in caplog.records if record.name == "finbridge.transport"]) > 50
    shown = [part[:8] for part in parts for text in texts if part in text]
    assert shown == []
