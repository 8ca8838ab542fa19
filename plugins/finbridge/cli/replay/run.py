"""One replay from the log to the row of each document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from finbridge.cli.replay.books import Books, read_books, write_rows
from finbridge.cli.replay.log import Log, read_log
from finbridge.cli.replay.options import ReplayOptions, Twice
from finbridge.cli.replay.player import Player
from finbridge.cli.replay.rules import LogRules, load_rules
from finbridge.cli.replay.servers import Finance, Oa, Workshop, start_finance
from finbridge.cli.replay.sweeper import Sweeper, TimedJudge, TimedTranslator, Watch
from finbridge.cli.stack.rows import rows_per_table
from finbridge.core.flow import Flow
from finbridge.core.ports import Judge
from finbridge.core.transport import HttpClient
from finbridge.hub import PostgresHub
from finbridge.mapping import load_translator
from finbridge.quality import load_judge
from finbridge.systems import adapter_of

_CONTROL_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class ReplayResult:
    """What a replay did; ``rows`` are those of the file."""

    flow_id: str
    documents: int
    events: int
    turns: int = 0
    rows: int = 0
    vouchers: int = 0
    again: int = 0  # vouchers that a second pass made: must be 0
    missing: int = 0  # documents that the hub does not know
    standing: Mapping[str, int] = field(default_factory=dict)
    unexplained: tuple[str, ...] = ()
    calls: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    validations: Counter[str] = field(default_factory=Counter)
    judged_rows: Counter[str] = field(default_factory=Counter)
    tables: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Every document stands somewhere, and nothing was posted twice."""
        return not self.unexplained and not self.again and not self.missing


def replay(options: ReplayOptions, workshop: Workshop) -> ReplayResult:
    """Play a log and write one row a document. Servers of the workshop are started where they do not run yet.

    Raises:
        GiveUp: log, rules or configuration are wrong; the message says what.
    """
    return uvloop.run(_Replay(options, workshop).run())


class _Replay:
    """One run: its own sandboxes, its own databases."""

    def __init__(self, options: ReplayOptions, workshop: Workshop) -> None:
        self.options, self.workshop = options, workshop
        self.watch = Watch()
        self.rules: LogRules = load_rules(options.rules)
        with self.watch.phase("read log"):
            self.log: Log = read_log(options.log, self.rules, documents=options.documents, shuffle=options.shuffle)
        flow = self.rules.flow_for(self.log.columns, options.currency)
        self.flow: Flow = replace(flow, target_system=options.target.value)
        self.folder = options.work / f"run-{uuid4().hex[:8]}"
        self.judge = TimedJudge(_judge(options.rules / "expectations"), self.watch)
        translator = load_translator(options.rules / "mappings" / self.flow.mapping)
        self.translator = TimedTranslator(translator, self.watch)
        self.result = ReplayResult(flow_id=self.flow.flow_id, documents=len(self.log.documents), events=self.log.events)

    async def run(self) -> ReplayResult:
        """Start, play, look again if asked, read the books, stop everything."""
        with self.watch.phase("total"), ExitStack() as stack:
            with self.watch.phase("start servers"):
                self.workshop.hub_server()
                oa = Oa(self.folder / "oa", parallel=self.options.parallel)
                stack.callback(oa.stop)
                finance = start_finance(
                    self.options.target, self.folder / "finance", self.workshop, self.flow, self.log.years
                )
                stack.callback(finance.stop)
            async with HttpClient(oa.control_url, timeout_seconds=_CONTROL_SECONDS) as control:
                player = Player(control, self.log, self.rules, self.flow)
                await self._play(player, oa, finance)
            self.result.seconds = self.watch.seconds
        return self.result

    async def _play(self, player: Player, oa: Oa, finance: Finance) -> None:
        with self.watch.phase("impose"):
            await player.prepare(repeat=self.options.repeat)
        name, hub = self.workshop.new_hub(self.flow)
        try:
            async with _Line(self, hub, oa, finance) as sweeper:
                await self._first_pass(player, sweeper)
                if self.options.twice is Twice.HUB_KEPT:
                    await player.touch()
                    await self._second_pass(sweeper, finance)
            if self.options.twice is Twice.HUB_EMPTIED:
                hub.close()
                self.workshop.drop_hub(name)
                name, hub = self.workshop.new_hub(self.flow)
                await player.later()
                async with _Line(self, hub, oa, finance) as sweeper:
                    await self._second_pass(sweeper, finance)
            self._read_books(player, hub, finance)
            self.result.tables = rows_per_table(self.workshop.hub_server(), name, "hub")
        finally:
            hub.close()
            self.workshop.drop_hub(name)

    async def _first_pass(self, player: Player, sweeper: Sweeper) -> None:
        turns = player.play(self.options.sweep)
        while True:
            with self.watch.phase("impose"):
                if await anext(turns, None) is None:
                    return
            self.result.turns += 1
            await sweeper.settle()

    async def _second_pass(self, sweeper: Sweeper, finance: Finance) -> None:
        """The same OA again: whatever is read, nothing new may be posted."""
        _, before = read_books(finance.journal())
        await sweeper.settle()
        _, after = read_books(finance.journal())
        self.result.again = after - before

    def _read_books(self, player: Player, hub: PostgresHub, finance: Finance) -> None:
        with self.watch.phase("read journal"):
            books, self.result.vouchers = read_books(finance.journal())
            known = {row["document_id"]: row for row in hub.document_rows(self.flow.flow_id)}
            account = hub.account(self.flow.flow_id)
            rows = [self._row(name, player, books, known) for name in (d.document_id for d in self.log.documents)]
            self.result.rows = write_rows(self.options.out, rows)
        self.result.standing, self.result.unexplained = account.documents, account.unexplained
        self.result.validations, self.result.judged_rows = self.judge.validations, self.judge.rows

    def _row(
        self, name: str, player: Player, books: Mapping[str, Books], known: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, str]:
        """Vouchers from the finance journal; end state and exceptions as folded from the OA's log."""
        request = player.request_ids[name]
        found = known.get(request)
        if found is None:
            self.result.missing += 1
        state, exception = (found["end_state"] or "", found["exceptions"] or "") if found else ("MISSING", "")
        return books.get(request, Books()).row(name, state, exception)


class _Line:
    """Connections from OA to finance, closed at the end; their calls are counted."""

    def __init__(self, run: _Replay, hub: PostgresHub, oa: Oa, finance: Finance) -> None:
        flow, self._result = run.flow, run.result
        self._source = adapter_of(flow.source_system).connect(
            oa.settings(flow.source_connection), tokens=hub.tokens, flow=flow
        )
        self._ledger = adapter_of(flow.target_system).connect(
            finance.settings(flow.target_connection), tokens=hub.tokens, flow=flow
        )
        self._sweeper = Sweeper(
            flow=flow,
            hub=hub,
            source=self._source,
            ledger=self._ledger,
            translator=run.translator,
            judge=run.judge,
            watch=run.watch,
        )

    async def __aenter__(self) -> Sweeper:
        return self._sweeper

    async def __aexit__(self, *_: object) -> None:
        for name, side in (("OA", self._source), ("finance", self._ledger)):
            for call, count in side.client.http.calls.items():
                self._result.calls[f"{name} {call}"] += count
            await side.close()
        self._result.counts += self._sweeper.counts


@lru_cache(maxsize=1)
def _judge(folder: Path) -> Judge:
    """Importing Great Expectations takes seconds: once a process."""
    return load_judge(folder)
