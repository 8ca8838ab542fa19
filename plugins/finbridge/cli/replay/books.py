"""What finance shows, document by document: read from the finance side's own journal."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

COLUMNS = (
    "document_id",
    "end_state",
    "live_vouchers",
    "live_amount",
    "posts",
    "reversals",
    "payment_vouchers",
    "posting_date",
    "period",
    "exception",
)


@dataclass(slots=True)
class Books:
    """One document's vouchers in finance."""

    expenses: list[Mapping[str, Any]] = field(default_factory=list)
    payments: list[Mapping[str, Any]] = field(default_factory=list)
    reversals: list[Mapping[str, Any]] = field(default_factory=list)

    def row(self, document_id: str, end_state: str, exception: str) -> dict[str, str]:
        """One line of the result."""
        gone = {entry["reverses"] for entry in self.reversals}
        live = [entry for entry in self.expenses if entry["key"] not in gone]
        amount = sum((Decimal(line["debit"]) for entry in live for line in entry["lines"]), Decimal("0.00"))
        return {
            "document_id": document_id,
            "end_state": end_state,
            "live_vouchers": str(len(live)),
            "live_amount": f"{amount:.2f}",
            "posts": str(len(self.expenses)),
            "reversals": str(len(self.reversals)),
            "payment_vouchers": str(sum(entry["key"] not in gone for entry in self.payments)),
            "posting_date": "|".join(sorted({entry["date"] for entry in live})),
            "period": "|".join(sorted({entry["period"] for entry in live})),
            "exception": exception,
        }


def read_books(journal: Path) -> tuple[dict[str, Books], int]:
    """By OA document id, and the number of vouchers in the journal (JSONL, one voucher a line)."""
    books: dict[str, Books] = defaultdict(Books)
    count = 0
    with journal.open(encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            count += 1
            mine = books[entry["document_id"]]
            kinds = {"expense": mine.expenses, "payment": mine.payments, "reversal": mine.reversals}
            kinds[entry["kind"]].append(entry)
    return books, count


def write_rows(path: Path, rows: Iterable[Mapping[str, str]]) -> int:
    """Write the result; returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        count = 0
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
