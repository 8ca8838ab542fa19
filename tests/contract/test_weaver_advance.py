"""Double advance, where the OA itself would not refuse it: the account is the operator of the next node, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from finbridge.core.ports import WriteBackResult
from finbridge.core.stopping import guarded
from finbridge.systems.weaver.adapter import connect

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.weaver_harness import WeaverHarness, settings_for

NODES = [
    {"id": "1", "name": "起草", "type": 0, "operator": "creator"},
    {"id": "3", "name": "财务过账", "type": 2, "operator": "900"},
    {"id": "4", "name": "财务复核", "type": 2, "operator": "900"},
    {"id": "5", "name": "归档", "type": 3, "operator": ""},
]


@pytest.fixture
def oa(tmp_path: Path) -> Iterator[WeaverHarness]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path)) as process:
        process.control("POST", "/workflows", {"id": "201", "main": ["djbh", "pzh"], "nodes": NODES})
        yield WeaverHarness(process, MemoryTokens())


def add(oa: WeaverHarness) -> str:
    """A document of that workflow at the posting node."""
    item = {"workflow_id": "201", "creator": "7", "main": {"djbh": "1"}, "node": "财务过账"}
    return str(oa.process.control("POST", "/impose", {"items": [item]})["request_ids"][0])


def wait_for_change(oa: WeaverHarness, name: str, seconds: float = 20.0) -> None:
    """Until the OA's journal shows something done with the document."""
    end = time.monotonic() + seconds
    while not oa.kinds(name):
        assert time.monotonic() < end, f"nothing was done with {name}"
        time.sleep(0.05)


async def test_racing_workers_advance_one_node(oa: WeaverHarness) -> None:
    names = [add(oa) for _ in range(5)]
    workers = [oa.connect() for _ in range(4)]
    results = await asyncio.gather(*(worker.advance(name, "财务过账") for name in names for worker in workers))
    for worker in workers:
        await worker.close()
    assert set(results) == {WriteBackResult.SAVED}
    assert [oa.kinds(name) for name in names] == [["submit"]] * 5


class HoldingLine:
    """A line to the OA that holds submits until it is told to let them go, whatever became of the caller."""

    def __init__(self, port: int) -> None:
        self.release = asyncio.Event()
        self.submits = 0
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        oa_reader, oa_writer = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._pump(oa_reader, writer))
        while data := await reader.read(65536):
            if b"submitRequest" in data:
                self.submits += 1
                await self.release.wait()
            oa_writer.write(data)
        await back

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


async def test_submit_that_arrives_late_is_not_sent_again(oa: WeaverHarness) -> None:
    name = add(oa)
    line = HoldingLine(oa.process.port)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tokens = MemoryTokens()
    patient = connect(settings_for(port, "900", "finbridge"), tokens=tokens)
    await patient.now()  # registration makes a key pair, which may take longer than the time-out below
    hasty = connect(settings_for(port, "900", "finbridge", timeout_seconds=0.5, late_seconds=60), tokens=tokens)
    assert await hasty.advance(name, "财务过账") is WriteBackResult.UNKNOWN
    assert await hasty.advance(name, "财务过账") is WriteBackResult.UNKNOWN
    assert (line.submits, oa.kinds(name)) == (1, [])
    line.release.set()
    await asyncio.to_thread(wait_for_change, oa, name)
    assert await patient.advance(name, "财务过账") is WriteBackResult.SAVED
    await patient.close()
    await hasty.close()
    server.close()
    assert (line.submits, oa.kinds(name)) == (1, ["submit"])


async def test_a_worker_that_dies_after_its_submit_left_is_not_followed_by_another_submit(oa: WeaverHarness) -> None:
    """The OA would take both: the document would leave the next node, too."""
    name = add(oa)
    line = HoldingLine(oa.process.port)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    tokens = MemoryTokens()
    settings = settings_for(server.sockets[0].getsockname()[1], "900", "finbridge", late_seconds=60)
    dying, next_one = connect(settings, tokens=tokens), connect(settings, tokens=tokens)
    killed = asyncio.create_task(dying.advance(name, "财务过账"))
    while not line.submits:
        assert not killed.done()
        await asyncio.sleep(0.01)
    killed.cancel()
    await asyncio.wait([killed])
    assert await next_one.advance(name, "财务过账") is WriteBackResult.UNKNOWN
    line.release.set()
    await asyncio.to_thread(wait_for_change, oa, name)
    assert await next_one.advance(name, "财务过账") is WriteBackResult.SAVED
    await dying.close()
    await next_one.close()
    server.close()
    assert (line.submits, oa.kinds(name)) == (1, ["submit"])


async def test_a_paused_flow_reads_and_changes_nothing_and_goes_on_at_once_afterwards(oa: WeaverHarness) -> None:
    name = add(oa)
    source = oa.connect()
    with guarded(lambda: False):
        assert (await source.read([name]))[name] is not None, "with a login of its own"
        assert await source.write_back(name, "财务过账", {"pzh": "记-1"}) is WriteBackResult.RETRY
        assert await source.advance(name, "财务过账") is WriteBackResult.RETRY
    assert oa.kinds(name) == []
    assert await source.write_back(name, "财务过账", {"pzh": "记-1"}) is WriteBackResult.SAVED
    assert await source.advance(name, "财务过账") is WriteBackResult.SAVED
    await source.close()
    assert oa.kinds(name) == ["save", "submit"]


async def test_node_named_by_its_id_is_the_same_node(oa: WeaverHarness) -> None:
    name = add(oa)
    source = oa.connect()
    assert await source.write_back(name, "3", {"pzh": "记-1"}) is WriteBackResult.SAVED
    assert await source.write_back(name, "4", {"pzh": "记-2"}) is WriteBackResult.NOT_ALLOWED
    assert await source.advance(name, "3") is WriteBackResult.SAVED
    await source.close()
    assert oa.kinds(name) == ["save", "submit"]


@pytest.mark.parametrize(("node", "result"), [("财务过账", "saved"), ("财务复核", "not_allowed")])
async def test_status_without_a_node_name_as_the_reference_shows_it(oa: WeaverHarness, node: str, result: str) -> None:
    """The documented getRequestStatus names the node by id only; its name is learned from the document."""
    name = add(oa)
    data = {
        "requestId": int(name),
        "workflowId": 201,
        "currentNodeId": 3,
        "currentNodeType": "2",
        "isremark": 0,
        "takisremark": 0,
    }
    source = oa.connect()
    with oa.fault("error_body", on="status", count=2, body={"code": "SUCCESS", "data": data}):
        assert await source.write_back(name, node, {"pzh": "1"}) == result
        assert await source.write_back(name, node, {"pzh": "1"}) == result
    await source.close()
