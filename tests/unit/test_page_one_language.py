"""Texts that the hub keeps in two languages are shown in one, and never shortened where that is not sure."""

from __future__ import annotations

import pytest
from finbridge.core.month import What
from finbridge.core.preview import PreviewVerdict
from finbridge.hub.view_today import STATES
from finbridge.pages.texts import LANGUAGES, Language, catalogue
from finbridge.pages.words import detail_in_words, one_language, reasons_in_words
from finbridge.tasks.alarm_texts import CAUSES

BOTH = "财务查无此凭证 / not there in finance"


@pytest.mark.parametrize(
    ("said", "zh", "en"),
    [
        (BOTH, "财务查无此凭证", "not there in finance"),
        ("金额 / amount: 1.00 → 2.00", "金额: 1.00 → 2.00", "amount: 1.00 → 2.00"),
        ("金额 / amount: OA 1, 凭证 / voucher 2", "金额 / amount: OA 1, 凭证 / voucher 2", None),
        ("account: 6602|招待 not in table", "account: 6602|招待 not in table", None),
        ("km / h", "km / h", None),
        ("", "", None),
        ("单据停在「归档」 / the document stands at 归档", "单据停在「归档」", "the document stands at 归档"),
        ("payable: 应付不符 / it differs", "payable: 应付不符", "payable: it differs"),
        ("税额不符 / VAT differs [line_id 12]", "税额不符 [line_id 12]", "VAT differs [line_id 12]"),
        ("账·k 行/row 6: 没有 / not there: code C", "账·k 行 6: 没有: code C", "账·k row 6: not there: code C"),
        ("期间 2026-11 已关闭 / the period is closed", "期间 2026-11 已关闭 / the period is closed", None),
    ],
)
def test_one_language(said: str, zh: str, en: str | None) -> None:
    assert one_language(said, "zh") == zh
    assert one_language(said, "en") == (zh if en is None else en)


@pytest.mark.parametrize(
    ("language", "expected"), [("zh", "税额与税率不符"), ("en", "VAT amount does not fit its rate")]
)
def test_codes_become_words(language: Language, expected: str) -> None:
    assert reasons_in_words("vat_mismatch", language) == expected
    assert expected in reasons_in_words("unknown_code, vat_mismatch", language)


def test_a_detail_names_its_row_and_kind_in_words() -> None:
    both = "税额不符 / VAT differs [line_id 12] | 必填项为空 / a required field is empty [kind expense]"
    assert detail_in_words(both, "zh") == "税额不符 [明细行 12] | 必填项为空 [报销凭证]"
    assert detail_in_words(both, "en") == "VAT differs [form row 12] | a required field is empty [Expense voucher]"


def test_changes_are_told_one_by_one() -> None:
    assert reasons_in_words("金额 / amount: 1 → 2 | 财务中是草稿 / a draft in finance", "en") == (
        "amount: 1 → 2; a draft in finance"
    )
    assert reasons_in_words("needs_human", "en") == "needs_human"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_that_the_pages_look_up_by_name_has_a_word(language: Language) -> None:
    wanted = [
        *(f"today.alarm.{cause}" for cause in CAUSES),
        *(f"today.state{help_}.{state}" for state in STATES for help_ in ("", "_help")),
        *(f"preview.{of}.{verdict}" for verdict in PreviewVerdict for of in ("verdict", "verdict_live")),
        *(f"preview.{of}.{verdict}" for verdict in PreviewVerdict for of in ("help", "help_live")),
        *(f"month.what.{what}" for what in What),
    ]
    assert len(wanted) > 60
    assert [key for key in wanted if key not in catalogue(language)] == []
