"""All paths of OA events up to length six: what the pure core decides, and what a living world makes of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.fold import Folded, fold
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.plan import AskHuman, Create, Registered, Reverse, Withdraw, plan
from finbridge.sim import office
from finbridge.sim.history import History, Mode, Setting, Step
from finbridge.sim.trouble import FAULTS
from finbridge.sim.world import World
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

LENGTH = 6
BEGIN = datetime.fromisoformat("2026-11-18T09:00:00")  # local time of the OA
LOSSES = (EventKind.SAVED, EventKind.SUBMITTED, EventKind.REJECTED, EventKind.WITHDRAWN)
KINDS = (*LOSSES, EventKind.APPROVED, EventKind.PAYMENT_REQUESTED, EventKind.PAID)


def _called(events: Sequence[LogEntry]) -> tuple[frozenset[str], bool]:
    """The approvals that hold at the end, and whether it was ever paid while approved: read one after another."""
    holding: set[str] = set()
    paid = False
    for event in events:
        if event.kind in LOSSES:
            holding.clear()
        elif event.kind is EventKind.APPROVED:
            holding.add(event.log_id)
        elif event.kind is EventKind.PAID:
            paid = paid or bool(holding)
    return frozenset(holding), paid


def _work(folded: Folded, register: tuple[Registered, ...]) -> tuple[Registered, ...]:
    """Finance takes at once whatever is decided."""
    rows = {row.key: row for row in register}
    for action in plan(folded, "content", register):
        if isinstance(action, Create):
            key = f"{action.kind.value} {action.cause.log_id}"
            rows[key] = Registered(key, action.kind, action.cause.log_id, VoucherState.POSTED, "content")
        elif isinstance(action, Reverse):
            rows[action.key] = replace(rows[action.key], state=VoucherState.REVERSED)
        else:
            assert not isinstance(action, Withdraw | AskHuman), action
    return tuple(rows.values())


def _hold_true(events: Sequence[LogEntry], register: Sequence[Registered]) -> None:
    approvals, paid = _called(events)
    live = [row for row in register if row.state is VoucherState.POSTED]
    expenses = [row.cause for row in live if row.kind is VoucherKind.EXPENSE]
    assert len(expenses) == bool(approvals), [event.kind.value for event in events]
    assert set(expenses) <= approvals
    assert sum(row.kind is VoucherKind.PAYMENT for row in live) == paid, [event.kind.value for event in events]


def _walk(events: list[LogEntry], register: tuple[Registered, ...]) -> int:
    """Every path on from here; the suite works after each event, and once more as if only now."""
    folded = fold(events)
    register = _work(folded, register)
    _hold_true(events, register)
    _hold_true(events, _work(folded, ()))
    if len(events) == LENGTH:
        return 1
    at = BEGIN + timedelta(minutes=len(events))
    return sum(_walk([*events, LogEntry(str(len(events)), kind, at)], register) for kind in KINDS)


@pytest.mark.slow
def test_every_path_of_events_ends_in_exactly_the_vouchers_that_it_calls_for() -> None:
    assert _walk([], ()) == len(KINDS) ** LENGTH


# ---------------------------------------------------------------- paths in a living world

OPERATIONS = (office.SAVED, office.SUBMITTED, office.REJECTED, office.WITHDRAWN, office.APPROVED, office.APPROVED,
              office.REQUESTED, office.PAID)  # fmt: skip
SETTING = Setting(
    begin=datetime(2026, 11, 18, 1, 0, tzinfo=UTC), skew=0.0, scrambled=False, unique=False, stays_closed=False
)
VERBS = strategies.sampled_from(["collect", "what is due", "what is due", "deliver", "write_back"])
WORKERS = strategies.sampled_from(["w1", "w2"])
PLACES = strategies.sampled_from([(place, fault) for place, faults in FAULTS.items() for fault in faults])


class Paths(RuleBasedStateMachine):
    """One form, any six events in any order, and workers that come between, meet faults and die."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(History(0, Mode.BOUNDED, SETTING, ()))
        self.open = ExitStack()
        self.open.enter_context(self.world.under_watch())
        self.world.office.create("100", "E1")
        self.events = 0
        self.steps = 0

    def _step(self, kind: str, *args: str | float) -> None:
        self.steps += 1
        self.world.take(Step(self.steps, self.steps, kind, args))

    @precondition(lambda self: self.events < LENGTH)
    @rule(operation=strategies.sampled_from(OPERATIONS))
    def happen(self, operation: str) -> None:
        self.events += 1
        self.world.office.note("1", operation)

    @rule(worker=WORKERS, verb=VERBS)
    def work(self, worker: str, verb: str) -> None:
        self._step("verb", worker, verb)

    @rule(seconds=strategies.sampled_from([3.0, 70.0, 100.0]))
    def later(self, seconds: float) -> None:
        self._step("jump", seconds)

    @rule()
    def all_do_their_work(self) -> None:
        for verb in ("collect", "check", "deliver", "write_back"):
            self._step("verb", "w3", verb)
            self.world.kernel.drain()

    @rule(fault=PLACES)
    def meet(self, fault: tuple[str, str]) -> None:
        self._step("arm", *fault)

    @rule(worker=WORKERS)
    def die(self, worker: str) -> None:
        self._step("kill", worker)

    @invariant()
    def nothing_is_doubled_wrong_or_without_a_source(self) -> None:
        self.world.oracle.look_at_all()
        assert self.world.broken == []

    def teardown(self) -> None:
        with self.open:
            self.world.kernel.drain()
            self.world.settle()
        assert self.world.broken == []


TestPaths = Paths.TestCase
TestPaths.settings = settings(max_examples=150, stateful_step_count=25, deadline=None, print_blob=True)
