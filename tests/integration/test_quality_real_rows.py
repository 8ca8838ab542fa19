"""The suites on the rows that the claim mapping really makes: types, columns and nulls as they come out of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.documents import EventKind, LogEntry, SourceDocument, canonical_content
from finbridge.core.ids import VoucherKind
from finbridge.core.ports import Translation, TranslationRequest, Translator
from finbridge.mapping import load_translator, read_code_files
from finbridge.quality import load_judge

INCLUDE = Path(__file__).resolve().parents[2] / "include"
CODES = read_code_files(INCLUDE / "codes" / "weaver_tryton")
MAIN, LINES, PAYEES = "formtable_main_11", "formtable_main_11_dt1", "formtable_main_11_dt2"
Form = dict[str, Any]


@pytest.fixture(scope="module")
def translator() -> Translator:
    return load_translator(INCLUDE / "mappings" / "weaver_tryton" / "expense_claim.v1.yaml")


@pytest.fixture(scope="module")
def judge() -> Any:
    return load_judge(INCLUDE / "expectations")


def form(number: int) -> Form:
    return {
        "main": {
            "djbh": f"BX{number}",
            "sqr": "E0001",
            "sqrxm": "绝密姓名",
            "gsdm": "1000",
            "bm": "行政部",
            "sy": "差旅",
            "fjzs": "2",
            "ywrq": "2026-11-20",
            "bz": "CNY",
            "bzje": "169.00",
            "hdje": "159.00",
        },
        "lines": [
            {"_row": "1", **claim_line("TRAVEL", "106.00", "6.00", "0.06", "SPECIAL")},
            {"_row": "2", **claim_line("WELFARE", "53.00", "0.00", "", "ORDINARY")},
        ],
        "payees": [
            {"_row": "1", "skrlx": "EMPLOYEE", "skr": "E0002", "skzh": "6222绝密", "zfje": "100.00"},
            {"_row": "2", "skrlx": "SUPPLIER", "skr": "S0001", "skzh": "6222绝密", "zfje": "59.00"},
        ],
    }


def claim_line(kind: str, gross: str, tax: str, rate: str, invoice: str) -> dict[str, str]:
    amounts = {"sqje": gross, "hdje": gross, "se": tax, "sl": rate, "fpzl": invoice}
    return {"fylx": kind, "cbzx": "CC-ADM-01", "fyrq": "2026-11-18", "fph": "123", "zy": "绝密用途", **amounts}


def translate(translator: Translator, forms: dict[str, Form], kinds: tuple[VoucherKind, ...]) -> Translation:
    at = datetime(2026, 11, 22, 10)  # noqa: DTZ001 - the OA's local time is naive
    requests = []
    for document_id, one in forms.items():
        details = {LINES: tuple(one["lines"]), PAYEES: tuple(one["payees"])}
        document = SourceDocument(document_id, "101", "", "财务过账", one["main"], details, (), b"")
        canonical = canonical_content(document, translator.main_fields, translator.detail_fields)
        for kind in kinds:
            event = EventKind.APPROVED if kind is VoucherKind.EXPENSE else EventKind.PAID
            requests.append(
                TranslationRequest(
                    document_id=document_id,
                    kind=kind,
                    cause=LogEntry(f"L{document_id}{kind.value}", event, at, operator="500"),
                    company=one["main"]["gsdm"],
                    source="weaver:oa",
                    business_number=one["main"]["djbh"],
                    currency="CNY",
                    canonical=canonical,
                )
            )
    return translator.translate(requests, CODES)


def put(part: str, column: str, value: str) -> Callable[[Form], None]:
    def change(one: Form) -> None:
        target = one[part] if part == "main" else one[part][0]
        target[column] = value

    return change


BAD: list[tuple[Callable[[Form], None], str]] = [
    (put("lines", "cbzx", "CC-MOON-01"), "unknown_code"),
    (put("lines", "se", "9.54"), "vat_mismatch"),
    (put("payees", "zfje", "99.99"), "payable_differs"),
    (put("main", "bzje", "158.99"), "approved_above_claimed"),
    (put("main", "ywrq", "2009-11-20"), "date_out_of_range"),
    (put("main", "fjzs", "5000"), "attachments_out_of_range"),
]


@pytest.mark.parametrize("kinds", [(VoucherKind.EXPENSE,), (VoucherKind.EXPENSE, VoucherKind.PAYMENT)])
def test_good_claims_pass_both_suites(translator: Translator, judge: Any, kinds: tuple[VoucherKind, ...]) -> None:
    made = translate(translator, {str(90000 + n): form(n) for n in range(12)}, kinds)
    assert made.problems == ()
    assert len(made.vouchers) == 12 * len(kinds)
    for suite, rows in (("expense_claim.documents", 12 * len(kinds) + 24), ("expense_claim.vouchers", None)):
        verdict = judge.judge(suite, made.frames)
        assert (verdict.batch_ok, verdict.broken_batch_rules, verdict.bad) == (True, (), ())
        assert rows is None or verdict.rows == rows
    assert "绝密" not in "".join(frame.to_csv() for frame in made.frames.values())


def test_thirty_seven_of_two_hundred_bad_claims_are_named_with_their_reasons(
    translator: Translator, judge: Any
) -> None:
    forms = {str(90000 + n): form(n) for n in range(200)}
    wanted = {}
    for n in range(37):
        document_id = str(90000 + 5 * n)
        change, wanted[document_id] = BAD[n % len(BAD)]
        change(forms[document_id])
    made = translate(translator, forms, (VoucherKind.EXPENSE,))
    verdict = judge.judge("expense_claim.documents", made.frames)
    assert verdict.batch_ok, verdict.broken_batch_rules
    assert {problem.document_id for problem in verdict.bad} == set(wanted)
    for document_id, code in wanted.items():
        assert code in {problem.code for problem in verdict.bad if problem.document_id == document_id}
    held = {problem.document_id for problem in (*made.problems, *verdict.bad)}
    assert held == set(wanted)
    assert len({v.identity.document_id for v in made.vouchers} - held) == 163
    vouchers = judge.judge("expense_claim.vouchers", made.frames)
    assert vouchers.batch_ok, vouchers.broken_batch_rules


@pytest.mark.parametrize("kinds", [(VoucherKind.EXPENSE,), (VoucherKind.EXPENSE, VoucherKind.PAYMENT)])
def test_a_batch_of_unreadable_claims_holds_them_and_stops_nobody_else(
    translator: Translator, judge: Any, kinds: tuple[VoucherKind, ...]
) -> None:
    forms = {str(90000 + n): form(n) for n in range(8)}
    forms["90000"]["main"]["hdje"] = "一百"
    forms["90001"]["lines"][0]["hdje"] = "1,060.00"
    forms["90002"]["lines"] = []
    forms["90003"]["payees"] = []
    forms["90004"]["main"].update(ywrq="", bz="", fjzs="x")
    forms["90005"]["lines"][1]["fylx"] = "卫星"
    forms["90006"]["main"]["hdje"] = "0.00"
    made = translate(translator, forms, kinds)
    for suite in ("expense_claim.documents", "expense_claim.vouchers"):
        verdict = judge.judge(suite, made.frames)
        assert verdict.batch_ok, (suite, verdict.broken_batch_rules)
        held = {problem.document_id for problem in verdict.bad}
        assert "90007" not in held
    assert {v.identity.document_id for v in made.vouchers} == {"90007"}
