"""Frames as the mapping gives them, and one way to break each rule of the claim suites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

Frames = dict[str, Any]
DAY = pd.Timestamp("2026-11-22")
BIG = 20_000_000_000


def _column(values: list[Any]) -> Any:
    """Texts as objects, whole numbers as Int64, so that one empty cell changes no type."""
    kinds = {type(value) for value in values}
    return pd.Series(values, dtype="Int64" if kinds == {int} else "object" if kinds == {str} else None)


def _frame(rows: int, **columns: Any) -> Any:
    spread = {name: value if isinstance(value, list) else [value] * rows for name, value in columns.items()}
    return pd.DataFrame({name: _column(values) for name, values in spread.items()})


def documents(ids: list[str]) -> Frames:
    """A document a claim of 159.00 with two lines."""
    two = [name for name in ids for _ in range(2)]
    return {
        "documents": _frame(
            len(ids),
            document_id=list(ids),
            template="101",
            company=["1000", "2000"] * (len(ids) // 2) + ["1000"] * (len(ids) % 2),
            currency="CNY",
            kind="expense",
            business_number=[f"BX{name}" for name in ids],
            department="行政部",
            business_date=DAY,
            claimed_minor=16000,
            approved_minor=15900,
            payable_minor=15900,
            line_total_minor=15900,
            line_count=2,
            payee_count=1,
            attachment_count=3,
        ),
        "lines": _frame(
            len(two),
            document_id=two,
            line_id=["1", "2"] * len(ids),
            expense_type=["TRAVEL", "WELFARE"] * len(ids),
            cost_centre="CC-ADM-01",
            cost_centre_kind="ADM",
            event_date=DAY,
            claimed_minor=[10700, 5300] * len(ids),
            approved_minor=[10600, 5300] * len(ids),
            tax_minor=[600, 300] * len(ids),
            tax_rate=0.06,
            invoice_kind="SPECIAL",
            deductible=["yes", "no"] * len(ids),
            account=["660201", "660204"] * len(ids),
            vat_difference_minor=[0, 1] * len(ids),
        ),
    }


def vouchers(ids: list[str]) -> Frames:
    """An expense voucher of four lines a document."""
    four = [name for name in ids for _ in range(4)]
    return {
        "vouchers": _frame(
            len(ids),
            key=[f"E{name}" for name in ids],
            document_id=list(ids),
            company="1000",
            kind="expense",
            currency="CNY",
            posting_date=DAY,
            debit_minor=15900,
            credit_minor=15900,
            difference_minor=0,
            line_count=4,
            cause=[f"L{name}" for name in ids],
        ),
        "voucher_lines": _frame(
            len(four),
            key=[f"E{name}" for name in four],
            document_id=four,
            line_no=[1, 2, 3, 4] * len(ids),
            account=["660201", "22210101", "660204", "2241"] * len(ids),
            side=["D", "D", "D", "C"] * len(ids),
            local_amount_minor=[10000, 600, 5300, 15900] * len(ids),
            party=[None, None, None, "E0001"] * len(ids),
        ),
    }


def claims(count: int) -> Frames:
    """All four frames of ``count`` documents 90000, 90001, …"""
    ids = [str(90000 + n) for n in range(count)]
    return {**documents(ids), **vouchers(ids)}


Plant = Callable[[Frames], None]
#: Row ``BAD`` of documents and vouchers, and the first line of that document, are broken by the plants.
BAD = 3
BAD_ID = str(90000 + BAD)


def put(frame: str, column: str, value: Any) -> Plant:
    """A value into the bad document's (first) row."""

    def plant(frames: Frames) -> None:
        target = frames[frame]
        first = target.index[target["document_id"] == BAD_ID][0]
        if target[column].dtype.kind == "M" and isinstance(value, str):
            target.loc[first, column] = pd.Timestamp(value)
        else:
            target.loc[first, column] = value

    return plant


def both(*plants: Plant) -> Plant:
    """Several plants."""

    def plant(frames: Frames) -> None:
        for one in plants:
            one(frames)

    return plant


def drop(frame: str, column: str) -> Plant:
    """Take a column away."""
    return lambda frames: frames.update({frame: frames[frame].drop(columns=[column])})


def add(frame: str, column: str) -> Plant:
    """A column that nobody expects."""
    return lambda frames: frames.update({frame: frames[frame].assign(**{column: "x"})})


def again(frame: str, **changes: Any) -> Plant:
    """The bad document's first row of a frame once more."""

    def plant(frames: Frames) -> None:
        target = frames[frame]
        row = target[target["document_id"] == BAD_ID].iloc[[0]].assign(**changes)
        frames[frame] = pd.concat([target, row], ignore_index=True)

    return plant


def without_lines(frame: str, keep: int) -> Plant:
    """Only the first lines of the bad document."""

    def plant(frames: Frames) -> None:
        target = frames[frame]
        mine = target.index[target["document_id"] == BAD_ID]
        frames[frame] = target.drop(index=mine[keep:]).reset_index(drop=True)

    return plant


def too_many_documents(frames: Frames) -> None:
    frames.update(documents([str(n) for n in range(100_001)]))
    frames["lines"] = frames["lines"].head(2)


def too_many_vouchers(frames: Frames) -> None:
    frames.update(vouchers([str(n) for n in range(100_001)]))


def amounts(value: int) -> Plant:
    """All totals of the bad document alike."""
    names = ("claimed_minor", "approved_minor", "payable_minor", "line_total_minor")
    return both(*(put("documents", name, value) for name in names))


#: rule id -> what breaks it and nothing else
DOCUMENT_RULES: dict[str, Plant] = {
    "documents.columns": add("documents", "employee_name"),
    "documents.row_count": too_many_documents,
    "documents.document_id.present": put("documents", "document_id", None),
    "documents.company.served": put("documents", "company", "3000"),
    "lines.columns": drop("lines", "claimed_minor"),
    "lines.document_id.present": put("lines", "document_id", None),
    "documents.line_control_total": again("lines", line_id="3"),
    "documents.identity": again("documents"),
    "documents.required.company": put("documents", "company", None),
    "documents.required.business_number": put("documents", "business_number", None),
    "documents.required.currency": put("documents", "currency", None),
    "documents.required.business_date": put("documents", "business_date", None),
    "documents.required.kind": put("documents", "kind", None),
    "documents.required.claimed_minor": put("documents", "claimed_minor", None),
    "documents.required.approved_minor": put("documents", "approved_minor", None),
    "documents.required.payable_minor": put("documents", "payable_minor", None),
    "documents.required.line_total_minor": put("documents", "line_total_minor", None),
    "documents.currency.known": put("documents", "currency", "XBT"),
    "documents.business_date.range": put("documents", "business_date", "0206-11-22"),
    "documents.attachment_count.range": put("documents", "attachment_count", -1),
    "documents.approved_minor.range": amounts(-1),
    "documents.approved_within_claimed": put("documents", "claimed_minor", 15899),
    "documents.payable_is_approved": put("documents", "payable_minor", 15899),
    "documents.lines_are_approved": put("documents", "line_total_minor", 15901),
    "documents.has_lines": both(put("documents", "line_count", 0), without_lines("lines", 0)),
    "lines.identity": both(again("lines"), put("documents", "line_count", 3)),
    "lines.required.line_id": put("lines", "line_id", None),
    "lines.required.expense_type": put("lines", "expense_type", None),
    "lines.required.cost_centre": put("lines", "cost_centre", None),
    "lines.required.event_date": put("lines", "event_date", None),
    "lines.required.approved_minor": put("lines", "approved_minor", None),
    "lines.known_code.account": put("lines", "account", None),
    "lines.known_code.cost_centre_kind": put("lines", "cost_centre_kind", None),
    "lines.cost_centre_kind.known": put("lines", "cost_centre_kind", "MOON"),
    "lines.account.known": put("lines", "account", "999901"),
    "lines.invoice_kind.known": put("lines", "invoice_kind", "NAPKIN"),
    "lines.event_date.range": put("lines", "event_date", "2206-11-22"),
    "lines.approved_minor.range": put("lines", "approved_minor", BIG),
    "lines.tax_rate.range": put("lines", "tax_rate", 6.0),
    "lines.vat_within_tolerance": put("lines", "vat_difference_minor", 2),
}
VOUCHER_RULES: dict[str, Plant] = {
    "vouchers.columns": drop("vouchers", "credit_minor"),
    "vouchers.row_count": too_many_vouchers,
    "vouchers.named.document_id": put("vouchers", "document_id", None),
    "vouchers.named.key": put("vouchers", "key", None),
    "vouchers.company.served": put("vouchers", "company", "3000"),
    "vouchers.kind.known": put("vouchers", "kind", "guess"),
    "vouchers.line_control_total": without_lines("voucher_lines", 3),
    "voucher_lines.columns": add("voucher_lines", "payee_name"),
    "voucher_lines.named.document_id": put("voucher_lines", "document_id", None),
    "voucher_lines.named.key": put("voucher_lines", "key", None),
    "vouchers.identity": both(put("vouchers", "line_count", 2), again("vouchers")),
    "vouchers.required.company": put("vouchers", "company", None),
    "vouchers.required.currency": put("vouchers", "currency", None),
    "vouchers.required.kind": put("vouchers", "kind", None),
    "vouchers.required.posting_date": put("vouchers", "posting_date", None),
    "vouchers.required.cause": put("vouchers", "cause", None),
    "vouchers.required.difference_minor": put("vouchers", "difference_minor", None),
    "vouchers.currency.known": put("vouchers", "currency", "XBT"),
    "vouchers.posting_date.range": put("vouchers", "posting_date", "0206-11-22"),
    "vouchers.debit_minor.range": put("vouchers", "debit_minor", 0),
    "vouchers.balanced": put("vouchers", "difference_minor", -1),
    "vouchers.line_count.range": both(put("vouchers", "line_count", 1), without_lines("voucher_lines", 1)),
    "voucher_lines.identity": put("voucher_lines", "line_no", 2),
    "voucher_lines.known_code": put("voucher_lines", "account", None),
    "voucher_lines.required.line_no": put("voucher_lines", "line_no", None),
    "voucher_lines.required.side": put("voucher_lines", "side", None),
    "voucher_lines.required.local_amount_minor": put("voucher_lines", "local_amount_minor", None),
    "voucher_lines.account.known": put("voucher_lines", "account", "1405"),
    "voucher_lines.side.known": put("voucher_lines", "side", "L"),
    "voucher_lines.amount.range": put("voucher_lines", "local_amount_minor", -BIG),
    "voucher_lines.party.present": put("voucher_lines", "account", "2202"),
}
SUITE_RULES = {"expense_claim.documents": DOCUMENT_RULES, "expense_claim.vouchers": VOUCHER_RULES}
