"""Result rows as voucher records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from finbridge.core.ids import VoucherIdentity
from finbridge.core.ports import TranslationRequest
from finbridge.core.vouchers import MappingStamp, Side, Voucher, VoucherLine
from finbridge.mapping.sqltext import UNIT


def build_vouchers(
    requests: Sequence[TranslationRequest],
    headers: Sequence[tuple[Any, ...]],
    lines: Sequence[tuple[Any, ...]],
    dimensions: Sequence[str],
    stamp: MappingStamp,
) -> tuple[Voucher, ...]:
    """One voucher for each header row; both lists come sorted by seq, lines by line number."""
    by_seq = {seq: list(group) for seq, group in groupby(lines, key=itemgetter(0))}
    return tuple(_voucher(requests[header[0]], header, by_seq[header[0]], dimensions, stamp) for header in headers)


def _voucher(
    request: TranslationRequest,
    header: tuple[Any, ...],
    lines: Sequence[tuple[Any, ...]],
    dimensions: Sequence[str],
    stamp: MappingStamp,
) -> Voucher:
    _, word, attachments, prepared, reviewed, business, document, posting, summary = header
    return Voucher(
        identity=VoucherIdentity(
            company=request.company,
            source=request.source,
            document_id=request.document_id,
            cause=request.cause.log_id,
            kind=request.kind,
            split=request.split,
        ),
        currency=request.currency,
        business_date=business,
        document_date=document,
        posting_date=posting,
        summary=summary,
        business_number=request.business_number,
        lines=tuple(_line(line, request.currency, summary, dimensions) for line in lines),
        voucher_word=word or "",
        attachment_count=attachments,
        prepared_by=prepared or "",
        reviewed_by=reviewed or "",
        mapping=stamp,
    )


def _line(row: tuple[Any, ...], currency: str, summary: str, dimensions: Sequence[str]) -> VoucherLine:
    _, number, account, side, amount, party, tax_code, assignment, source_lines, *values = row
    return VoucherLine(
        line_no=number,
        account=account,
        side=Side(side),
        amount_minor=amount,
        currency=currency,
        local_amount_minor=amount,
        summary=summary,
        party=party,
        tax_code=tax_code,
        assignment=assignment,
        dimensions=tuple((name, value) for name, value in zip(dimensions, values, strict=True) if value),
        source_lines=tuple(source_lines.split(UNIT)) if source_lines else (),
    )
