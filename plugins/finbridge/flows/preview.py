"""Preview: what would become of documents as the OA shows them now. Reads; changes nothing anywhere.

The decision, the mapping and the suites are those of `finbridge.flows.checking`: a preview that said something else
than the run that follows it would be worse than none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from finbridge.core.errors import GiveUp
from finbridge.core.flow import Flow
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_BOOKS, IN_DOUBT, VoucherState
from finbridge.core.ports import CollectedDocument, DocumentWork, Judge, Lease, Planned, Problem, Source, Translator
from finbridge.core.preview import NEW, Known, Preview, PreviewHub, PreviewVerdict, voucher_row
from finbridge.core.redaction import without_personal
from finbridge.core.vouchers import red_reversal
from finbridge.flows.checking import Bench, Case, decide, translate_and_judge
from finbridge.flows.second_read import fresh

#: On its way, or waiting for something that comes by itself.
_UNDER_WAY = IN_DOUBT | {
    VoucherState.TRANSLATED,
    VoucherState.READY,
    VoucherState.WAITING_PERIOD,
    VoucherState.QUARANTINED,
    VoucherState.REJECTED,
}
_GONE = "document_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Documents as the OA shows them now and as the hub knows them, and what would become of them."""

    previews: tuple[Preview, ...]
    documents: Mapping[str, CollectedDocument]
    known: Mapping[str, Known]


async def look(
    *,
    flow: Flow,
    hub: PreviewHub,
    source: Source,
    translator: Translator,
    judge: Judge,
    document_ids: Sequence[str],
) -> Look:
    """Read documents now, decide on them, translate and judge what they call for. A preview each, in order.

    Raises:
        RetryLater: the OA or the hub is away.
    """
    names = list(dict.fromkeys(document_ids))
    documents = await fresh(flow, source, translator, names)
    known = await asyncio.to_thread(hub.manual_runs.known, flow.flow_id, names)
    codes = await asyncio.to_thread(hub.codes, flow.flow_id)
    bench = Bench(flow=flow, translator=translator, judge=judge, codes=codes, keep=lambda _verdict: None)
    cases = {
        name: decide(flow, _work(documents[name], known.get(name))) for name in names if not _is_gone(documents[name])
    }
    _judge(bench, cases)
    previews = [
        _preview(cases[name], known.get(name), documents[name]) if name in cases else _missing(name, known.get(name))
        for name in names
    ]
    return Look(previews=tuple(previews), documents=documents, known=known)


def _is_gone(document: CollectedDocument) -> bool:
    return document.problem is not None and document.problem.code == _GONE


def _work(document: CollectedDocument, known: Known | None) -> DocumentWork:
    """As a claim would show it after this reading was stored; the lease is nobody's."""
    events = {entry.log_id: entry for entry in (*(known.events if known else ()), *document.events)}
    return DocumentWork(
        lease=Lease(document.document_id, 0),
        company=document.company or (known.company if known else ""),
        business_number=document.business_number or (known.business_number if known else ""),
        content=document.content,
        canonical=document.canonical,
        events=tuple(events.values()),
        register=known.register if known else (),
        problem=document.problem,
    )


def _judge(bench: Bench, cases: Mapping[str, Case]) -> None:
    """Vouchers and reasons; a broken rule of the batch holds whatever would have been posted with it."""
    try:
        translate_and_judge(bench, cases)
    except GiveUp as error:
        if error.code != "broken_batch_rule":
            raise
        for name, case in cases.items():
            if case.requests:
                case.hold(Problem(document_id=name, code=error.code, field="", detail=error.engineer))
                case.bad = True


# ---------------------------------------------------------------- one document


def _preview(case: Case, known: Known | None, document: CollectedDocument) -> Preview:
    planned = case.planned()
    return Preview(
        document_id=case.work.lease.document_id,
        business_number=case.work.business_number,
        company=case.work.company,
        verdict=_verdict(case, planned),
        problems=_problems(case, planned, known, document),
        vouchers=tuple(_vouchers(planned, known)),
    )


def _missing(name: str, known: Known | None) -> Preview:
    """Asked for, and the OA shows no such document."""
    return Preview(
        document_id=name,
        business_number=known.business_number if known else "",
        company=known.company if known else "",
        verdict=PreviewVerdict.NOT_FOUND,
        problems=(Problem(document_id=name, code=_GONE, field="", detail=""),) if known else (),
        vouchers=tuple(standing_vouchers(known)),
    )


def _verdict(case: Case, planned: Planned) -> PreviewVerdict:
    register = [r for r in case.work.register if r.key not in planned.withdraw]
    of_kind = {r.state for r in register if r.kind is not VoucherKind.REVERSAL}
    reversals = {r.state for r in register if r.kind is VoucherKind.REVERSAL}
    live = any(r.kind is VoucherKind.EXPENSE and r.state in IN_BOOKS - {VoucherState.REVERSING} for r in register)
    answers = (
        (
            case.bad
            or case.work.problem is not None
            or bool(planned.needs_human)
            or VoucherState.NEEDS_HUMAN in of_kind,
            PreviewVerdict.HELD,
        ),
        (bool(planned.vouchers) or bool(of_kind & _UNDER_WAY), PreviewVerdict.WOULD_POST),
        (bool(planned.reversals) or bool(reversals & _UNDER_WAY), PreviewVerdict.WOULD_REVERSE),
        (live, PreviewVerdict.POSTED),
        (bool(planned.holds), PreviewVerdict.HELD),
        (case.folded.approved or VoucherState.REVERSED in of_kind, PreviewVerdict.NOTHING_TO_DO),
    )
    return next((verdict for holds, verdict in answers if holds), PreviewVerdict.NOT_APPROVED)


def _problems(case: Case, planned: Planned, known: Known | None, document: CollectedDocument) -> tuple[Problem, ...]:
    """What this look found, and what finance or the form said before and still stands."""
    name = case.work.lease.document_id
    asked = [Problem(document_id=name, code=code, field="", detail="") for _, code in planned.needs_human]
    earlier = [problem for origin, problem in (known.holds if known else ()) if origin != "plan"]
    personal = tuple(document.personal.values())
    found = {
        (p.code, p.field, p.detail): replace(p, detail=without_personal(p.detail, personal))
        for p in (*planned.holds, *asked, *earlier)
    }
    return tuple(found.values())


def _vouchers(planned: Planned, known: Known | None) -> Iterable[dict[str, object]]:
    """What stands, what would be made or made anew, and the red reversals that would follow."""
    anew = {voucher.key for voucher in planned.vouchers}
    yield from standing_vouchers(known, without={*anew, *planned.withdraw})
    states = {r.key: r.state.value for r in known.register} if known else {}
    for voucher in planned.vouchers:
        yield voucher_row(voucher, states.get(voucher.key, NEW))
    for key, day, summary in planned.reversals if known else ():
        if known is not None:
            yield voucher_row(red_reversal(known.vouchers[key], day, summary), NEW)


def standing_vouchers(known: Known | None, without: Iterable[str] = ()) -> Iterable[dict[str, object]]:
    """The register's vouchers of a document, as far as they mean something still."""
    for registered in known.register if known else ():
        if known is not None and registered.key not in without and registered.state is not VoucherState.WITHDRAWN:
            number = known.numbers.get(registered.key, "")
            yield voucher_row(known.vouchers[registered.key], registered.state.value, number)
