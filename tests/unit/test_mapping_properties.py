"""Whatever a claim holds: its voucher balances, posts what was approved, and is what plain arithmetic says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from finbridge.core.ids import VoucherKind
from finbridge.core.money import to_text
from finbridge.core.vouchers import Voucher
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mapping_world import canonical, expense_codes, expense_translator, line, payee, request

FIRST = {"ADM": "6602", "SAL": "6601", "PRD": "5101", "RND": "5301"}
LAST = {"TRAVEL": "01", "OFFICE": "02", "ENTERTAIN": "03", "WELFARE": "04", "ALLOWANCE": "05"}
Entries = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Row:
    kind: str
    centre: str
    gross: int
    tax: int
    invoice: str


@dataclass(frozen=True)
class Claim:
    rows: tuple[Row, ...]
    payees: tuple[tuple[str, int], ...]

    @property
    def approved(self) -> int:
        return sum(row.gross for row in self.rows)

    def content(self) -> bytes:
        lines = [
            line(r.kind, f"CC-{r.centre}-01", yuan(r.gross), yuan(r.tax), "0.06", r.invoice, "99999.99")
            for r in self.rows
        ]
        return canonical(lines, [payee(name, yuan(amount)) for name, amount in self.payees], hdje=yuan(self.approved))

    def entries(self) -> Entries:
        """By plain arithmetic, from the chart and the rule in words."""
        made: Entries = Counter()
        for row in self.rows:
            tax = row.tax if row.invoice == "SPECIAL" and row.kind in ("TRAVEL", "OFFICE") else 0
            made[FIRST[row.centre] + LAST[row.kind], "D", ""] += row.gross - tax
            made["22210101", "D", ""] += tax
        for name, amount in self.payees:
            made["2202" if name.startswith("S") else "2241", "C", name] += amount
        return Counter({key: amount for key, amount in made.items() if amount})

    def payment(self) -> Entries:
        made: Entries = Counter()
        for name, amount in self.payees:
            made["2202" if name.startswith("S") else "2241", "D", name] += amount
        made["1002", "C", ""] = self.approved
        return Counter({key: amount for key, amount in made.items() if amount})


def yuan(cents: int) -> str:
    return to_text(cents, "CNY")


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    gross = st.integers(-50_000, 500_000)
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        amount = draw(gross)
        tax = draw(st.integers(0, abs(amount) // 5)) * (1 if amount > 0 else -1)
        kind, centre = draw(st.sampled_from(sorted(LAST))), draw(st.sampled_from(sorted(FIRST)))
        rows.append(Row(kind, centre, amount, tax, draw(st.sampled_from(["SPECIAL", "ORDINARY", "NONE"]))))
    left = sum(row.gross for row in rows)
    names = draw(st.lists(st.sampled_from(["E0001", "E0002", "S0001", "S0010"]), min_size=1, max_size=4))
    payees = []
    for name in names[:-1]:
        part = draw(st.integers(-1000, 100_000))
        payees.append((name, part))
        left -= part
    return Claim(tuple(rows), (*payees, (names[-1], left)))


def entries(voucher: Voucher) -> Entries:
    made: Entries = Counter()
    for ln in voucher.lines:
        made[ln.account, ln.side.value, ln.party or ""] += ln.local_amount_minor
    return Counter({key: amount for key, amount in made.items() if amount})


@settings(max_examples=25, deadline=None)
@given(st.lists(claims(), min_size=1, max_size=12))
def test_vouchers_balance_and_post_what_was_approved(given_claims: list[Claim]) -> None:
    requests = [
        request(claim.content(), str(number), kind)
        for number, claim in enumerate(given_claims)
        for kind in (VoucherKind.EXPENSE, VoucherKind.PAYMENT)
    ]
    result = expense_translator().translate(requests, expense_codes())
    assert result.problems == ()
    assert {name for name, _ in result.empty} == {str(n) for n, c in enumerate(given_claims) if c.approved == 0}
    made = {(v.identity.document_id, v.identity.kind): v for v in result.vouchers}
    assert len(made) == len(result.vouchers) == 2 * sum(claim.approved != 0 for claim in given_claims)
    for (name, kind), voucher in made.items():
        claim = given_claims[int(name)]
        assert voucher.debit_minor == voucher.credit_minor == claim.approved
        assert entries(voucher) == (claim.entries() if kind is VoucherKind.EXPENSE else claim.payment())
        assert [ln.line_no for ln in voucher.lines] == list(range(1, len(voucher.lines) + 1))
        assert all(ln.local_amount_minor for ln in voucher.lines)
