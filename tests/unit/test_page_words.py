"""Every code that the pages can meet has a word in both languages; a code is never shown where a word is meant."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from finbridge.core.documents import EventKind
from finbridge.core.fold import EndState
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import Signal, VoucherState
from finbridge.core.outcomes import OUTCOME_NAME
from finbridge.core.ports import Stage, WriteBackResult
from finbridge.flows.manual import ACTION
from finbridge.hub.reasons import REASONS
from finbridge.pages.texts import LANGUAGES, catalogue, text, word

STANDINGS = ["posted", "held", "due", "reversed", "paid_only", "nothing_to_post", "not_approved", "unexplained"]
CODES: dict[str, Iterable[str]] = {
    "turn": {*(reason.turn for reason in REASONS.values()), "approver", "system"},
    "kind": VoucherKind,
    "voucher_state": VoucherState,
    "standing": STANDINGS,
    "end_state": EndState,
    "event": EventKind,
    "outcome": {*OUTCOME_NAME.values(), "not_found", "open"},
    "write_back": ("due", "sent", "verified", "refused"),
    "write_back_result": WriteBackResult,
    "origin": ("plan", "deliver", "write_back"),
    "stage": Stage,
    "payment_status": ("open", "paid", "reversed", "unclear"),
    "action": {
        *(*Signal, *OUTCOME_NAME.values(), "translated", "collected", "codes_loaded", ACTION),
        *("hold_opened", "hold_closed", "write_back_refused", "error_text_written", "read_again"),
    },
}


@pytest.mark.parametrize("group", CODES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_has_a_word(language: str, group: str) -> None:
    chosen = "zh" if language == "zh" else "en"
    missing = [str(code) for code in CODES[group] if f"words.{group}.{code!s}" not in catalogue(chosen)]
    assert missing == []


def test_a_code_without_a_word_stands_for_itself() -> None:
    assert word("zh", "action", "something_new") == "something_new"


@pytest.mark.parametrize("standing", STANDINGS)
def test_every_standing_has_a_sentence(standing: str) -> None:
    assert text("zh", f"document.sentence.{standing}").endswith("。")
    assert text("en", f"document.sentence.{standing}")


def test_an_unknown_text_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(KeyError):
        text("zh", "document.nothing_of_that_name")
