"""The demo's claims, its cast and its measuring: what the demo shows rests on these."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.demo import report
from tools.demo.claims import COST_CENTRES, NEW_COST_CENTRE, UNKNOWN_COST_CENTRE, Claim, Company, tax_in, yuan
from tools.demo.scenario import Fate, cast, plan

TODAY = date(2026, 11, 22)


def claims(seed: int = 1, count: int = 300) -> list[Claim]:
    company = Company(seed, TODAY)
    return [company.claim() for _ in range(count)]


def test_the_same_seed_gives_the_same_claims_and_another_gives_others() -> None:
    assert claims(1) == claims(1)
    assert claims(1) != claims(2)


def test_corrections_do_not_depend_on_who_corrects_first() -> None:
    company, again = Company(1, TODAY), Company(1, TODAY)
    first, second = company.claim(), company.claim()
    assert (again.claim(), again.claim()) == (first, second)
    forward = [company.corrected(first), company.corrected(second)]
    backward = [again.corrected(second), again.corrected(first)]
    assert forward == backward[::-1]


def test_clean_claims_are_right_to_the_fen() -> None:
    for claim in claims():
        assert sum(payee.amount for payee in claim.payees) == claim.approved
        assert claim.claimed >= claim.approved > 0
        for line in claim.lines:
            assert line.tax == (0 if line.invoice_kind == "NONE" else tax_in(line.approved, line.rate))
            assert line.claimed >= line.approved
            assert line.cost_centre in {centre.code for centre in COST_CENTRES}
    kinds = Counter(line.invoice_kind for claim in claims() for line in claim.lines)
    assert set(kinds) == {"SPECIAL", "ORDINARY", "NONE"}
    assert {payee.kind for claim in claims() for payee in claim.payees} == {"EMPLOYEE", "SUPPLIER"}
    assert {claim.workflow_id for claim in claims()} == {"101", "102"}


@given(st.integers(1, 10**9), st.sampled_from(["0.03", "0.06", "0.09", "0.13"]))
def test_vat_in_a_gross_amount_is_half_up(gross: int, rate: str) -> None:
    exact = Decimal(gross) * Decimal(rate) / (1 + Decimal(rate))
    assert abs(Decimal(tax_in(gross, rate)) - exact) <= Decimal("0.5")


def test_flaws_are_where_they_are_said_to_be() -> None:
    company = Company(1, TODAY)
    for _ in range(50):
        unknown, wrong = company.with_unknown_code(), company.with_broken_vat()
        assert unknown.lines[0].cost_centre == UNKNOWN_COST_CENTRE
        assert company.with_new_cost_centre().lines[0].cost_centre == NEW_COST_CENTRE
        short, generous = company.with_other_payees(), company.with_more_approved()
        assert sum(payee.amount for payee in short.payees) == short.approved - 1
        assert generous.claimed == generous.approved - 1
        first = wrong.lines[0]
        assert first.tax - tax_in(first.approved, first.rate) >= 5
        assert first.invoice_kind == "SPECIAL"


@pytest.mark.parametrize(("fen", "text"), [(12345, "123.45"), (5, "0.05"), (-5, "-0.05"), (100, "1.00")])
def test_amounts_on_the_form(fen: int, text: str) -> None:
    assert yuan(fen) == text


def test_four_hundred_documents_hold_everything_that_is_promised() -> None:
    counts = plan(400)
    assert sum(counts.values()) == 400
    assert counts[Fate.PACED] == 120
    assert counts[Fate.BURST] * 2 == 200
    assert min(count for fate, count in counts.items() if fate is not Fate.NEW_CODE) >= 5
    assert counts[Fate.NEW_CODE] == 1
    documents = cast(Company(1, TODAY), counts)
    assert Counter(document.fate for document in documents) == counts
    assert len({document.claim.number for document in documents}) == 400


@pytest.mark.parametrize("documents", [40, 60, 123, 1000])
def test_other_sizes_keep_every_fate(documents: int) -> None:
    counts = plan(documents)
    assert sum(counts.values()) == documents
    assert set(counts) == set(Fate) - {Fate.UNDER_KILL, Fate.ARCHIVED}  # those two come from kills and proofs alone
    assert plan(documents, under_kill=6) == counts | {Fate.UNDER_KILL: 6}


def test_a_demo_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        plan(10)


# ---------------------------------------------------------------------- measuring


def entry(
    request: str, kind: str, second: float, *, ours: bool = False, pzh: str = "", node: str = "财务过账", **more: Any
) -> dict[str, Any]:
    at = f"2026-11-22T10:00:{second:09.6f}+08:00"
    log = [] if kind == "save" else [{"date": "2026-11-22", "time": f"10:00:{int(second):02d}"}]
    return {
        "request_id": request,
        "kind": kind,
        "at": at,
        "integration": ours,
        "main": {"pzh": pzh},
        "node": node,
        "log": log,
        **more,
    }


def test_lag_runs_from_the_approvals_commit_to_the_write_backs() -> None:
    entries = [
        entry("1", "approve", 1.0),
        entry("2", "approve", 2.0),
        entry("1", "save", 4.5, ours=True, pzh="记-1"),
        entry("1", "save", 9.0, ours=True, pzh="记-1"),
        entry("2", "save", 5.0, ours=True, pzh=""),  # an error text is no number
        entry("2", "save", 8.0, ours=True, pzh="记-2"),
    ]
    assert report.lags(entries) == [3.5, 6.0]
    assert report.lags(entries, frozenset({"2"})) == [6.0]


def test_an_approval_that_was_lost_before_its_number_came_has_no_lag() -> None:
    entries = [
        entry("1", "approve", 1.0),
        entry("1", "withdraw", 2.0),
        entry("1", "save", 3.0, ours=True, pzh="记-1"),
        entry("1", "approve", 10.0),
        entry("1", "save", 12.0, ours=True, pzh="记-2"),
    ]
    assert report.lags(entries) == [2.0]


def test_percentiles_are_nearest_rank() -> None:
    found = report.lag([float(n) for n in range(1, 101)])
    assert found == report.Lag(100, 50.0, 95.0, 100.0)
    assert report.lag([3.0]) == report.Lag(1, 3.0, 3.0, 3.0)
    assert report.lag([]) is None


def test_final_states_name_held_documents_by_their_hold_not_by_their_node() -> None:
    entries = [
        entry("1", "approve", 1),
        entry("2", "approve", 1),
        entry("3", "submit", 2, ours=True, node="付款"),
        entry("4", "reject", 2, node="起草"),
        entry("5", "save", 2, node="起草"),
        entry("6", "impose", 2, node="起草") | {"log": [{"operate_type": "提交"}, {"operate_type": "退回"}]},
        entry("7", "impose", 2, node="起草") | {"log": [{"operate_type": "批准"}, {"operate_type": "撤回"}]},
        {**entry("5", "mode_save", 3), "request_id": "", "node": ""},
    ]
    states = report.final_states(entries, {"2": "unknown_code", "3": "paid_twice"})
    assert states == Counter(
        {
            "approved, not posted yet 待入账": 1,
            "held with a reason 挂起": 1,
            "posted, waiting for payment 已入账待付款": 1,
            "rejected 已退回": 2,
            "withdrawn 已撤回": 1,
            "draft 草稿": 1,
        }
    )


def test_what_happened_is_counted_from_the_journals_and_shortfalls_are_named() -> None:
    entries = [
        entry("1", "submit", 1),
        entry("1", "withdraw", 1),
        entry("1", "submit", 1),
        entry("2", "reject", 5),
        entry("2", "submit", 6, ours=True, pzh="记-1"),
    ]
    found = report.happened(entries, [{"kind": "reversal", "document_id": "2"}], {"3": "unknown_code"})
    assert (found.rejected, found.withdrawn, found.resubmitted) == (1, 1, 1)
    assert (found.reversed_after_posting, found.unknown_code, found.broken_vat) == (1, 1, 0)
    assert found.events_in_one_second == 3
    short = found.short_of(400)
    assert "paid 0 < 5" in short
    assert "events in one second 3 < 200" in short
