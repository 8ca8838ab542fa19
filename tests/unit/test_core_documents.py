"""Documents: what makes a version, and what a log row means."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest
from finbridge.core.documents import EventKind, LogRow, SourceDocument, canonical_content, content_hash
from finbridge.core.errors import NeedsHuman
from finbridge.core.flow import LogRule
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.flow_fakes import make_flow

_MAPPED = ("amount", "number")
_LINES = {"dt1": ("cost", "kind")}
_DOCUMENT = SourceDocument(
    document_id="1",
    template="101",
    stamp="s",
    node="n",
    main={"amount": "1.00", "number": "BX", "pzh": ""},
    details={"dt1": ({"_row": "7", "cost": "CC", "kind": "T", "note": ""},)},
    log=(),
    raw=b"r",
)
_values = st.dictionaries(st.sampled_from(["amount", "number", "pzh", "view"]), st.text(max_size=5), max_size=4)


def _hash(document: SourceDocument) -> str:
    return content_hash(canonical_content(document, _MAPPED, _LINES))


@given(_values, _values)
def test_a_version_is_made_by_mapped_fields_alone(one: dict[str, str], other: dict[str, str]) -> None:
    same = all(one.get(name) == other.get(name) for name in _MAPPED)
    assert (_hash(replace(_DOCUMENT, main=one)) == _hash(replace(_DOCUMENT, main=other))) == same


def test_our_own_write_back_makes_no_version() -> None:
    written = {**_DOCUMENT.main, "pzh": "记-1"}
    assert _hash(replace(_DOCUMENT, main=written, stamp="later", node="付款")) == _hash(_DOCUMENT)


@pytest.mark.parametrize(
    "line",
    [
        {"_row": "7", "cost": "CC2", "kind": "T"},
        {"_row": "8", "cost": "CC", "kind": "T"},  # another row of the form, though it looks the same
        {"_row": "7", "cost": "CC"},
    ],
)
def test_every_mapped_value_of_a_line_and_its_id_count(line: dict[str, str]) -> None:
    assert _hash(replace(_DOCUMENT, details={"dt1": (line,)})) != _hash(_DOCUMENT)


def test_another_template_is_another_version() -> None:
    assert _hash(replace(_DOCUMENT, template="102")) != _hash(_DOCUMENT)


def test_absent_and_empty_are_told_apart() -> None:
    assert _hash(replace(_DOCUMENT, main={"amount": ""})) != _hash(replace(_DOCUMENT, main={}))


def test_the_first_rule_that_fits_the_whole_text_gives_the_meaning() -> None:
    anything = re.compile(".*")
    rules = (
        LogRule(event=EventKind.WITHDRAWN, node=anything, operation=re.compile("退回"), operator=re.compile("7")),
        LogRule(event=EventKind.REJECTED, node=anything, operation=re.compile("退回"), operator=anything),
    )
    flow = make_flow(log_rules=rules)
    at = datetime(2026, 11, 22, 9, 0, 0)  # noqa: DTZ001 - the OA's log is in local time
    assert flow.classify(LogRow("1", "审批", "退回", "7", at)).kind is EventKind.WITHDRAWN
    assert flow.classify(LogRow("1", "审批", "退回", "77", at)).kind is EventKind.REJECTED
    with pytest.raises(NeedsHuman) as caught:
        flow.classify(LogRow("1", "审批", "退回起草", "7", at))
    assert caught.value.code == "unknown_log_entry" and "退回起草" in caught.value.staff
