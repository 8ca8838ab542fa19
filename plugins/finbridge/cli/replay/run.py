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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over the OA: what it added to finance's journal, and each document's row after it."""

    name: str
    vouchers: int
    rows: tuple[Mapping[str, str], ...] = field(repr=False)


@dataclass(slots=True, kw_only=True)
class ReplayResult:
    """What a replay did; the rows of the last pass are those of the file."""

    flow_id: str
    documents: int
    events: int
    turns: int = 0
    passes: list[Pass] = field(default_factory=list)
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
        return not self.unexplained and not self.missing and not any(again.vouchers for again in self.passes[1:])

    @property
    def vouchers(self) -> int:
        """Vouchers in finance's journal."""
        return sum(one.vouchers for one in self.passes)


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
        with self.watch.phase("load judge"):
            self.judge = TimedJudge(_judge(options.rules / "expectations"), self.watch)
        translator = load_translator(options.rules / "mappings" / self.flow.mapping)
        self.translator = TimedTranslator(translator, self.watch)
        self.hub_name = ""
        self.hub: PostgresHub
        self.result = ReplayResult(flow_id=self.flow.flow_id, documents=len(self.log.documents), events=self.log.events)

    async def run(self) -> ReplayResult:
        """Start, play, look again if asked, read the books, stop everything."""
        with self.watch.phase("total"), ExitStack() as stack:
            with self.watch.phase("start servers"):
                self.workshop.hub_server()
                oa = Oa(self.folder / "oa", parallel=self.options.parallel)
                stack.callback(oa.stop)
                years = self.options.years or self.log.years
                finance = start_finance(self.options.target, self.folder / "finance", self.workshop, self.flow, years)
                stack.callback(finance.stop)
            async with HttpClient(oa.control_url, timeout_seconds=_CONTROL_SECONDS) as control:
                player = Player(control, self.log, self.rules, self.flow)
                await self._play(player, oa, finance)
            self.result.seconds = self.watch.seconds
        return self.result

    async def _play(self, player: Player, oa: Oa, finance: Finance) -> None:
        with self.watch.phase("impose"):
            await player.prepare(repeat=self.options.repeat)
        self._open_hub()
        try:
            async with _Line(self, oa, finance) as sweeper:
                await self._first_pass(player, sweeper)
                self._read_books("first", player, finance)
            for twice in self.options.twice:
                await self._again(twice, player, oa, finance)
            self.result.tables = rows_per_table(self.workshop.hub_server(), self.hub_name, "hub")
        finally:
            self._close_hub()

    def _open_hub(self) -> None:
        self.hub_name, self.hub = self.workshop.new_hub(self.flow)

    def _close_hub(self) -> None:
        self.hub.close()
        self.workshop.drop_hub(self.hub_name)

    async def _first_pass(self, player: Player, sweeper: Sweeper) -> None:
        turns = player.play(self.options.sweep)
        while True:
            with self.watch.phase("impose"):
                if await anext(turns, None) is None:
                    return
            self.result.turns += 1
            await sweeper.settle()

    async def _again(self, twice: Twice, player: Player, oa: Oa, finance: Finance) -> None:
        """The same OA again, with every document read anew: nothing new may be posted."""
        if twice is Twice.HUB_EMPTIED:
            self._close_hub()
            self._open_hub()
            await player.later()
        else:
            await player.touch()
        async with _Line(self, oa, finance) as sweeper:
            await sweeper.settle()
        self._read_books(twice.value, player, finance)

    def _read_books(self, name: str, player: Player, finance: Finance) -> None:
        with self.watch.phase("read journal"):
            books, vouchers = read_books(finance.journal())
            known = {row["document_id"]: row for row in self.hub.document_rows(self.flow.flow_id)}
            account = self.hub.account(self.flow.flow_id)
            rows = [self._row(document.document_id, player, books, known) for document in self.log.documents]
            write_rows(self.options.out, rows)
        self.result.passes.append(Pass(name=name, vouchers=vouchers - self.result.vouchers, rows=tuple(rows)))
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

    def __init__(self, run: _Replay, oa: Oa, finance: Finance) -> None:
        flow, hub, self._result = run.flow, run.hub, run.result
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
