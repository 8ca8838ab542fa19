"""Result rows as voucher records and as frames for the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from finbridge.core.ids import VoucherIdentity
from finbridge.core.ports import TranslationRequest
from finbridge.core.vouchers import MappingStamp, Side, Voucher, VoucherLine

_FIRST_DIMENSION = 9  # columns of a line before its dimensions


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
        source_lines=tuple(source_lines),
    )


# ---------------------------------------------------------------- frames


def frames_of(
    vouchers: Sequence[Voucher], documents: Mapping[str, Any], lines: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The four pandas frames; whole numbers stay whole (Int64, <NA> where unknown)."""
    return {
        "documents": _frame(documents),
        "lines": _frame(lines if lines is not None else {"document_id": [], "line_id": []}),
        "vouchers": _voucher_frame(vouchers),
        "voucher_lines": _line_frame(vouchers),
    }


def _frame(columns: Mapping[str, Any]) -> Any:
    import pandas as pd

    return pd.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: Any) -> Any:
    """A numpy (masked) array as a pandas column that keeps whole numbers whole and texts as objects."""
    import numpy as np
    import pandas as pd

    data = np.ma.getdata(values)
    missing = np.ma.getmaskarray(values)
    if data.dtype.kind in "iu":
        return pd.Series(pd.arrays.IntegerArray(data.astype("int64"), missing.copy()))
    if data.dtype.kind == "O":
        texts = data.copy()
        texts[missing] = None
        return pd.Series(texts)
    return pd.Series(data).mask(missing)


def _voucher_frame(vouchers: Sequence[Voucher]) -> Any:
    import pandas as pd

    whole = pd.Int64Dtype()
    debit = [v.debit_minor for v in vouchers]
    credit = [v.credit_minor for v in vouchers]
    return pd.DataFrame(
        {
            "key": pd.Series([v.key for v in vouchers], dtype=object),
            "document_id": pd.Series([v.identity.document_id for v in vouchers], dtype=object),
            "company": pd.Series([v.identity.company for v in vouchers], dtype=object),
            "kind": pd.Series([v.identity.kind.value for v in vouchers], dtype=object),
            "currency": pd.Series([v.currency for v in vouchers], dtype=object),
            "posting_date": pd.to_datetime(pd.Series([v.posting_date for v in vouchers], dtype=object)),
            "debit_minor": pd.Series(debit, dtype=whole),
            "credit_minor": pd.Series(credit, dtype=whole),
            "difference_minor": pd.Series([d - c for d, c in zip(debit, credit, strict=True)], dtype=whole),
            "line_count": pd.Series([len(v.lines) for v in vouchers], dtype=whole),
            "cause": pd.Series([v.identity.cause for v in vouchers], dtype=object),
        }
    )


def _line_frame(vouchers: Sequence[Voucher]) -> Any:
    import pandas as pd

    rows = [(v, line) for v in vouchers for line in v.lines]
    whole = pd.Int64Dtype()
    return pd.DataFrame(
        {
            "key": pd.Series([v.key for v, _ in rows], dtype=object),
            "document_id": pd.Series([v.identity.document_id for v, _ in rows], dtype=object),
            "line_no": pd.Series([line.line_no for _, line in rows], dtype=whole),
            "account": pd.Series([line.account for _, line in rows], dtype=object),
            "side": pd.Series([line.side.value for _, line in rows], dtype=object),
            "local_amount_minor": pd.Series([line.local_amount_minor for _, line in rows], dtype=whole),
            "party": pd.Series([line.party for _, line in rows], dtype=object),
        }
    )
