"""What the OA's journal calls for: the checker's own reading, by rules of its own, in the journal's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Row = Mapping[str, Any]
Entries = Counter[tuple[str, str, str]]  # (account, side, party) -> minor units; a red entry is negative on its side


def minor(text: object, currency: str, rules: Row) -> int:
    """Text as minor units, half up. Raises ValueError if it is no amount or the currency is not known."""
    if currency not in rules["decimals"]:
        raise ValueError(f"currency {currency or '(none)'}")
    try:
        return int((Decimal(str(text)) * 10 ** int(rules["decimals"][currency])).quantize(Decimal(1), ROUND_HALF_UP))
    except InvalidOperation:
        raise ValueError("an amount that is no number") from None


@dataclass
class Approval:
    """A time in which a document was approved: the form at that moment, and the days of what happened."""

    dates: list[str]
    main: Row
    details: Mapping[str, list[Row]]
    lost_on: str | None = None
    moved_on: bool = False  # by the integration's own hand, past the posting node


@dataclass
class Claim:
    """One document of the OA with its history."""

    document_id: str
    approvals: list[Approval] = field(default_factory=list)
    paid: Approval | None = None  # the form and the day of the first payment while approved
    main: Row = field(default_factory=dict)  # the form as it is now
    node: str = ""

    @property
    def live(self) -> Approval | None:
        """The approval that holds now."""
        return self.approvals[-1] if self.approvals and self.approvals[-1].lost_on is None else None


def read_claims(oa_rows: Iterable[Row], rules: Row) -> dict[str, Claim]:
    """Fold the journal, row by row as it was committed; a log row told twice counts once."""
    claims: dict[str, Claim] = {}
    seen: set[tuple[str, str]] = set()
    for row in oa_rows:
        if str(row["workflow_id"]) not in rules["workflows"]:
            continue
        claim = claims.setdefault(str(row["request_id"]), Claim(str(row["request_id"])))
        claim.main, claim.node = row["main"], str(row["node"])
        for entry in row["log"]:
            if (claim.document_id, str(entry["id"])) not in seen:
                seen.add((claim.document_id, str(entry["id"])))
                _take(claim, row, entry, rules)
        if claim.live is not None and row["integration"] and row["kind"] == "submit":
            claim.live.moved_on = True
    return claims


def _take(claim: Claim, row: Row, entry: Row, rules: Row) -> None:
    live = claim.live
    if _is("approved", entry, rules):
        if live is None:
            claim.approvals.append(Approval([entry["date"]], row["main"], row["details"]))
        else:
            live.dates.append(entry["date"])
    elif _is("paid", entry, rules):
        if live is not None and claim.paid is None:
            claim.paid = Approval([entry["date"]], row["main"], row["details"])
    elif _is("lost", entry, rules) and live is not None:
        live.lost_on = entry["date"]


def _is(meaning: str, entry: Row, rules: Row) -> bool:
    return any(all(entry[name] == value for name, value in rule.items()) for rule in rules["log"][meaning])


def approved_minor(form: Approval, rules: Row) -> int:
    """The approved total in minor units."""
    main = form.main
    return minor(main[rules["main"]["approved"]], main[rules["main"]["currency"]], rules)


def expense_entries(form: Approval, rules: Row) -> Entries:
    """The entries of the expense voucher. Raises ValueError naming why this form can have none."""
    entries: Entries = Counter()
    currency = form.main[rules["main"]["currency"]]
    for line in form.details.get(rules["lines"]["table"], []):
        value = {name: str(line.get(column) or "") for name, column in rules["lines"]["columns"].items()}
        gross = minor(value["gross"], currency, rules)
        centre = next((main for prefix, main in rules["centres"].items() if value["centre"].startswith(prefix)), None)
        if centre is None or value["type"] not in rules["types"]:
            raise ValueError(f"unknown code {value['centre']}|{value['type']}")
        tax = _input_tax(value, gross, currency, rules)
        entries[(centre + rules["types"][value["type"]], "debit", "")] += gross - tax
        entries[(rules["vat"]["account"], "debit", "")] += tax
    entries.update(_payees(form, rules, "credit"))
    return _sound(entries, form, rules)


def _input_tax(value: Mapping[str, str], gross: int, currency: str, rules: Row) -> int:
    """VAT that may be deducted. Raises ValueError where it does not follow from gross and rate."""
    if value["invoice"] not in rules["vat"]["invoices"] or value["type"] not in rules["vat"]["types"]:
        return 0
    tax = minor(value["tax"] or "0", currency, rules)
    try:
        rate = Decimal(value["rate"])
    except InvalidOperation:
        raise ValueError("a VAT invoice without a rate") from None
    by_rate = int((gross * rate / (1 + rate)).quantize(Decimal(1), ROUND_HALF_UP))
    if abs(by_rate - tax) > minor(rules["vat"]["tolerance"], currency, rules):
        raise ValueError("VAT that does not follow from gross and rate")
    return tax


def payment_entries(form: Approval, rules: Row) -> Entries:
    """The entries of the payment voucher. Raises ValueError as :func:`expense_entries` does."""
    entries = _payees(form, rules, "debit")
    entries[(rules["bank"], "credit", "")] = sum(entries.values())
    return _sound(entries, form, rules)


def _payees(form: Approval, rules: Row, side: str) -> Entries:
    entries: Entries = Counter()
    for row in form.details.get(rules["payees"]["table"], []):
        value = {name: str(row.get(column) or "") for name, column in rules["payees"]["columns"].items()}
        if value["kind"] not in rules["payee_accounts"]:
            raise ValueError(f"unknown kind of payee {value['kind']}")
        amount = minor(value["amount"], form.main[rules["main"]["currency"]], rules)
        entries[(rules["payee_accounts"][value["kind"]], side, value["party"])] += amount
    return entries


def _sound(entries: Entries, form: Approval, rules: Row) -> Entries:
    approved = approved_minor(form, rules)
    for side in ("debit", "credit"):
        total = sum(amount for (_, own, _), amount in entries.items() if own == side)
        if total != approved:
            raise ValueError(f"{side} side {total} is not the approved total {approved}")
    return Counter({key: amount for key, amount in entries.items() if amount})
