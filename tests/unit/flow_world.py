"""One OA, one finance system, one hub and the verbs between them, all in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from finbridge.core.flow import Flow
from finbridge.core.ids import VoucherKind
from finbridge.core.ports import Stage
from finbridge.flows import (
    CheckReport,
    CollectReport,
    DeliverReport,
    WriteBackReport,
    account,
    check,
    collect,
    deliver,
    write_back,
)

from tests.unit.flow_fake_hub import FakeHub
from tests.unit.flow_fakes import FakeClock, FakeJudge, FakeLedger, FakeOa, FakeTranslator, make_flow


@dataclass
class World:
    """Everything a flow needs. ``sweep`` runs the verbs as a DAG would."""

    flow: Flow = field(default_factory=make_flow)
    clock: FakeClock = field(default_factory=FakeClock)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    translator: FakeTranslator = field(default_factory=FakeTranslator)
    judge: FakeJudge = field(default_factory=FakeJudge)
    oa: FakeOa = field(init=False)
    hub: FakeHub = field(init=False)

    def __post_init__(self) -> None:
        self.oa = FakeOa(self.clock)
        self.hub = FakeHub(self.clock)

    async def collect(self, worker: str = "w") -> CollectReport:
        self.clock.sleep(5)
        return await collect(flow=self.flow, hub=self.hub, source=self.oa, translator=self.translator, worker=worker)

    def check(self) -> CheckReport:
        return check(flow=self.flow, hub=self.hub, translator=self.translator, judge=self.judge, worker="w", run_id="r")

    async def deliver(self) -> DeliverReport:
        return await deliver(
            flow=self.flow,
            hub=self.hub,
            source=self.oa,
            ledger=self.ledger,
            translator=self.translator,
            worker="w",
            clock=self.clock,
        )

    async def write_back(self) -> WriteBackReport:
        return await write_back(flow=self.flow, hub=self.hub, source=self.oa, worker="w")

    async def sweep(self) -> None:
        """Collect, check, deliver, write back."""
        await self.collect()
        self.check()
        await self.deliver()
        await self.write_back()

    async def settle(self, rounds: int = 10) -> None:
        """Sweeps, two minutes apart, until nothing is due any more."""
        for _ in range(rounds):
            await self.sweep()
            if all(doc.stage() is None for doc in self.hub.docs.values()):
                return
            self.clock.sleep(120)
        raise AssertionError(f"not settled: {self.hub.due(self.flow.flow_id)}")

    def due(self, stage: Stage) -> int:
        """Documents due for a stage."""
        return self.hub.due(self.flow.flow_id).get(stage, 0)

    def live(self, name: str, kind: VoucherKind = VoucherKind.EXPENSE) -> int:
        """Live vouchers of a document in the books."""
        return len(self.ledger.live(name, kind))

    def green(self) -> bool:
        """Whether every document is explained."""
        return account(flow=self.flow, hub=self.hub).green
