"""The language beyond expense claims: what the handbook shows runs, and what only other forms need."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from finbridge.core.ids import VoucherKind
from finbridge.core.ports import Translation
from finbridge.mapping.engine import DuckTranslator, load_translator

from tests.unit.mapping_world import ROOT, code, request, written

FIXTURE = ROOT / "tests/fixtures/mapping/service_invoice.v1.yaml"
CODES = [
    code("area", "NO|B1", "north"),
    code("area", "NO|WALK-IN", "north"),
    code("revenue", "101|north|REPAIR", "6001"),
    code("revenue", "101|north|RENT", "6002"),
    code("revenue", "101|north|FREE", "6003"),
]


@pytest.fixture(scope="module")
def invoices() -> DuckTranslator:
    return load_translator(FIXTURE)


def invoice(*items: tuple[str, str], **main: str) -> bytes:
    fields = {"No. 编号": "N1", "customer code": "B1", "Customer2": "B2", "region": "NO", "fee": "", **main}
    rows = [{"_row": None, "s'ervice": service, "net": net} for service, net in items]
    return json.dumps({"template": "101", "main": fields, "details": {"items (1)": rows}}).encode()


def made(translator: DuckTranslator, content: bytes, *kinds: VoucherKind) -> Translation:
    asked = kinds or (VoucherKind.EXPENSE,)
    return translator.translate([request(content, kind=kind) for kind in asked], CODES)


def test_what_only_other_forms_need(invoices: DuckTranslator) -> None:
    result = made(invoices, invoice(("REPAIR", "10.004"), ("RENT", "20.005"), fee="1.5"), *list(VoucherKind)[:2])
    assert result.problems == ()
    sale, payment = result.vouchers
    assert written(sale) == ["借 1122 31.51 B1", "贷 6001 10.00", "贷 6002 20.01", "贷 6051 1.50"]
    assert sale.summary == "N1 2026-11-02 B1"
    assert sale.lines[0].assignment == "N1"
    assert [ln.tax_code for ln in sale.lines] == [None, "north", "north", None]
    assert [ln.source_lines for ln in sale.lines] == [(), ("items:1",), ("items:2",), ()]
    assert str(sale.business_date) == "2026-01-31"
    assert written(payment) == ["借 1122 -31.51 B1", "贷 1002 -31.51"]


def test_the_first_column_that_is_filled_counts(invoices: DuckTranslator) -> None:
    content = invoice(("REPAIR", "1"), **{"customer code": "", "Customer2": "B1"})
    assert made(invoices, content).vouchers[0].lines[0].party == "B1"


def test_conditions_choose_lines_and_checks(invoices: DuckTranslator) -> None:
    walk_in = {"customer code": "", "Customer2": " "}
    sold = made(invoices, invoice(("REPAIR", "1"), **walk_in))
    assert sold.vouchers[0].lines[0].party == "WALK-IN"
    free = made(invoices, invoice(("REPAIR", "1"), ("FREE", "0"), **walk_in))
    assert len(free.vouchers[0].lines) == 2
    unbalanced = made(invoices, invoice(("REPAIR", "1"), ("FREE", "5"), **walk_in))
    assert [p.code for p in unbalanced.problems] == ["unbalanced_voucher"]
    other = made(invoices, invoice(("REPAIR", "1"), **{"customer code": "B9"}))
    assert {p.code for p in other.problems} == {"unknown_code", "walk_in_too_much"}
    assert other.vouchers == ()


def test_a_check_can_be_meant_for_one_kind(invoices: DuckTranslator) -> None:
    nowhere = invoice(("FREE", "0"), fee="2", region="")
    assert made(invoices, nowhere).problems == ()
    assert [p.code for p in made(invoices, nowhere, VoucherKind.PAYMENT).problems] == ["no_area"]


def test_a_summary_is_cut_at_its_length(invoices: DuckTranslator) -> None:
    content = invoice(("REPAIR", "1"), **{"No. 编号": "号" * 40})
    sale, payment = made(invoices, content, *list(VoucherKind)[:2]).vouchers
    assert sale.summary == "号" * 29 + "…"
    assert payment.summary == "号" * 9 + "…"


def test_rows_without_ids_are_counted(invoices: DuckTranslator) -> None:
    problem = made(invoices, invoice(("REPAIR", "1"), ("REPAIR", "one"))).problems[0]
    assert (problem.code, problem.field) == ("bad_amount", "items.net")
    assert "行/row 2" in problem.detail


def test_only_columns_that_the_mapping_reads_make_a_version(invoices: DuckTranslator) -> None:
    assert invoices.main_fields == {"No. 编号", "customer code", "Customer2", "region", "fee"}
    assert invoices.detail_fields == {"items (1)": {"s'ervice", "net"}}


# ---------------------------------------------------------------- the handbook


def test_the_handbook_s_form_without_details_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/mapping.md").read_text(encoding="utf-8")
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.S) if "mapping:" in block]
    path = tmp_path / "example.v1.yaml"
    path.write_text(text, encoding="utf-8")
    translator = load_translator(path)
    assert translator.detail_fields == {}
    asked = []
    for number, amounts in enumerate([("41.8640949752556", "9"), ("", "27.5550"), (None, "0.004"), ("0.0", "5")]):
        main = {"Number": "UNKNOWN", "Amount": amounts[0], "RequestedAmount": amounts[1]}
        content = json.dumps({"template": "t", "main": main, "details": {}}).encode()
        asked.append(request(content, str(number), currency="EUR"))
    result = translator.translate(asked, [])
    assert [written(v) for v in result.vouchers] == [
        ["借 660201 41.86", "贷 2241 41.86 E0001"],
        ["借 660201 27.56", "贷 2241 27.56 E0001"],
    ]
    assert result.empty == (("2", VoucherKind.EXPENSE), ("3", VoucherKind.EXPENSE))
    assert result.problems == ()
    assert result.frames["documents"]["amount_minor"].tolist() == [4186, 2756, 0, 0]
    assert result.frames["lines"].empty


def test_nothing_of_a_form_stands_in_the_engine() -> None:
    seen = 0
    for path in (ROOT / "plugins/finbridge/mapping").glob("*.py"):
        text = path.read_text(encoding="utf-8").lower()
        seen += 1
        for word in ("cost_cent", "fylx", "cbzx", "formtable", "6602", "22210101", "expense_type", "entertain"):
            assert word not in text, (path.name, word)
    assert seen > 10
