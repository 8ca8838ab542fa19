"""A cheap mapping, a judge and a flow for the simulation: they stand behind the same ports as the real ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from finbridge.core.documents import EventKind
from finbridge.core.flow import Company, Flow, LogRule, WriteBackRule
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.ports import CodeRow, Problem, Translation, TranslationRequest, Verdict
from finbridge.core.vouchers import MappingStamp, Side, Voucher, VoucherLine
from finbridge.sim import office
from finbridge.sim.trouble import Trouble

BAD_AMOUNT, BAD_BY_RULE = "x", "13"
_KINDS = {
    office.SAVED: EventKind.SAVED,
    office.SUBMITTED: EventKind.SUBMITTED,
    office.APPROVED: EventKind.APPROVED,
    office.REJECTED: EventKind.REJECTED,
    office.WITHDRAWN: EventKind.WITHDRAWN,
    office.REQUESTED: EventKind.PAYMENT_REQUESTED,
    office.PAID: EventKind.PAID,
}
_ANY = re.compile(".*")
_ACCOUNTS = {VoucherKind.EXPENSE: ("660201", "2241"), VoucherKind.PAYMENT: ("2241", "1002")}

FLOW = Flow(
    flow_id="claims",
    source_system="office",
    source_connection="oa",
    target_system="books",
    target_connection="finance",
    document_type="expense_claim",
    templates=frozenset({"101"}),
    companies={"1000": Company(code="1000", currency="CNY", time_zone="Asia/Shanghai", ledger_company="1000")},
    company_field="gsdm",
    company_constant=None,
    business_number_field="djbh",
    personal_fields=(),
    mapping="cheap",
    documents_suite="documents",
    vouchers_suite="vouchers",
    log_rules=tuple(
        LogRule(event=kind, node=_ANY, operation=re.compile(word), operator=_ANY) for word, kind in _KINDS.items()
    ),
    makes={EventKind.APPROVED: "expense", EventKind.PAID: "payment"},
    write_back=WriteBackRule(node=office.POSTING, voucher_number="pzh", posting_date="gzrq", error="jzxx"),
    settle_seconds=90.0,
    batch_size=50,
    extra={"first_day": "2026-01-01"},
)


class CheapTranslator:
    """Debit and credit by one field; what is no number is a problem, 0 makes no voucher."""

    main_fields = frozenset({"djbh", "gsdm", "hdje", "ygbh"})
    detail_fields: Mapping[str, frozenset[str]] = {}
    stamp = MappingStamp(mapping_id="cheap", version="1", sha256="0" * 64)

    def translate(self, requests: Sequence[TranslationRequest], codes: Sequence[CodeRow]) -> Translation:
        """See the port."""
        del codes
        vouchers: list[Voucher] = []
        problems: list[Problem] = []
        empty: list[tuple[str, VoucherKind]] = []
        rows: list[dict[str, str]] = []
        for request in requests:
            main = json.loads(request.canonical)["main"]
            rows.append({"document_id": request.document_id, "amount": main["hdje"]})
            if not main["hdje"].isdigit():
                problems.append(Problem(document_id=request.document_id, code="bad_amount", field="hdje", detail=""))
            elif int(main["hdje"]) == 0:
                empty.append((request.document_id, request.kind))
            else:
                vouchers.append(_voucher(request, int(main["hdje"]), main["ygbh"]))
        return Translation(
            vouchers=tuple(vouchers),
            problems=tuple(problems),
            empty=tuple(empty),
            frames={"documents": rows, "vouchers": vouchers},
        )


def _voucher(request: TranslationRequest, minor: int, person: str) -> Voucher:
    day = request.cause.local_at.date()
    sides = zip(_ACCOUNTS[request.kind], (Side.DEBIT, Side.CREDIT), strict=True)
    return Voucher(
        identity=VoucherIdentity(
            request.company, request.source, request.document_id, request.cause.log_id, request.kind, request.split
        ),
        currency=request.currency,
        business_date=day,
        document_date=day,
        posting_date=day,
        summary=f"报销 {request.business_number}",
        business_number=request.business_number,
        lines=tuple(
            VoucherLine(
                line_no=number,
                account=account,
                side=side,
                amount_minor=minor,
                currency="CNY",
                local_amount_minor=minor,
                party=person,
            )
            for number, (account, side) in enumerate(sides, start=1)
        ),
        mapping=CheapTranslator.stamp,
    )


class CheapJudge:
    """One amount breaks a rule of a row; a rule of the batch breaks where trouble says so."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def judge(self, suite: str, frames: Mapping[str, Any]) -> Verdict:
        """See the port."""
        rows = frames["documents"]
        broken = self._trouble.take("judge") is not None
        bad = tuple(
            Problem(document_id=row["document_id"], code="amount_out_of_range", field="hdje", detail="")
            for row in rows
            if suite == "documents" and row["amount"] == BAD_BY_RULE
        )
        return Verdict(
            suite=suite,
            batch_ok=not broken,
            broken_batch_rules=("row_count",) if broken else (),
            bad=bad,
            rows=len(rows),
            result_json="{}",
        )
