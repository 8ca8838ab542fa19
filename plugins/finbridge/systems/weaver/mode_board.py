"""Payment statuses in a form-mode table of e-cology: `finbridge.core.payment_status.StatusBoard`.

The table has no uniqueness of its own. A document's row is looked up by its request id before it is written, and
changed by its own id; a row that is there twice (a lost answer that arrived late) keeps its first, and the others lose
their request id, because the interfaces delete nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from finbridge.core.errors import RetryLater
from finbridge.core.money import to_minor, to_text
from finbridge.core.payment_status import (
    PaymentState,
    PaymentStatus,
    PaymentStatusRule,
    Showed,
    ShownStatus,
    StatusChange,
)
from finbridge.core.ports import WriteBackResult
from finbridge.core.transport import NoAnswerError
from finbridge.systems.weaver.mode_client import ModeClient
from finbridge.systems.weaver.mode_replies import ModeRefused
from finbridge.systems.weaver.together import together

DEFAULT_PAGE_SIZE = 2000
DEFAULT_BATCH_SIZE = 100
_ID = "id"
_WALKS = 3
_DIGITS = 8
#: Rows sent one by one and all refused: then the others would be too.
_MOST_REFUSALS = 20
#: An amount as an OA's screens show it.
_GROUPED = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")


class _Seen:
    """Ids of rows already seen, a bit each: a table of years has millions."""

    def __init__(self) -> None:
        self.count = 0
        self._bits = bytearray()
        self._others: set[str] = set()  # ids that are no ordinary number

    def add(self, row_id: str) -> bool:
        """Whether it is new."""
        if row_id.isdigit() and len(row_id) <= _DIGITS:
            place, bit = divmod(int(row_id), 8)
            if place >= len(self._bits):
                self._bits.extend(bytes(place + 1 - len(self._bits)))
            new = not self._bits[place] >> bit & 1
            self._bits[place] |= 1 << bit
        else:
            new = row_id not in self._others
            self._others.add(row_id)
        self.count += new
        return new


class ModeBoard:
    """One table behind two interfaces.

    Args:
        rule: interfaces, columns and words of the flow.
        page_size: rows a page of a read of the whole table.
        batch_size: rows a save.
    """

    def __init__(self, client: ModeClient, rule: PaymentStatusRule, *, page_size: int, batch_size: int) -> None:
        self._client, self._rule = client, rule
        self._page_size, self._batch_size = page_size, batch_size
        self._columns = rule.columns
        self._states = {rule.words[state.value]: state for state in PaymentState}

    # ------------------------------------------------------------ reading

    async def shown(self, document_ids: Sequence[str]) -> dict[str, ShownStatus]:
        """See the port. A few documents are looked up one by one, many by one walk over the table.

        Raises:
            RetryLater: the OA is away, or the table changes faster than it can be read.
            GiveUp: the OA refuses.
        """
        wanted = {name for name in document_ids if name}
        if not wanted:
            return {}
        total = await self._client.count(self._rule.list, {})
        few = len(wanted) <= total // self._page_size + 1
        rows = await self._look_up(wanted) if few and total else await self._walk(wanted, total)
        return {name: self._shown(found) for name, found in rows.items()}

    async def _look_up(self, wanted: Iterable[str]) -> dict[str, list[Mapping[str, str]]]:
        async def of(name: str) -> list[Mapping[str, str]]:
            filters = {self._columns["document"]: name}
            rows = await self._client.page(self._rule.list, filters, 1, self._page_size)
            return [row for row in rows if row.get(self._columns["document"]) == name]

        names = sorted(wanted)
        found = await together([of(name) for name in names])
        return {name: rows for name, rows in zip(names, found, strict=True) if rows}

    async def _walk(self, wanted: set[str], total: int) -> dict[str, list[Mapping[str, str]]]:
        """All pages; only a walk that saw as many rows as there were before and after it has missed none."""
        for _ in range(_WALKS):
            seen = _Seen()
            found: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
            for number in range(1, total // self._page_size + 2):
                for row in await self._client.page(self._rule.list, {}, number, self._page_size):
                    name = row.get(self._columns["document"], "")
                    if seen.add(row.get(_ID, "")) and name in wanted:
                        found[name].append(row)
            before, total = total, await self._client.count(self._rule.list, {})
            if before == total == seen.count:
                return dict(found)
        raise RetryLater(
            "mode_table_moves",
            "OA 付款状态表读取期间一直变化，稍后重试 / the OA's table keeps changing while it is read",
            f"{self._rule.list}: {total} rows, {seen.count} seen in the last of {_WALKS} walks",
        )

    def _shown(self, rows: Sequence[Mapping[str, str]]) -> ShownStatus:
        first, *others = sorted(rows, key=lambda row: (len(row[_ID]), row[_ID]))  # the oldest, by number
        return ShownStatus(row_id=first[_ID], status=self._status(first), surplus=tuple(row[_ID] for row in others))

    def _status(self, row: Mapping[str, str]) -> PaymentStatus | None:
        """A row as a status; None where a value is none of ours."""
        value = {meaning: row.get(column, "").strip() for meaning, column in self._columns.items()}
        state = self._states.get(value["status"])
        if state is None:
            return None
        try:
            return PaymentStatus(
                document_id=value["document"],
                business_number=value["business_number"],
                state=state,
                number=value["voucher_number"],
                paid_on=date.fromisoformat(value["paid_on"]) if value["paid_on"] else None,
                amount_minor=to_minor(_plain(value["amount"]), value["currency"]),
                currency=value["currency"],
            )
        except ValueError:
            return None

    # ------------------------------------------------------------ writing

    async def show(self, changes: Sequence[StatusChange], *, alone: bool = False) -> list[Showed]:
        """See the port."""
        size = 1 if alone else self._batch_size
        batches = [changes[start : start + size] for start in range(0, len(changes), size)]
        if not alone:
            return [showed for saved in await together([self._save(batch) for batch in batches]) for showed in saved]
        results: list[Showed] = []
        for batch in batches:
            last = results[-_MOST_REFUSALS:]
            if len(last) == _MOST_REFUSALS and all(s.result is WriteBackResult.NOT_ALLOWED for s in last):
                return results + [last[-1]] * (len(changes) - len(results))
            results += await self._save(batch)
        return results

    async def _save(self, changes: Sequence[StatusChange]) -> list[Showed]:
        rows = [self._row(change) for change in changes]
        try:
            await self._client.save(self._rule.save, rows)
            showed = Showed(WriteBackResult.SAVED)
        except ModeRefused as error:
            showed = Showed(WriteBackResult.NOT_ALLOWED, error.engineer)
        except NoAnswerError as error:
            showed = Showed(WriteBackResult.UNKNOWN, error.code)
        except RetryLater as error:
            showed = Showed(WriteBackResult.RETRY, error.code)
        return [showed] * len(changes)

    async def void(self, row_ids: Sequence[str]) -> None:
        """See the port: without its request id a row belongs to nobody; its status says why."""
        columns, words = self._columns, self._rule.words
        rows = [{_ID: name, columns["document"]: "", columns["status"]: words["void"]} for name in row_ids]
        for start in range(0, len(rows), self._batch_size):
            try:
                await self._client.save(self._rule.save, rows[start : start + self._batch_size])
            except RetryLater:
                continue  # seen again at the next look

    def _row(self, change: StatusChange) -> dict[str, str]:
        status = change.status
        value = {
            "document": status.document_id,
            "business_number": status.business_number,
            "status": self._rule.words[status.state.value],
            "voucher_number": status.number,
            "paid_on": "" if status.paid_on is None else status.paid_on.isoformat(),
            "amount": to_text(status.amount_minor, status.currency),
            "currency": status.currency,
        }
        row = {self._columns[meaning]: text for meaning, text in value.items()}
        return {**row, _ID: change.row_id} if change.row_id else row


def _plain(amount: str) -> str:
    return amount.replace(",", "") if _GROUPED.fullmatch(amount) else amount
