"""Each expectation has a row that fails it, and none could be taken out unnoticed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.ports import Verdict
from finbridge.quality.gx import Engine
from finbridge.quality.judge import SuiteJudge
from finbridge.quality.suites import Level, Rule, Suite, load_suites

from tests.integration.quality_frames import BAD_ID, SUITE_RULES, Frames, claims

SUITES = load_suites(Path(__file__).resolve().parents[2] / "include" / "expectations")
RULES = [(suite, rule) for suite in SUITE_RULES for rule in SUITES[suite].rules]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def judge(engine: Engine) -> SuiteJudge:
    return SuiteJudge(SUITES, engine)


def broken_frames(suite: str, rule: Rule) -> Frames:
    frames = claims(8)
    SUITE_RULES[suite][rule.rule_id](frames)
    return frames


def reasons(verdict: Verdict) -> set[tuple[str, str, str]]:
    return {(problem.document_id, problem.code, problem.field) for problem in verdict.bad}


def test_every_rule_has_its_case() -> None:
    assert {name: [rule.rule_id for rule in SUITES[name].rules] for name in SUITE_RULES} == {
        name: sorted(cases, key=[rule.rule_id for rule in SUITES[name].rules].index)
        for name, cases in SUITE_RULES.items()
    }


def test_good_rows_pass(judge: SuiteJudge) -> None:
    frames = claims(8)
    for suite in SUITE_RULES:
        verdict = judge.judge(suite, frames)
        assert (verdict.batch_ok, verdict.broken_batch_rules, verdict.bad) == (True, (), ())
        assert verdict.rows == sum(len(frames[name]) for name in SUITES[suite].frames)


@pytest.mark.parametrize(("suite", "rule"), RULES, ids=[rule.rule_id for _, rule in RULES])
def test_the_row_is_caught_by_its_rule_and_by_no_other(
    suite: str, rule: Rule, judge: SuiteJudge, engine: Engine
) -> None:
    frames = broken_frames(suite, rule)
    verdict = judge.judge(suite, frames)
    if rule.level is Level.ROW:
        assert verdict.batch_ok, verdict.broken_batch_rules
        assert reasons(verdict) == {(BAD_ID, rule.reason, rule.field)}
        assert rule.text in verdict.bad[0].detail
    else:
        assert not verdict.batch_ok
        assert verdict.broken_batch_rules == (f"{rule.rule_id}: {rule.text}",)
        assert verdict.bad == ()
    without = SuiteJudge({suite: take_out(SUITES[suite], rule)}, engine).judge(suite, frames)
    assert (without.batch_ok, without.bad) == (True, ())


def take_out(suite: Suite, rule: Rule) -> Suite:
    return dataclasses.replace(suite, rules=tuple(other for other in suite.rules if other is not rule))


def test_two_hundred_documents_thirty_seven_bad_in_six_ways(judge: SuiteJudge) -> None:
    frames = claims(200)
    ways: list[tuple[str, str, Any, str]] = [
        ("documents", "payable_minor", 1, "payable_differs"),
        ("documents", "business_date", None, "required_missing"),
        ("documents", "currency", "XBT", "currency_not_allowed"),
        ("lines", "account", None, "unknown_code"),
        ("lines", "vat_difference_minor", 61, "vat_mismatch"),
        ("lines", "event_date", frames["lines"]["event_date"][0].replace(year=1026), "date_out_of_range"),
    ]
    wanted: dict[str, str] = {}
    for n in range(37):
        document_id = str(90000 + 5 * n)
        frame, column, value, code = ways[n % 6]
        target = frames[frame]
        target.loc[target.index[target["document_id"] == document_id][-1], column] = value
        wanted[document_id] = code
    verdict = judge.judge("expense_claim.documents", frames)
    assert verdict.batch_ok
    assert {problem.document_id: problem.code for problem in verdict.bad} == wanted
    assert len(verdict.bad) == 37


def test_all_bad_documents_are_named_however_many(judge: SuiteJudge) -> None:
    frames = claims(1500)
    frames["documents"]["payable_minor"] = 7
    frames["lines"]["account"] = None
    verdict = judge.judge("expense_claim.documents", frames)
    assert verdict.batch_ok
    for code in ("payable_differs", "unknown_code"):
        assert len({p.document_id for p in verdict.bad if p.code == code}) == 1500


def test_a_document_that_fails_twice_has_two_problems_and_its_lines_are_named(judge: SuiteJudge) -> None:
    frames = claims(4)
    frames["lines"].loc[:, "vat_difference_minor"] = [9, 9, 0, 0, 0, 9, 0, 0]
    frames["documents"].loc[0, "currency"] = "USD"
    verdict = judge.judge("expense_claim.documents", frames)
    assert [(p.document_id, p.code) for p in verdict.bad] == [
        ("90000", "currency_not_allowed"),
        ("90000", "vat_mismatch"),
        ("90002", "vat_mismatch"),
    ]
    assert verdict.bad[1].detail.endswith("[line_id 1; line_id 2]")
    assert verdict.bad[2].detail.endswith("[line_id 2]")
