"""The checker reads what the sandboxes really write; it and the claim mapping, written apart, agree on every claim."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.documents import EventKind, LogEntry, SourceDocument, canonical_content
from finbridge.core.ids import VoucherKind
from finbridge.core.money import to_text
from finbridge.core.ports import TranslationRequest
from finbridge.core.vouchers import Side, Voucher, red_reversal
from finbridge.mapping import load_translator, read_code_files

from tests.contract.sandbox_process import ROOT, SandboxProcess
from tools.checker import Sets, check

RULES = json.loads((ROOT / "tools" / "checker" / "expense_claim.json").read_text(encoding="utf-8"))
LINES, PAYEES = "formtable_main_11_dt1", "formtable_main_11_dt2"
APPROVED, LOST, PAID = ("2026-11-20", "10:00:00"), ("2026-11-21", "09:00:00"), ("2026-12-02", "17:31:00")
COUNT = 60


@pytest.fixture
def oa(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path / "oa")) as process:
        yield process


@pytest.fixture
def finance(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess("sandbox.journal", "--control-port", "0", "--data", str(tmp_path / "fin")) as process:
        yield process


def claim(chance: random.Random, number: int) -> dict[str, Any]:
    """A claim as a form: any cost centre, type, invoice, a refund now and then, one or two payees."""
    lines: list[dict[str, str]] = []
    total = 0
    for _ in range(chance.randint(1, 4)):
        gross = chance.randint(100, 500_000) * chance.choice([1, 1, 1, 1, -1 if lines else 1])
        gross = gross if total + gross > 0 else -gross
        rate = chance.choice([3, 6, 9, 13])
        total += gross
        lines.append(
            {
                "fylx": chance.choice(["TRAVEL", "OFFICE", "ENTERTAIN", "WELFARE", "ALLOWANCE"]),
                "cbzx": f"CC-{chance.choice(['ADM', 'SAL', 'PRD', 'RND'])}-0{chance.randint(1, 2)}",
                "fyrq": "2026-11-18",
                "sqje": to_text(gross, "CNY"),
                "hdje": to_text(gross, "CNY"),
                "se": to_text(round(gross * rate / (100 + rate)), "CNY"),
                "sl": f"0.{rate:02}",
                "fpzl": chance.choice(["SPECIAL", "SPECIAL", "ORDINARY", "NONE"]),
            }
        )
    first = chance.randint(0, total)
    payees = [("EMPLOYEE", f"E{chance.randint(1, 40):04}", first), ("SUPPLIER", "S0003", total - first)]
    return {
        "key": f"K{number}",
        "workflow_id": chance.choice(["101", "102"]),
        "request_name": f"报销 {number}",
        "creator": "7",
        "main": {
            "djbh": f"BX{number:04}",
            "sqr": "E0007",
            "gsdm": chance.choice(["1000", "2000"]),
            "ywrq": "2026-11-19",
            "bz": "CNY",
            "bzje": to_text(total, "CNY"),
            "hdje": to_text(total, "CNY"),
        },
        "details": {
            LINES: lines,
            PAYEES: [{"skrlx": k, "skr": c, "zfje": to_text(a, "CNY")} for k, c, a in payees if a],
        },
    }


def log(node: str, operate: str, at: tuple[str, str]) -> list[dict[str, str]]:
    return [{"node": node, "operate_type": operate, "operator": "500", "date": at[0], "time": at[1]}]


def journal(process: SandboxProcess) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = process.control("GET", "/journal?after=0&limit=100000")
    return rows


def vouchers(forms: dict[str, dict[str, Any]], kind: VoucherKind, at: tuple[str, str]) -> dict[str, Voucher]:
    """What the product's mapping makes of the forms."""
    translator = load_translator(ROOT / "include" / "mappings" / "weaver_tryton" / "expense_claim.v1.yaml")
    requests = []
    for document_id, one in forms.items():
        details = {t: tuple({"_row": str(n), **r} for n, r in enumerate(rows)) for t, rows in one["details"].items()}
        document = SourceDocument(document_id, one["workflow_id"], "", "", one["main"], details, (), b"")
        event = EventKind.APPROVED if kind is VoucherKind.EXPENSE else EventKind.PAID
        requests.append(
            TranslationRequest(
                document_id=document_id,
                kind=kind,
                cause=LogEntry(f"L{document_id}{kind}", event, datetime.fromisoformat(" ".join(at))),
                company=one["main"]["gsdm"],
                source="weaver:oa",
                business_number=one["main"]["djbh"],
                currency="CNY",
                canonical=canonical_content(document, translator.main_fields, translator.detail_fields),
            )
        )
    made = translator.translate(requests, read_code_files(ROOT / "include" / "codes" / "weaver_tryton"))
    assert made.problems == ()
    return {voucher.identity.document_id: voucher for voucher in made.vouchers}


def wire(voucher: Voucher) -> dict[str, Any]:
    lines = []
    for own in voucher.lines:
        amounts = {"debit": "0", "credit": "0"}
        amounts["debit" if own.side is Side.DEBIT else "credit"] = to_text(own.local_amount_minor, "CNY")
        lines.append({"account": own.account, "party": own.party or "", **amounts})
    return {
        "key": voucher.key,
        "company": voucher.identity.company,
        "kind": voucher.identity.kind.value,
        "document_id": voucher.identity.document_id,
        "posting_date": voucher.posting_date.isoformat(),
        "currency": voucher.currency,
        "reverses": voucher.reverses_key,
        "lines": lines,
    }


def post(finance: SandboxProcess, made: list[Voucher]) -> None:
    results = finance.control("POST", "/vouchers", {"vouchers": [wire(voucher) for voucher in made]})["results"]
    assert {result["outcome"] for result in results} == {"accepted"}, results


def test_checker_and_mapping_agree_on_every_claim(oa: SandboxProcess, finance: SandboxProcess) -> None:
    chance = random.Random(20261122)
    items = [claim(chance, number) for number in range(COUNT)]
    approve = log("审批", "批准", APPROVED)
    new = [{**item, "node": "财务过账", "log": approve} for item in items]
    ids = oa.control("POST", "/impose", {"items": new})["request_ids"]
    forms = dict(zip(ids, items, strict=True))
    rejected, paid = ids[:10], ids[10:30]

    def sets() -> Sets:
        return check(journal(oa), journal(finance), RULES, {})

    empty = sets()
    assert set(empty.lost) == set(ids)
    assert all("expense voucher" in reasons[0] for reasons in empty.lost.values()), dict(empty.lost)

    expense = vouchers(forms, VoucherKind.EXPENSE, APPROVED)
    post(finance, list(expense.values()))
    posted = sets()
    assert (dict(posted.wrong), dict(posted.doubled), dict(posted.unexplained), posted.turnover) == ({}, {}, {}, [])
    assert all("was not written back" in reasons[0] for reasons in posted.lost.values())

    numbers = {row["document_id"]: (row["number"], row["date"]) for row in journal(finance)}
    write = [{"request_id": i, "main": {"pzh": numbers[i][0], "gzrq": numbers[i][1]}} for i in ids]
    pay = [{"request_id": i, "node": "归档", "log": log("付款", "批准", PAID)} for i in paid]
    reject = [{"request_id": i, "node": "起草", "log": log("付款", "退回", LOST)} for i in rejected]
    oa.control("POST", "/impose", {"items": [*write, *pay, *reject]})
    before = sets()
    assert set(before.lost) == {*paid, *rejected}

    payments = vouchers({i: forms[i] for i in paid}, VoucherKind.PAYMENT, PAID)
    red = [red_reversal(expense[i], date.fromisoformat(LOST[0]), "红字冲销") for i in rejected]
    post(finance, [*payments.values(), *red])
    after = sets()
    assert after.clean, [dict(getattr(after, name)) for name in ("lost", "doubled", "wrong", "unexplained")]
    assert after.moved == COUNT
    assert sum(counter["posted"] for counter in after.sums.values()) == sum(
        voucher.debit_minor for name, voucher in expense.items() if name not in rejected
    )
