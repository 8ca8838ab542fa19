"""The OA stand-in's form-mode interfaces, to the letter, seen by a plain caller."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.sandbox_wire_kit import Server, control, journal, session

BASE = "/api/cube/restful/interface/"
LIST, COUNT, SAVE = "getModeDataPageList/fkztQuery", "getModeDataPageCount/fkztQuery", "saveOrUpdateModeData/fkztSave"
NOW = "2026-11-22T09:00:00"
PASSWORD = "local-only-mode"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server("sandbox.weaver", Path(tmp_path_factory.mktemp("oa")))
    server.start()
    yield server
    assert server.stop() == 0


@pytest.fixture
async def server(running: Server) -> AsyncIterator[Server]:
    await control(running, "POST", "/clock", {"now": NOW})
    yield running
    await control(running, "DELETE", "/faults")
    await control(running, "POST", "/options", {"mode_reply_as_string": False, "mode_charset": "utf-8"})


def header(stamp: str = "20261122090000", *, system: str = "finbridge", password: str = PASSWORD) -> dict[str, str]:
    md5 = hashlib.md5(f"{system}{password}{stamp}".encode()).hexdigest()
    return {"systemid": system, "currentDateTime": stamp, "Md5": md5}


async def raw(server: Server, call: str, asked: Mapping[str, Any]) -> tuple[str, bytes]:
    """Content type and body; always HTTP 200."""
    form = {"datajson": json.dumps(asked, ensure_ascii=False)}
    async with session() as http, http.post(server.base + BASE + call, data=form) as answer:
        assert answer.status == 200
        return answer.headers["Content-Type"], await answer.read()


async def ask(server: Server, call: str, **asked: Any) -> dict[str, Any]:
    _, body = await raw(server, call, {"header": header(), **asked})
    value: dict[str, Any] = json.loads(body)
    return value


def row(operator: str = "900", **main: str) -> dict[str, Any]:
    info = {"operator": operator, "operationDate": "2026-11-22", "operationTime": "09:00:00"}
    return {"operationinfo": info, "mainTable": main}


async def save(server: Server, *rows: dict[str, Any]) -> list[str]:
    reply = await ask(server, SAVE, data=list(rows))
    assert reply["status"] == "1", reply
    return [str(item["billid"]) for item in json.loads(reply["datajson"])["data"]]


async def listed(server: Server, number: int = 1, size: int = 100, **filters: str) -> list[dict[str, str]]:
    page = {"pageNo": str(number), "pageSize": str(size)}
    reply = await ask(server, LIST, mainTable=filters, pageInfo=page)
    return [item["mainTable"] for item in json.loads(reply["result"])]


async def test_rows_are_inserted_changed_by_id_and_found_by_equality(server: Server) -> None:
    first, second = await save(
        server,
        row(lcid="1001", fkzt="未付", fkje="0", bz="CNY"),
        row(operator="SYS900", lcid="1002", fkzt="已付", fkpzh="记-2026-000001", fkrq="2026-11-20", fkje="106.5"),
    )
    [shown] = await listed(server, lcid="1002")
    assert shown == {
        **{"lcid": "1002", "djbh": "", "fkzt": "已付", "fkpzh": "记-2026-000001", "fkrq": "2026-11-20"},
        **{"fkje": "106.5000", "bz": "", "id": second},
    }
    assert await save(server, row(id=first, fkzt="已付", fkje="106.00")) == [first]
    assert [(r["fkzt"], r["fkje"], r["bz"]) for r in await listed(server, id=first)] == [("已付", "106.0000", "CNY")]
    assert await listed(server, lcid="1001", fkzt="未付") == []


async def test_nothing_is_unique_and_pages_come_newest_first(server: Server) -> None:
    ids = await save(server, *(row(lcid="2001", djbh=f"BX-{number}") for number in range(5)))
    assert len(set(ids)) == 5
    pages = [await listed(server, number, 2, lcid="2001") for number in (1, 2, 3, 4)]
    assert [[r["id"] for r in page] for page in pages] == [ids[:2:-1], ids[2:0:-1], ids[:1], []]
    assert (await ask(server, COUNT, mainTable={"lcid": "2001"}))["result"] == "5"
    everything = int((await ask(server, COUNT, mainTable={"lcid": ""}))["result"])
    assert everything > 5, "an empty value is no filter"


@pytest.mark.parametrize(
    "broken",
    [
        header("20261122085459"),  # five minutes and a second behind
        header("20261122090501"),
        header(password="another"),
        header(system="nobody"),
        {**header(), "Md5": header()["Md5"].upper()},
        {**header(), "currentDateTime": "20261122090001"},  # not what was signed
        {},
    ],
)
async def test_a_wrong_header_is_refused(server: Server, broken: dict[str, str]) -> None:
    seq = len(await journal(server))
    for call in (LIST, COUNT, SAVE):
        _, body = await raw(server, call, {"header": broken, "data": [row(lcid="1")]})
        reply = json.loads(body)
        assert reply["status"] == "4" and reply["message"], reply
    assert len(await journal(server)) == seq


async def test_the_stamp_may_be_five_minutes_off(server: Server) -> None:
    for stamp in ("20261122085500", "20261122090500"):
        _, body = await raw(server, COUNT, {"header": header(stamp)})
        assert json.loads(body)["result"].isdigit()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(lcid="3001"), row(lcid="3002", nosuch="1")],
        [row(lcid="3001"), row(lcid="not a number")],
        [row(lcid="3001"), row(lcid="3002", fkje="一百")],
        [row(lcid="3001"), row(lcid="3002", id="999999")],
        [row(lcid="3001"), row("nobody", lcid="3002")],
        [row(lcid="3001"), {**row(lcid="3002"), "detail1": [{"data": {}}]}],
    ],
)
async def test_one_bad_row_refuses_the_call_and_nothing_is_done(server: Server, rows: list[dict[str, Any]]) -> None:
    assert (await ask(server, SAVE, data=rows))["status"] == "4"
    assert await listed(server, lcid="3001") == []


async def test_an_interface_does_what_it_was_configured_for(server: Server) -> None:
    for call in ("getModeDataPageList/fkztSave", "saveOrUpdateModeData/fkztQuery", "getModeDataPageList/nosuch"):
        assert (await ask(server, call, data=[row(lcid="1")]))["status"] == "4"
    assert (await ask(server, LIST, mainTable={"nosuch": "1"}))["status"] == "4"


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("fault", ["timeout", "reset", "close", "http_504", "html"])
async def test_an_answer_lost_before_or_after_the_commit(server: Server, fault: str, after_commit: bool) -> None:
    name = f"4{len(fault)}{ord(fault[-1])}{int(after_commit)}"
    rule = {"endpoint": "saveOrUpdateModeData", "fault": fault, "after_commit": after_commit, "seconds": 0.1}
    await control(server, "POST", "/faults", [rule])
    with pytest.raises((TimeoutError, aiohttp.ClientError, AssertionError, json.JSONDecodeError)):
        await ask(server, SAVE, data=[row(lcid=name)])
    assert len(await listed(server, lcid=name)) == after_commit


async def test_a_refusal_and_a_part_of_a_batch(server: Server) -> None:
    await control(server, "POST", "/faults", [{"endpoint": "saveOrUpdateModeData", "fault": "mode_refused"}])
    assert (await ask(server, SAVE, data=[row(lcid="5001")])) == {"status": "4", "message": "数据保存失败"}
    await control(server, "POST", "/faults", [{"endpoint": "save*", "fault": "mode_partial", "done": 2}])
    rows = [row(lcid="5002", djbh=str(number)) for number in range(3)]
    assert (await ask(server, SAVE, data=rows))["status"] == "4"
    assert [r["djbh"] for r in await listed(server, lcid="5002")] == ["1", "0"]
    assert await listed(server, lcid="5001") == []


async def test_pages_can_lack_rows_and_shift(server: Server) -> None:
    await save(server, *(row(lcid="6001") for _ in range(4)))
    await control(server, "POST", "/faults", [{"endpoint": "getModeDataPageList", "fault": "hidden_rows"}])
    assert len(await listed(server, lcid="6001")) == 3
    await control(server, "POST", "/faults", [{"endpoint": "getModeDataPageList", "fault": "page_drift"}])
    assert len(await listed(server, 2, 2, lcid="6001")) == 1


async def test_a_reply_can_be_a_string_and_in_the_wrong_letters(server: Server) -> None:
    await save(server, row(lcid="7001", fkzt="已付"))
    asked = {"header": header(), "mainTable": {"lcid": "7001"}}
    await control(server, "POST", "/options", {"mode_reply_as_string": True, "mode_charset": "declared-gbk"})
    kind, body = await raw(server, LIST, asked)
    assert kind == "application/json;charset=GBK"
    assert json.loads(json.loads(json.loads(body.decode()))["result"])[0]["mainTable"]["fkzt"] == "已付"
    await control(server, "POST", "/options", {"mode_reply_as_string": False, "mode_charset": "gbk"})
    _, body = await raw(server, LIST, asked)
    assert json.loads(json.loads(body.decode("gb18030"))["result"])[0]["mainTable"]["fkzt"] == "已付"
    with pytest.raises(UnicodeDecodeError):
        body.decode()


async def test_the_journal_has_each_save_and_a_kill_loses_none(tmp_path: Path) -> None:
    server = Server("sandbox.weaver", tmp_path)
    server.start()
    try:
        await control(server, "POST", "/clock", {"now": NOW})
        [number] = await save(server, row(lcid="8001", fkzt="未付"))
        await save(server, row(id=number, fkzt="已付"))
        server.kill()
        server.start()
        assert [r["fkzt"] for r in await listed(server, lcid="8001")] == ["已付"]
        [hand] = (await control(server, "POST", "/modes", {"table": "uf_fkzt", "rows": [{"lcid": "8001"}]}))["ids"]
        assert int(hand) == int(number) + 1
        assert [r["id"] for r in await control(server, "GET", "/modes?table=uf_fkzt")] == [number, hand]
        entries = await journal(server)
        shown = [(e["seq"], e["kind"], e["interface"], e["billid"], e["main"]["fkzt"], e["actor"]) for e in entries]
        assert shown == [
            (1, "mode_save", "fkztSave", number, "未付", "900"),
            (2, "mode_save", "fkztSave", number, "已付", "900"),
            (3, "mode_save", "", hand, "", "1"),
        ]
        assert [e["integration"] for e in entries] == [True, True, False]
        await control(server, "POST", "/modes", {"table": "uf_fkzt", "rows": [{"nosuch": "1"}]}, status=400)
    finally:
        server.stop()
