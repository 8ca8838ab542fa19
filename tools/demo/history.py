"""A past month in the OA: what stood there on the day on which the company began to use the suite.

Seeded; told to the OA past its forms, with past log rows, as an import of old documents would. Beside each document
stands what must become of it: which vouchers, of which day and amount, or that it is held. That truth is made here,
from the story, and from nothing that the suite says.
"""

from __future__ import annotations

import json
import random
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from tools.demo.claims import Claim, Company
from tools.demo.people import APPROVER, CASHIER

DRAFT, APPROVAL, POSTING, PAYMENT, ARCHIVE = "起草", "审批", "财务过账", "付款", "归档"
_CREATOR = "creator"
_AT_ONCE = 500
_STREAM = 1
_SECONDS = 60.0


class Story(StrEnum):
    """What had become of a document."""

    APPROVED = "approved, waits for its voucher"
    PAID = "approved and paid by hand"
    PAID_LATER = "approved in the month, paid after it"
    APPROVED_LATER = "claimed in the month, approved after it"
    CORRECTED = "rejected, corrected, approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    TAKEN_BACK = "approved, then withdrawn"
    UNKNOWN_CODE = "approved with an unknown cost centre"
    BROKEN_VAT = "approved with wrong VAT"
    OTHER_PAYEES = "approved, payees do not add up"
    MORE_APPROVED = "approved above what was claimed"


#: Shares of 2,000 documents; smaller months scale, each story at least once.
SHARES: dict[Story, int] = {
    Story.APPROVED: 1_450,
    Story.PAID: 180,
    Story.PAID_LATER: 30,
    Story.APPROVED_LATER: 20,
    Story.CORRECTED: 60,
    Story.REJECTED: 70,
    Story.WITHDRAWN: 60,
    Story.TAKEN_BACK: 40,
    Story.UNKNOWN_CODE: 30,
    Story.BROKEN_VAT: 20,
    Story.OTHER_PAYEES: 20,
    Story.MORE_APPROVED: 20,
}
#: The reason under which the suite must hold a document of the story.
HELD: dict[Story, str] = {
    Story.UNKNOWN_CODE: "unknown_code",
    Story.BROKEN_VAT: "vat_mismatch",
    Story.OTHER_PAYEES: "payable_differs",
    Story.MORE_APPROVED: "approved_above_claimed",
}
Step = tuple[str, str, str]  # node, operation, operator
_SUBMIT: Step = (DRAFT, "提交", _CREATOR)
_APPROVE: Step = (APPROVAL, "批准", APPROVER)
_REJECT: Step = (APPROVAL, "退回", APPROVER)
_WITHDRAW: Step = (DRAFT, "撤回", _CREATOR)
_BY_HAND: Step = (POSTING, "提交", CASHIER)
_PAY: Step = (PAYMENT, "批准", CASHIER)
_PAID = (_SUBMIT, _APPROVE, _BY_HAND, _PAY)
_STEPS: dict[Story, tuple[Step, ...]] = {
    Story.PAID: _PAID,
    Story.PAID_LATER: _PAID,
    Story.CORRECTED: (_SUBMIT, _REJECT, _SUBMIT, _APPROVE),
    Story.REJECTED: (_SUBMIT, _REJECT),
    Story.WITHDRAWN: (_SUBMIT, _WITHDRAW),
    Story.TAKEN_BACK: (_SUBMIT, _APPROVE, _WITHDRAW),
}
_STANDS = {_SUBMIT: APPROVAL, _APPROVE: POSTING, _REJECT: DRAFT, _WITHDRAW: DRAFT, _PAY: ARCHIVE}
#: Steps that happened after the month's end.
_AFTER = {(Story.PAID_LATER, _PAY), (Story.APPROVED_LATER, _APPROVE)}
_KIND = {_APPROVE: "expense", _PAY: "payment"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A voucher that must be there in the end."""

    company: str
    kind: str
    currency: str
    day: date
    amount: int


@dataclass(slots=True, kw_only=True)
class Past:
    """One document of the month; ``request_id`` once the OA has it."""

    story: Story
    claim: Claim
    log: tuple[tuple[Step, datetime], ...]
    request_id: str = ""

    @property
    def held(self) -> str:
        """The reason under which it must be held; empty where it must not."""
        return HELD.get(self.story, "")

    def truth(self) -> Iterator[Truth]:
        """The vouchers that must be there."""
        if self.held or _STANDS[self.log[-1][0]] == DRAFT:
            return
        for step, moment in self.log:
            if step in _KIND:
                yield Truth(
                    company=self.claim.company,
                    kind=_KIND[step],
                    currency="CNY",
                    day=moment.date(),
                    amount=self.claim.approved,
                )

    def item(self) -> dict[str, Any]:
        """The document as the OA's control port takes it."""
        claim = self.claim
        return {
            "workflow_id": claim.workflow_id,
            "request_name": f"费用报销单-{claim.employee_name}-{claim.day.isoformat()}",
            "creator": claim.creator,
            "node": _STANDS[self.log[-1][0]],
            "main": _plain(claim.main_data()),
            "details": {
                table["tableDBName"]: [
                    _plain(row["workflowRequestTableFields"]) for row in table["workflowRequestTableRecords"]
                ]
                for table in claim.detail_data()
            },
            "log": [
                {
                    "node": node,
                    "operate_type": operation,
                    "operator": claim.creator if operator == _CREATOR else operator,
                    "date": f"{moment:%Y-%m-%d}",
                    "time": f"{moment:%H:%M:%S}",
                }
                for (node, operation, operator), moment in self.log
            ],
        }


def _plain(fields: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {one["fieldName"]: one["fieldValue"] for one in fields}


Totals = dict[tuple[str, str, str], tuple[int, int]]  # (company, kind, currency) -> vouchers, minor units


@dataclass(slots=True)
class Month:
    """The month's documents, and what finance must show of it."""

    first: date
    documents: list[Past] = field(default_factory=list)

    @property
    def period(self) -> str:
        """``2026-10``."""
        return f"{self.first:%Y-%m}"

    @property
    def companies(self) -> list[str]:
        """Codes of the companies with documents."""
        return sorted({document.claim.company for document in self.documents})

    @property
    def request_ids(self) -> frozenset[str]:
        """The OA's ids, once it has them."""
        return frozenset(document.request_id for document in self.documents)

    def held(self) -> dict[str, str]:
        """Request id to the reason under which it must be held."""
        return {document.request_id: document.held for document in self.documents if document.held}

    def totals(self) -> Totals:
        """Vouchers and turnover that finance must show in the month."""
        vouchers: Counter[tuple[str, str, str]] = Counter()
        amounts: Counter[tuple[str, str, str]] = Counter()
        for one in (truth for document in self.documents for truth in document.truth()):
            if f"{one.day:%Y-%m}" == self.period:
                key = (one.company, one.kind, one.currency)
                vouchers[key] += 1
                amounts[key] += one.amount
        return {key: (vouchers[key], amounts[key]) for key in sorted(vouchers)}

    def stories(self) -> Counter[str]:
        """How many documents of each story."""
        return Counter(document.story.value for document in self.documents)


def shares(documents: int) -> dict[Story, int]:
    """How many documents of each story."""
    whole = sum(SHARES.values())
    counts = {story: max(1, share * documents // whole) for story, share in SHARES.items()}
    counts[Story.APPROVED] += documents - sum(counts.values())
    if counts[Story.APPROVED] < 1:
        raise ValueError(f"at least {len(SHARES) * 2} documents are needed")
    return counts


def past_month(seed: int, now: datetime, documents: int) -> Month:
    """The month before ``now`` (local time of the OA), the same for the same seed and day."""
    last = now.date().replace(day=1) - timedelta(days=1)
    month = Month(last.replace(day=1))
    company = Company(seed, now.date(), stream=_STREAM)
    rng = random.Random(f"{seed}/{_STREAM}/{month.period}")  # noqa: S311 - a repeatable play, no secret
    makers: dict[Story, Callable[[date], Claim]] = {
        Story.UNKNOWN_CODE: company.with_unknown_code,
        Story.BROKEN_VAT: company.with_broken_vat,
        Story.OTHER_PAYEES: company.with_other_payees,
        Story.MORE_APPROVED: company.with_more_approved,
    }
    stories = [story for story, count in shares(documents).items() for _ in range(count)]
    rng.shuffle(stories)
    for story in stories:
        day = month.first + timedelta(days=rng.randrange(last.day))
        claim = makers.get(story, company.claim)(day)
        claim = company.corrected(claim) if story is Story.CORRECTED else claim
        month.documents.append(Past(story=story, claim=claim, log=_log(rng, story, day, last, now)))
    return month


def _log(rng: random.Random, story: Story, day: date, last: date, now: datetime) -> tuple[tuple[Step, datetime], ...]:
    """The steps with rising times inside the month, those after it between its end and now."""
    moment = datetime.combine(day, time(8, rng.randrange(60), rng.randrange(60)))
    end = datetime.combine(last, time(20))
    found = []
    for step in _STEPS.get(story, (_SUBMIT, _APPROVE)):
        if (story, step) in _AFTER:
            after = datetime.combine(last + timedelta(days=1), time())
            moment = (after + (now - after) * rng.random()).replace(microsecond=0)
        found.append((step, moment))
        wait = timedelta(minutes=rng.randint(10, 2_000))
        moment = moment + wait if moment + wait < end else moment + timedelta(minutes=5)
    return tuple(found)


def tell(control_url: str, month: Month) -> None:
    """Let the OA have the month; its clock stands at the day of each document's last step while it is told.

    Sets the documents' request ids. The clock is released in any case.
    """
    by_day: dict[date, list[Past]] = defaultdict(list)
    for document in month.documents:
        by_day[document.log[-1][1].date()].append(document)
    try:
        for day in sorted(by_day):
            at_last = max(document.log[-1][1] for document in by_day[day])
            _post(control_url, "/clock", {"now": at_last.isoformat()})
            for start in range(0, len(by_day[day]), _AT_ONCE):
                some = by_day[day][start : start + _AT_ONCE]
                answer = _post(control_url, "/impose", {"items": [document.item() for document in some]})
                for document, request_id in zip(some, answer["request_ids"], strict=True):
                    document.request_id = request_id
    finally:
        _post(control_url, "/clock", {"now": None})


def _post(control_url: str, path: str, body: object) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - http, ours
        control_url + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - http, ours
        found: dict[str, Any] = json.load(answer)
        return found
