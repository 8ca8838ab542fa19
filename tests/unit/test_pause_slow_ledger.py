"""A pause between two calls of one send to a slow Tryton: the next call does not leave, and its vouchers stay ready."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from finbridge.core.connections import ConnectionSettings
from finbridge.core.lifecycle import IN_DOUBT
from finbridge.core.ports import Stage
from finbridge.flows import DeliverReport, deliver, delivering
from finbridge.systems.tryton.adapter import TrytonLedger

from tests.contract.memory_tokens import MemoryTokens
from tests.unit.flow_fakes import make_flow
from tests.unit.flow_world import World
from tests.unit.http_stub import HttpStub, answer

A_CALL = 20


@dataclass
class SlowTryton:
    """Creates and posts in one transaction, as the ledger's module does; answers only when it is let go on."""

    posted: list[str] = field(default_factory=list)
    calls: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        """One call."""
        asked = json.loads(request.partition(b"\r\n\r\n")[2])
        result: object = [1, "secret"]
        if asked["method"] == "model.account.move.create_posted":
            self.calls += 1
            self.begun.set()
            await self.go_on.wait()
            result = [self.post(item) for item in asked["params"][0]]
        writer.write(answer(json.dumps({"id": 0, "result": result}).encode()))

    def post(self, item: dict[str, Any]) -> dict[str, Any]:
        ref, day = item["external_ref"], item["date"]
        self.posted.append(ref)
        move = {
            "id": len(self.posted),
            "ref": ref,
            "number": f"记-{len(self.posted)}",
            "date": f"{day['year']}-{day['month']:02}-{day['day']:02}",
            "period": "2026-11",
            "state": "posted",
            "kind": item["external_kind"],
            "document": item["external_document"],
            "reverses": None,
            "cancelled_by": [],
            "lines": [
                [line["account"], line["side"], line["amount"]["decimal"], line["party"], None]
                for line in item["lines"]
            ],
        }
        return {"ref": ref, "outcome": "posted", "code": None, "detail": None, "move": move}


async def test_a_pause_between_the_calls_of_one_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "FIRST_BATCH", 3 * A_CALL)
    world = World(flow=make_flow(batch_size=500))
    names = [str(number) for number in range(3 * A_CALL)]
    for name in names:
        world.oa.put(name, "100", "提交", "批准")
    await world.collect()
    world.check()
    tryton, paused = SlowTryton(), [False]
    async with HttpStub(tryton.serve) as stub:
        settings = ConnectionSettings(
            conn_id="fin",
            host="127.0.0.1",
            port=stub.port,
            login="finbridge",
            password="x",
            extra={"database": "books", "batch_size": A_CALL},
        )
        ledger = TrytonLedger(settings, tokens=MemoryTokens(), flow=world.flow)

        async def run() -> DeliverReport:
            return await deliver(
                flow=world.flow,
                hub=world.hub,
                source=world.oa,
                ledger=ledger,
                translator=world.translator,
                worker="w",
                clock=world.clock,
                may_send=lambda: not paused[0],
            )

        running = asyncio.create_task(run())
        await tryton.begun.wait()  # the first call is over there, and takes its time
        paused[0] = True
        tryton.go_on.set()
        report = await running
        assert (tryton.calls, len(tryton.posted), report.paused, report.accepted) == (1, A_CALL, 1, A_CALL)
        rows = [row for doc in world.hub.docs.values() for row in doc.vouchers.values()]
        assert not [row for row in rows if row.state in IN_DOUBT], "what did not leave is ready, not in doubt"
        world.clock.sleep(5)
        assert world.due(Stage.DELIVER) == 2 * A_CALL
        paused[0] = False
        report = await run()
        await ledger.close()
    assert (report.paused, report.accepted, world.due(Stage.DELIVER)) == (0, 2 * A_CALL, 0)
    assert len(tryton.posted) == len(set(tryton.posted)) == 3 * A_CALL
