"""The language of suites: what is wrong is named by file, line and field, before any row is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from finbridge.core.errors import GiveUp
from finbridge.quality.suites import Level, load_suites

ROOT = Path(__file__).resolve().parents[2]

GOOD = """\
about: a suite
frames:
  documents: {row: [kind]}
  lines: {row: [line_id]}
rules:
  - id: documents.required
    frame: documents
    level: row
    expect: expect_column_values_to_not_be_null
    for_each: [company, currency]
    reason: required_missing
    zh: 必填项为空
    en: a required field is empty
  - id: lines.count
    frame: lines
    level: batch
    expect: expect_table_row_count_to_be_between
    kwargs: {min_value: {$PARAMETER: rows_documents}}
    reason: row_count
    zh: 明细太少
    en: too few lines
"""


def load(tmp_path: Path, text: str, name: str = "claim.yaml") -> object:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8")
    return load_suites(tmp_path)


def test_a_suite_is_named_by_its_path_and_for_each_makes_a_rule_a_column(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    load(tmp_path, GOOD, "more/payment.vouchers.yaml")
    suites = load_suites(tmp_path)
    assert list(suites) == ["claim", "more/payment.vouchers"]
    suite = suites["claim"]
    assert [rule.rule_id for rule in suite.rules] == [
        "documents.required.company",
        "documents.required.currency",
        "lines.count",
    ]
    assert suite.frames == {"documents": ("kind",), "lines": ("line_id",)}
    assert suite.rules[0].field == "documents.company"
    assert suite.rules[0].text == "必填项为空 / a required field is empty"
    assert suite.rules[2].level is Level.BATCH
    assert suite.rules[2].where == "claim.yaml:14"
    assert len(suite.sha256) == 64


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("level: row", "level: rows", "claim.yaml:8: rules[0].level", "is not one of"),
        ("    reason: row_count\n", "", "claim.yaml:14: rules[1]", "'reason' is a required property"),
        ("    zh: 明细太少\n", "    zh: 明细太少\n    zhs: x\n", "claim.yaml:21: rules[1].zhs", "unexpected"),
        ("frame: lines", "frame: line", "claim.yaml:15: rules[1].frame", "line is not among frames"),
        ("rows_documents", "rows_document", "claim.yaml:18: rules[1].kwargs.min_value", "a parameter is one of"),
        ("id: lines.count", "id: documents.required.company", "claim.yaml:14: rules[1].id", "is there twice"),
        (
            "    for_each: [company, currency]",
            "    kwargs: {column: company, mostly: 0.9}",
            "claim.yaml:10: rules[0].kwargs.mostly",
            "mostly would hide some",
        ),
        (
            "    reason: required_missing",
            "    kwargs: {column: kind}\n    reason: x",
            "kwargs.column",
            "for_each names",
        ),
        ("about: a suite", "about: [", "claim.yaml:3", "expected"),
        ("about: a suite", "about: a suite\nabout: b", "claim.yaml:2", "duplicate key"),
        (GOOD, "- 1\n", "claim.yaml:1", "a mapping"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_field(tmp_path: Path, old: str, new: str, where: str, what: str) -> None:
    assert old in GOOD
    with pytest.raises(GiveUp) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert caught.value.code == "bad_expectations"
    assert where in caught.value.engineer
    assert what in caught.value.engineer
    assert "数据质量规则文件有误" in caught.value.staff


def test_a_folder_without_suites_is_an_error_not_an_empty_judge(tmp_path: Path) -> None:
    with pytest.raises(GiveUp, match=r"no \*\.yaml"):
        load_suites(tmp_path)


def test_the_suites_of_the_project_say_everything_in_two_languages() -> None:
    suites = load_suites(ROOT / "include" / "expectations")
    assert {"expense_claim.documents", "expense_claim.vouchers"} <= set(suites)
    for suite in suites.values():
        for rule in suite.rules:
            assert any("\u4e00" <= char <= "\u9fff" for char in rule.zh), rule.rule_id
            assert rule.en.isascii(), rule.rule_id
