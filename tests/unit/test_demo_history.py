"""The past month of the demo: its stories, its log rows, and the truth that stands beside each document."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.checker.claims import approved_minor, expense_entries, payment_entries, read_claims
from tools.demo import history
from tools.demo.history import HELD, SHARES, Month, Story, past_month

NOW = datetime.fromisoformat("2026-11-22T10:30:00")
RULES = json.loads((Path(__file__).resolve().parents[2] / "tools/checker/expense_claim.json").read_text("utf-8"))


def month_of(seed: int = 1, documents: int = 400, now: datetime = NOW) -> Month:
    month = past_month(seed, now, documents)
    for number, document in enumerate(month.documents):
        document.request_id = str(90_001 + number)
    return month


def as_journal(month: Month) -> list[dict[str, Any]]:
    """The entries that an OA writes when it is told the month."""
    entries, log_id = [], 0
    for document in month.documents:
        item = document.item()
        rows = []
        for row in item["log"]:
            log_id += 1
            rows.append({"id": str(log_id), **row})
        entries.append({"request_id": document.request_id, "kind": "impose", "integration": False, **item, "log": rows})
    return entries


def test_two_thousand_documents_hold_every_story_in_its_share() -> None:
    month = past_month(1, NOW, 2000)
    assert month.period == "2026-10"
    assert month.companies == ["1000", "2000"]
    assert Counter(document.story for document in month.documents) == SHARES
    assert len({document.claim.number for document in month.documents}) == 2000
    assert len(HELD) >= 4


def test_the_same_seed_tells_the_same_month_and_another_another() -> None:
    assert month_of(1).documents == month_of(1).documents
    assert month_of(1).documents != month_of(2).documents


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.datetimes(datetime.fromisoformat("2026-01-01T00:01:00"), datetime.fromisoformat("2027-12-31T23:59:00")),
)
def test_times_rise_and_lie_where_the_story_says(seed: int, now: datetime) -> None:
    now = now.replace(microsecond=0)
    month = month_of(seed, 40, now)
    after = date(now.year, now.month, 1)
    for document in month.documents:
        moments = [moment for _, moment in document.log]
        assert moments == sorted(moments)
        assert moments[-1] <= now
        days = [moment.date() for moment in moments]
        late = document.story in (Story.PAID_LATER, Story.APPROVED_LATER)
        assert month.first <= days[0] < after
        assert (days[-1] >= after) == late
        assert document.claim.day == days[0]


def test_the_checker_reads_the_same_truth_out_of_the_journal() -> None:
    """Two readings written apart: the stories' truth, and the checker's folding of the log rows."""
    month = month_of(3, 800)
    claims = read_claims(as_journal(month), RULES)
    assert len(claims) == 800
    seen: Counter[str] = Counter()
    for document in month.documents:
        claim = claims[document.request_id]
        found = []
        for kind, form, rule in (("expense", claim.live, expense_entries), ("payment", claim.paid, payment_entries)):
            if form is None or document.story is Story.MORE_APPROVED:  # a rule of the suite's own, not of the ledger
                continue
            try:
                rule(form, RULES)
            except ValueError:
                seen["held"] += 1
                assert document.held
                continue
            found.append((kind, form.dates[-1], approved_minor(form, RULES)))
        truth = [(one.kind, one.day.isoformat(), one.amount) for one in document.truth()]
        assert found == truth, document
        seen.update(kind for kind, _, _ in found)
    assert seen["held"] == sum(d.story in HELD and d.story is not Story.MORE_APPROVED for d in month.documents)
    assert seen["expense"] > 500
    assert seen["payment"] > 50


def test_totals_count_the_month_only() -> None:
    month = month_of(5, 400)
    totals = month.totals()
    counted = Counter(d.story for d in month.documents)
    expense = sum(counted[s] for s in (Story.APPROVED, Story.PAID, Story.PAID_LATER, Story.CORRECTED))
    assert sum(n for (_, kind, _), (n, _) in totals.items() if kind == "expense") == expense
    assert sum(n for (_, kind, _), (n, _) in totals.items() if kind == "payment") == counted[Story.PAID]


def test_a_month_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        past_month(1, NOW, 5)


def test_a_month_that_the_oa_was_told_carries_the_oas_ids_and_releases_the_clock(monkeypatch: Any) -> None:
    calls: list[tuple[str, Any]] = []

    def answer(url: str, path: str, body: Any) -> dict[str, Any]:
        calls.append((path, body))
        return {"request_ids": [f"R{len(calls)}-{n}" for n in range(len(body.get("items", ())))]}

    monkeypatch.setattr(history, "_post", answer)
    month = past_month(1, NOW, 60)
    history.tell("http://oa", month)
    assert len(month.request_ids) == 60
    assert "" not in month.request_ids
    clocks = [body["now"] for path, body in calls if path == "/clock"]
    assert clocks[-1] is None
    assert clocks[:-1] == sorted(clocks[:-1])
    assert clocks[-2] <= NOW.isoformat()
