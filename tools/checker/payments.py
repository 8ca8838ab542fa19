"""What the OA's table of payment statuses shows against what finance's journal says: the checker's own reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tools.checker.claims import Row, minor

Say = Callable[[str, str, str], None]  # set, document, reason
Month = tuple[str, str]  # company, period


@dataclass
class Statuses:
    """The rows of the table as they stand at the end, by id, each with the moment of its last save."""

    rules: Row  # of the whole rules file
    rows: dict[str, tuple[Row, str]] = field(default_factory=dict)

    @property
    def _own(self) -> Row:
        own: Row = self.rules["payment_status"]
        return own

    def sift(self, oa_rows: Iterable[Row]) -> Iterator[Row]:
        """Take the saves of the table out of the OA's journal; the rest goes on."""
        for row in oa_rows:
            if row["kind"] != "mode_save":
                yield row
            elif row["table"] == self._own["table"]:
                self.rows[str(row["billid"])] = (row["main"], str(row.get("at", "")))

    def compare(self, vouchers: Iterable[Row], months: frozenset[Month], say: Say) -> int:
        """Say what is wrong; returns the number of requests that have a status.

        A status is right if it is what finance held when it was saved. For the ``months`` it must be what finance holds
        now, and each live expense voucher of theirs must have one.
        """
        by_document: defaultdict[str, list[Row]] = defaultdict(list)
        for voucher in vouchers:
            by_document[str(voucher["document_id"])].append(voucher)
        shown = self._by_document(say)
        for name, (main, at) in shown.items():
            found = by_document.get(name, [])
            if not found:
                say("unexplained", name, "a payment status without a voucher")
                continue
            strict = any((v["company"], v["period"]) in months for v in found if v["kind"] == "expense")
            known = found if strict else [v for v in found if not _later(v, at)]
            says, wanted = self._says(main), self._wanted(known)
            if says != wanted:
                say("wrong", name, f"payment status {_words(says)}, not {_words(wanted)}")
        for name, found in by_document.items():
            live = [v for v in _live(found, "expense") if (v["company"], v["period"]) in months]
            if live and name not in shown:
                say("lost", name, f"no payment status for {live[0]['number']}")
        return len(shown)

    def _by_document(self, say: Say) -> dict[str, tuple[Row, str]]:
        """The row of each request; a row without one was taken away."""
        found: dict[str, tuple[Row, str]] = {}
        for main, at in self.rows.values():
            name = str(main[self._own["columns"]["document"]] or "")
            if name and name in found:
                say("doubled", name, "two rows of payment status")
            if name:
                found[name] = (main, at)
        return found

    def _says(self, main: Row) -> tuple[object, ...]:
        value = {meaning: str(main[column] or "") for meaning, column in self._own["columns"].items()}
        try:
            amount: object = minor(value["amount"], value["currency"], self.rules)
        except ValueError:
            amount = value["amount"]
        return value["status"], value["number"], value["date"], amount

    def _wanted(self, vouchers: list[Row]) -> tuple[object, ...]:
        words: Mapping[str, str] = self._own["words"]
        paid = sorted(_live(vouchers, "payment"), key=lambda voucher: (voucher["date"], voucher["key"]))
        if paid:
            amounts = [minor(line["debit"], v["currency"], self.rules) for v in paid for line in v["lines"]]
            return words["paid"], ", ".join(v["number"] for v in paid), paid[-1]["date"], sum(amounts)
        return words["open" if _live(vouchers, "expense") else "reversed"], "", "", 0


def _live(vouchers: Iterable[Row], kind: str) -> list[Row]:
    vouchers = list(vouchers)
    reversed_keys = {voucher["reverses"] for voucher in vouchers}
    return [v for v in vouchers if v["kind"] == kind and v["key"] not in reversed_keys]


def _later(voucher: Row, at: str) -> bool:
    """Whether finance posted it after the status was saved; without times it is held against the status."""
    posted = str(voucher.get("at") or "")
    return bool(posted and at) and datetime.fromisoformat(posted) > datetime.fromisoformat(at)


def _words(says: tuple[object, ...]) -> str:
    return " ".join(str(part) for part in says if part != "")
