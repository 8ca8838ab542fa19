"""The verbs in turn until nothing is due, with counts and seconds by phase."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from finbridge.core.errors import GiveUp
from finbridge.core.flow import Flow
from finbridge.core.ports import (
    CodeRow,
    Judge,
    Ledger,
    Source,
    Stage,
    Translation,
    TranslationRequest,
    Translator,
    Verdict,
)
from finbridge.core.vouchers import MappingStamp
from finbridge.flows import check, collect, deliver, write_back
from finbridge.flows.reports import Report
from finbridge.hub import PostgresHub

_WORKER = "replay"
#: Finance may put something off for seconds; nothing waits longer than this without a move.
_PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.2


class Watch:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - began


class TimedTranslator:
    """A translator with a watch."""

    def __init__(self, inner: Translator, watch: Watch) -> None:
        self._inner, self._watch = inner, watch

    @property
    def stamp(self) -> MappingStamp:
        """See the port."""
        return self._inner.stamp

    @property
    def main_fields(self) -> frozenset[str]:
        """See the port."""
        return self._inner.main_fields

    @property
    def detail_fields(self) -> Mapping[str, frozenset[str]]:
        """See the port."""
        return self._inner.detail_fields

    def translate(self, requests: Sequence[TranslationRequest], codes: Sequence[CodeRow]) -> Translation:
        """See the port."""
        with self._watch.phase("translate"):
            return self._inner.translate(requests, codes)


class TimedJudge:
    """A judge with a watch, which counts its validations and the rows that it saw."""

    def __init__(self, inner: Judge, watch: Watch) -> None:
        self._inner, self._watch = inner, watch
        self.validations: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()

    def judge(self, suite: str, frames: Mapping[str, Any]) -> Verdict:
        """See the port."""
        with self._watch.phase("judge"):
            verdict = self._inner.judge(suite, frames)
        self.validations[suite] += 1
        self.rows[suite] += verdict.rows
        return verdict


class Sweeper:
    """One flow between one OA and one finance system."""

    def __init__(
        self,
        *,
        flow: Flow,
        hub: PostgresHub,
        source: Source,
        ledger: Ledger,
        translator: Translator,
        judge: Judge,
        watch: Watch,
    ) -> None:
        self.flow, self.hub, self.source, self.ledger = flow, hub, source, ledger
        self.translator, self.judge, self.watch = translator, judge, watch
        self.counts: Counter[str] = Counter()

    async def settle(self) -> None:
        """Collect once, then check, deliver and write back until nothing is due now or soon.

        Raises:
            GiveUp: finance puts something off for longer than anybody waits.
        """
        with self.watch.phase("collect"):
            self._note(
                await collect(
                    flow=self.flow, hub=self.hub, source=self.source, translator=self.translator, worker=_WORKER
                )
            )
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            due = self.hub.due(self.flow.flow_id)
            if due:
                await self._work(due)
            elif not self._waiting():
                return
            elif time.monotonic() > until:
                raise GiveUp("not_settled", f"未能完成 / still waiting: {self.hub.account(self.flow.flow_id)}")
            else:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _work(self, due: Mapping[Stage, int]) -> None:
        flow, hub, source = self.flow, self.hub, self.source
        if Stage.PLAN in due:
            with self.watch.phase("check"):
                self._note(
                    check(
                        flow=flow,
                        hub=hub,
                        translator=self.translator,
                        judge=self.judge,
                        worker=_WORKER,
                        run_id=_WORKER,
                    )
                )
        with self.watch.phase("deliver"):
            self._note(
                await deliver(
                    flow=flow,
                    hub=hub,
                    source=source,
                    ledger=self.ledger,
                    translator=self.translator,
                    worker=_WORKER,
                )
            )
        with self.watch.phase("write back"):
            self._note(await write_back(flow=flow, hub=hub, source=source, worker=_WORKER))

    def _waiting(self) -> bool:
        """Whether something is put off: only finance or doubt does that, so it is not asked for without cause."""
        odd = ("put_off", "unknown", "still_in_doubt", "leases_lost", "retry")
        if not any(self.counts[name] for name in odd):
            return False
        return bool(self.hub.account(self.flow.flow_id).documents.get("due"))

    def _note(self, report: Report) -> None:
        kind = type(report).__name__.removesuffix("Report").lower()
        for name, count in report.as_note().items():
            self.counts[f"{kind}.{name}"] += count
            self.counts[name] += count
