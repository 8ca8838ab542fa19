"""What a set-back hub learns from finance: only of approvals that are gone, once, and nothing that is not whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import pytest
from finbridge.core.errors import RetryLater
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.month_lines import BookedLine, lines_text
from finbridge.core.outcomes import LedgerEntry, TakenBack
from finbridge.core.vouchers import fingerprint
from finbridge.flows.recovering import Recovered, recover

from tests.hub_world import APPROVED, REJECTED, World, document
from tests.unit.flow_fakes import FakeLedger, make_flow

_DAY = date(2026, 3, 2)


@dataclass
class Finance(FakeLedger):
    """Counts what it is asked for; may be away."""

    asked: list[str] = field(default_factory=list)
    away: bool = False

    async def find(self, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        if self.away:
            raise RetryLater("ledger_away", "财务系统不可用 / away")
        self.asked += keys
        return await super().find(company, keys)


def _key(world: World, name: str) -> str:
    """Of the expense voucher that the approval, log entry 2, called for."""
    return VoucherIdentity("1000", world.source, name, "2", VoucherKind.EXPENSE).key()


def _hold(finance: Finance, key: str, **changes: object) -> None:
    lines = [("660201", "D", 10000, ""), ("2241", "C", 10000, "E0001")]
    booked = lines_text(
        BookedLine(
            account=account,
            side=side,
            local_minor=minor,
            party=party,
            currency="CNY",
            amount_minor=minor,
            dimensions={},
        )
        for account, side, minor, party in lines
    )
    entry = LedgerEntry(key, "1000", f"记-{key[-3:]}", key, _DAY, fingerprint(_DAY, lines), lines=booked)
    finance.entries[key] = replace(entry, **changes)  # type: ignore[arg-type]  # names are those of LedgerEntry


def _run(world: World, finance: Finance) -> Recovered:
    flow = make_flow(flow_id=world.flow, source_connection=world.flow)
    assert flow.source == world.source
    return asyncio.run(recover(flow=flow, desk=world.hub.recovery, ledger=finance, actor="drill"))


def test_only_lost_approvals_are_asked_for_and_only_once(hub_world: World) -> None:
    hub_world.store(document("holds", *APPROVED), document("gone", *REJECTED), document("never", *REJECTED[:1]))
    hub_world.store(document("nothing", *REJECTED))
    finance = Finance()
    _hold(finance, _key(hub_world, "gone"))
    _hold(finance, _key(hub_world, "holds"))
    assert _run(hub_world, finance) == Recovered(asked=2, found=1, taken_over=1)
    assert sorted(finance.asked) == sorted([_key(hub_world, "gone"), _key(hub_world, "nothing")])
    assert _run(hub_world, finance) == Recovered(asked=1)
    hub_world.check()
    while hub_world.deliver():
        pass
    assert hub_world.states("gone") == {"expense:2": "reversed", "reversal": "posted"}
    assert hub_world.states("holds") == {"expense:2": "posted"} and hub_world.states("nothing") == {}


def test_what_is_no_whole_live_voucher_is_named_or_left(hub_world: World) -> None:
    names = ("draft", "blind", "back", "good")
    hub_world.store(*(document(name, *REJECTED) for name in names))
    finance = Finance()
    for name in names:
        _hold(finance, _key(hub_world, name))
    _hold(finance, _key(hub_world, "draft"), posted=False)
    _hold(finance, _key(hub_world, "blind"), lines="")
    _hold(finance, _key(hub_world, "back"), taken_back=(TakenBack("记-9", _DAY, "2026-03"),))
    found = _run(hub_world, finance)
    assert (found.asked, found.found, found.taken_over) == (4, 4, 1)
    assert sorted(found.unreadable) == sorted([_key(hub_world, "draft"), _key(hub_world, "blind")])
    assert [hub_world.states(name) for name in names] == [{}, {}, {}, {"expense:2": "posted"}]


def test_a_finance_that_cannot_say_is_asked_again(hub_world: World) -> None:
    hub_world.store(document("gone", *REJECTED))
    finance = Finance(away=True)
    _hold(finance, _key(hub_world, "gone"))
    with pytest.raises(RetryLater):
        _run(hub_world, finance)
    finance.away = False
    assert _run(hub_world, finance).taken_over == 1
