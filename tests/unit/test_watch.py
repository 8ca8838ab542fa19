"""The watcher's decision: wakes for news at once, heals what was lost, and leaves idle time alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from finbridge.core.documents import DocumentRef
from finbridge.core.ports import Stage
from finbridge.flows.config import load_flows
from finbridge.tasks.watch import Lookout, Seen, Watch
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
NEWS = frozenset({("90001", "2026-11-22 10:00:00")})
NOW = datetime.fromisoformat("2026-11-22T00:00:30")  # naive: the OA's own clock
MORE = NEWS | {("90002", "2026-11-22 10:00:03")}


def watch() -> Watch:
    return Watch(patience_seconds=6, lost_seconds=30)


def seen(rows: frozenset[tuple[str, str]] = frozenset(), due: int = 0, started: object = None) -> Seen:
    return Seen(rows=rows, due=due, last_started=started)


def test_idle_time_makes_no_runs() -> None:
    idle = watch()
    assert not any(idle.wakes(seen(started="a"), now) for now in range(0, 100_000, 2))


def test_news_wakes_at_once_and_once_until_a_run_began() -> None:
    w = watch()
    assert w.wakes(seen(NEWS), 0)
    assert not w.wakes(seen(NEWS), 2)
    assert not w.wakes(seen(MORE), 4), "the run that is coming will read these too"


def test_news_after_the_run_began_wakes_a_second_one() -> None:
    w = watch()
    assert w.wakes(seen(NEWS), 0)
    assert w.wakes(seen(MORE, started="run 1"), 2)


def test_rows_that_a_running_run_is_just_reading_do_not_wake_again() -> None:
    w = watch()
    assert w.wakes(seen(NEWS), 0)
    assert not w.wakes(seen(NEWS, due=1, started="run 1"), 2)


def test_a_changed_stamp_is_news() -> None:
    w = watch()
    assert w.wakes(seen(NEWS), 0)
    assert w.wakes(seen(frozenset({("90001", "2026-11-22 10:00:09")}), started="run 1"), 2)


def test_what_stays_due_although_a_run_began_wakes_again_after_the_patience() -> None:
    w = watch()
    assert w.wakes(seen(due=3), 0)
    assert not w.wakes(seen(due=3, started="run 1"), 5)
    assert w.wakes(seen(due=3, started="run 1"), 6)


def test_a_lost_wake_up_heals() -> None:
    w = watch()
    assert w.wakes(seen(NEWS, started="before"), 0)
    assert not w.wakes(seen(NEWS, started="before"), 29)
    assert w.wakes(seen(NEWS, started="before"), 30)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()),
        min_size=1,
        max_size=200,
    )
)
def test_nothing_due_waits_longer_than_the_longest_time(looks: list[tuple[int, int, bool]]) -> None:
    """Where something is due at every look, wake-ups are never further apart than 30 s.

    And there are never two within that time without a run that began between them.
    """
    w = watch()
    runs = 0
    last_fired: int | None = None
    started_since = True
    for n, (rows, due, starts) in enumerate(looks):
        now = n * 2
        if starts:
            runs += 1
            started_since = True
        fired = w.wakes(seen(frozenset((str(i), "") for i in range(rows)), due + 1, runs), now)
        if last_fired is None:
            assert fired
        elif fired:
            assert started_since or now - last_fired >= 30
        else:
            assert now - last_fired < 30
        if fired:
            last_fired, started_since = now, False


# ---------------------------------------------------------------------- the look itself


@dataclass
class FakeSource:
    """An OA with a list in pages and a clock; counts what is asked."""

    pages: list[list[DocumentRef]]
    asked: list[tuple[date, datetime, frozenset[str]]] = field(default_factory=list)
    given: int = 0

    async def now(self) -> datetime:
        return NOW

    async def changed(
        self, since: date, until: datetime, templates: frozenset[str]
    ) -> AsyncIterator[list[DocumentRef]]:
        self.asked.append((since, until, templates))
        for page in self.pages:
            self.given += 1
            yield page


@dataclass
class FakeHub:
    known: set[str]

    def unseen(self, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]:
        return [ref for ref in refs if ref.document_id not in self.known]

    def due(self, flow_id: str) -> Mapping[Stage, int]:
        return {Stage.DELIVER: 2, Stage.PLAN: 1}

    def last_run_started(self, flow_id: str) -> datetime | None:
        return None


def lookout(source: FakeSource, known: str, thorough_seconds: float) -> Lookout:
    flow = load_flows(ROOT / "include" / "flows")["weaver_tryton__expense_claim"]
    hub = FakeHub(set(known))
    return Lookout(flow=flow, source=source, hub=hub, thorough_seconds=thorough_seconds)  # type: ignore[arg-type]  # two of its methods


def page(*names: str) -> list[DocumentRef]:
    return [DocumentRef(name, "101", name.lower()) for name in names]


async def test_a_look_asks_the_list_since_just_before_midnight_and_the_hub_for_the_rest() -> None:
    source = FakeSource([page("A"), page("B", "C")])
    found = await lookout(source, "B", 0).look()
    assert found == Seen(rows=frozenset({("A", "a"), ("C", "c")}), due=3, last_started=None)
    assert source.asked == [(date(2026, 11, 21), NOW, frozenset({"101", "102"}))]


async def test_a_look_ends_at_the_first_page_without_news_and_now_and_then_reads_on() -> None:
    source = FakeSource([page("A"), page("B"), page("C"), page("D")])
    watcher = lookout(source, "BC", 3600)
    assert (await watcher.look()).rows == {("A", "a"), ("D", "d")}
    assert source.given == 4
    assert (await watcher.look()).rows == {("A", "a")}
    assert source.given == 4 + 2
