"""Texts that the hub keeps in two languages are shown in one, and never shortened where that is not sure."""

from __future__ import annotations

import pytest
from finbridge.core.month import What
from finbridge.core.preview import PreviewVerdict
from finbridge.hub.view_today import STATES
from finbridge.pages.texts import LANGUAGES, Language, catalogue
from finbridge.pages.words import one_language, reasons_in_words
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
