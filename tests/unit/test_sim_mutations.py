"""Each planted bug is found by the simulation within a thousand seeds; the code as it is breaks no promise there."""

from __future__ import annotations

from collections import Counter

import pytest
from finbridge.core.crashpoints import CRASH_POINTS
from finbridge.sim.campaign import Finding, Tally, run
from finbridge.sim.history import Mode
from finbridge.sim.trouble import FAULTS

from tests.unit.sim_mutations import MUTATIONS

SEEDS, STEPS = 1000, 80


def _first(mode: Mode) -> Finding | None:
    return next(run(range(SEEDS), STEPS, mode, Tally()), None)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MUTATIONS))
def test_a_planted_bug_is_found_within_a_thousand_seeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[name](monkeypatch)
    found = _first(Mode.BOUNDED) or _first(Mode.UNLIMITED)
    assert found is not None, f"{name} was not found within {SEEDS} seeds"


@pytest.mark.parametrize("name", ["retry_on_unknown", "second_read_skipped", "settle_window_ignored"])
def test_what_doubles_or_is_not_called_for_is_found_at_any_moment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[name](monkeypatch)
    found = _first(Mode.UNLIMITED)
    assert found is not None
    assert found.broken.promise in ("doubled", "read again before the send")


@pytest.fixture(scope="module")
def visited() -> Tally:
    """As many seeds as it takes, both modes by turns, until nothing is left that no run met."""
    tally = Tally()
    for start in range(0, SEEDS, 50):
        for mode in Mode:
            assert list(run(range(start, start + 50), STEPS, mode, tally)) == []
        if not _unmet(tally):
            break
    return tally


def _unmet(tally: Tally) -> set[str]:
    return {*CRASH_POINTS, *(f"{place}: {fault}" for place, faults in FAULTS.items() for fault in faults)} - {
        *tally.crashes,
        *tally.faults,
    }


@pytest.mark.slow
def test_every_crash_point_kills_somebody_in_some_run(visited: Tally) -> None:
    killed = Counter({point: visited.crashes[point] for point in CRASH_POINTS})
    assert [point for point, count in killed.items() if not count] == [], killed


@pytest.mark.slow
def test_every_fault_is_met_in_some_run(visited: Tally) -> None:
    assert _unmet(visited) == set()
    assert visited.documents > 1000
