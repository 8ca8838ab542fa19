"""A deliver asks finance once about each period that vouchers wait for, and goes on where finance cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from finbridge.core.errors import RetryLater
from finbridge.core.periods import CompanyPeriod
from finbridge.core.ports import Hub, Ledger
from finbridge.flows.periods import notice_opened

JANUARY, FEBRUARY = CompanyPeriod("1000", "2026-01"), CompanyPeriod("1000", "2026-02")


class _Hub:
    def __init__(self, *waiting: CompanyPeriod) -> None:
        self.waiting, self.noted = waiting, list[Mapping[CompanyPeriod, bool]]()

    def waiting_periods(self, flow_id: str) -> tuple[CompanyPeriod, ...]:
        assert flow_id == "flow"
        return self.waiting

    def note_periods(self, flow_id: str, is_open: Mapping[CompanyPeriod, bool]) -> int:
        assert flow_id == "flow"
        self.noted.append(dict(is_open))
        return sum(is_open.values())


class _Ledger:
    def __init__(self, says: Mapping[CompanyPeriod, bool]) -> None:
        self.says, self.asked = says, list[CompanyPeriod]()

    async def period_open(self, company: str, period: str) -> bool:
        self.asked.append(CompanyPeriod(company, period))
        if self.asked[-1] not in self.says:
            raise RetryLater("away", "away")
        return self.says[self.asked[-1]]


async def _notice(hub: object, ledger: Any) -> int:
    return await notice_opened("flow", cast("Hub", hub), cast("Ledger", ledger))


async def test_each_waiting_period_is_asked_once_and_both_answers_are_noted() -> None:
    hub, ledger = _Hub(JANUARY, FEBRUARY), _Ledger({JANUARY: False, FEBRUARY: True})
    assert await _notice(hub, ledger) == 1
    assert ledger.asked == [JANUARY, FEBRUARY]
    assert hub.noted == [{JANUARY: False, FEBRUARY: True}]


async def test_nothing_is_asked_while_nothing_waits() -> None:
    hub, ledger = _Hub(), _Ledger({})
    assert await _notice(hub, ledger) == 0
    assert (ledger.asked, hub.noted) == ([], [])


async def test_finance_that_is_away_ends_the_asking_and_what_it_said_before_counts() -> None:
    hub, ledger = _Hub(JANUARY, FEBRUARY), _Ledger({JANUARY: True})
    assert await _notice(hub, ledger) == 1
    assert hub.noted == [{JANUARY: True}]


async def test_a_ledger_that_cannot_be_asked_leaves_the_vouchers_to_their_time() -> None:
    hub = _Hub(JANUARY)
    assert await _notice(hub, object()) == 0
    assert hub.noted == []
