"""Set a Tryton database up for finbridge over its own API: companies, chart, years, number series, parties, user.

Needs Python 3.11 and nothing else; may be run again at any time (what is there stays as it is, what is new is added)::

    python ledger/set_up.py --url http://127.0.0.1:8000 --database fin --spec spec.json

Passwords come from FINBRIDGE_LEDGER_ADMIN_PASSWORD and FINBRIDGE_LEDGER_PASSWORD, or from --admin-password and the
spec. The spec (JSON)::

    {"companies": [{"code": "1000", "name": "示例科技有限公司", "currency": "CNY", "time_zone": "Asia/Shanghai"}],
     "years": [2025, 2026], "journals": [{"code": "FIN", "name": "费用报销"}],
     "parties": [{"code": "E0001", "name": "张三"}],
     "accounts": [{"code": "660299", "name": "其他", "parent": "6602", "like": "660201"}],
     "cost_centres": [{"code": "CC-ADM-01", "name": "总经办"}],
     "currencies": ["USD"],
     "user": {"login": "finbridge", "name": "凭证集成", "password": "…"}}

``accounts`` (optional) adds accounts to the chart of every company; ``like`` names the account whose type it takes.
``cost_centres`` (optional) are those of every company.
``currencies`` (optional) are those of lines in another currency than the company's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a script from anywhere
from ledger.tryton_rpc import TrytonRpc

CHART = "企业会计准则科目表"
GROUP = "Finbridge Integration 凭证集成"
#: code -> name, symbol, numeric code, digits, rounding (ISO 4217)
CURRENCIES = {
    "CNY": ("人民币", "¥", "156", 2, "0.01"),
    "EUR": ("欧元", "€", "978", 2, "0.01"),
    "USD": ("美元", "$", "840", 2, "0.01"),
    "HKD": ("港元", "HK$", "344", 2, "0.01"),
    "JPY": ("日元", "JP¥", "392", 0, "1"),
}


class SetUp:
    """The steps, in the order of their needs. Each looks first and makes what is missing."""

    def __init__(self, rpc: TrytonRpc, spec: dict[str, Any]) -> None:
        self.rpc = rpc
        self.spec = spec
        self.companies: dict[str, int] = {}

    def run(self, password: str) -> None:
        """All steps."""
        for code in self.spec.get("currencies", ()):
            self.currency(code)
        for company in self.spec["companies"]:
            self.companies[company["code"]] = self.company(company)
        self.rpc.model(
            "res.user.write",
            [self.rpc.user_id],
            {"companies": [("add", list(self.companies.values()))], "company_filter": "all"},
        )
        for code in self.companies:
            self.chart(code)
            self.extra_accounts(code)
            self.cost_centres(code)
            for year in self.spec["years"]:
                self.year(code, year)
        self.journals()
        self.parties()
        self.user(password)

    def company(self, company: dict[str, str]) -> int:
        """A company with its party; found by its code."""
        found = self.rpc.search("company.company", ("code", "=", company["code"]))
        if found:
            return found[0]
        say(f"company {company['code']} {company['name']}")
        code = f"C{company['code']}"
        party = next(iter(self.rpc.search("party.party", ("code", "=", code))), None) or self.rpc.create(
            "party.party", {"name": company["name"], "code": code, "addresses": []}
        )
        return self.rpc.create(
            "company.company",
            {
                "party": party,
                "code": company["code"],
                "currency": self.currency(company["currency"]),
                "timezone": company["time_zone"],
            },
        )

    def currency(self, code: str) -> int:
        """A currency by its ISO code."""
        found = self.rpc.search("currency.currency", ("code", "=", code))
        if found:
            return found[0]
        name, symbol, numeric, digits, rounding = CURRENCIES[code]
        return self.rpc.create(
            "currency.currency",
            {
                "name": name,
                "symbol": symbol,
                "code": code,
                "numeric_code": numeric,
                "digits": digits,
                "rounding": {"__class__": "Decimal", "decimal": rounding},
            },
        )

    def chart(self, code: str) -> None:
        """The chart of accounts of a company, from the module's template."""
        company = self.companies[code]
        if self.rpc.search("account.account", ("company", "=", company), company=company):
            return
        say(f"chart of accounts of {code}")
        (template,) = self.rpc.search("account.account.template", ("name", "=", CHART), ("parent", "=", None))
        context = {"company": company}
        session, *_ = self.rpc.call("wizard.account.create_chart.create", [context])
        data: dict[str, Any] = {"account": {"company": company, "account_template": template}}
        self.rpc.call("wizard.account.create_chart.execute", [session, data, "create_account", context])
        accounts = self.accounts(company)
        data["properties"] = {
            "company": company,
            "account_receivable": accounts["1122"]["id"],
            "account_payable": accounts["2202"]["id"],
        }
        self.rpc.call("wizard.account.create_chart.execute", [session, data, "create_properties", context])
        self.rpc.call("wizard.account.create_chart.delete", [session, context])

    def accounts(self, company: int) -> dict[str, dict[str, Any]]:
        """Accounts of a company by code."""
        rows = self.rpc.read(
            "account.account", [("company", "=", company)], ["code", "type", "party_required"], company=company
        )
        return {row["code"]: row for row in rows if row["code"]}

    def extra_accounts(self, code: str) -> None:
        """The spec's own accounts, beside the template's."""
        company = self.companies[code]
        known = self.accounts(company)
        for account in self.spec.get("accounts", ()):
            if account["code"] in known:
                continue
            model = known[account["like"]]
            parent = known[account["parent"]]["id"] if account.get("parent") else None
            made = self.rpc.create(
                "account.account",
                {
                    "code": account["code"],
                    "name": account["name"],
                    "company": company,
                    "type": model["type"],
                    "party_required": model["party_required"],
                    "parent": parent,
                },
                company=company,
            )
            known[account["code"]] = {"id": made, **{k: model[k] for k in ("type", "party_required")}}

    def cost_centres(self, code: str) -> None:
        """Cost centres 成本中心 by code, in one call."""
        company = self.companies[code]
        wanted = {centre["code"]: centre["name"] for centre in self.spec.get("cost_centres", ())}
        there = self.rpc.read("finbridge.cost_centre", [("company", "=", company)], ["code"])
        missing = wanted.keys() - {row["code"] for row in there}
        if missing:
            self.rpc.model(
                "finbridge.cost_centre.create",
                [{"company": company, "code": name, "name": wanted[name]} for name in sorted(missing)],
            )

    def year(self, code: str, year: int) -> None:
        """A fiscal year with its own strict number series 记-YYYY- and twelve periods YYYY-MM."""
        company = self.companies[code]
        found = self.rpc.search(
            "account.fiscalyear", ("company", "=", company), ("name", "=", str(year)), company=company
        )
        if not found:
            say(f"year {year} of {code}")
            found = [self.make_year(code, year)]
        of_year = [("fiscalyear", "=", found[0])]
        if not self.rpc.search("account.period", *of_year, company=company):
            self.rpc.model("account.fiscalyear.create_period", found, company=company)
        for period in self.rpc.read("account.period", of_year, ["name", "start_date"], company=company):
            start = period["start_date"]
            name = f"{start['year']}-{start['month']:02d}"
            if period["name"] != name:
                self.rpc.model("account.period.write", [period["id"]], {"name": name}, company=company)

    def make_year(self, code: str, year: int) -> int:
        """The fiscal year and its number series."""
        company = self.companies[code]
        (kind,) = self.rpc.search("ir.sequence.type", ("name", "=", "Account Move"))
        series = {
            "name": f"记账凭证 {code} {year}",
            "sequence_type": kind,
            "company": company,
            "prefix": f"记-{year}-",
            "padding": 6,
        }
        fiscal_year = {
            "name": str(year),
            "start_date": wire_date(date(year, 1, 1)),
            "end_date": wire_date(date(year, 12, 31)),
            "company": company,
            "move_sequence": self.rpc.create("ir.sequence.strict", series, company=company),
        }
        return self.rpc.create("account.fiscalyear", fiscal_year, company=company)

    def journals(self) -> None:
        """Journals by code; they serve every company."""
        for journal in self.spec["journals"]:
            if not self.rpc.search("account.journal", ("code", "=", journal["code"])):
                self.rpc.create(
                    "account.journal",
                    {"code": journal["code"], "name": journal["name"], "type": journal.get("type", "general")},
                )

    def parties(self) -> None:
        """Parties 往来单位 by code, in one call."""
        wanted = {party["code"]: party["name"] for party in self.spec["parties"]}
        there = self.rpc.read("party.party", [("code", "in", list(wanted))], ["code"])
        missing = wanted.keys() - {row["code"] for row in there}
        if missing:
            say(f"{len(missing)} parties")
            self.rpc.model(
                "party.party.create",
                [{"code": code, "name": wanted[code], "addresses": []} for code in sorted(missing)],
            )

    def user(self, password: str) -> None:
        """The integration user: in its group alone, for these companies, with a password of its own."""
        user = self.spec["user"]
        (group,) = self.rpc.search("res.group", ("name", "=", GROUP))
        companies = list(self.companies.values())
        found = self.rpc.search("res.user", ("login", "=", user["login"]))
        if found:
            self.rpc.model(
                "res.user.write",
                found,
                {"companies": [("add", companies)], "groups": [("add", [group])], "password": password},
            )
            return
        say(f"user {user['login']}")
        self.rpc.create(
            "res.user",
            {
                "login": user["login"],
                "name": user["name"],
                "password": password,
                "groups": [("add", [group])],
                "companies": [("add", companies)],
                "company": companies[0],
                "company_filter": "all",
            },
        )


def wire_date(day: date) -> dict[str, object]:
    """A date as Tryton's JSON wants it."""
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Set a Tryton database up for finbridge.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--spec", required=True, type=Path)
    parser.add_argument("--admin-password", default=os.environ.get("FINBRIDGE_LEDGER_ADMIN_PASSWORD"))
    arguments = parser.parse_args()
    spec = json.loads(arguments.spec.read_text(encoding="utf-8"))
    password = os.environ.get("FINBRIDGE_LEDGER_PASSWORD") or spec["user"].get("password")
    if not arguments.admin_password or not password:
        parser.error("a password is missing: the administrator's and the integration user's are both needed")
    rpc = TrytonRpc(arguments.url, arguments.database, "admin", arguments.admin_password)
    SetUp(rpc, spec).run(password)


if __name__ == "__main__":
    main()
