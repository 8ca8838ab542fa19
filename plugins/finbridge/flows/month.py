"""A month of one company: bring in what is missing, and compare both sides of it. See `finbridge.core.month`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from finbridge.core.errors import GiveUp
from finbridge.core.flow import Flow
from finbridge.core.month import Difference, InFinance, Month, SideSum, first_day
from finbridge.core.month_calls import amount_unread, called_for, in_approval
from finbridge.core.month_compare import Tally, judge
from finbridge.core.outcomes import LedgerEntry, TakenBack
from finbridge.core.ports import Hub, Ledger, Source, Translator
from finbridge.core.stopping import MaySend, always
from finbridge.flows.collecting import collect_since
from finbridge.flows.delivering import deliver
from finbridge.flows.reports import CollectReport, DeliverReport, Report
from finbridge.hub.month_desk import MonthDesk
from finbridge.hub.months import Months

#: Documents folded at a time, entries stored at a time, keys asked about at a time: what bounds the memory of a month.
CHUNK = 1000
#: How long one delivery of a month waits, in all, for what finance put off: locks and throttles last for seconds.
PATIENCE_SECONDS = 60.0
#: The least such wait: what is due now and was not taken is in somebody else's hands.
LEAST_WAIT_SECONDS = 0.5
#: Unexplained differences that the report names; all of them stand in the hub.
NAMED = 100


class MonthHub(Hub, Protocol):
    """A hub that knows months."""

    @property
    def months(self) -> Months: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthDeliverReport(DeliverReport):
    """What was delivered of a month; ``unsent`` documents are due still, for no reason that a list names."""

    unsent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthReport(Report):
    """A compared month. ``oa``, ``register`` and ``finance`` count vouchers; green only if all is explained."""

    month_run_id: int
    documents: int
    oa: int
    register: int
    finance: int
    unexplained: int
    explained: int
    sums: tuple[SideSum, ...] = ()
    by_what: tuple[tuple[str, int], ...] = ()
    named: tuple[Difference, ...] = ()

    @property
    def green(self) -> bool:
        """Whether each difference has a reason."""
        return self.unexplained == 0


async def collect_month(
    *, flow: Flow, hub: MonthHub, source: Source, translator: Translator, period: str
) -> CollectReport:
    """Read what moved since the month's first day and is not in the hub as it stands; the watermark is not moved.

    Read again is also what was stored before the form's total was kept: without it there is nothing to compare with.

    Raises:
        RetryLater, GiveUp: as for `finbridge.flows.collecting.collect_since`.
    """
    if flow.amount_field is not None:
        await asyncio.to_thread(hub.months.read_amounts_again, flow.flow_id, sorted(flow.companies), period)
    return await collect_since(flow=flow, hub=hub, source=source, translator=translator, since=first_day(period))


async def reconcile(*, flow: Flow, hub: MonthHub, ledger: Ledger, month: Month, run_id: str) -> MonthReport:
    """Compare what the OA calls for with what finance itself shows, by set, count and sum; the result is stored.

    Finance is read first and the register afterwards, so that what is posted meanwhile is never taken for a fault.

    Args:
        month: of a company that the flow serves.
        run_id: of the run that asks, for whoever looks the result up.

    Raises:
        RetryLater: finance or the hub cannot say; nothing is known then.
        GiveUp: no such company in the flow, or finance's login is refused.
    """
    company, period = month.company, month.period
    served = flow.companies.get(company)
    if served is None:
        raise GiveUp("unknown_company", f"流程不服务该公司 / the flow serves no such company: {company}")
    months = hub.months
    number, started_at = await asyncio.to_thread(months.begin, flow.flow_id, company, period, run_id)
    with months.desk(flow.flow_id, company, period, started_at) as desk:
        book = _Book(months, number)
        ids = await asyncio.to_thread(months.document_ids, flow.flow_id, company, period)
        for names in _parts(ids):
            await asyncio.to_thread(
                _call, flow, months, desk, names=names, book=book, currency=served.currency, period=period
            )
        book.enter(await asyncio.to_thread(months.without_company, flow.flow_id, period))
        async for entries in ledger.period_entries(company, period):
            await asyncio.to_thread(desk.add_found, [_in_finance(entry, period) for entry in entries])
        await _find_the_rest(desk, ledger, company, period)
        sums = await asyncio.to_thread(desk.lay_out)
        await asyncio.to_thread(_judge_all, desk, book, period)
    return await asyncio.to_thread(book.close, sums, len(ids))


@dataclass(slots=True)
class _Book:
    """Where the differences of one comparison go: stored in chunks, counted, the first unexplained ones named."""

    months: Months
    number: int
    tally: Tally = field(default_factory=Tally)
    named: list[Difference] = field(default_factory=list)
    stored: int = 0

    def enter(self, differences: Sequence[Difference]) -> None:
        """Store and count."""
        if not differences:
            return
        self.months.add_differences(self.number, self.stored + 1, differences)
        self.stored += len(differences)
        for difference in differences:
            self.tally.take(difference)
            if not difference.explained and len(self.named) < NAMED:
                self.named.append(difference)

    def close(self, sums: Sequence[SideSum], documents: int) -> MonthReport:
        """The totals must be accounted for by the list; then the verdict."""
        beyond = self.tally.unbalanced(sums)
        if beyond:
            self.enter(beyond)
        self.months.close(self.number, sums, unexplained=self.tally.unexplained, explained=self.tally.explained)
        count = {side: sum(s.vouchers for s in sums if s.side == side) for side in ("oa", "register", "finance")}
        return MonthReport(
            month_run_id=self.number,
            documents=documents,
            **count,
            unexplained=self.tally.unexplained,
            explained=self.tally.explained,
            sums=tuple(sums),
            by_what=tuple(sorted(self.tally.by_what.items())),
            named=tuple(self.named),
        )


def _call(
    flow: Flow, months: Months, desk: MonthDesk, *, names: Sequence[str], book: _Book, currency: str, period: str
) -> None:
    """Fold some documents: what they call for in this period, and those that still wait for approval."""
    documents = months.documents(flow.flow_id, names, currency)
    beside: list[Difference | None] = []
    for document in documents:
        calls = [call for call in called_for(document, flow.source) if call.period == period]
        desk.add_called(calls)
        beside.append(in_approval(document, period))
        if flow.amount_field is not None:
            beside.append(amount_unread(document, calls))
    book.enter([difference for difference in beside if difference is not None])


async def _find_the_rest(desk: MonthDesk, ledger: Ledger, company: str, period: str) -> None:
    """What this period should show and does not may stand in another one, or have come a moment ago: ask by key."""
    after = ""
    while keys := await asyncio.to_thread(desk.to_find, after, CHUNK):
        found = await ledger.find(company, keys)
        await asyncio.to_thread(desk.add_found, [_in_finance(entry, period) for entry in found.values()])
        after = keys[-1]


def _in_finance(entry: LedgerEntry, period: str) -> InFinance:
    """An entry on the desk of a period; where finance shows no period of its own, the date's."""
    own = entry.period or f"{entry.posting_date:%Y-%m}"
    return InFinance(
        key=entry.key,
        number=entry.number,
        kind=entry.kind,
        period=own,
        currency=entry.currency,
        debit_minor=entry.debit_minor,
        content=entry.content,
        posted=entry.posted,
        document_id=entry.document_id,
        listed=own == period,
        lines=entry.lines,
        taken_back=", ".join(map(_in_words, entry.taken_back)),
        undone=any(one.posted for one in entry.taken_back),
    )


def _in_words(taken_back: TakenBack) -> str:
    number = taken_back.number if taken_back.posted else "草稿 draft"
    return f"{number} ({taken_back.posting_date.isoformat()}, {taken_back.period})"


def _judge_all(desk: MonthDesk, book: _Book, period: str) -> None:
    for page in desk.triples():
        differences = [difference for triple in page if (difference := judge(triple, period)) is not None]
        if differences:
            book.enter(differences)


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


async def deliver_month(
    *,
    flow: Flow,
    hub: MonthHub,
    source: Source,
    ledger: Ledger,
    translator: Translator,
    worker: str,
    month: Month,
    may_send: MaySend = always,
) -> MonthDeliverReport:
    """`finbridge.flows.deliver` for the month's documents, again and again while finance puts some off for a moment.

    What another worker holds is waited for as well; what waits for its period or for a person is not.
    """
    counts: Counter[str] = Counter()
    waited = 0.0
    while True:
        only = await asyncio.to_thread(hub.months.due_ids, flow.flow_id, month.company, month.period)
        report = await deliver(
            flow=flow,
            hub=hub,
            source=source,
            ledger=ledger,
            translator=translator,
            worker=worker,
            may_send=may_send,
            only=only,
        )
        counts.update(asdict(report))
        unsent, seconds = await asyncio.to_thread(hub.months.unsent, flow.flow_id, month.company, month.period)
        wait = max(seconds, LEAST_WAIT_SECONDS)
        if not unsent or report.paused or waited + wait > PATIENCE_SECONDS:
            return MonthDeliverReport(**counts, unsent=unsent)
        await asyncio.sleep(wait)
        waited += wait
