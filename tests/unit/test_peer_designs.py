"""Designs of proof that peers use, where no other test of the house bears their number: A8, A9, A14.

The table of all of them stands in docs/delivery.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pytest
from finbridge.core.documents import DocumentRef
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ids import VoucherKind
from finbridge.core.outcomes import Outcome
from finbridge.core.ports import Lease, Ledger, Sent
from finbridge.core.vouchers import Voucher
from finbridge.flows import collecting
from finbridge.systems import adapter_of

from tests.unit.flow_fake_hub import FakeHub
from tests.unit.flow_fakes import FakeLedger, FakeOa
from tests.unit.flow_world import World

ROWS = 11  # pages of three: four of them


class Killed(BaseException):
    """As a kill: nothing that follows in the process runs."""


@dataclass
class Deadly(FakeLedger):
    """Books that kill whoever posts a voucher of a kind, after they took it."""

    at: VoucherKind = VoucherKind.EXPENSE
    left: int = 0

    async def post(self, vouchers: Sequence[Voucher]) -> list[Outcome]:
        """Commit, and kill."""
        outcomes = await super().post(vouchers)
        if self.left and any(voucher.identity.kind is self.at for voucher in vouchers):
            self.left -= 1
            raise Killed
        return outcomes


@pytest.mark.parametrize("crashes", [1, 2, 5])
@pytest.mark.parametrize("kind", [VoucherKind.EXPENSE, VoucherKind.PAYMENT])
async def test_a08_a_crash_between_two_vouchers_of_a_document_makes_each_once(crashes: int, kind: VoucherKind) -> None:
    """Finance has taken the one, and the worker dies before it could store that or send the other."""
    ledger = Deadly(at=kind, left=crashes)
    world = World(ledger=ledger)
    world.oa.put("1", "100", "提交", "批准", "付款")
    for _ in range(60):
        with contextlib.suppress(Killed):
            await world.sweep()
        world.clock.sleep(300)
    assert (world.live("1"), world.live("1", VoucherKind.PAYMENT)) == (1, 1)
    assert ledger.left == crashes - 1, "found by its key after the first crash, so it never went out again"
    assert sum(ledger.sends.values()) == 2
    assert world.green()


class Cut(FakeOa):
    """An OA that goes away after so many pages of its list."""

    after: int | None = None

    async def changed(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        """Pages, as long as they come."""
        at = 0
        async for page in super().changed(since, until, templates):
            if self.after is not None and at >= self.after:
                raise RetryLater("oa_away", "OA 不可用 / away")
            at += 1
            yield page


@pytest.mark.parametrize("pages", range(5))
async def test_a09_reading_goes_on_from_every_checkpoint(pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after each page in turn: the watermark stays, nothing is left out, nothing is read twice, nothing doubled."""
    monkeypatch.setattr(collecting, "CHUNK", 3)
    world = World()
    world.oa = oa = Cut(world.clock)
    for at in range(ROWS):
        world.oa.put(str(at), "100", "提交", "批准")
    oa.after = pages
    if pages < 4:
        with pytest.raises(RetryLater):
            await world.collect()
        assert world.hub.through is None
    assert len(world.hub.docs) == (min(pages * 3, ROWS) if pages < 4 else 0)
    oa.after = None
    report = await world.collect()
    assert len(world.hub.docs) == ROWS
    assert report.read + (min(pages * 3, ROWS) if pages < 4 else 0) == ROWS
    await world.settle()
    assert [world.live(str(at)) for at in range(ROWS)] == [1] * ROWS


async def test_a09_an_empty_window_moves_the_watermark_and_a_later_change_is_seen() -> None:
    """Also one that lies before the watermark by less than the overlap: the OA's clock was behind for a moment."""
    world = World()
    await world.collect()
    through = world.hub.through
    assert through is not None
    world.clock.at -= timedelta(hours=3)
    world.oa.put("1", "100", "提交", "批准")
    world.clock.at += timedelta(hours=3)
    await world.settle()
    assert world.live("1") == 1
    assert world.hub.through is not None and world.hub.through > through


class Away(FakeHub):
    """A hub whose database is away at one call, so many times."""

    at: str = ""
    times: int = 0

    def _maybe(self, call: str) -> None:
        if call == self.at and self.times:
            self.times -= 1
            raise RetryLater("hub_away", "台账不可用 / away")

    def mark_sending(self, leases: Mapping[str, Lease]) -> dict[str, str]:
        """Stored before anything leaves, or nothing leaves."""
        self._maybe("mark_sending")
        return super().mark_sending(leases)

    def record(self, flow_id: str, results: Sequence[Sent]) -> None:
        """What finance said, stored or looked up later."""
        self._maybe("record")
        super().record(flow_id, results)


@pytest.mark.parametrize(("call", "sent_before"), [("mark_sending", 0), ("record", 1)])
async def test_a14_a_store_that_is_away_neither_loses_nor_doubles(call: str, sent_before: int) -> None:
    """Before the mark nothing was sent; after the answer finance is asked by key, and nothing goes out again."""
    world = World()
    world.hub = hub = Away(world.clock)
    world.oa.put("1", "100", "提交", "批准")
    hub.at, hub.times = call, 3
    for tries in range(3):
        with pytest.raises(RetryLater):
            await world.sweep()
            raise AssertionError(f"the store was not met in try {tries}")
        assert sum(world.ledger.sends.values()) == sent_before
        world.clock.sleep(300)
    await world.settle()
    assert world.live("1") == 1
    assert sum(world.ledger.sends.values()) == 1
    assert world.green()


def test_a14_no_target_is_without_a_look_up_by_key() -> None:
    """A guarantee that a sink cannot keep is not offered: the port has no sink that cannot be asked, nor a default."""
    assert {"post", "find"} <= {name for name in vars(Ledger) if not name.startswith("_")}
    for system in ("tryton", "journal"):
        assert callable(adapter_of(system).connect)
    with pytest.raises(GiveUp) as unknown:
        adapter_of("spreadsheet")
    assert unknown.value.code == "unknown_system"
