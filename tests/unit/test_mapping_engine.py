"""The engine on expense claims: what is held and why, what is empty, what the judge sees, and how many statements."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from finbridge.core.ids import VoucherKind
from finbridge.core.ports import Problem, Translation, TranslationRequest

from tests.unit.mapping_world import (
    LINES,
    PAYEES,
    canonical,
    code,
    expense_codes,
    expense_translator,
    line,
    payee,
    request,
    written,
)

GOOD = canonical([line()], [payee()])


def translate(*requests: TranslationRequest) -> Translation:
    return expense_translator().translate(requests, expense_codes())


def problems(content: bytes, *kinds: VoucherKind) -> list[Problem]:
    result = translate(
        *(request(content, kind=kind) for kind in kinds or (VoucherKind.EXPENSE,)), request(GOOD, "good")
    )
    assert [v.identity.document_id for v in result.vouchers] == ["good"]
    assert {p.document_id for p in result.problems} == {"90001"}
    return list(result.problems)


def only(found: list[Problem]) -> Problem:
    assert len(found) == 1, found
    return found[0]


# ---------------------------------------------------------------- problems hold one document, and name themselves


@pytest.mark.parametrize(
    ("content", "code_", "field", "words"),
    [
        (canonical([line(hdje="1,000.00")], [payee()], hdje="100.00"), "bad_amount", "lines.approved", "thousands"),
        (canonical([line(hdje="１００")], [payee()], hdje="100.00"), "bad_amount", "lines.approved", "full-width"),
        (canonical([line(sqje="")], [payee()]), "missing_value", "lines.claimed", "blank"),
        (canonical([line(sqje=" ")], [payee()]), "bad_amount", "lines.claimed", "blanks"),
        (canonical([line()], [payee(zfje="100.001")]), "bad_amount", "payees.amount", "decimals"),
        (canonical([line()], [payee()], ywrq="2026/10/15"), "bad_date", "main.business_date", "yyyy-MM-dd"),
        (canonical([line()], [payee()], djbh=None), "missing_value", "main.number", "blank"),
        (canonical([line()], [payee()], fjzs="两张"), "bad_integer", "main.attachment_count", "number"),
        (canonical([line(fpzl="专票")], [payee()]), "unknown_value", "lines.invoice_kind", "SPECIAL"),
        (canonical([line()], [payee()], gsdm="2000"), "company_mismatch", "main.company_code", "another company"),
        (canonical([line()], [payee()], bz="USD"), "currency_mismatch", "main.form_currency", "currency"),
        (canonical([line()], [payee()], hdje="99.99"), "lines_not_approved_total", "main.line_total", "add up"),
        (canonical([line()], [payee(zfje="99.99")]), "payable_not_approved_total", "main.payable", "approved"),
        (canonical([line()], []), "payable_not_approved_total", "main.payable", "approved"),
        (
            canonical([line("TRAVEL", "CC-ADM-01", "106.00", "6.00", "", "SPECIAL")], [payee(zfje="106.00")]),
            "tax_rate_missing",
            "lines.tax_rate",
            "without its rate",
        ),
    ],
)
def test_a_bad_document_is_held_alone(content: bytes, code_: str, field: str, words: str) -> None:
    found = [p for p in problems(content) if p.code == code_]
    problem = only(found)
    assert problem.field == field
    assert words in problem.detail


def test_a_bad_line_is_named_by_its_row() -> None:
    content = canonical([line(), line(sqje="1,0"), line(sqje="2,0")], [payee(zfje="300.00")])
    assert "行/row 12,13" in only(problems(content)).detail


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            canonical([line(cbzx="CC-XXX-99")], [payee()]),
            "table cost_centre_kind, code CC-XXX-99, company 1000, date 2026-11-02",
        ),
        (
            canonical([line(fylx="MEALS")], [payee()]),
            "table expense_account, code ADM|MEALS, company 1000, date 2026-11-02",
        ),
        (canonical([line()], [payee("E0999")]), "table party, code E0999, company 1000, date 2026-11-02"),
        (
            canonical([line(fyrq="2019-03-31")], [payee()]),
            "table vat_deductible, code TRAVEL|NONE, company 1000, date 2019-03-31",
        ),
    ],
)
def test_an_unknown_code_names_itself(content: bytes, words: str) -> None:
    named = [p for p in problems(content) if words in p.detail]
    assert only(named).code == "unknown_code"


def test_one_missing_code_makes_no_second_problem() -> None:
    assert only(problems(canonical([line(cbzx="CC-XXX-99")], [payee()]))).field == "lines.cost_centre_kind"


def test_a_kind_of_voucher_that_the_mapping_does_not_make_is_named() -> None:
    problem = only(problems(GOOD, VoucherKind.REVERSAL))
    assert (problem.code, problem.field) == ("no_voucher_rule", "request.kind")


def test_a_problem_holds_all_vouchers_of_its_document() -> None:
    content = canonical([line(cbzx="CC-XXX-99")], [payee()])
    assert only(problems(content, VoucherKind.EXPENSE, VoucherKind.PAYMENT)).code == "unknown_code"


def test_a_payment_is_not_held_for_what_it_does_not_rest_on() -> None:
    content = canonical([line(cbzx="CC-XXX-99", sqje="1,0")], [payee()])
    result = translate(request(content, kind=VoucherKind.PAYMENT))
    assert result.problems == ()
    assert [written(v) for v in result.vouchers] == [["借 2241 100.00 E0001", "贷 1002 100.00"]]


def test_sums_beyond_what_fits_are_held_and_break_nothing() -> None:
    row = line(hdje="9999999999999.99")
    content = canonical([row] * 10_000, [payee()], hdje="100.00")
    assert [p.code for p in problems(content)] == ["unbalanced_voucher"]


# ---------------------------------------------------------------- nothing to post


def test_nothing_approved_posts_nothing() -> None:
    content = canonical([line(hdje="0.00", sqje="50.00")], [payee(zfje="0.00")])
    result = translate(*(request(content, kind=kind) for kind in (VoucherKind.EXPENSE, VoucherKind.PAYMENT)))
    assert result.vouchers == ()
    assert result.problems == ()
    assert set(result.empty) == {("90001", VoucherKind.EXPENSE), ("90001", VoucherKind.PAYMENT)}


def test_no_request_no_voucher() -> None:
    result = expense_translator().translate([], [])
    assert (result.vouchers, result.problems, result.empty) == ((), (), ())
    assert {name: len(frame) for name, frame in result.frames.items()} == {
        "documents": 0,
        "lines": 0,
        "vouchers": 0,
        "voucher_lines": 0,
    }


def test_lines_without_amount_are_left_out() -> None:
    content = canonical([line(), line(hdje="0.00")], [payee(), payee("E0002", "0.00")])
    assert written(translate(request(content)).vouchers[0]) == ["借 660201 100.00", "贷 2241 100.00 E0001"]


# ---------------------------------------------------------------- header, personal data, currency


def test_a_long_reason_gives_way_and_the_number_stays() -> None:
    content = canonical([line()], [payee()], sy="去上海\n拜访　\x00客户 " * 40)
    summary = translate(request(content)).vouchers[0].summary
    assert len(summary) == 80
    assert summary.startswith("报销张三2026年10月去上海 拜访 客户 去上海")
    assert summary.endswith("… BX20261001")


def test_blank_pieces_leave_no_hole() -> None:
    content = canonical([line()], [payee()], sy="", sqrxm=None)
    assert translate(request(content)).vouchers[0].summary == "报销2026年10月 BX20261001"


def test_personal_data_stays_out() -> None:
    translator = expense_translator()
    assert "skzh" not in translator.detail_fields[PAYEES]
    assert set(translator.detail_fields) == {LINES, PAYEES}
    bad = canonical([line(cbzx="张三", sqje="1,0")], [payee(skr="李四")], sqr="王五", sqrxm="赵六")
    result = translate(request(bad), request(GOOD, "good", VoucherKind.PAYMENT))
    shown = repr(result.problems) + repr(result.vouchers)
    assert {p.field for p in result.problems} >= {"lines.cost_centre", "payees.payee", "main.submitter"}
    assert not any(name in shown for name in ("张三", "李四", "王五", "赵六"))


def test_amounts_are_in_the_currency_s_own_units() -> None:
    content = canonical([line(hdje="1000")], [payee(zfje="1000.0")], bz="JPY", hdje="1000", bzje="1000")
    result = translate(request(content, currency="JPY"))
    assert [(ln.local_amount_minor, ln.currency) for ln in result.vouchers[0].lines] == [(1000, "JPY")] * 2
    assert [p.code for p in translate(request(GOOD.replace(b"100.00", b"100.50"), currency="JPY")).problems][:1] == [
        "bad_amount"
    ]


# ---------------------------------------------------------------- order, statements, frames


def test_the_order_of_requests_and_rows_changes_nothing() -> None:
    rows = [line(centre_, hdje=f"{n}.00") for n, centre_ in enumerate(["TRAVEL", "OFFICE", "WELFARE"], start=1)]
    content = json.loads(canonical(rows, [payee(zfje="2.00"), payee("S0001", "4.00")]))
    turned = {**content, "details": {name: list(reversed(part)) for name, part in content["details"].items()}}
    requests = [
        request(json.dumps(form).encode(), str(number), kind)
        for number, form in enumerate([content, turned], start=1)
        for kind in (VoucherKind.EXPENSE, VoucherKind.PAYMENT)
    ]
    forth, back = translate(*requests), translate(*reversed(requests))
    assert {v.key: v for v in forth.vouchers} == {v.key: v for v in back.vouchers}
    assert len(forth.vouchers) == 4
    assert forth.vouchers[0].lines == forth.vouchers[2].lines
    assert forth.vouchers[1].lines == forth.vouchers[3].lines


def test_the_number_of_statements_does_not_depend_on_the_documents() -> None:
    session = expense_translator().session
    counts = {}
    for documents in (1, 3, 400):
        bad = canonical([line(cbzx="CC-XXX-99")] * 3, [payee()])
        before = session.statements
        result = translate(*(request(bad if n % 3 == 2 else GOOD, str(n)) for n in range(documents)))
        counts[documents] = session.statements - before
        assert len(result.vouchers) == documents - documents // 3
    assert len(set(counts.values())) == 1, counts
    assert counts[1] <= 20


FRAMES = {
    "documents": "document_id template company business_number department currency business_date kind claimed_minor "
    "approved_minor payable_minor line_total_minor line_count payee_count attachment_count",
    "lines": "document_id line_id expense_type cost_centre cost_centre_kind event_date claimed_minor approved_minor "
    "tax_minor tax_rate invoice_kind deductible account vat_difference_minor",
    "vouchers": "key document_id company kind currency posting_date debit_minor credit_minor difference_minor "
    "line_count cause",
    "voucher_lines": "key document_id line_no account side local_amount_minor party",
}


def test_the_judge_sees_every_row_also_of_bad_documents() -> None:
    bad = canonical([line(cbzx="CC-XXX-99", sqje="1,0")], [payee()])
    taxed = canonical([line("OFFICE", "CC-RND-01", "113.00", "12.00", "0.13", "SPECIAL")], [payee(zfje="113.00")])
    kinds = (VoucherKind.EXPENSE, VoucherKind.PAYMENT)
    result = translate(request(bad, "bad"), *(request(taxed, "taxed", kind) for kind in kinds))
    frames = result.frames
    assert {name: set(frame.columns) for name, frame in frames.items()} == {
        name: set(columns.split()) for name, columns in FRAMES.items()
    }
    assert list(zip(frames["documents"]["document_id"], frames["documents"]["kind"], strict=True)) == [
        ("bad", "expense"),
        ("taxed", "expense"),
        ("taxed", "payment"),
    ]
    lines: list[dict[str, Any]] = frames["lines"].to_dict("records")
    assert [row["document_id"] for row in lines] == ["bad", "taxed"]  # once, though two vouchers were asked for
    assert lines[0]["account"] is None
    assert frames["lines"]["claimed_minor"].isna().tolist() == [True, False]
    assert (lines[1]["account"], lines[1]["deductible"], lines[1]["vat_difference_minor"]) == ("530102", "yes", 100)
    assert frames["vouchers"]["difference_minor"].tolist() == [0, 0]
    assert frames["vouchers"]["cause"].tolist() == ["7001", "7001"]
    assert frames["voucher_lines"]["party"].isna().tolist() == [True, True, False, False, True]


def test_frames_outlive_the_next_call() -> None:
    first = translate(request(GOOD, "first")).frames
    translate(request(GOOD, "second"))
    assert first["documents"]["document_id"].tolist() == ["first"]
    assert first["voucher_lines"]["document_id"].tolist() == ["first", "first"]


# ---------------------------------------------------------------- code tables over time and companies


def test_codes_change_on_their_day() -> None:
    rows = [row for row in expense_codes() if row.table != "cost_centre_kind"]
    rows.append(code("cost_centre_kind", "CC-ADM-01", "ADM", date(2026, 1, 1), date(2026, 11, 2)))
    rows.append(code("cost_centre_kind", "CC-ADM-01", "SAL", date(2026, 11, 2)))
    requests = [request(GOOD, str(day), on=day) for day in (date(2025, 12, 31), date(2026, 11, 1), date(2026, 11, 2))]
    result = expense_translator().translate(requests, rows)
    assert [v.lines[0].account for v in result.vouchers] == ["660201", "660101"]
    assert "date 2025-12-31" in only(list(result.problems)).detail


def test_a_company_s_own_row_wins_while_it_is_valid() -> None:
    rows = [
        *expense_codes(),
        code("cost_centre_kind", "CC-ADM-01", "RND", date(2026, 6, 1), date(2026, 7, 1), company="2000"),
    ]
    other = canonical([line()], [payee()], gsdm="2000")
    days = [date(2026, 5, 31), date(2026, 6, 1), date(2026, 6, 30), date(2026, 7, 1)]
    requests = [request(other, str(day), company="2000", on=day) for day in days] + [request(GOOD, on=days[1])]
    result = expense_translator().translate(requests, rows)
    assert [v.lines[0].account for v in result.vouchers] == ["660201", "530101", "530101", "660201", "660201"]


def test_rows_that_disagree_are_never_guessed() -> None:
    rows = [*expense_codes(), code("cost_centre_kind", "CC-ADM-01", "SAL", date(2026, 11, 1), date(2026, 11, 30))]
    result = expense_translator().translate([request(GOOD), request(GOOD, "later", on=date(2026, 11, 30))], rows)
    assert [v.identity.document_id for v in result.vouchers] == ["later"]
    problem = only(list(result.problems))
    assert problem.code == "ambiguous_code"
    assert "table cost_centre_kind, code CC-ADM-01" in problem.detail
