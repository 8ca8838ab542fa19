"""Check: decide what each document calls for, translate it, let the judge look at the real rows, store the decision.

Nothing leaves the process here: a voucher that passes is READY in the register, whatever happens next.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from finbridge.core.crashpoints import crash_point
from finbridge.core.documents import EventKind
from finbridge.core.errors import FinbridgeError, GiveUp
from finbridge.core.flow import Flow
from finbridge.core.fold import Folded, fold
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import UNSENT
from finbridge.core.plan import AskHuman, Create, Rebuild, Reverse, Withdraw, plan
from finbridge.core.ports import (
    CodeRow,
    DocumentWork,
    Hub,
    Judge,
    Planned,
    Problem,
    Stage,
    Translation,
    TranslationRequest,
    Translator,
    Verdict,
)
from finbridge.core.vouchers import Voucher
from finbridge.flows.reports import CheckReport

LEASE_SECONDS = 60.0
#: A load that a batch rule stopped is looked at again after this, or when a person starts a run.
STOPPED_RETRY_SECONDS = 300.0
FAILED_RETRY_SECONDS = 10.0
_KIND_OF = {EventKind.APPROVED: VoucherKind.EXPENSE, EventKind.PAID: VoucherKind.PAYMENT}


@dataclass(slots=True)
class Case:
    """One document between what is known of it and the decision."""

    work: DocumentWork
    folded: Folded
    requests: list[TranslationRequest] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    reversals: list[tuple[str, date, str]] = field(default_factory=list)
    withdraw: list[str] = field(default_factory=list)
    needs_human: list[tuple[str, str]] = field(default_factory=list)
    vouchers: list[Voucher] = field(default_factory=list)
    holds: dict[tuple[str, str, str], Problem] = field(default_factory=dict)
    empty: set[VoucherKind] = field(default_factory=set)
    bad: bool = False

    def hold(self, problem: Problem) -> None:
        """Add a reason once."""
        self.holds[(problem.code, problem.field, problem.detail)] = problem

    def ask(self, flow: Flow, action: Create | Rebuild) -> None:
        """Request the translation of one voucher."""
        self.requests.append(
            TranslationRequest(
                document_id=self.work.lease.document_id,
                kind=action.kind,
                cause=action.cause,
                company=self.work.company,
                source=flow.source,
                business_number=self.work.business_number,
                currency=flow.companies[self.work.company].currency,
                canonical=self.work.canonical,
            )
        )
        if isinstance(action, Rebuild):
            self.rebuilt.append(action.key)

    def planned(self) -> Planned:
        """The decision to store: a voucher that cannot be rebuilt must not be sent as it was before."""
        made = () if self.bad else tuple(v for v in self.vouchers if v.identity.kind not in self.empty)
        keys = {voucher.key for voucher in made}
        unsent = {r.key for r in self.work.register if r.state in UNSENT}
        dropped = [key for key in self.rebuilt if key not in keys and key in unsent]
        return Planned(
            lease=self.work.lease,
            folded=self.folded,
            content=self.work.content,
            vouchers=made,
            reversals=tuple(self.reversals),
            withdraw=(*self.withdraw, *dropped),
            needs_human=tuple(self.needs_human),
            holds=tuple(self.holds.values()),
            empty=tuple(sorted(self.empty)),
        )


@dataclass(slots=True, kw_only=True)
class Bench:
    """What translating and judging need. ``keep`` takes each verdict before anything follows from it."""

    flow: Flow
    translator: Translator
    judge: Judge
    codes: Sequence[CodeRow]
    keep: Callable[[Verdict], None]
    counts: Counter[str] = field(default_factory=Counter)


def check(
    *,
    flow: Flow,
    hub: Hub,
    translator: Translator,
    judge: Judge,
    worker: str,
    run_id: str,
    only: Sequence[str] | None = None,
) -> CheckReport:
    """Plan, translate and judge every document that is due (with ``only``: of these alone), batch by batch.

    Raises:
        GiveUp: a batch rule is broken; its verdict is stored, its documents are given back, nothing of it is posted.
    """
    bench = Bench(
        flow=flow,
        translator=translator,
        judge=judge,
        codes=(),
        keep=lambda verdict: hub.store_verdict(flow.flow_id, run_id, verdict),
    )
    while True:
        crash_point("C1")
        works = hub.claim(flow.flow_id, Stage.PLAN, worker, flow.batch_size, LEASE_SECONDS, only=only)
        if not works:
            return CheckReport(**bench.counts)
        crash_point("C2")
        _check_batch(bench, hub, works)


def _check_batch(bench: Bench, hub: Hub, works: Sequence[DocumentWork]) -> None:
    """Decide on one claimed batch; on any failure its documents are given back, put off."""
    leases = [work.lease for work in works]
    try:
        bench.codes = hub.codes(bench.flow.flow_id)  # as they stand now: a long run must not hold what came meanwhile
        cases = {work.lease.document_id: decide(bench.flow, work) for work in works}
        crash_point("C3")
        translate_and_judge(bench, cases)
        crash_point("C4")
        plans = [case.planned() for case in cases.values()]
        stored = {lease.document_id for lease in hub.save_plans(bench.flow.flow_id, plans)}
    except Exception as error:
        delay = STOPPED_RETRY_SECONDS if isinstance(error, GiveUp) else FAILED_RETRY_SECONDS
        hub.release(bench.flow.flow_id, leases, retry_after_seconds=delay)
        raise
    _count(bench.counts, plans, stored)


def translate_and_judge(bench: Bench, cases: Mapping[str, Case]) -> None:
    """Give the cases their vouchers, or the reasons that hold them.

    Raises:
        GiveUp: ``broken_batch_rule``: nothing of this batch may be posted.
    """
    requests = [request for case in cases.values() for request in case.requests]
    if not requests:
        return
    for translation in translate_apart(bench.translator, requests, bench.codes):
        verdicts = _judge(bench, translation)
        _stop_if_broken(bench.flow, verdicts, {request.company for request in requests})
        for problem in (*translation.problems, *(bad for verdict in verdicts for bad in verdict.bad)):
            cases[problem.document_id].hold(problem)
            cases[problem.document_id].bad = True
        bench.counts["empty"] += len(translation.empty)
        for name, kind in translation.empty:
            cases[name].empty |= {kind, VoucherKind.PAYMENT} if kind is VoucherKind.EXPENSE else {kind}
        for voucher in translation.vouchers:
            cases[voucher.identity.document_id].vouchers.append(voucher)


def _judge(bench: Bench, translation: Translation) -> list[Verdict]:
    """Both suites over the real rows; verdicts are stored as evidence before anything follows from them."""
    flow, frames = bench.flow, translation.frames
    if translation.vouchers and len(frames.get("vouchers", ())) != len(translation.vouchers):
        raise GiveUp(
            "vouchers_not_judged", "凭证与质检数据不一致 / vouchers and the rows to judge are not the same set"
        )
    verdicts = []
    for suite, rows in ((flow.documents_suite, "documents"), (flow.vouchers_suite, "vouchers")):
        if len(frames.get(rows, ())):
            verdicts.append(bench.judge.judge(suite, frames))
    for verdict in verdicts:
        bench.keep(verdict)
    bench.counts["validations"] += len(verdicts)
    return verdicts


def _stop_if_broken(flow: Flow, verdicts: Sequence[Verdict], companies: set[str]) -> None:
    """A broken batch rule stops the load."""
    broken = [f"{v.suite}: {rule}" for v in verdicts if not v.batch_ok for rule in v.broken_batch_rules or ("?",)]
    if broken:
        raise GiveUp(
            "broken_batch_rule",
            f"批次规则不通过，本批不过账 / broken batch rules, nothing of this batch is posted: {'; '.join(broken)}",
            f"flow {flow.flow_id}: {'; '.join(broken)}",
            companies=tuple(sorted(companies)),
        )


def decide(flow: Flow, work: DocumentWork) -> Case:
    """What the folded log calls for, against what the register holds. Pure."""
    case = Case(work, fold(work.events))
    if work.problem is not None:
        case.hold(work.problem)
        case.withdraw = [  # a reversal stays: what it takes back is in the books whatever became of the document
            r.key for r in work.register if r.state in UNSENT and r.kind is not VoucherKind.REVERSAL
        ]
        return case
    for problem in _exceptions(flow, work, case.folded):
        case.hold(problem)
    for action in plan(case.folded, work.content, work.register):
        if isinstance(action, Create | Rebuild):
            if any(_KIND_OF.get(event) is action.kind for event in flow.makes):
                case.ask(flow, action)
            else:
                case.empty.add(action.kind)
        elif isinstance(action, Withdraw):
            case.withdraw.append(action.key)
        elif isinstance(action, Reverse):
            summary = f"红字冲销 {work.business_number or work.lease.document_id}"
            case.reversals.append((action.key, action.cause.local_at.date(), summary))
        elif isinstance(action, AskHuman):
            case.needs_human.append((action.key, action.code))
    return case


def _exceptions(flow: Flow, work: DocumentWork, folded: Folded) -> list[Problem]:
    """The log's oddities, named. A flow whose OA records no payment request misses none."""
    asks = any(rule.event is EventKind.PAYMENT_REQUESTED for rule in flow.log_rules)
    names = [name for name in folded.exceptions if asks or name != "PAID_BEFORE_OR_WITHOUT_REQUEST"]
    if folded.unclear:
        names.append("ORDER_UNCLEAR")
    return [Problem(document_id=work.lease.document_id, code=n.lower(), field="log", detail=n) for n in names]


def translate_apart(
    translator: Translator, requests: Sequence[TranslationRequest], codes: Sequence[CodeRow]
) -> list[Translation]:
    """Translate a batch; a document on which the engine itself fails is found by halving and held alone.

    Raises:
        FinbridgeError: as the translator raised it.
        Exception: the engine fails on every document: that is no document's fault.
    """
    by_document: dict[str, list[TranslationRequest]] = defaultdict(list)
    for request in requests:
        by_document[request.document_id].append(request)
    done, failed = _halve(translator, list(by_document.values()), codes)
    if failed and len(failed) == len(by_document) > 1:
        raise next(iter(failed.values()))
    problems = tuple(
        Problem(document_id=name, code="translation_failed", field="", detail=type(error).__name__)
        for name, error in failed.items()
    )
    return [*done, *([Translation(vouchers=(), problems=problems, empty=(), frames={})] if problems else [])]


def _halve(
    translator: Translator, groups: Sequence[Sequence[TranslationRequest]], codes: Sequence[CodeRow]
) -> tuple[list[Translation], dict[str, Exception]]:
    try:
        return [translator.translate([request for group in groups for request in group], codes)], {}
    except FinbridgeError:
        raise
    except Exception as error:
        if len(groups) == 1:
            return [], {groups[0][0].document_id: error}
    middle = len(groups) // 2
    done, failed = _halve(translator, groups[:middle], codes)
    more, more_failed = _halve(translator, groups[middle:], codes)
    return [*done, *more], {**failed, **more_failed}


def _count(counts: Counter[str], plans: Sequence[Planned], stored: set[str]) -> None:
    kept = [p for p in plans if p.lease.document_id in stored]
    counts["documents"] += len(kept)
    counts["leases_lost"] += len(plans) - len(kept)
    counts["vouchers"] += sum(len(p.vouchers) for p in kept)
    counts["reversals"] += sum(len(p.reversals) for p in kept)
    counts["withdrawn"] += sum(len(p.withdraw) for p in kept)
    counts["held"] += sum(bool(p.holds) for p in kept)
