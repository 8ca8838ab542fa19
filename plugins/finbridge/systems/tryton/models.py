"""Wire shapes of the ledger's module (`ledger/finbridge_bridge`), named as it names them, and Tryton's typed JSON."""

from __future__ import annotations

import json
import unicodedata
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from finbridge.core.money import to_text
from finbridge.core.vouchers import Side, Voucher, VoucherLine

#: Dimensions that the ledger keeps in columns of their own; all others go into one JSON column.
_OWN_COLUMNS = ("department", "cost_centre", "project")
#: Account, side, amount on that side, party, what else stands on it.
MoveLine = tuple[str, Literal["D", "C"], str, str | None, dict[str, str] | None]
#: Number, date, period, state of a move that people made with Tryton's own cancel.
Cancel = tuple[str | None, date, str, Literal["draft", "posted"]]


class _Wire(BaseModel):
    """Unknown fields of a newer module are ignored; missing ones are an answer that cannot be trusted."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Move(_Wire):
    """A keyed account.move as finance holds it."""

    id: int
    ref: str
    number: Annotated[str, BeforeValidator(lambda value: value or "")]
    date: date
    period: str
    state: Literal["draft", "posted"]
    kind: str | None
    document: str | None
    reverses: str | None
    description: str | None = None  # a module of a release before does not show it
    cancelled_by: tuple[Cancel, ...]
    lines: tuple[MoveLine, ...]


class PostResult(_Wire):
    """What happened to one voucher of a call of create_posted or reverse_posted."""

    ref: str | None
    outcome: Literal["posted", "exists", "refused"]
    code: str | None
    detail: str | None
    move: Move | None


class ReadResult(_Wire):
    """The answer of find_refs and list_period."""

    outcome: Literal["read", "refused"]
    moves: tuple[Move, ...] = ()
    code: str | None = None
    detail: str | None = None


class MasterResult(_Wire):
    """The answer of list_master; a record is id, code, name, and whether lines may be booked on it today."""

    outcome: Literal["read", "refused"]
    records: tuple[tuple[int, str, str, bool], ...] = ()
    code: str | None = None
    detail: str | None = None


def wire_decimal(text: str) -> dict[str, str]:
    """A decimal in Tryton's JSON; text, never a float."""
    return {"__class__": "Decimal", "decimal": text}


def wire_date(day: date) -> dict[str, str | int]:
    """A date in Tryton's JSON."""
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}


def clean(text: str) -> str:
    """What Tryton's text fields and PostgreSQL take: control characters become blanks, half surrogates U+FFFD."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)


def voucher_values(voucher: Voucher, *, company: str, currency: str, journal: str) -> dict[str, Any]:
    """One item of create_posted.

    Args:
        company: the ledger's code of the company.
        currency: the company's currency; lines in another one carry both amounts.
        journal: code of the journal.
    """
    return {
        **_header(voucher, company, journal),
        "external_kind": voucher.identity.kind.value,
        "external_document": clean(voucher.identity.document_id),
        "business_number": clean(voucher.business_number),
        "voucher_word": clean(voucher.voucher_word),
        "attachment_count": voucher.attachment_count,
        "business_date": wire_date(voucher.business_date),
        "lines": [_line(line, voucher, currency) for line in voucher.lines],
    }


def reversal_values(voucher: Voucher, *, company: str, currency: str, journal: str) -> dict[str, Any]:
    """One item of reverse_posted: the key of the original, and the lines that its mirror must have."""
    return {
        **_header(voucher, company, journal),
        "original_ref": voucher.reverses_key or "",
        "lines": [
            [line.account, line.side.value, wire_decimal(to_text(line.local_amount_minor, currency)), line.party]
            for line in voucher.lines
        ],
    }


def _header(voucher: Voucher, company: str, journal: str) -> dict[str, Any]:
    return {
        "company": company,
        "journal": journal,
        "external_ref": voucher.key,
        "date": wire_date(voucher.posting_date),
        "document_date": wire_date(voucher.document_date),
        "description": clean(voucher.summary),
        "prepared_by": clean(voucher.prepared_by),
        "reviewed_by": clean(voucher.reviewed_by),
    }


def _line(line: VoucherLine, voucher: Voucher, currency: str) -> dict[str, Any]:
    dimensions = {name: clean(value) for name, value in line.dimensions}
    foreign = line.currency != currency
    # Tryton wants the sign of debit minus credit on the amount in the second currency.
    second_minor = line.amount_minor if line.side is Side.DEBIT else -line.amount_minor
    return {
        "account": line.account,
        "side": line.side.value,
        "amount": wire_decimal(to_text(line.local_amount_minor, currency)),
        "party": line.party or None,
        "description": clean(line.summary or voucher.summary),
        **{name: dimensions.pop(name, None) for name in _OWN_COLUMNS},
        "dimensions": json.dumps(dimensions, ensure_ascii=False, sort_keys=True) if dimensions else None,
        "assignment": line.assignment,
        "tax_code": line.tax_code,
        "second_currency": line.currency if foreign else None,
        "second_amount": wire_decimal(to_text(second_minor, line.currency)) if foreign else None,
    }
