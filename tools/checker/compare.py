"""What the OA calls for against what finance shows: the four sets, and turnover per side."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tools.checker.claims import (
    Approval,
    Claim,
    Entries,
    Row,
    approved_minor,
    expense_entries,
    minor,
    payment_entries,
    read_claims,
)
from tools.checker.payments import Month, Statuses

Rule = Callable[[Approval, Row], Entries]
Turnover = Counter[tuple[str, str, str, str]]  # (company, currency, account, side) -> minor units
_HEAD = ("company", "kind", "document_id", "number", "date", "period", "currency", "reverses", "state")


@dataclass
class Sets:
    """Ids with their reasons. ``named`` are approved documents that the run itself says it holds, and holds."""

    lost: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    doubled: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unexplained: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    named: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sums: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    turnover: list[str] = field(default_factory=list)
    tampered: list[str] = field(default_factory=list)  # of an audit pack, where one was given
    moved: int = 0
    statuses: int = 0  # requests whose payment status the OA shows
    moved_in: Counter[str] = field(default_factory=Counter)  # documents with vouchers, by accounting period

    @property
    def clean(self) -> bool:
        """Whether all four sets are empty, turnover agrees and no evidence was touched."""
        return not (self.lost or self.doubled or self.wrong or self.unexplained or self.turnover or self.tampered)


def check(
    oa_rows: Iterable[Row],
    finance_rows: Iterable[Row],
    rules: Row,
    held: Mapping[str, list[str]],
    status_months: Iterable[Month] = (),
) -> Sets:
    """Compare the journals.

    Args:
        oa_rows: the OA's journal in commit order.
        finance_rows: finance's journal in any order.
        rules: a rules file, e.g. ``expense_claim.json``.
        held: documents that the run says it holds, with its reasons.
        status_months: (company, period) whose payment statuses the OA must show, all of them and as of now.
    """
    statuses, vouchers = Statuses(rules), list(finance_rows)
    comparison = _Comparison(read_claims(statuses.sift(oa_rows), rules), vouchers, rules, held)
    sets = comparison.run()

    def say(which: str, name: str, reason: str) -> None:
        getattr(sets, which)[name].append(reason)

    sets.statuses = statuses.compare(vouchers, frozenset(status_months), say)
    return sets


class _Comparison:
    def __init__(
        self, claims: Mapping[str, Claim], vouchers: list[Row], rules: Row, held: Mapping[str, list[str]]
    ) -> None:
        self.claims, self.vouchers, self.rules = claims, vouchers, rules
        # a remark stands beside vouchers (e.g. paid twice); it excuses nothing
        self.held = {
            name: [r for r in reasons if not re.fullmatch(rules["remarks"], r)] for name, reasons in held.items()
        }
        self.sets = Sets()
        self.by_key: dict[str, Row] = {}
        self.reversals: dict[str, list[Row]] = defaultdict(list)
        self.expected: Turnover = Counter()

    def run(self) -> Sets:
        by_document: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for voucher in self.vouchers:
            if voucher["document_id"] not in self.claims or voucher["kind"] not in {"expense", "payment", "reversal"}:
                name = str(voucher["key"] or voucher["number"])
                self.sets.unexplained[name].append(f"no OA document {voucher['document_id']!r} calls for it")
                continue
            if voucher["key"] in self.by_key:
                self._again(self.by_key[voucher["key"]], voucher)
            self.by_key[voucher["key"]] = voucher
            by_document[voucher["document_id"]][voucher["kind"]].append(voucher)
            self._sound(voucher)
        self.sets.moved = len(by_document)
        of_period = {(v["period"], v["document_id"]) for v in self.vouchers if v["document_id"] in by_document}
        self.sets.moved_in.update(period for period, _ in of_period)
        for document_id, claim in self.claims.items():
            found = by_document.get(document_id, {})
            self._reversals(claim, found.get("reversal", []))
            self._expense(claim, found.get("expense", []))
            self._payment(claim, found.get("payment", []))
            live = self._live(found.get("expense", []))
            if live and self.held.get(document_id) and document_id not in self.sets.named:
                self._say("wrong", document_id, f"held ({', '.join(self.held[document_id])}) and yet posted", live)
        self._turnover()
        return self.sets

    # ------------------------------------------------------------ one document

    def _expense(self, claim: Claim, vouchers: list[Row]) -> None:
        name = claim.document_id
        if vouchers and not claim.approvals:
            self._say("unexplained", name, "the document was never approved", vouchers)
            return
        if len(vouchers) > len(claim.approvals):
            self._say("doubled", name, "more expense vouchers than approvals", vouchers)
        for voucher in vouchers:
            if voucher["key"] in self.reversals:
                self._content(claim, voucher, [a for a in claim.approvals if a.lost_on], expense_entries)
        live = self._live(vouchers)
        if claim.live is not None and self._amount(claim.live):
            self._one_live(claim, claim.live, live)
        elif live and claim.live is None:
            self._say("lost", name, "the approval is gone; the reversal is missing", live)
        elif live:
            self._say("unexplained", name, "0.00 never posts", live)

    def _one_live(self, claim: Claim, form: Approval, live: list[Row]) -> None:
        if not live:
            self._missing(claim, form, "expense voucher", expense_entries)
        elif len(live) > 1:
            self._say("doubled", claim.document_id, "more than one live expense voucher", live)
        else:
            self._content(claim, live[0], [form], expense_entries)
            self._written_back(claim, form, live[0])
            self._add("posted", form, expense_entries)

    def _live(self, vouchers: list[Row]) -> list[Row]:
        return [voucher for voucher in vouchers if voucher["key"] not in self.reversals]

    def _payment(self, claim: Claim, vouchers: list[Row]) -> None:
        if claim.paid is None or not self._amount(claim.paid):
            if vouchers:
                self._say("unexplained", claim.document_id, "a payment voucher that no payment calls for", vouchers)
        elif not vouchers:
            self._missing(claim, claim.paid, "payment voucher", payment_entries)
        elif len(vouchers) > 1:
            self._say("doubled", claim.document_id, "more than one payment voucher", vouchers)
        else:
            self._content(claim, vouchers[0], [claim.paid], payment_entries)
            self._add("paid", claim.paid, payment_entries)

    def _reversals(self, claim: Claim, vouchers: list[Row]) -> None:
        days = {approval.lost_on for approval in claim.approvals if approval.lost_on}
        for voucher in vouchers:
            original = self.by_key.get(voucher["reverses"] or "")
            if original is None or original["kind"] != "expense" or original["document_id"] != claim.document_id:
                self._say("unexplained", claim.document_id, "reverses no expense voucher of this document", [voucher])
                continue
            self.reversals[original["key"]].append(voucher)
            if len(self.reversals[original["key"]]) > 1:
                self._say("doubled", claim.document_id, f"{original['key']} is reversed more than once", [voucher])
            before, after = self._entries(original), self._entries(voucher)
            if {key: -amount for key, amount in before.items()} != after:
                swapped = {
                    (acc, "credit" if side == "debit" else "debit", p): n for (acc, side, p), n in before.items()
                }
                what = "sides swapped, not red" if swapped == after else "not the original with a minus"
                self._say("wrong", claim.document_id, f"reversal: {what}", [voucher])
            if voucher["date"] not in days:
                self._say("wrong", claim.document_id, "reversal: not on a day when the approval was lost", [voucher])
            if any(voucher[name] != original[name] for name in ("company", "currency")):
                self._say("wrong", claim.document_id, "reversal: other company or currency", [voucher])

    # ------------------------------------------------------------ one voucher

    def _again(self, before: Row, voucher: Row) -> None:
        """A key that stands in the journal twice: the same voucher again, or one that was changed after posting."""
        same = all(before[name] == voucher[name] for name in _HEAD) and self._entries(before) == self._entries(voucher)
        if same:
            self._say("doubled", voucher["document_id"], "the same key twice", [voucher])
        else:
            self._say("wrong", voucher["document_id"], "changed after posting: its key again, other content", [voucher])

    def _sound(self, voucher: Row) -> None:
        """What holds for every voucher whatever it is for."""
        name, entries = voucher["document_id"], self._entries(voucher)
        sides = {side: sum(n for (_, own, _), n in entries.items() if own == side) for side in ("debit", "credit")}
        if sides["debit"] != sides["credit"]:
            self._say("wrong", name, "debit and credit differ", [voucher])
        if voucher["period"] != voucher["date"][:7]:
            self._say("wrong", name, f"period {voucher['period']} for {voucher['date']}", [voucher])
        if voucher["state"] != "posted":
            self._say("wrong", name, f"state {voucher['state']}", [voucher])

    def _content(self, claim: Claim, voucher: Row, forms: list[Approval], rule: Rule) -> None:
        """The voucher must be what one of the forms calls for; else the differences to the last one are named."""
        differences = [self._differences(voucher, form, rule) for form in forms]
        if differences and all(differences):
            for difference in differences[-1]:
                self._say("wrong", claim.document_id, difference, [voucher])

    def _differences(self, voucher: Row, form: Approval, rule: Rule) -> list[str]:
        names, found = self.rules["main"], []
        for name in ("company", "currency"):
            if voucher[name] != form.main[names[name]]:
                found.append(f"{name} {voucher[name]}, not {form.main[names[name]]}")
        if voucher["date"] not in form.dates:
            found.append(f"posting date {voucher['date']}, not {' or '.join(form.dates)}")
        try:
            wanted = rule(form, self.rules)
        except ValueError as error:
            found.append(f"posted although the form allows none: {error}")
            return found
        has = self._entries(voucher)
        for account, side, party in sorted(set(wanted) | set(has)):
            key = (account, side, party)
            if wanted[key] != has[key]:
                found.append(f"{account} {side} {party or '-'}: {has[key]}, not {wanted[key]}")
        return found

    def _written_back(self, claim: Claim, form: Approval, voucher: Row) -> None:
        names = self.rules["main"]
        number, day = claim.main.get(names["number"]) or "", claim.main.get(names["posting_date"]) or ""
        if claim.node == self.rules["posting_node"] or form.moved_on:
            if not number:
                self._say("lost", claim.document_id, f"number {voucher['number']} was not written back", [voucher])
            elif (number, day) != (voucher["number"], voucher["date"]):
                self._say(
                    "wrong",
                    claim.document_id,
                    f"the form says {number} {day}, finance {voucher['number']} {voucher['date']}",
                    [voucher],
                )

    # ------------------------------------------------------------ helpers

    def _entries(self, voucher: Row) -> Entries:
        """A voucher's turnover by account, side and party; parties count on the payees' accounts only."""
        entries: Entries = Counter()
        with_party = set(self.rules["payee_accounts"].values())
        currency = voucher["currency"] if voucher["currency"] in self.rules["decimals"] else "CNY"
        for line in voucher["lines"]:
            for side in ("debit", "credit"):
                party = line.get("party") or "" if line["account"] in with_party else ""
                entries[(line["account"], side, party)] += minor(line[side], currency, self.rules)
        return Counter({key: amount for key, amount in entries.items() if amount})

    def _amount(self, form: Approval) -> int:
        """The approved total; 0 posts nothing. One that cannot be read is not 0: its voucher is missing."""
        try:
            return approved_minor(form, self.rules)
        except ValueError:
            return 1

    def _missing(self, claim: Claim, form: Approval, what: str, rule: Rule) -> None:
        try:
            rule(form, self.rules)
            reason = f"{what} of {form.main[self.rules['main']['approved']]} is missing"
        except ValueError as error:
            reason = f"{what} is missing ({error})"
        held = self.held.get(claim.document_id)
        (self.sets.named if held else self.sets.lost)[claim.document_id].append(
            f"{', '.join(held)}: {reason}" if held else reason
        )
        self._add("held" if held else "lost", form, None)

    def _say(self, which: str, name: str, reason: str, vouchers: list[Row]) -> None:
        keys = ", ".join(str(voucher["key"]) for voucher in vouchers)
        getattr(self.sets, which)[name].append(f"{reason} [{keys}]")

    def _add(self, what: str, form: Approval, rule: Rule | None) -> None:
        """Into the sums, and into the turnover that finance must show."""
        company, currency = (form.main[self.rules["main"][name]] for name in ("company", "currency"))
        self.sets.sums[(company, currency)][what] += self._amount(form)
        try:
            wanted = rule(form, self.rules) if rule else {}
        except ValueError:
            return  # said already: posted although the form allows none
        for (account, side, _), amount in wanted.items():
            self.expected[(company, currency, account, side)] += amount

    def _turnover(self) -> None:
        """Turnover 发生额 of each account and side: a red reversal takes it back, swapped sides blow it up."""
        has: Turnover = Counter()
        for voucher in self.vouchers:
            for (account, side, _), amount in self._entries(voucher).items():
                has[(voucher["company"], voucher["currency"], account, side)] += amount
                self.sets.sums[(voucher["company"], voucher["currency"])][f"turnover_{side}"] += amount
        for key in sorted(set(has) | set(self.expected)):
            if has[key] != self.expected[key]:
                self.sets.turnover.append(f"{' '.join(key)}: {has[key]}, not {self.expected[key]}")
