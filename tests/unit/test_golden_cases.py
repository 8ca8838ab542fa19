"""The accounting model's cases, worked out by hand, against the mapping that the project ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finbridge.core.ids import VoucherKind
from finbridge.core.vouchers import Voucher
from ruamel.yaml import YAML

from tests.unit.mapping_world import canonical, expense_codes, expense_translator, line, payee, request, written

GOLDEN = Path(__file__).resolve().parents[1] / "fixtures/golden/expense_claim.v1.yaml"
CASES: list[dict[str, Any]] = YAML(typ="safe").load(GOLDEN.read_text(encoding="utf-8"))


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["case"].partition(" / ")[2]) for case in cases]


def translate(case: dict[str, Any], *kinds: VoucherKind) -> dict[VoucherKind, Voucher]:
    content = canonical(
        [line(*row) for row in case["lines"]], [payee(*row) for row in case["payees"]], **case.get("main", {})
    )
    result = expense_translator().translate([request(content, kind=kind) for kind in kinds], expense_codes())
    assert result.problems == ()
    assert result.empty == ()
    return {voucher.identity.kind: voucher for voucher in result.vouchers}


def test_every_case_of_the_first_flow_is_here() -> None:
    assert {case["case"].partition(":")[0] for case in CASES} >= {"2", "9", "11", "12"}
    assert len(CASES) >= 14


@pytest.mark.parametrize("case", named(CASES))
def test_the_expense_voucher(case: dict[str, Any]) -> None:
    voucher = translate(case, VoucherKind.EXPENSE)[VoucherKind.EXPENSE]
    assert written(voucher) == case["expense"]
    assert voucher.debit_minor == voucher.credit_minor
    for number, dimensions in case.get("dimensions", {}).items():
        assert dict(voucher.lines[number - 1].dimensions) == dimensions
    for name, value in case.get("header", {}).items():
        assert getattr(voucher, name) == value, name


@pytest.mark.parametrize("case", named([case for case in CASES if "payment" in case]))
def test_the_payment_voucher(case: dict[str, Any]) -> None:
    made = translate(case, VoucherKind.EXPENSE, VoucherKind.PAYMENT)
    assert set(made) == {VoucherKind.EXPENSE, VoucherKind.PAYMENT}
    payment = made[VoucherKind.PAYMENT]
    assert written(payment) == case["payment"]
    assert payment.key != made[VoucherKind.EXPENSE].key
    assert payment.summary == "付款 BX20261001"


def test_a_voucher_says_which_mapping_and_which_rows_made_it() -> None:
    case = next(c for c in CASES if "input VAT on one line" in c["case"])
    voucher = translate(case, VoucherKind.EXPENSE)[VoucherKind.EXPENSE]
    assert voucher.mapping == expense_translator().stamp
    assert voucher.mapping is not None
    assert voucher.mapping.mapping_id == "weaver_tryton/expense_claim"
    assert len(voucher.mapping.sha256) == 64
    assert [ln.source_lines for ln in voucher.lines] == [
        ("lines:11",),
        ("lines:12",),
        ("lines:13",),
        ("lines:11", "lines:13"),  # the VAT of the two deductible rows, and not of the entertainment between them
        ("payees:51",),
    ]
    assert {ln.summary for ln in voucher.lines} == {voucher.summary}
