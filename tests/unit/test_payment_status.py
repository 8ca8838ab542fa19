"""What finance's answer makes of a document's payment, and that the OA ends with one right row whatever is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
from finbridge.core.errors import RetryLater
from finbridge.core.outcomes import LedgerEntry
from finbridge.core.payment_status import (
    IN_DOUBT,
    NOT_IN_FINANCE,
    OF_ANOTHER,
    WAITS,
    WORDS,
    PaymentState,
    PaymentStatus,
    PaymentStatusRule,
    PaymentWork,
    Showed,
    ShownStatus,
    StatusChange,
    StatusOutcome,
    StoredStatus,
    Unclear,
)
from finbridge.core.ports import WriteBackResult
from finbridge.flows import PaymentStatusReport, write_payment_status
from finbridge.flows.payment_status import says
from finbridge.systems.weaver.mode_board import _Seen
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.unit.flow_fakes import make_flow

RULE = PaymentStatusRule(save="s", list="l", columns={}, words=WORDS)


def work(name: str = "1", **changes: Any) -> PaymentWork:
    item = PaymentWork(
        document_id=name, business_number=f"BX{name}", expenses=(f"E{name}",), payments=(f"P{name}",), reversals={}
    )
    return replace(item, **changes)


def entry(key: str, **changes: Any) -> LedgerEntry:
    made = LedgerEntry(
        key=key,
        company="1000",
        number=f"记-{key}",
        finance_id="1",
        posting_date=date(2026, 11, 20),
        content="c",
        currency="CNY",
        debit_minor=10_600,
        document_id="1",
    )
    return replace(made, **changes)


def said(item: PaymentWork, *entries: LedgerEntry) -> PaymentStatus | Unclear:
    return says(item, {e.key: e for e in entries}, "CNY")


# ---------------------------------------------------------------- finance's answer


def test_open_until_finance_shows_the_payment() -> None:
    status = said(work(), entry("E1"))
    assert isinstance(status, PaymentStatus)
    assert (status.state, status.number, status.paid_on, status.amount_minor) == (PaymentState.OPEN, "", None, 0)


def test_paid_with_number_day_and_amount_as_finance_has_them() -> None:
    status = said(work(), entry("E1"), entry("P1", posting_date=date(2026, 12, 1), debit_minor=10_000))
    assert isinstance(status, PaymentStatus)
    assert (status.state, status.number, status.paid_on, status.amount_minor, status.currency) == (
        PaymentState.PAID,
        "记-P1",
        date(2026, 12, 1),
        10_000,
        "CNY",
    )


def test_several_payments_are_one_status() -> None:
    item = work(payments=("P1", "P2"))
    status = said(item, entry("E1"), entry("P2", posting_date=date(2026, 12, 2)), entry("P1"))
    assert isinstance(status, PaymentStatus)
    assert (status.number, status.paid_on, status.amount_minor) == ("记-P1, 记-P2", date(2026, 12, 2), 21_200)


def test_reversed_when_no_voucher_lives_and_nothing_was_paid() -> None:
    item = work(reversals={"E1": ("R1",)})
    for entries, state in (
        ((entry("E1"),), PaymentState.OPEN),  # the reversal is ours only; finance does not have it yet
        ((entry("E1"), entry("R1")), PaymentState.REVERSED),
        ((entry("E1"), entry("R1"), entry("P1")), PaymentState.PAID),  # a payment stays
    ):
        status = said(item, *entries)
        assert isinstance(status, PaymentStatus) and status.state is state
    again = work(expenses=("E1", "E2"), reversals={"E1": ("R1",)})
    status = said(again, entry("E1"), entry("R1"), entry("E2"))
    assert isinstance(status, PaymentStatus) and status.state is PaymentState.OPEN


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ((), NOT_IN_FINANCE),
        ((entry("P1"),), NOT_IN_FINANCE),
        ((entry("E1", posted=False),), NOT_IN_FINANCE),
        ((entry("E1"), entry("P1", document_id="2")), OF_ANOTHER),
    ],
)
def test_an_answer_that_makes_no_status_is_named(entries: tuple[LedgerEntry, ...], reason: str) -> None:
    answer = said(work(), *entries)
    assert isinstance(answer, Unclear) and answer.reason == reason and answer.detail


def test_a_ledger_that_names_neither_currency_nor_document_is_believed() -> None:
    status = said(work(), entry("E1", document_id=""), entry("P1", document_id="", currency=""))
    assert isinstance(status, PaymentStatus) and status.currency == "CNY"


# ---------------------------------------------------------------- whatever is lost


@dataclass
class Store:
    """The hub's part: versions, and what may still be on its way. ``turn`` counts time."""

    works: dict[str, PaymentWork]
    says: dict[str, StoredStatus] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    verified: dict[str, bool] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    sent_at: dict[str, int] = field(default_factory=dict)
    turn: int = 0

    @property
    def payment_statuses(self) -> Store:
        return self

    def work(self, *, after: str, limit: int, late_seconds: float, again: bool = False, **_: Any) -> list[PaymentWork]:
        found = []
        for name in sorted(self.works):
            flying = not self.verified.get(name, False) and name in self.sent_at
            if name <= after or (again and self.reasons.get(name) not in (IN_DOUBT, WAITS) and not flying):
                continue
            stored = self.says.get(name)
            found.append(
                replace(
                    self.works[name],
                    stored=stored.says if stored and isinstance(stored.says, PaymentStatus) else None,
                    version=self.versions.get(name, 0),
                    verified=self.verified.get(name, False),
                    in_doubt=flying and self.sent_at[name] > self.turn - late_seconds,
                    reason=self.reasons.get(name, ""),
                )
            )
        return found[:limit]

    def put(self, flow_id: str, company: str, rows: Sequence[StoredStatus]) -> dict[str, int]:
        mine = [row for row in rows if self.versions.get(row.document_id, 0) == row.version]
        for row in mine:
            if self.verified.get(row.document_id):
                self.sent_at.pop(row.document_id, None)
            self.says[row.document_id], self.verified[row.document_id] = row, False
            self.versions[row.document_id] = row.version + 1
        return {row.document_id: row.version + 1 for row in mine}

    def mark_sending(self, flow_id: str, versions: Mapping[str, int], late_seconds: float) -> dict[str, int]:
        marked = {}
        for name, version in versions.items():
            sent = self.sent_at.get(name)
            free = self.verified[name] or sent is None or sent <= self.turn - late_seconds
            if self.versions[name] == version and free:
                self.sent_at[name], self.verified[name] = self.turn, False
                self.versions[name] = marked[name] = version + 1
        return marked

    def settle(self, flow_id: str, outcomes: Sequence[StatusOutcome]) -> dict[str, int]:
        settled = {}
        for out in outcomes:
            if self.versions.get(out.document_id) == out.version:
                self.verified[out.document_id], self.reasons[out.document_id] = out.verified, out.reason
                if not out.verified and not out.in_flight:
                    self.sent_at.pop(out.document_id, None)
                self.versions[out.document_id] = settled[out.document_id] = out.version + 1
        return settled


@dataclass
class Board:
    """A table without uniqueness behind a line that loses answers before and after the work, and works late."""

    random: random.Random
    store: Store
    bad: float = 0.5
    rows: dict[int, PaymentStatus | None] = field(default_factory=dict)
    late: list[StatusChange] = field(default_factory=list)
    inserts: int = 0
    late_seconds: float = 0.0

    async def shown(self, document_ids: Sequence[str]) -> dict[str, ShownStatus]:
        if self.random.random() < self.bad / 4:
            raise RetryLater("oa_away", "away")
        found: dict[str, list[int]] = {}
        for number, row in sorted(self.rows.items()):
            if row is not None and row.document_id in document_ids:
                found.setdefault(row.document_id, []).append(number)
        return {
            name: ShownStatus(row_id=str(ids[0]), status=self.rows[ids[0]], surplus=tuple(map(str, ids[1:])))
            for name, ids in found.items()
        }

    async def show(self, changes: Sequence[StatusChange], *, alone: bool = False) -> list[Showed]:
        results = []
        for change in changes:
            how = self.random.choice(["lost", "lost after", "late", "refused", "busy"]) if self.unlucky() else "saved"
            if how in ("saved", "lost after"):
                self.write(change)
            elif how == "late":
                self.late.append(change)
            results.append(
                Showed(
                    {
                        "saved": WriteBackResult.SAVED,
                        "refused": WriteBackResult.NOT_ALLOWED,
                        "busy": WriteBackResult.RETRY,
                    }.get(how, WriteBackResult.UNKNOWN)
                )
            )
        return results

    def unlucky(self) -> bool:
        return self.random.random() < self.bad

    def write(self, change: StatusChange) -> None:
        if change.row_id:
            self.rows[int(change.row_id)] = change.status
        else:
            self.inserts += 1
            self.rows[self.inserts] = change.status

    async def void(self, row_ids: Sequence[str]) -> None:
        for row_id in row_ids:
            if not self.unlucky():
                self.rows[int(row_id)] = None

    def arrive(self) -> None:
        """What was on its way arrives, in any order."""
        self.random.shuffle(self.late)
        while self.late:
            self.write(self.late.pop())


@dataclass
class Books:
    """Finance: what it shows under keys."""

    entries: dict[str, LedgerEntry]

    async def find(self, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        return {key: self.entries[key] for key in keys if key in self.entries}


def bring(store: Store, board: Board, books: Books, chunk: int) -> PaymentStatusReport | None:
    flow = make_flow(payment_status=RULE)
    call = write_payment_status(
        flow=flow,
        hub=store,
        source=board,
        ledger=books,  # type: ignore[arg-type]  # as much of a ledger as the verb needs
        company="1000",
        period="2026-11",
        chunk=chunk,
    )
    try:
        return asyncio.run(call)
    except RetryLater:
        return None


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32))
def test_whatever_is_lost_the_oa_ends_with_one_right_row_each(count: int, chunk: int, runs: int, seed: int) -> None:
    note(f"seed {seed}")
    chance = random.Random(seed)
    store = Store({str(n): work(str(n)) for n in range(count)})
    board = Board(chance, store)
    books = Books({f"E{n}": entry(f"E{n}", document_id=str(n)) for n in range(count)})
    for _ in range(runs):
        paid = chance.randrange(count)
        books.entries[f"P{paid}"] = entry(f"P{paid}", document_id=str(paid))
        bring(store, board, books, chunk)
        store.turn += 1
        board.arrive()
    board.bad = 0.0
    store.turn += 1
    first = bring(store, board, books, chunk)
    assert first is not None and (first.in_doubt, first.put_off, first.not_written) == (0, 0, 0)
    rows = sorted((row for row in board.rows.values() if row is not None), key=lambda row: row.document_id)
    assert rows == [says(store.works[name], books.entries, "CNY") for name in sorted(store.works)]
    inserts, versions = board.inserts, dict(store.versions)
    second = bring(store, board, books, chunk)
    assert second is not None and (second.unchanged, second.sent) == (count, 0)
    assert (board.inserts, store.versions) == (inserts, versions)


def test_without_the_section_nothing_is_asked() -> None:
    store = Store({"1": work()})
    report = asyncio.run(
        write_payment_status(
            flow=make_flow(),
            hub=store,
            source=Board(random.Random(0), store),
            ledger=None,  # type: ignore[arg-type]  # it is not asked
            company="1000",
            period="2026-11",
        )
    )
    assert report == PaymentStatusReport() and store.versions == {}


@given(st.lists(st.one_of(st.integers(0, 300).map(str), st.sampled_from(["", "a", "123456789", "1234567890"]))))
def test_rows_seen_are_counted_once(ids: list[str]) -> None:
    seen, known = _Seen(), set[str]()
    for row_id in ids:
        assert seen.add(row_id) == (row_id not in known)
        known.add(row_id)
    assert seen.count == len(known)
