"""Who keeps a month waiting: asked of the list, and of as few documents as can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pytest
from finbridge.core.documents import DocumentRef, LogRow, SourceDocument
from finbridge.core.errors import GiveUp, NeedsHuman
from finbridge.core.flow import Flow, MonthRule
from finbridge.systems.weaver.waiting import Memory, in_approval, still_waiting

from tests.unit.flow_fakes import FakeClock, FakeOa, make_flow

NODES = {"2": "审批", "3": "财务过账", "5": "付款"}


@dataclass
class Board(FakeOa):
    """Documents of an OA that can list without archived ones; counts how many are read."""

    reads: Counter[str] = field(default_factory=Counter)
    windows: list[tuple[date, datetime]] = field(default_factory=list)
    moves_when_read: dict[str, str] = field(default_factory=dict)

    def stand(self, name: str, node: str, *, company: str = "1000", sent: str = "2026-10-10", minute: int = 0) -> None:
        """A document sent in on a day that stands at a node since a minute."""
        at = datetime.fromisoformat(f"{sent}T09:00:00")
        stamp = f"{at + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}|{node}"
        log = (LogRow("1", "起草", "提交", "7", at),)
        main = {"djbh": f"BX-{name}", "gsdm": company, "hdje": "1"}
        self.documents[name] = SourceDocument(name, "101", stamp, NODES.get(node, ""), main, {}, log, b"raw")
        self.listed[name] = DocumentRef(name, "101", stamp)

    async def unfinished(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        self.windows.append((since, until))
        yield list(self.listed.values())

    async def read(self, document_ids: Sequence[str]) -> dict[str, SourceDocument | None]:
        self.reads.update(document_ids)
        if self.poison & set(document_ids):
            raise NeedsHuman("wire_shape", "无法读取 / cannot be read")
        for name in document_ids:
            if name in self.moves_when_read:
                self.stand(name, self.moves_when_read.pop(name), minute=1)
        return {name: self.documents.get(name) for name in document_ids}


@pytest.fixture
def oa() -> Board:
    return Board(FakeClock())


@pytest.fixture
def flow() -> Flow:
    return replace(make_flow(), month=MonthRule(approval_nodes=("审批",)))


async def ask(oa: Board, flow: Flow, memory: Memory | None = None, company: str = "1000") -> list[str]:
    return await in_approval(oa, flow, company, "2026-10", memory or Memory())


async def test_a_document_of_the_month_in_approval_keeps_it_waiting(oa: Board, flow: Flow) -> None:
    oa.stand("1", "2")
    oa.stand("2", "3")
    assert await ask(oa, flow) == ["1"]
    oa.stand("1", "3", minute=5)
    assert await ask(oa, flow) == []


async def test_another_company_or_month_keeps_nobody_waiting(oa: Board, flow: Flow) -> None:
    oa.stand("1", "2", company="2000")
    oa.stand("2", "2", sent="2026-11-01")
    oa.stand("3", "2", sent="2026-09-30")
    assert await ask(oa, flow) == []
    assert await ask(oa, flow, company="2000") == ["1"]


async def test_the_list_goes_from_the_months_first_day_to_the_oas_now(oa: Board, flow: Flow) -> None:
    await ask(oa, flow)
    assert oa.windows == [(date(2026, 10, 1), oa.local())]


async def test_what_stands_elsewhere_is_not_read_however_much_it_is(oa: Board, flow: Flow) -> None:
    for number in range(2000):
        oa.stand(f"p{number}", "5")
    for number in range(5):
        oa.stand(f"a{number}", "2")
    memory = Memory()
    assert len(await ask(oa, flow, memory)) == 5
    assert oa.reads.total() <= 8, "one to learn each node's name, and those in approval"
    oa.reads.clear()
    assert len(await ask(oa, flow, memory)) == 5
    assert oa.reads.total() == 0, "nothing moved: nothing is read again"
    oa.stand("a1", "2", minute=9)
    await ask(oa, flow, memory)
    assert dict(oa.reads) == {"a1": 1}


async def test_a_document_that_moves_while_it_is_read_teaches_no_wrong_name(oa: Board, flow: Flow) -> None:
    oa.stand("1", "2")
    oa.stand("2", "2")
    oa.moves_when_read = {"1": "5"}
    assert await ask(oa, flow) == ["2"]


async def test_a_document_that_cannot_be_read_keeps_nobody_waiting(oa: Board, flow: Flow) -> None:
    oa.stand("1", "2")
    oa.stand("2", "2")
    oa.stand("3", "5")
    oa.poison = {"1", "3"}
    assert await ask(oa, flow) == ["2"]


async def test_a_list_that_shows_no_node_has_its_documents_read(oa: Board, flow: Flow) -> None:
    oa.stand("1", "2")
    oa.listed["1"] = DocumentRef("1", "101", "")
    memory = Memory()
    assert await ask(oa, flow, memory) == ["1"]
    oa.stand("1", "3", minute=1)
    oa.listed["1"] = DocumentRef("1", "101", "")
    assert await ask(oa, flow, memory) == [], "a stamp without a node is no proof that nothing moved"


async def test_a_window_without_a_month_is_answered_by_the_list_alone(oa: Board) -> None:
    for number in range(50):
        oa.stand(f"a{number}", "2")
    waiting = await still_waiting(
        oa, document_id=None, since=None, until=None, templates=frozenset(), nodes=["审批"], memory=Memory()
    )
    assert len(waiting) == 50
    assert oa.reads.total() == 1


async def test_a_flow_without_a_month_is_told_so(oa: Board) -> None:
    with pytest.raises(GiveUp, match="no_month"):
        await ask(oa, make_flow())
    with pytest.raises(GiveUp, match="no_month"):
        make_flow().cut_off("1000", "2026-10")
