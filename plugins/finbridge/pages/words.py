"""Texts that come from the hub in both languages at once, shown in one."""

from __future__ import annotations

import re

from finbridge.hub.reasons import REASONS, reason
from finbridge.pages.texts import Language

_CHINESE = re.compile("[\u3400-\u9fff]")


def one_language(said: str, language: Language) -> str:
    """``中文 / English`` (and ``中文 / English: 1 → 2``) in one language; what cannot be told apart stays as it is."""
    left, found, right = said.partition(" / ")
    right, colon, values = right.partition(": ")
    if not found or " / " in right + values or not _CHINESE.search(left) or _CHINESE.search(right):
        return said
    return (left if language == "zh" else right) + colon + values


def reasons_in_words(said: str, language: Language) -> str:
    """``unknown_code, vat_mismatch`` as what they mean; anything else as it is, in one language where it has two."""
    codes = said.split(", ")
    if all(code in REASONS for code in codes):
        return "; ".join(str(getattr(reason(code), language)) for code in codes)
    return "; ".join(one_language(part, language) for part in said.split(" | "))
