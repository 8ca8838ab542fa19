"""Random clean worlds for the checker: documents of every life, their steps mixed, in the journal of either ledger."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from tests.unit.checker_world import RULES, Row, World, entry, line, payee
from tools.checker import Sets, check

LINES, PAYEES = "formtable_main_11_dt1", "formtable_main_11_dt2"
CENTRES = {"ADM": "6602", "SAL": "6601", "PRD": "5101", "RND": "5301"}
TYPES = {"TRAVEL": "01", "OFFICE": "02", "ENTERTAIN": "03", "WELFARE": "04", "ALLOWANCE": "05"}
LIVES = (
    *("posted", "posted", "paid", "paid", "kept", "reversed", "reversed", "again", "unseen", "zero", "open"),
    *("held", "forced"),
)
SAVED = "2027-03-01T18:00:00+08:00"
HELD = "unknown_code"


@dataclass
class RandomWorld(World):
    """Two journals of a run in which nothing went wrong; ``life`` tells what each document lived through."""

    chance: random.Random
    life: dict[str, str] = field(default_factory=dict)
    held: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        names = [str(self.chance.randint(10_000, 10_999) * 100 + n) for n in range(len(LIVES) + 4)]
        lives = [*LIVES, *self.chance.choices(LIVES, k=4)]
        self.chance.shuffle(lives)
        self.life = dict(zip(names, lives, strict=True))
        self._keys = 0
        running = [self._live(name, life) for name, life in self.life.items()]
        while running:  # a step of one, a step of another: as people work
            one = self.chance.choice(running)
            if next(one, None) is None:
                running.remove(one)
        for at, name in enumerate(self.of("posted", "paid", "kept", "reversed")):
            self.status(str(at + 1), name)

    # ------------------------------------------------------------ lives

    def _live(self, name: str, life: str) -> Iterator[bool]:
        day = date(2026, 10, 1) + timedelta(self.chance.randint(0, 80))
        self.draft(name, company=self.chance.choice(["1000", "2000"]), lines=[line("CC-ADM-01", "OFFICE", "0", "0")])
        self.fill(name, zero=life == "zero", held=life == "held")
        yield True
        if life == "open":
            return
        self.approve(name, day.isoformat())
        yield True
        if life == "held":
            self.held[name] = [HELD]
        if life in ("zero", "held"):
            return
        if life == "unseen":
            self.lose(name, self._later(day), operate=self.chance.choice(["退回", "撤回"]))
            return
        yield from self._book(name, life, day)

    def _book(self, name: str, life: str, day: date) -> Iterator[bool]:
        voucher = self.book(name, day.isoformat())
        yield True
        if life == "forced":
            self.act(name, "force_over", ("财务过账", "归档"), "强制归档", day.isoformat())
            return
        self.write_back(name, voucher["number"], day.isoformat())
        yield True
        if life in ("paid", "kept"):
            paid = self._later(day)
            self.pay(name, paid)
            yield True
            self.post(name, self.key("P"), payment_of(self.form(name)), kind="payment", day=paid, at=self.now())
        if life in ("kept", "reversed", "again"):
            lost = self._later(day)
            self.lose(name, lost)
            yield True
            self.reverse(voucher, self.key("R"), lost)["at"] = self.now()
        if life == "again":
            again = day + timedelta(40)
            self.fill(name)
            self.resubmit(name, again.isoformat())
            self.approve(name, again.isoformat())
            yield True
            second = self.book(name, again.isoformat())
            self.write_back(name, second["number"], again.isoformat())

    def _later(self, day: date) -> str:
        return (day + timedelta(self.chance.randint(0, 30))).isoformat()

    def now(self) -> str:
        """When finance took the next voucher; before any payment status was saved."""
        return f"2027-02-01T08:{len(self.finance) // 60:02}:{len(self.finance) % 60:02}.000000Z"

    def key(self, letter: str) -> str:
        """A key of its own."""
        self._keys += 1
        return f"{letter}{self._keys:04}"

    def book(self, name: str, day: str) -> Row:
        """The expense voucher that the form calls for."""
        return self.post(name, self.key("E"), expense_of(self.form(name)), day=day, at=self.now())

    # ------------------------------------------------------------ forms

    def fill(self, name: str, *, zero: bool = False, held: bool = False) -> None:
        """Lines and payees anew; saved with the next step in the OA."""
        form, total = self.form(name), 0
        lines = []
        for _ in range(self.chance.randint(1, 4)):
            gross = 0 if zero else self.chance.randint(100, 500_000)
            if total > gross and self.chance.random() < 0.15:
                gross = -gross
            total += gross
            rate = self.chance.choice(["0.03", "0.06", "0.09", "0.13"])
            invoice = self.chance.choice(["SPECIAL", "SPECIAL", "ORDINARY", "NONE"])
            centre = "CC-XXX-01" if held else f"CC-{self.chance.choice(list(CENTRES))}-0{self.chance.randint(1, 9)}"
            kind = self.chance.choice(list(TYPES))
            tax = vat(gross, Decimal(rate))
            lines.append(line(centre, kind, money(gross), money(tax), invoice=invoice, rate=rate))
        first = self.chance.choice([total, self.chance.randint(0, total)])
        parts = [("EMPLOYEE", f"E{self.chance.randint(1, 99):04}", first), ("SUPPLIER", "S0001", total - first)]
        form["main"]["hdje"] = money(total)
        form["details"] = {LINES: lines, PAYEES: [payee(k, c, money(a)) for k, c, a in parts if a]}

    def status(self, billid: str, name: str, **changes: str) -> None:
        """What the OA shows of a document's payment, as finance holds it now; ``changes`` make it another."""
        paid = [v for v in self.finance if v["document_id"] == name and v["kind"] == "payment"]
        word = "已付" if paid else "已冲销" if self.life.get(name) == "reversed" else "未付"
        amount = money(sum(cents(ln["debit"]) for v in paid for ln in v["lines"]))
        number, day = (paid[0]["number"], paid[0]["date"]) if paid else ("", "")
        main = {"lcid": name, "bz": "CNY", "fkzt": word, "fkpzh": number, "fkrq": day, "fkje": amount, **changes}
        empty = {"request_id": "", "workflow_id": "", "node": "", "integration": True, "log": [], "details": {}}
        self.oa.append({"seq": len(self.oa) + 1, "at": SAVED, "kind": "mode_save", "table": "uf_fkzt", **empty})
        self.oa[-1].update(billid=billid, main=main)

    # ------------------------------------------------------------ looking

    def of(self, *lives: str) -> list[str]:
        """Documents that lived so."""
        return [name for name, life in self.life.items() if life in lives]

    def any(self, *lives: str) -> str:
        """One of them."""
        return self.chance.choice(self.of(*lives))

    def vouchers(self, name: str, kind: str = "expense") -> list[Row]:
        """A document's vouchers of a kind, oldest first."""
        return [v for v in self.finance if v["document_id"] == name and v["kind"] == kind]

    def months(self) -> list[tuple[str, str]]:
        """Those in which only documents with a payment status stand: all of theirs must be shown."""
        shown = set(self.of("posted", "paid", "kept", "reversed"))
        every = {(v["company"], v["period"]): True for v in self.finance}
        for v in self.finance:
            every[(v["company"], v["period"])] &= v["document_id"] in shown
        return [month for month, whole in every.items() if whole]

    def judge(self, shape: Shape, months: tuple[tuple[str, str], ...] = ()) -> Sets:
        """What the checker says of the world as this ledger exports it."""
        return check(self.oa, [shape(row) for row in self.finance], RULES, self.held, months)


# ---------------------------------------------------------------- what a form calls for, written here a third time


def money(minor: int) -> str:
    return f"{Decimal(minor) / 100:.2f}"


def cents(text: str) -> int:
    return int(Decimal(text) * 100)


def vat(gross: int, rate: Decimal) -> int:
    return int((gross * rate / (1 + rate)).quantize(Decimal(1), ROUND_HALF_UP))


def expense_of(form: Row) -> list[Row]:
    """One line for each line of the form, and one for each tax and payee."""
    lines = []
    for row in form["details"][LINES]:
        taxed = row["fpzl"] == "SPECIAL" and row["fylx"] in ("TRAVEL", "OFFICE")
        gross, tax = cents(row["hdje"]), cents(row["se"]) if taxed else 0
        account = CENTRES[row["cbzx"].split("-")[1]] + TYPES[row["fylx"]]
        lines += [entry(account, money(gross - tax), "0.00", "E0001")]
        lines += [entry("22210101", money(tax), "0.00")] if tax else []
    return lines + [entry(account, "0.00", amount, code) for account, amount, code in _payees(form)]


def payment_of(form: Row) -> list[Row]:
    """Payees against the bank."""
    paid = [entry(account, amount, "0.00", code) for account, amount, code in _payees(form)]
    return [*paid, entry("1002", "0.00", form["main"]["hdje"])]


def _payees(form: Row) -> list[tuple[str, str, str]]:
    kinds = {"EMPLOYEE": "2241", "SUPPLIER": "2202"}
    return [(kinds[row["skrlx"]], row["zfje"], row["skr"]) for row in form["details"][PAYEES]]


# ---------------------------------------------------------------- the journals of two ledgers

Shape = Callable[[Row], Row]


def tryton(row: Row) -> Row:
    """As the ledger's own tables are exported: null where a move lacks something, by hand also key and kind."""
    names = ("at", "company", "key", "kind", "document_id", "number", "date", "period", "currency", "reverses", "state")
    lines = [
        {
            "account": ln["account"],
            **{side: money(cents(ln[side])) for side in ("debit", "credit")},
            **{name: ln.get(name) or None for name in ("party", "department")},
        }
        for ln in row["lines"]
    ]
    head = {name: row.get(name) or None for name in names}
    return {"seq": row["seq"], **head, "summary": row.get("summary", ""), "lines": lines}


def journal(row: Row) -> Row:
    """As the stand-in writes its file: what is lacking is an empty text, and an entry made by hand has a key too."""
    lines = [{**ln, "party": ln.get("party") or "", "department": ""} for ln in row["lines"]]
    lines = [{**ln, **{side: money(cents(ln[side])) for side in ("debit", "credit")}} for ln in lines]
    texts = dict.fromkeys(("summary", "business_number", "prepared_by", "reviewed_by"), "")
    own = {"key": row["key"] or f"HAND-{row['number']}", "kind": row["kind"] or "transfer", "attachment_count": 0}
    return {**row, "at": row.get("at", ""), **own, "document_id": row["document_id"] or "", **texts, "lines": lines}


SHAPES: dict[str, Shape] = {"tryton": tryton, "journal": journal}
