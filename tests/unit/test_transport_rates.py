"""Rate budget and redaction, without a clock and without a server."""

from __future__ import annotations

import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.redaction import Redactor
from finbridge.core.transport import RateBudget, _Gate
from hypothesis import given
from hypothesis import strategies as st

RATE, BURST = 5.0, 3


def starts(arrivals: list[float], gate: _Gate) -> list[float]:
    """When each call that arrives then is let through."""
    return [at + gate.reserve(at) for at in arrivals]


def test_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    gate = _Gate(RateBudget(RATE, BURST))
    assert starts([100.0] * 6, gate) == pytest.approx([100.0, 100.0, 100.0, 100.2, 100.4, 100.6])
    assert starts([200.0] * 4, gate) == pytest.approx([200.0, 200.0, 200.0, 200.2])


@given(st.lists(st.floats(min_value=0, max_value=3), max_size=60))
def test_no_second_sees_more_than_rate_and_burst(gaps: list[float]) -> None:
    now, arrivals = 0.0, []
    for gap in gaps:
        arrivals.append(now := now + gap)
    through = starts(arrivals, _Gate(RateBudget(RATE, BURST)))
    assert through == sorted(through)
    assert all(start >= at - 1e-9 for start, at in zip(through, arrivals, strict=True))
    for first in through:
        assert sum(first <= start < first + 1 - 1e-6 for start in through) <= RATE + BURST


def test_pause_holds_everything_back() -> None:
    gate = _Gate(RateBudget(RATE, BURST))
    gate.pause(10.0, 4.0)
    assert gate.reserve(10.0) == pytest.approx(4.0)
    assert gate.reserve(10.0) >= 4.0


def test_budget_comes_from_the_connection() -> None:
    default = RateBudget(5, 10, 4)
    assert RateBudget.of({}, default) == default
    assert RateBudget.of({"rate_per_second": "2.5", "rate_parallel": 1}, default) == RateBudget(2.5, 10, 1)


@pytest.mark.parametrize("extra", [{"rate_per_second": 0}, {"rate_burst": "many"}, {"rate_parallel": 0}])
def test_budget_that_allows_nothing_stops(extra: dict[str, object]) -> None:
    with pytest.raises(GiveUp, match="rate budget"):
        RateBudget.of(extra, RateBudget(5))


def test_secrets_and_query_strings_are_taken_out() -> None:
    redact = Redactor("s3cret/with+signs", "short")
    redact.add("token-token")
    text = redact("GET http://oa/a?token=abc&x=1 said token-token, s3cret%2Fwith%2Bsigns, s3cret/with+signs; short")
    assert text == "GET http://oa/a?*** said ***, ***, ***; short"
