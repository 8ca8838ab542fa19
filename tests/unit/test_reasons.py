"""Every reason that a suite can give has its words in the hub."""

from __future__ import annotations

import re
from pathlib import Path

from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.fold import fold
from finbridge.hub.reasons import REASONS

INCLUDE = Path(__file__).resolve().parents[2] / "include"
EXPECTATIONS = INCLUDE / "expectations"


def test_every_row_rule_of_a_suite_has_words() -> None:
    codes = set()
    for suite in EXPECTATIONS.glob("*.yaml"):
        for rule in re.split(r"^  - id: ", suite.read_text(encoding="utf-8"), flags=re.M)[1:]:
            if re.search(r"^ +level: row", rule, flags=re.M):
                codes |= set(re.findall(r"^ +reason: (\S+)", rule, flags=re.M))
    assert len(codes) > 10
    assert codes - set(REASONS) == set()


def test_every_check_of_a_mapping_has_words() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (INCLUDE / "mappings").rglob("*.yaml")]
    codes = {code for text in texts for code in re.findall(r"^  - code: (\S+)", text, flags=re.M)}
    assert len(codes) >= 5
    assert codes - set(REASONS) == set()


def test_every_oddity_of_a_log_has_words() -> None:
    def log(*kinds: EventKind) -> set[str]:
        from datetime import datetime

        entries = [LogEntry(str(n), kind, datetime(2026, 11, 1, 9, n)) for n, kind in enumerate(kinds)]  # noqa: DTZ001 - OA-local time is naive
        return {name.lower() for name in fold(entries).exceptions}

    e = EventKind
    seen = log(e.PAYMENT_REQUESTED, e.PAID, e.PAID, e.APPROVED, e.SAVED)
    seen |= log(e.APPROVED, e.PAID, e.SUBMITTED) | log(e.APPROVED, e.PAYMENT_REQUESTED, e.PAID, e.REJECTED)
    for lost in (e.SAVED, e.SUBMITTED, e.WITHDRAWN):
        seen |= log(e.APPROVED, e.PAYMENT_REQUESTED, lost)
    assert len(seen) == 10
    assert seen - set(REASONS) == set()
