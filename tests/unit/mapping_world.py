"""Claims as the OA gives them, for the tests of the mapping."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.ids import VoucherKind
from finbridge.core.money import to_text
from finbridge.core.ports import CodeRow, TranslationRequest
from finbridge.core.vouchers import Side, Voucher
from finbridge.mapping import read_code_files
from finbridge.mapping.engine import DuckTranslator, load_translator

ROOT = Path(__file__).resolve().parents[2]
EXPENSE_CLAIM = ROOT / "include/mappings/weaver_tryton/expense_claim.v1.yaml"
LINES, PAYEES = "formtable_main_11_dt1", "formtable_main_11_dt2"
POSTED_ON = date(2026, 11, 2)


@functools.cache
def expense_translator() -> DuckTranslator:
    """Compiled once a process."""
    return load_translator(EXPENSE_CLAIM)


@functools.cache
def expense_codes() -> tuple[CodeRow, ...]:
    """The code tables that the project ships."""
    return tuple(read_code_files(ROOT / "include/codes/weaver_tryton"))


#: The order in which :func:`line` takes values, and what stands where none is given.
_LINE = {"fylx": "TRAVEL", "cbzx": "CC-ADM-01", "hdje": "100.00", "se": "0.00", "sl": "0", "fpzl": "NONE"}


def line(*values: str, **changes: str) -> dict[str, str]:
    """An expense line as on the form: type, cost centre, approved, tax, rate, invoice kind, claimed."""
    row = _LINE | dict(zip([*_LINE, "sqje"], values, strict=False))
    return {"fyrq": "2026-10-10", "sqje": row["hdje"]} | row | changes


def payee(code: str = "E0001", amount: str = "100.00", **changes: str) -> dict[str, str]:
    """A payee; employees' codes begin with E."""
    return {"skrlx": "SUPPLIER" if code.startswith("S") else "EMPLOYEE", "skr": code, "zfje": amount} | changes


def canonical(lines: Sequence[Mapping[str, str]], payees: Sequence[Mapping[str, str]], **main: str | None) -> bytes:
    """A claim's content; the approved total is the sum of its lines unless it is given."""
    total = str(sum((Decimal(row["hdje"]) for row in lines), Decimal(0))) if "hdje" not in main else main["hdje"]
    fields: dict[str, str | None] = {
        "djbh": "BX20261001",
        "sqr": "E0001",
        "sqrxm": "张三",
        "gsdm": "1000",
        "bm": "财务部",
        "sy": "上海差旅费",
        "fjzs": "3",
        "ywrq": "2026-10-15",
        "bz": "CNY",
        "bzje": total,
        "hdje": total,
        **main,
    }
    numbered = {
        LINES: [{"_row": str(11 + i), **row} for i, row in enumerate(lines)],
        PAYEES: [{"_row": str(51 + i), **row} for i, row in enumerate(payees)],
    }
    return json.dumps({"template": "101", "main": fields, "details": numbered}, ensure_ascii=False).encode()


def request(
    content: bytes,
    document_id: str = "90001",
    kind: VoucherKind = VoucherKind.EXPENSE,
    *,
    company: str = "1000",
    currency: str = "CNY",
    on: date = POSTED_ON,
    cause: str = "7001",
) -> TranslationRequest:
    """Ask for one voucher."""
    event = EventKind.APPROVED if kind is VoucherKind.EXPENSE else EventKind.PAID
    return TranslationRequest(
        document_id=document_id,
        kind=kind,
        cause=LogEntry(cause, event, datetime.combine(on, time(23, 59, 59)), "审批", "批准", "500"),
        company=company,
        source="weaver:test",
        business_number="BX20261001",
        currency=currency,
        canonical=content,
    )


def written(voucher: Voucher) -> list[str]:
    """Lines as accountants write them: ``借 660201 860.00``, with the party behind."""
    return [
        " ".join(
            [
                "借" if ln.side is Side.DEBIT else "贷",
                ln.account,
                to_text(ln.local_amount_minor, ln.currency),
                *([ln.party] if ln.party else []),
            ]
        )
        for ln in voucher.lines
    ]


def code(
    table: str, key: str, target: str, start: date = date(2000, 1, 1), end: date | None = None, *, company: str = ""
) -> CodeRow:
    """A code row, by default for every company and always valid."""
    return CodeRow(table=table, company=company, code=key, target=target, valid_from=start, valid_to=end)
