"""Two journals as the OA and finance write them, built by what people and the integration do."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from tools.checker import Sets, check

ROOT = Path(__file__).resolve().parents[2]
RULES = json.loads((ROOT / "tools/checker/expense_claim.json").read_text(encoding="utf-8"))
DAY1, DAY2, DAY3 = "2026-11-22", "2026-11-23", "2026-12-01"
Row = dict[str, Any]


class World:
    """The OA's journal and finance's."""

    def __init__(self) -> None:
        self.oa: list[Row] = []
        self.finance: list[Row] = []
        self._forms: dict[str, Row] = {}
        self._log = 1000

    def draft(self, name: str, *, company: str = "1000", lines: list[Row] | None = None, **main: str) -> None:
        lines = lines or [line("CC-ADM-01", "TRAVEL", "106.00", "6.00"), line("CC-SAL-02", "WELFARE", "53.00", "3.00")]
        total = main.pop("hdje", f"{sum(float(row['hdje']) for row in lines):.2f}")
        self._forms[name] = {
            "node": "起草",
            "main": {"gsdm": company, "bz": "CNY", "hdje": total, "pzh": "", "gzrq": "", **main},
            "details": {
                "formtable_main_11_dt1": lines,
                "formtable_main_11_dt2": [payee("EMPLOYEE", "E0001", total)],
            },
        }
        self.act(name, "create", ("起草", "审批"), "提交", DAY1)

    def form(self, name: str) -> Row:
        return self._forms[name]

    def act(self, name: str, kind: str, way: tuple[str, str], operate: str | None, day: str, **flags: bool) -> None:
        """A step on the way from a node to a node."""
        form = self._forms[name]
        node, form["node"] = way
        log = []
        if operate:
            self._log += 1
            log = [{"id": str(self._log), "node": node, "operate_type": operate, "operator": "7", "date": day}]
        self.oa.append(
            {
                "seq": len(self.oa) + 1,
                "kind": kind,
                "request_id": name,
                "workflow_id": "101",
                "integration": flags.get("integration", False),
                "log": log,
                **copy.deepcopy(form),
            }
        )

    def approve(self, name: str, day: str = DAY1) -> None:
        self.act(name, "approve", ("审批", "财务过账"), "批准", day)

    def pay(self, name: str, day: str = DAY2) -> None:
        self.act(name, "pay", ("付款", "归档"), "批准", day)

    def lose(self, name: str, day: str = DAY2, operate: str = "退回") -> None:
        self.act(name, "reject", ("付款", "起草"), operate, day)

    def resubmit(self, name: str, day: str = DAY2) -> None:
        self.act(name, "submit", ("起草", "审批"), "提交", day)

    def write_back(self, name: str, number: str, day: str = DAY1) -> None:
        self._forms[name]["main"].update(pzh=number, gzrq=day)
        self.act(name, "save", ("", "财务过账"), None, day, integration=True)
        self.act(name, "submit", ("财务过账", "付款"), "提交", day, integration=True)

    def post(
        self, name: str, key: str, lines: list[Row], *, kind: str = "expense", day: str = DAY1, **more: Any
    ) -> Row:
        voucher = {
            "seq": len(self.finance) + 1,
            "company": self._forms[name]["main"]["gsdm"] if name in self._forms else "1000",
            "key": key,
            "kind": kind,
            "document_id": name,
            "number": f"记-2026-{len(self.finance) + 1:06d}",
            "date": day,
            "period": day[:7],
            "currency": "CNY",
            "reverses": None,
            "state": "posted",
            "lines": lines,
            **more,
        }
        self.finance.append(voucher)
        return voucher

    def reverse(self, voucher: Row, key: str, day: str = DAY2) -> Row:
        red = [
            {**ln, "debit": str(-float(ln["debit"])), "credit": str(-float(ln["credit"]))} for ln in voucher["lines"]
        ]
        return self.post(voucher["document_id"], key, red, kind="reversal", day=day, reverses=voucher["key"])

    def check(self, held: dict[str, list[str]] | None = None) -> Sets:
        return check(self.oa, self.finance, RULES, held or {})


def line(centre: str, kind: str, gross: str, tax: str, *, invoice: str = "SPECIAL", rate: str = "0.06") -> Row:
    return {"id": "1", "cbzx": centre, "fylx": kind, "hdje": gross, "se": tax, "sl": rate, "fpzl": invoice}


def payee(kind: str, code: str, amount: str) -> Row:
    return {"id": "9", "skrlx": kind, "skr": code, "skzh": "6222 0000", "zfje": amount}


def entry(account: str, debit: str, credit: str, party: str | None = None) -> Row:
    return {"account": account, "debit": debit, "credit": credit, "party": party, "department": ""}


def expense() -> list[Row]:
    return [
        entry("660201", "100.00", "0.00", "E0001"),  # a system may show the employee on expense lines too
        entry("22210101", "6.00", "0.00"),
        entry("660104", "53.00", "0.00"),
        entry("2241", "0.00", "159.00", "E0001"),
    ]


def payment() -> list[Row]:
    return [entry("2241", "159.00", "0.00", "E0001"), entry("1002", "0.00", "159.00")]
