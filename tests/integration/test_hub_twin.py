"""The hub in memory and the hub on PostgreSQL answer alike: that is what the simulation's evidence rests on.

Sequences of calls are drawn from a seed and made on both, with leases that lapse, plans that come late, answers of
every kind and news at any moment; after each call everything that can be seen of either is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from finbridge.core.clock import SystemClock
from finbridge.core.documents import DocumentRef, EventKind
from finbridge.core.lifecycle import IllegalTransition
from finbridge.core.outcomes import (
    Accepted,
    AuthFailed,
    Conflict,
    Duplicate,
    LedgerEntry,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
    Unknown,
)
from finbridge.core.ports import DocumentWork, Lease, Planned, Sent, Stage, WriteBackRecord, WriteBackResult
from finbridge.core.rereading import CollectHub
from finbridge.core.vouchers import Voucher
from finbridge.hub import PostgresHub
from finbridge.hub.timing import Timing
from finbridge.sim.memory_account import standing
from finbridge.sim.memory_hub import MemoryHub
from finbridge.sim.memory_rows import LIVE, Waits

from tests.hub_fixtures import SECRET, HubDatabase
from tests.hub_world import document, entry, planned, problem_of

SEQUENCES, CALLS = 10, 40
NAMES = ("1", "2", "3")
#: So long that only `lapse` ends a waiting time.
LONG = 600.0
TURNS = (
    (EventKind.SUBMITTED, EventKind.APPROVED),
    (EventKind.SUBMITTED, EventKind.APPROVED),
    (EventKind.REJECTED,),
    (EventKind.WITHDRAWN, EventKind.SUBMITTED, EventKind.APPROVED),
    (EventKind.PAYMENT_REQUESTED, EventKind.PAID),
    (EventKind.APPROVED,),
    (),
)
ANSWERS = (
    "post",
    "post",
    "post",
    "unknown",
    "again",
    "conflict",
    "reject",
    "closed",
    "locked",
    "throttled",
    "auth",
    "duplicate",
    "not sent",
    "refused",
)
_MORE: dict[str, Outcome] = {
    "unknown": Unknown("lost"),
    "reject": Rejected("E1", "no"),
    "closed": PeriodClosed("closed"),
    "locked": Locked(),
    "throttled": Throttled(),
    "auth": AuthFailed("no"),
    "not sent": NotSent("refused"),
    "refused": RefusedUnprocessed("busy"),
}
Result = tuple[str, Any]


class Twins:
    """Both hubs, and what their workers hold: per worker the leases of one document on either."""

    def __init__(self, database: HubDatabase, postgres: PostgresHub, seed: int) -> None:
        self.database = database
        self.flow = f"twin {seed}"
        self.random = Random(seed)
        waits = Waits(period=LONG, doubt_most=LONG, doubt_least=LONG, first=LONG, most=LONG, credentials=LONG,
                      write_back_first=LONG, write_back_most=LONG, unread_least=0.0, unread_most=0.0,
                      gone_tries=2)  # fmt: skip
        self.memory = MemoryHub(SystemClock(), waits)
        self.postgres = postgres
        self.hubs: tuple[CollectHub, CollectHub] = (postgres, self.memory)
        self.logs: dict[str, list[EventKind]] = {name: [] for name in NAMES}
        self.held: dict[str, list[tuple[DocumentWork, DocumentWork]]] = {"w1": [], "w2": []}
        self.numbers = 0
        self.done: Counter[str] = Counter()

    # ------------------------------------------------------------ calls

    def play(self) -> None:
        often: list[Callable[[], None]] = [self.news, self.claim, self.plan, self.send, self.tell, self.release]
        often += [self.lapse, self.send, self.renew, self.seen, self.window]
        calls = [*often, *[self.work] * 7]
        for name in NAMES:
            self.news(name)
        for number in range(CALLS):
            call = self.random.choice(calls)
            call()
            assert self.seen_of(self.hubs[0]) == self.seen_of(self.hubs[1]), (
                f"{self.flow}, call {number}: {call.__name__}"
            )

    def both(self, call: Callable[[CollectHub, int], Any]) -> tuple[Any, Any]:
        """The same call on both; what is raised is compared too."""
        results: list[Result] = []
        for at, hub in enumerate(self.hubs):
            try:
                results.append(("ok", call(hub, at)))
            except (IllegalTransition, ValueError) as error:
                results.append((type(error).__name__, None))
        assert results[0][0] == results[1][0], self.flow
        return results[0][1], results[1][1]

    def news(self, name: str = "") -> None:
        name = name or self.random.choice(NAMES)
        self.logs[name].extend(self.random.choice(TURNS))
        events = tuple(entry(number, kind) for number, kind in enumerate(self.logs[name], start=1))
        amount = self.random.choice(("100.00", "100.00", "90.00"))
        problem = problem_of(name, "document_gone") if self.random.random() < 0.1 else None
        given = document(name, events=events, amount=amount, problem=problem, settled=self.random.random() < 0.7)
        changed = self.both(lambda hub, at: hub.store(self.flow, [given]))
        assert changed[0] == changed[1]

    def seen(self) -> None:
        refs = [
            DocumentRef(name, "101", f"2026-03-02 09:{len(self.logs.get(name, ())):02}:00") for name in (*NAMES, "9")
        ]
        unseen = self.both(lambda hub, at: hub.unseen(self.flow, refs))
        assert unseen[0] == unseen[1]
        unread = self.both(lambda hub, at: hub.take_unread(self.flow, 10))
        assert set(unread[0]) == set(unread[1])
        self.done["read again"] += len(unread[0])

    def window(self) -> None:
        through = datetime.fromisoformat(f"2026-03-{self.random.randrange(1, 28):02}")  # local time of the OA
        windows = self.both(lambda hub, at: hub.begin_collect(self.flow, "w1", 60.0))
        assert windows[0].through == windows[1].through
        assert self.both(lambda hub, at: hub.begin_collect(self.flow, "w2", 60.0)) == (None, None)
        late = self.both(lambda hub, at: hub.end_collect(replace(windows[at], fence=windows[at].fence - 1), through))
        assert late == (False, False)
        moved = self.random.choice((None, through))
        kept = self.both(lambda hub, at: hub.end_collect(windows[at], moved))
        assert kept == (True, True)

    def work(self) -> None:
        """What a worker does: claim what is due, do it, give it back."""
        self.lapse()
        due = sorted(self.hubs[0].due(self.flow))
        if not due:
            return
        stage = self.random.choice(due)
        self.held["w1"].clear()
        self.claim("w1", stage)
        {Stage.PLAN: self.plan, Stage.DELIVER: self.send, Stage.WRITE_BACK: self.tell}[stage]("w1")
        self.release("w1")

    def claim(self, worker: str = "", stage: Stage | None = None) -> None:
        worker, stage = worker or self.random.choice(list(self.held)), stage or self.random.choice(list(Stage))
        seconds = self.random.choice((60.0, 60.0, 60.0, 0.0))
        only = self.random.choice((None, None, None, ["1", "2", "9"]))
        works = self.both(lambda hub, at: hub.claim(self.flow, stage, worker, 1000, seconds, only=only))
        pairs = self._pairs(*works)
        assert [_shown(mine) for mine, _ in pairs] == [_shown(other) for _, other in pairs]
        assert len(pairs) == len(works[0]) == len(works[1])
        self.held[worker] += pairs
        self.done[f"claimed for {stage.value}"] += len(pairs)

    @staticmethod
    def _pairs(mine: Sequence[DocumentWork], other: Sequence[DocumentWork]) -> list[tuple[DocumentWork, DocumentWork]]:
        by_name = {work.lease.document_id: work for work in other}
        ordered = sorted(mine, key=lambda work: work.lease.document_id)
        return [(work, by_name[work.lease.document_id]) for work in ordered]

    def _held(self, worker: str) -> list[tuple[DocumentWork, DocumentWork]]:
        """What some worker holds, or once held."""
        return self.held[worker or self.random.choice(list(self.held))]

    def plan(self, worker: str = "") -> None:
        held = self._held(worker)
        makes, holds = self.random.random() < 0.85, self.random.random() < 0.15

        def plans(at: int) -> list[Planned]:
            return [
                planned(
                    pair[at],
                    f"weaver:{self.flow}",
                    makes=makes,
                    holds=(problem_of(pair[at].lease.document_id),) if holds else (),
                )
                for pair in held
            ]

        stored = self.both(lambda hub, at: hub.save_plans(self.flow, plans(at)))
        if stored[0] is not None:
            assert _names(stored[0]) == _names(stored[1])
            self.done["planned"] += len(stored[0])

    def send(self, worker: str = "") -> None:
        """A look at what can be done; marks, answers and look-ups for some of it."""
        held = self._held(worker)
        items = self.both(lambda hub, at: hub.deliverables(self.flow, [pair[at].lease for pair in held]))
        shown = [
            [(i.lease.document_id, i.voucher, i.state, i.content, i.last_sent_at is None) for i in found]
            for found in items
        ]
        assert shown[0] == shown[1]
        if self.random.random() < 0.2:
            self.news()
        chosen = [at for at in range(len(items[0])) if self.random.random() < 0.8]
        leases = [{found[at].voucher.key: found[at].lease for at in chosen} for found in items]
        attempts = self.both(lambda hub, at: hub.mark_sending(leases[at]))
        assert attempts[0].keys() == attempts[1].keys()
        answers = [(at, self.random.choice(ANSWERS)) for at in chosen if self.random.random() < 0.85]
        results = [[self._sent(items[side][at], answer) for at, answer in answers] for side in (0, 1)]
        self.both(lambda hub, at: hub.record(self.flow, results[at]))
        self.done["marked"] += len(attempts[0])
        self.done["answered"] += len(answers)

    def _sent(self, item: Any, answer: str) -> Sent:
        not_found = answer == "again"
        outcome = None if not_found else self._outcome(item.voucher, answer)
        return Sent(lease=item.lease, key=item.voucher.key, attempt_id=None, outcome=outcome, not_found=not_found)

    def _outcome(self, voucher: Voucher, answer: str) -> Outcome:
        number = f"记-{voucher.key[:6]}"
        found = LedgerEntry(voucher.key, "1000", number, f"F-{voucher.key}", date(2026, 3, 2), voucher.content)
        made: dict[str, Outcome] = {
            "post": Accepted(found),
            "duplicate": Duplicate(found),
            "conflict": Conflict(found, "content"),
        }
        return made.get(answer) or _MORE[answer]

    def tell(self, worker: str = "") -> None:
        held = self._held(worker)
        items = self.both(lambda hub, at: hub.write_backs(self.flow, [pair[at].lease for pair in held]))
        shown = [[(i.lease.document_id, i.keys, i.voucher_number, i.posting_date, i.error, i.done) for i in found]
                 for found in items]  # fmt: skip
        assert shown[0] == shown[1]
        result = self.random.choice([WriteBackResult.SAVED] * 4 + list(WriteBackResult))
        verified = result is WriteBackResult.SAVED and self.random.random() < 0.6
        records = [
            [WriteBackRecord(lease=i.lease, keys=i.keys, result=result, verified=verified, detail="d") for i in found]
            for found in items
        ]
        self.both(lambda hub, at: hub.record_write_backs(self.flow, records[at]))
        self.done["told"] += len(items[0])

    def release(self, worker: str = "") -> None:
        worker = worker or self.random.choice(list(self.held))
        held, self.held[worker] = self.held[worker], []
        if self.random.random() < 0.3:
            self.held[worker] = held  # a worker that does not know that it gave them back
        after = self.random.choice((None, None, 30.0))
        self.both(lambda hub, at: hub.release(self.flow, [pair[at].lease for pair in held], retry_after_seconds=after))

    def renew(self) -> None:
        held = self._held("")
        kept = self.both(lambda hub, at: hub.renew([pair[at].lease for pair in held], 60.0))
        assert _names(kept[0]) == _names(kept[1])

    def lapse(self) -> None:
        """Every waiting time and every lease is over."""
        server, name = self.database.server, self.database.name
        server.execute(
            name, "UPDATE hub.voucher SET retry_at = now(), write_back_at = NULL WHERE flow_id = %s", [self.flow]
        )
        server.execute(
            name,
            "UPDATE hub.document SET due_at = now(), lease_until = CASE WHEN lease_fence IS NOT NULL THEN now() END "
            "WHERE flow_id = %s AND stage IS NOT NULL",
            [self.flow],
        )
        now = datetime.now(UTC) - timedelta(milliseconds=1)
        for row in self.memory.kept.documents.values():
            for one in row.vouchers.values():
                one.retry_at, one.write_back_at = now, None
            if row.stage is not None:
                row.due_at = now
                row.lease_until = now if row.lease_fence is not None else None

    # ------------------------------------------------------------ what can be seen

    def seen_of(self, hub: CollectHub) -> dict[str, Any]:
        account = hub.account(self.flow)
        return {
            "due": {stage.value: count for stage, count in hub.due(self.flow).items()},
            "documents": dict(account.documents),
            "vouchers": dict(account.vouchers),
            "held": dict(account.held),
            "unexplained": account.unexplained,
            "rows": sorted(self._memory_rows() if isinstance(hub, MemoryHub) else self._postgres_rows()),
            "register": sorted(self._memory_register() if isinstance(hub, MemoryHub) else self._postgres_register()),
        }

    def _postgres_rows(self) -> Iterator[tuple[Any, ...]]:
        for row in self.postgres.document_rows(self.flow):
            at = row["due_at"] is not None
            yield (
                row["document_id"],
                row["standing"],
                row["stage"] or "",
                at,
                tuple(sorted(row["holds"])),
                row["content"],
            )

    def _memory_rows(self) -> Iterator[tuple[Any, ...]]:
        for row in self.memory.kept.documents.values():
            where = standing(row, datetime.now(UTC))
            stage, at = (row.stage.value if row.stage else ""), row.due_at is not None
            yield (row.document_id, where, stage, at, tuple(sorted({hold[1] for hold in row.holds})), row.content)

    def _postgres_register(self) -> Iterator[tuple[Any, ...]]:
        for row in self.postgres.register_rows(self.flow):
            if row["key"]:
                yield (
                    *(row["key"], row["state"], row["source_content"], row["fingerprint"], row["live"], row["tries"]),
                    *(row["retry_at"] is not None, row["last_sent_at"] is not None, row["finance_number"] or ""),
                    *(row["write_back"] or "", row["write_back_tries"], row["reversed_by_key"] or ""),
                )

    def _memory_register(self) -> Iterator[tuple[Any, ...]]:
        for found in self.memory.kept.documents.values():
            for row in found.vouchers.values():
                yield (
                    *(row.key, row.state.value, row.content, row.voucher.content, row.state in LIVE, row.tries),
                    *(row.retry_at is not None, row.last_sent_at is not None, row.number or ""),
                    *(row.write_back or "", row.write_back_tries, row.reversed_by or ""),
                )


def _shown(work: DocumentWork) -> DocumentWork:
    return replace(work, lease=Lease(work.lease.document_id, 0))


def _names(leases: Sequence[Lease]) -> list[str]:
    return sorted(lease.document_id for lease in leases)


@pytest.fixture(scope="module")
def patient_hub(hub_database: HubDatabase) -> Iterator[PostgresHub]:
    """A hub whose waiting times only `lapse` ends."""
    timing = Timing(
        period_seconds=LONG,
        doubt_most_seconds=LONG,
        doubt_least_seconds=LONG,
        first_seconds=LONG,
        most_seconds=LONG,
        credentials_seconds=LONG,
        write_back_first_seconds=LONG,
        write_back_most_seconds=LONG,
        unread_least_seconds=0.0,
        unread_most_seconds=0.0,
        gone_tries=2,
    )
    with PostgresHub(hub_database.app_dsn, secret=SECRET, timing=timing) as opened:
        yield opened


@pytest.mark.slow
def test_both_hubs_answer_alike(hub_database: HubDatabase, patient_hub: PostgresHub) -> None:
    done: Counter[str] = Counter()
    for seed in range(SEQUENCES):
        twins = Twins(hub_database, patient_hub, seed)
        twins.play()
        done += twins.done
    wanted = ("planned", "marked", "answered", "told", "claimed for write_back", "read again")
    assert min(done[name] for name in wanted) >= 5, done


def test_a_difference_would_be_seen(
    hub_database: HubDatabase, patient_hub: PostgresHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finbridge.sim.memory_delivery.waits_for_others", lambda row, document: False)
    with pytest.raises(AssertionError, match="twin"):
        for seed in range(1000, 1000 + SEQUENCES):
            Twins(hub_database, patient_hub, seed).play()
