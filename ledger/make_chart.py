"""Make finbridge_bridge/chart_cn.xml from chart_cn.csv (code, name, type, parent, party).

A row without a type is a heading 非末级科目: Tryton takes no line on it. ``party`` = 1: every line names a party.
Run after a change of the list: ``python ledger/make_chart.py``; a test compares the two files.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.sax.saxutils import escape

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!-- Made by make_chart.py from chart_cn.csv. -->
<tryton>
    <data>
"""
HERE = Path(__file__).resolve().parent
#: id -> name, parent, statement, flags of account.account.type.template
TYPES = {
    "asset": ("资产", "", "balance", ("assets",)),
    "cash": ("货币资金", "asset", "balance", ("assets",)),
    "receivable": ("应收款项", "asset", "balance", ("assets", "receivable")),
    "liability": ("负债", "", "balance", ()),
    "payable": ("应付款项", "liability", "balance", ("payable",)),
    "tax": ("应交税费", "liability", "balance", ()),
    "equity": ("所有者权益", "", "balance", ()),
    "cost": ("成本", "", "balance", ("assets",)),
    "revenue": ("收入", "", "income", ("revenue",)),
    "expense": ("费用", "", "income", ("expense",)),
}


def record(model: str, record_id: str, fields: list[tuple[str, str, str]]) -> str:
    """One <record>; a field is (name, how: text | ref | eval, value)."""
    lines = [f'        <record model="{model}" id="{record_id}">']
    for name, how, value in fields:
        if how == "text":
            lines.append(f'            <field name="{name}">{escape(value)}</field>')
        else:
            lines.append(f'            <field name="{name}" {how}="{escape(value)}"/>')
    return "\n".join([*lines, "        </record>"])


def types() -> list[str]:
    """Account types, root first."""
    model = "account.account.type.template"
    records = [record(model, "cn_type_root", [("name", "text", "企业会计准则科目类型")])]
    for number, (key, (name, parent, statement, flags)) in enumerate(TYPES.items()):
        fields = [
            ("name", "text", name),
            ("parent", "ref", f"cn_type_{parent or 'root'}"),
            ("sequence", "eval", str(number * 10)),
            ("statement", "text", statement),
            *((flag, "eval", "True") for flag in flags),
        ]
        records.append(record(model, f"cn_type_{key}", fields))
    return records


def accounts(rows: list[dict[str, str]]) -> list[str]:
    """Accounts in the list's order: a parent stands before its children."""
    model = "account.account.template"
    root = [("name", "text", "企业会计准则科目表"), ("type", "ref", "cn_type_root")]
    records = [record(model, "cn_root", root)]
    for row in rows:
        fields = [
            ("code", "text", row["code"]),
            ("name", "text", row["name"]),
            ("parent", "ref", f"cn_{row['parent'] or 'root'}"),
        ]
        if row["type"]:
            fields.append(("type", "ref", f"cn_type_{row['type']}"))
        if row["type"] in ("receivable", "payable") or row["party"] == "1":
            fields.append(("reconcile", "eval", "True"))
        if row["party"] == "1":
            fields.append(("party_required", "eval", "True"))
        records.append(record(model, f"cn_{row['code']}", fields))
    return records


def chart(text: str) -> str:
    """The XML file for the text of the CSV file."""
    rows = list(csv.DictReader(io.StringIO(text)))
    body = "\n".join([*types(), *accounts(rows)])
    return f"{HEAD}{body}\n    </data>\n</tryton>\n"


if __name__ == "__main__":
    source = (HERE / "chart_cn.csv").read_text(encoding="utf-8")
    (HERE / "finbridge_bridge" / "chart_cn.xml").write_text(chart(source), encoding="utf-8")
