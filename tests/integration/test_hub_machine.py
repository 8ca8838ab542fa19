"""Arbitrary sequences of store, claim, plan, deliver, record and write back keep what the hub promises.

Two workers, three documents, a finance that answers as it likes, crashes at any step, time that jumps. After every
step each document stands in exactly one state and each voucher's trail is one unbroken chain; at the end everything
that the log calls for is in the books, once, or stands in a list.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from finbridge.core.documents import EventKind
from finbridge.core.fold import fold
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT, VoucherState
from finbridge.core.outcomes import Accepted, Conflict, Locked, NotSent, Outcome, PeriodClosed, Rejected, Unknown
from finbridge.core.ports import Deliverable, DocumentWork, Lease, Planned, Sent, Stage, WriteBackResult
from finbridge.core.vouchers import Voucher
from finbridge.hub import PostgresHub
from hypothesis import HealthCheck, example, given, settings, strategies

from tests.hub_fixtures import HubDatabase
from tests.hub_world import World, document, entry, held, planned, problem_of

NAMES = ("1", "2", "3")
WORKERS = strategies.sampled_from(["w1", "w2"])
APPROVAL = (EventKind.SUBMITTED, EventKind.APPROVED)
PAYMENT = (EventKind.PAYMENT_REQUESTED, EventKind.PAID)
BEGINNINGS = strategies.sampled_from(
    [APPROVAL, APPROVAL, (*APPROVAL, *PAYMENT), (*APPROVAL, EventKind.REJECTED), (EventKind.SUBMITTED,)]
)
TURNS = strategies.sampled_from(
    [
        (EventKind.REJECTED,),
        (EventKind.REJECTED,),
        (EventKind.WITHDRAWN, *APPROVAL),
        (EventKind.REJECTED, *APPROVAL),
        APPROVAL,
        PAYMENT,
        (EventKind.APPROVED,),
        (*PAYMENT, EventKind.REJECTED),
    ]
)
ANSWERS = strategies.sampled_from(
    [*["post"] * 8, "unknown", "lost", "reject", "closed", "locked", "not sent", "conflict", "crash"]
)
_numbers = itertools.count(1)


class Machine:
    """Steps that workers, people, finance and accidents can take."""

    def __init__(self, database: HubDatabase, hub: PostgresHub) -> None:
        self.database = database
        self.hub = hub
        self.world = World(self.hub, f"machine {next(_numbers)}")
        self.logs: dict[str, list[EventKind]] = {name: [] for name in NAMES}
        self.amounts = dict.fromkeys(NAMES, 100)
        self.leased: dict[str, list[DocumentWork]] = {"w1": [], "w2": []}

    # ------------------------------------------------------------ the OA

    def begin(self, logs: list[tuple[EventKind, ...]]) -> None:
        for name, kinds in zip(NAMES, logs, strict=True):
            self.logs[name].extend(kinds)
            self.collect(name)

    def happen(self, name: str, turn: tuple[EventKind, ...], amount: int | None) -> None:
        self.logs[name].extend(turn)
        self.amounts[name] = amount or self.amounts[name]
        self.collect(name)

    def collect(self, name: str) -> None:
        events = tuple(entry(number, kind) for number, kind in enumerate(self.logs[name], start=1))
        self.world.store(document(name, events=events, amount=f"{self.amounts[name]}.00"))

    # ------------------------------------------------------------ workers

    def check(self, worker: str, bad: set[str], slow: bool) -> None:
        works = self.world.claim(Stage.PLAN, worker, seconds=0.0 if slow else 60.0)
        decide = held(problem_of(name) for name in bad) if bad else planned
        self.leased[worker] = works if slow else []
        if not slow:
            self.hub.save_plans(self.world.flow, [decide(work, self.world.source) for work in works])

    def work(self, worker: str, answer: str) -> None:
        """What a run does, after every waiting time."""
        self._lapse()
        self.check(worker, set(), False)
        self.deliver(worker, answer, False, False)

    def save_late(self, worker: str) -> None:
        """A plan of long ago: stored only where nobody took the document over."""
        plans: list[Planned] = [self.world.plan(work) for work in self.leased[worker]]
        self.hub.save_plans(self.world.flow, plans)
        self.leased[worker] = []

    def deliver_with_news(self, worker: str, answer: str, news: str) -> None:
        """The log moves between the look at what is due and the send."""
        self._lapse()
        self.check(worker, set(), False)
        leases = self.world.leases(Stage.DELIVER, worker)
        items = self.hub.deliverables(self.world.flow, leases)
        if news:
            self.happen(news, (EventKind.REJECTED,), None)
        for item in items:
            if item.state not in IN_DOUBT:
                assert news != item.lease.document_id or not self.hub.mark_sending({item.voucher.key: item.lease})
                self.send(item, answer)
        self.hub.release(self.world.flow, leases)

    def deliver(self, worker: str, answer: str, slow: bool, put_off: bool) -> None:
        leases = self.world.leases(Stage.DELIVER, worker, seconds=0.0 if slow else 60.0)
        for item in self.hub.deliverables(self.world.flow, leases):
            if item.state in IN_DOUBT:
                self.resolve(item, answer)
            else:
                self.send(item, answer)
        if answer == "crash":
            self._lapse()
        else:
            self.hub.release(self.world.flow, leases, retry_after_seconds=30.0 if put_off else None)

    def resolve(self, item: Deliverable, answer: str) -> None:
        """Ask finance by key; sometimes it does not answer."""
        if answer in ("locked", "crash"):
            return
        known = self.world.finance.posted.get(item.voucher.key)
        outcome = self.world.finance.post(item.voucher) if known else None
        self._record(item.lease, item.voucher, outcome)

    def send(self, item: Deliverable, answer: str) -> None:
        attempts = self.hub.mark_sending({item.voucher.key: item.lease})
        if item.voucher.key in attempts:
            outcome = self._answer(item.voucher, answer)
            if answer != "crash":
                self._record(item.lease, item.voucher, outcome)

    def _answer(self, voucher: Voucher, answer: str) -> Outcome:
        if answer in ("post", "unknown", "crash"):
            posted = self.world.finance.post(voucher)
            return posted if answer == "post" else Unknown("the answer was lost")
        if answer == "conflict":
            posted = self.world.finance.post(voucher)
            return Conflict(posted.entry, "content") if isinstance(posted, Accepted) else posted
        others: dict[str, Outcome] = {
            "lost": Unknown("lost before finance"),
            "reject": Rejected("E1", "no"),
            "closed": PeriodClosed("closed"),
            "locked": Locked(),
            "not sent": NotSent("refused"),
        }
        return others[answer]

    def _record(self, lease: Lease, voucher: Voucher, outcome: Outcome | None) -> None:
        sent = Sent(lease=lease, key=voucher.key, attempt_id=None, outcome=outcome, not_found=outcome is None)
        self.hub.record(self.world.flow, [sent])

    def write_back(self, result: WriteBackResult, verified: bool) -> None:
        self.world.write_back(result, verified=verified and result is WriteBackResult.SAVED)

    # ------------------------------------------------------------ time, people

    def later(self) -> None:
        """Every waiting time is over; leases too."""
        self._lapse()

    def ask_again(self, name: str) -> None:
        self.hub.retry(self.world.flow, [name], actor="li")

    def _lapse(self) -> None:
        server, name = self.database.server, self.database.name
        server.execute(name, "UPDATE hub.voucher SET retry_at = now() WHERE flow_id = %s", [self.world.flow])
        server.execute(
            name,
            "UPDATE hub.document SET due_at = now(), lease_until = CASE WHEN lease_fence IS NOT NULL THEN now() END "
            "WHERE flow_id = %s AND stage IS NOT NULL",
            [self.world.flow],
        )
        server.execute(name, "UPDATE hub.voucher SET write_back_at = NULL WHERE flow_id = %s", [self.world.flow])

    # ------------------------------------------------------------ promises

    def check_promises(self) -> None:
        self.each_document_stands_in_exactly_one_state()
        self.each_trail_is_one_chain_and_books_are_left_by_reversal_alone()
        self.finance_never_holds_two_live_expenses_of_a_document()

    def each_document_stands_in_exactly_one_state(self) -> None:
        account = self.hub.account(self.world.flow)
        known = [row["document_id"] for row in self.hub.document_rows(self.world.flow)]
        assert sum(account.documents.values()) == len(known) == len(set(known))
        assert account.unexplained == ()

    def each_trail_is_one_chain_and_books_are_left_by_reversal_alone(self) -> None:
        rows = self.database.server.execute(
            self.database.name,
            "SELECT key, from_state, to_state FROM hub.trail WHERE flow_id = %s AND to_state IS NOT NULL "
            "ORDER BY trail_id",
            [self.world.flow],
        )
        states: dict[str, str | None] = {}
        for key, before, after in rows:
            assert states.get(key) == before, f"{key}: {before} -> {after} after {states.get(key)}"
            states[key] = after
            if before in {s.value for s in IN_BOOKS}:
                assert after in {s.value for s in IN_BOOKS} | {VoucherState.REVERSED.value}
        register = {row["key"]: row for row in self.hub.register_rows(self.world.flow) if row["key"]}
        assert {key: row["state"] for key, row in register.items()} == states
        for row in register.values():
            if row["state"] == "reversed":
                assert register[row["reversed_by_key"]]["state"] == "posted"

    def finance_never_holds_two_live_expenses_of_a_document(self) -> None:
        live: Counter[str] = Counter()
        for row in self.hub.register_rows(self.world.flow):
            if row["key"] in self.world.finance.posted:
                live[row["document_id"]] += {"expense": 1, "reversal": -1, "payment": 0}[row["kind"]]
        assert set(live.values()) <= {0, 1}

    def settle(self) -> None:
        """Finance answers well from here on: what the log calls for must come about, or stand in a list."""
        decide: Callable[[DocumentWork, str], Planned] = planned
        for _ in range(12):
            self._lapse()
            if not self.world.due():
                break
            self.world.check(decide)
            self.deliver("w1", "post", False, False)
            self.world.write_back()
        assert self.hub.account(self.world.flow).due == {}
        live: Counter[str] = Counter()
        for row in self.hub.register_rows(self.world.flow):
            if row["key"] in self.world.finance.posted and row["kind"] == "expense":
                live[row["document_id"]] += row["state"] != "reversed"
        for row in self.hub.document_rows(self.world.flow):
            name = row["document_id"]
            events = [entry(number, kind) for number, kind in enumerate(self.logs[name], start=1)]
            folded = fold(events)
            assert row["end_state"] == folded.end_state.value
            assert row["holds"] or live[name] == int(folded.approved), row


names, workers, flags = strategies.sampled_from(NAMES), WORKERS, strategies.booleans()
amounts = strategies.sampled_from([None, None, 90, 100])
results = strategies.sampled_from(list(WriteBackResult))
#: A step is a method of the machine and its arguments; those that move a voucher on are drawn more often.
STEPS = strategies.one_of(
    *[strategies.tuples(strategies.just(Machine.work), workers, ANSWERS)] * 4,
    *[strategies.tuples(strategies.just(Machine.happen), names, TURNS, amounts)] * 3,
    strategies.tuples(
        strategies.just(Machine.deliver_with_news), workers, ANSWERS, strategies.sampled_from(["", *NAMES])
    ),
    strategies.tuples(strategies.just(Machine.deliver), workers, ANSWERS, flags, flags),
    strategies.tuples(strategies.just(Machine.check), workers, strategies.sets(names, max_size=1), flags),
    strategies.tuples(strategies.just(Machine.save_late), workers),
    strategies.tuples(strategies.just(Machine.write_back), results, flags),
    strategies.tuples(strategies.just(Machine.collect), names),
    strategies.tuples(strategies.just(Machine.ask_again), names),
    strategies.tuples(strategies.just(Machine.later)),
)


@pytest.fixture(scope="module")
def reached() -> Counter[tuple[str, str]]:
    """Kind and state of every voucher at the end of every example: an idle machine proves nothing."""
    return Counter()


#: Paths that every run must go, whatever else is drawn: reversal and new approval, doubt, withdrawal, payment.
CERTAIN: list[tuple[Any, ...]] = [
    (Machine.work, "w1", "unknown"),
    (Machine.happen, "1", (EventKind.REJECTED,), None),
    (Machine.work, "w2", "post"),
    (Machine.work, "w1", "lost"),
    (Machine.happen, "1", APPROVAL, 90),
    (Machine.happen, "2", PAYMENT, None),
    (Machine.check, "w1", set(), False),
    (Machine.happen, "3", (EventKind.WITHDRAWN, *APPROVAL), None),
    (Machine.deliver, "w2", "crash", True, False),
    (Machine.work, "w1", "post"),
    (Machine.write_back, WriteBackResult.SAVED, True),
]


@pytest.mark.slow
@settings(max_examples=20, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@example(logs=[APPROVAL, APPROVAL, APPROVAL], steps=CERTAIN)
@example(logs=[(*APPROVAL, EventKind.REJECTED), APPROVAL, APPROVAL], steps=CERTAIN[::-1])
@given(
    logs=strategies.lists(BEGINNINGS, min_size=3, max_size=3), steps=strategies.lists(STEPS, min_size=12, max_size=16)
)
def test_any_sequence_keeps_the_promises(
    hub_database: HubDatabase,
    hub: PostgresHub,
    reached: Counter[tuple[str, str]],
    logs: list[tuple[EventKind, ...]],
    steps: list[tuple[Any, ...]],
) -> None:
    machine = Machine(hub_database, hub)
    machine.begin(logs)
    for step, *arguments in steps:
        step(machine, *arguments)
        machine.check_promises()
    machine.settle()
    machine.check_promises()
    reached.update((row["kind"], row["state"]) for row in hub.register_rows(machine.world.flow) if row["key"])


def test_the_sequences_went_everywhere(reached: Counter[tuple[str, str]]) -> None:
    assert sum(reached.values()) >= 20, reached
    for wanted in (("expense", "verified"), ("expense", "reversed"), ("reversal", "posted"), ("payment", "posted")):
        assert reached[wanted] >= 1, reached
