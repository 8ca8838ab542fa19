"""A Chinese company's expense claims: plausible, seeded, with VAT computed right (and wrong where asked for).

Amounts are whole fen (分). A claim is what an employee fills into the OA's form; nothing here knows finbridge.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

EMPLOYEES = 40
SUPPLIERS = 10
LINES_TABLE = "formtable_main_11_dt1"
PAYEES_TABLE = "formtable_main_11_dt2"
UNKNOWN_COST_CENTRE = "CC-XYZ-99"
#: A department founded so lately that nobody has loaded its code yet; the chart of accounts knows its kind.
NEW_COST_CENTRE = "CC-ADM-88"

_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
_GIVEN = (
    "伟",
    "芳",
    "秀英",
    "敏",
    "静",
    "磊",
    "洋",
    "艳",
    "勇",
    "杰",
    "娟",
    "涛",
    "明",
    "超",
    "霞",
    "平",
    "刚",
    "桂英",
)
_CITIES = ("上海", "北京", "深圳", "杭州", "成都", "武汉", "西安", "苏州", "南京", "重庆", "青岛", "长沙")
_CLIENTS = ("华联", "中科", "远大", "恒信", "东方", "鼎盛", "天元", "正泰")


@dataclass(frozen=True, slots=True)
class CostCentre:
    """A cost centre with its department and company."""

    code: str
    department: str
    company: str


COST_CENTRES = (
    CostCentre("CC-ADM-01", "总经办", "1000"),
    CostCentre("CC-ADM-02", "财务部", "1000"),
    CostCentre("CC-ADM-03", "人力资源部", "1000"),
    CostCentre("CC-SAL-01", "华东销售部", "1000"),
    CostCentre("CC-SAL-02", "华南销售部", "2000"),
    CostCentre("CC-SAL-03", "大客户部", "1000"),
    CostCentre("CC-PRD-01", "一车间", "2000"),
    CostCentre("CC-PRD-02", "二车间", "2000"),
    CostCentre("CC-RND-01", "平台研发部", "1000"),
    CostCentre("CC-RND-02", "硬件研发部", "2000"),
)


@dataclass(frozen=True, slots=True)
class Good:
    """Something that is claimed: expense type, text, price range in yuan, VAT rate, chance of a special invoice."""

    expense_type: str
    text: str
    low: int
    high: int
    rate: str
    special: float


_GOODS = (
    Good("TRAVEL", "高铁票", 73, 1100, "0.09", 0.9),
    Good("TRAVEL", "机票", 480, 2600, "0.09", 0.9),
    Good("TRAVEL", "酒店住宿", 260, 1800, "0.06", 0.8),
    Good("TRAVEL", "市内交通", 18, 240, "0.03", 0.1),
    Good("OFFICE", "打印纸与文具", 45, 900, "0.13", 0.7),
    Good("OFFICE", "显示器支架", 120, 1500, "0.13", 0.8),
    Good("OFFICE", "快递费", 12, 180, "0.06", 0.5),
    Good("ENTERTAIN", "客户餐叙", 320, 3200, "0.06", 0.3),
    Good("WELFARE", "员工生日会", 200, 1600, "0.13", 0.4),
    Good("ALLOWANCE", "出差补贴", 80, 600, "0", 0.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One expense line; ``approved`` is gross (价税合计)."""

    expense_type: str
    cost_centre: str
    day: date
    claimed: int
    approved: int
    tax: int
    rate: str
    invoice_kind: str
    invoice_number: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """Who gets the money."""

    kind: str
    code: str
    account: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim as it stands on the form."""

    number: str
    workflow_id: str
    employee: int
    employee_name: str
    company: str
    department: str
    reason: str
    attachments: int
    day: date
    lines: tuple[Line, ...]
    payees: tuple[Payee, ...]

    @property
    def creator(self) -> str:
        """OA user id of the employee."""
        return str(self.employee)

    @property
    def claimed(self) -> int:
        """Sum of what was claimed."""
        return sum(line.claimed for line in self.lines)

    @property
    def approved(self) -> int:
        """Sum of what is to be paid."""
        return sum(line.approved for line in self.lines)

    def main_data(self) -> list[dict[str, str]]:
        """The form's main fields as paService takes them."""
        values = {
            "djbh": self.number,
            "sqr": f"E{self.employee:04d}",
            "sqrxm": self.employee_name,
            "gsdm": self.company,
            "bm": self.department,
            "sy": self.reason,
            "fjzs": str(self.attachments),
            "ywrq": self.day.isoformat(),
            "bz": "CNY",
            "bzje": yuan(self.claimed),
            "hdje": yuan(self.approved),
        }
        return _fields(values)

    def detail_data(self, *, replace_rows: bool = False) -> list[dict[str, Any]]:
        """Both detail tables as paService takes them; ``replace_rows`` deletes what stood there (on submit only)."""
        lines = [
            {
                "fylx": line.expense_type,
                "cbzx": line.cost_centre,
                "fyrq": line.day.isoformat(),
                "sqje": yuan(line.claimed),
                "hdje": yuan(line.approved),
                "se": yuan(line.tax),
                "sl": line.rate,
                "fpzl": line.invoice_kind,
                "fph": line.invoice_number,
                "zy": line.text,
            }
            for line in self.lines
        ]
        payees = [{"skrlx": p.kind, "skr": p.code, "skzh": p.account, "zfje": yuan(p.amount)} for p in self.payees]
        return [_table(LINES_TABLE, lines, replace_rows), _table(PAYEES_TABLE, payees, replace_rows)]


def yuan(fen: int) -> str:
    """Fen as the form's text: ``12345 -> "123.45"``."""
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def tax_in(gross: int, rate: str) -> int:
    """The VAT inside a gross amount, rounded half up to the fen."""
    share = Decimal(rate)
    return int((Decimal(gross) * share / (1 + share)).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _fields(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"fieldName": name, "fieldValue": value} for name, value in values.items()]


def _table(name: str, rows: Sequence[dict[str, str]], replace_rows: bool) -> dict[str, Any]:
    records = [{"recordOrder": 0, "workflowRequestTableFields": _fields(row)} for row in rows]
    return {"tableDBName": name, "workflowRequestTableRecords": records} | ({"deleteAll": "1"} if replace_rows else {})


class Company:
    """Makes claims from one seed: the same seed gives the same claims on the same day.

    Args:
        stream: another number gives other claims of the same people.
    """

    def __init__(self, seed: int, today: date, *, stream: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a repeatable play, no secret
        self._today = today
        self._made = 0
        names = [s + g for s in _SURNAMES for g in _GIVEN]
        self._random.shuffle(names)
        self.names = names[:EMPLOYEES]
        if stream:
            self._random = random.Random(f"{seed}/{stream}")  # noqa: S311 - a repeatable play, no secret

    def claim(self, day: date | None = None) -> Claim:
        """A clean claim, of today or of another day."""
        rng = self._random
        day = day or self._today
        self._made += 1
        employee = rng.randint(1, EMPLOYEES)
        centre = rng.choice(COST_CENTRES)
        city, client = rng.choice(_CITIES), rng.choice(_CLIENTS)
        lines = tuple(self._line(centre, city, day) for _ in range(rng.choices((1, 2, 3, 4), (45, 30, 15, 10))[0]))
        return Claim(
            number=f"BX{day:%Y%m%d}{self._made:05d}",
            workflow_id=rng.choices(("102", "101"), (80, 20))[0],
            employee=employee,
            employee_name=self.names[employee - 1],
            company=centre.company,
            department=centre.department,
            reason=rng.choice(
                (f"{city}出差", f"拜访{client}公司", f"{city}项目实施", "部门日常费用", f"{client}项目验收")
            ),
            attachments=len(lines) + rng.randint(0, 3),
            day=day,
            lines=lines,
            payees=_payees(rng, employee, sum(line.approved for line in lines)),
        )

    def with_unknown_code(self, day: date | None = None, code: str = UNKNOWN_COST_CENTRE) -> Claim:
        """A claim on a cost centre that no code table has."""
        claim = self.claim(day)
        lines = (replace(claim.lines[0], cost_centre=code), *claim.lines[1:])
        return replace(claim, lines=lines)

    def with_new_cost_centre(self) -> Claim:
        """A claim on the cost centre that is about to be loaded."""
        return self.with_unknown_code(code=NEW_COST_CENTRE)

    def with_other_payees(self, day: date | None = None) -> Claim:
        """A claim whose payees get less than what was approved."""
        claim = self.claim(day)
        first = claim.payees[0]
        return replace(claim, payees=(replace(first, amount=first.amount - 1), *claim.payees[1:]))

    def with_more_approved(self, day: date | None = None) -> Claim:
        """A claim of which more was approved than claimed."""
        claim = self.claim(day)
        lines = tuple(replace(line, claimed=line.approved) for line in claim.lines)
        lines = (replace(lines[0], claimed=lines[0].approved - 1), *lines[1:])
        return replace(claim, lines=lines)

    def with_broken_vat(self, day: date | None = None) -> Claim:
        """A claim whose first line states more VAT than its gross and rate give."""
        claim = self.claim(day)
        first = claim.lines[0]
        wrong = replace(
            first,
            expense_type="OFFICE",
            invoice_kind="SPECIAL",
            rate="0.13",
            tax=tax_in(first.approved, "0.13") + self._random.randint(5, 500),
        )
        return replace(claim, lines=(wrong, *claim.lines[1:]))

    def corrected(self, claim: Claim) -> Claim:
        """What the employee sends in again: the first line cut by a tenth, the payees' sum following."""
        first = claim.lines[0]
        approved = max(100, first.approved * 9 // 10)
        tax = 0 if first.invoice_kind == "NONE" else tax_in(approved, first.rate)
        lines = (replace(first, approved=approved, claimed=max(first.claimed, approved), tax=tax), *claim.lines[1:])
        rng = random.Random(claim.number)  # noqa: S311 - of its own: corrections come in any order
        return replace(claim, lines=lines, payees=_payees(rng, claim.employee, sum(line.approved for line in lines)))

    def _line(self, centre: CostCentre, city: str, day: date) -> Line:
        rng = self._random
        good = rng.choice(_GOODS)
        approved = rng.randint(good.low * 100, good.high * 100)
        cut = rng.random() < 0.15
        claimed = approved + (rng.randint(1, approved // 5 + 1) if cut else 0)
        kind = "NONE" if good.rate == "0" else ("SPECIAL" if rng.random() < good.special else "ORDINARY")
        return Line(
            expense_type=good.expense_type,
            cost_centre=centre.code,
            day=day - timedelta(days=rng.randint(0, min(20, day.timetuple().tm_yday - 1))),
            claimed=claimed,
            approved=approved,
            tax=tax_in(approved, good.rate),
            rate=good.rate,
            invoice_kind=kind,
            invoice_number="" if kind == "NONE" else str(rng.randrange(10**19, 10**20)),
            text=f"{city}{good.text}",
        )


def _payees(rng: random.Random, employee: int, amount: int) -> tuple[Payee, ...]:
    """The employee, and sometimes a supplier who is paid directly."""
    shares = [amount]
    if amount > 50_000 and rng.random() < 0.2:
        part = rng.randint(10_000, amount - 10_000)
        shares = [amount - part, part]
    people = [Payee(kind="EMPLOYEE", code=f"E{employee:04d}", account=_account(rng), amount=shares[0])]
    if len(shares) > 1:
        supplier = f"S{rng.randint(1, SUPPLIERS):04d}"
        people.append(Payee(kind="SUPPLIER", code=supplier, account=_account(rng), amount=shares[1]))
    return tuple(people)


def _account(rng: random.Random) -> str:
    return "6222" + "".join(rng.choice("0123456789") for _ in range(15))
