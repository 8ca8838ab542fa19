"""The pandas frames that the judge reads, made when they are first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finbridge.core.vouchers import Voucher

NAMES = ("documents", "lines", "vouchers", "voucher_lines")


class Frames(Mapping[str, Any]):
    """The four frames of one translation. Whole numbers stay whole (Int64, <NA> where unknown)."""

    def __init__(
        self, vouchers: Sequence[Voucher], documents: Mapping[str, Any], lines: Mapping[str, Any] | None
    ) -> None:
        self._vouchers = vouchers
        self._columns = {
            "documents": documents,
            "lines": lines if lines is not None else {"document_id": [], "line_id": []},
        }
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name in self._columns:
                self._made[name] = _frame(self._columns[name])
            elif name in NAMES:
                self._made[name] = (_voucher_frame if name == "vouchers" else _line_frame)(self._vouchers)
            else:
                raise KeyError(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


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
        return pd.Series(texts, dtype="object")
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
