"""The comparison of a month: one key on three sides in, at most one difference out. Pure.

Missing, extra and altered vouchers, those in doubt and those that people reversed in finance are unexplained; what is
held, waits or is on its way is explained by its reason.
``oa - finance`` is exactly the sum of the differences, by count and amount: `Tally` proves it for each run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from finbridge.core.lifecycle import IN_DOUBT, NAMED_LISTS, VoucherState
from finbridge.core.money import to_text
from finbridge.core.month import (
    HELD_BY_FINANCE,
    UNEXPLAINED,
    Called,
    Difference,
    InFinance,
    InRegister,
    SideSum,
    Standing,
    Triple,
    What,
)
from finbridge.core.month_calls import AGAIN
from finbridge.core.month_lines import line_changes

#: Of a voucher whose reversal by people in finance somebody accepted.
_NEEDS_APPROVAL = "approval_returned_after_reversal"


def judge(triple: Triple, period: str) -> Difference | None:
    """What one key shows; None where the sides agree or have nothing to agree on."""
    if triple.found is None:
        return _not_in_finance(triple)
    if triple.registered is None:
        return _unknown_to_register(triple, listed=triple.found.listed)
    return _in_finance(triple, triple.registered, triple.found, period)


def compare(
    called: Iterable[Called],
    registered: Iterable[InRegister],
    found: Iterable[InFinance],
    period: str,
    standings: Mapping[str, Standing] | None = None,
) -> list[Difference]:
    """Three sets in, differences out, by key: the meaning of what the hub does set-based.

    Args:
        called: of this period.
        registered: of any period; those of other periods count only where finance shows them here.
        found: this period's entries, and those of ours found by key elsewhere.
        period: ``YYYY-MM``.
        standings: by document id.
    """
    standings = standings or {}
    calls = {c.key: c for c in called}
    vouchers = {r.key: r for r in registered}
    entries = {f.key: f for f in found}
    of_period = {key for key, r in vouchers.items() if r.period == period}
    differences = []
    for key in sorted(calls.keys() | of_period | entries.keys()):
        call, voucher = calls.get(key), vouchers.get(key)
        owner = call or voucher
        standing = standings.get(owner.document_id, Standing()) if owner else Standing()
        triple = Triple(key=key, called=call, registered=voucher, found=entries.get(key), standing=standing)
        difference = judge(triple, period)
        if difference is not None:
            differences.append(difference)
    return differences


def _not_in_finance(triple: Triple) -> Difference | None:
    """What finance does not show, in any period."""
    state = triple.registered.state if triple.registered else None
    if state in HELD_BY_FINANCE:
        text = "台账记为已过账，财务查无此凭证 / posted in the register, not there in finance"
        return _difference(triple, What.MISSING, text)
    if triple.registered is not None and state in IN_DOUBT:
        return _in_doubt(triple, triple.registered)
    if triple.called is None:
        return None
    what, detail = _reason(triple, triple.called, state)
    return _difference(triple, what, detail)


def _reason(triple: Triple, called: Called, state: VoucherState | None) -> tuple[What, str]:
    """Why a voucher that is called for is not in finance."""
    standing = triple.standing
    holds = ", ".join(standing.holds)
    if state is VoucherState.WAITING_PERIOD or (standing.waits and state is VoucherState.READY):
        return What.WAITING_PERIOD, "会计期间未开放 / the accounting period is not open"
    if state in NAMED_LISTS or standing.holds:
        return What.HELD, holds or str(state)
    if called.kind.value in standing.empty:
        return What.ZERO, "按规则不生成凭证 / gives no voucher by rule, as for 0.00"
    return _without_reason(standing)


def _in_doubt(triple: Triple, registered: InRegister) -> Difference:
    """Sent, and no answer is stored: whether anything calls for it or not, nobody knows whether finance holds it."""
    if registered.new:
        return _difference(triple, What.DUE, "核对期间到达 / arrived during the comparison")
    return _difference(
        triple,
        What.IN_DOUBT,
        "已发送，结果未知：不知财务是否已入账；财务恢复答复后重新触发月结，将按凭证键向财务查询 / "
        "sent, outcome unknown: nobody knows whether finance holds it; once finance answers, trigger the month again: "
        "it asks finance by key",
    )


def _extra(triple: Triple, detail: str) -> Difference:
    """Nobody's voucher in finance; once people posted a reversal of it there, both stand for good and that is why."""
    found = triple.found
    if triple.called is None and found is not None and found.undone:
        words = f"多出，已被财务红冲 / extra, reversed in finance: {found.taken_back}"
        return _difference(triple, What.EXTRA_REVERSED, words)
    return _difference(triple, What.EXTRA, detail)


def _without_reason(standing: Standing) -> tuple[What, str]:
    """Nothing keeps it back: it came a moment ago, nobody sent it yet, or nobody ever will."""
    if standing.due and standing.arrived:
        return What.DUE, "核对期间到达 / arrived during the comparison"
    if standing.due:
        return What.UNSENT, "待发送，财务尚未接收 / due, and finance has not taken it yet"
    return What.MISSING, "OA 已批准，无凭证且无原因 / called for by the OA, no voucher and no reason"


def _unknown_to_register(triple: Triple, *, listed: bool) -> Difference | None:
    """In finance under a key of ours, and not in the register: nobody's, or the register was set back."""
    if triple.called is None and not listed:
        return None  # of another period, which names it
    if triple.called is None:
        return _extra(triple, "财务有凭证，OA 无来源单据 / in finance, and no document calls for it")
    if triple.standing.due:
        return _difference(triple, What.UNKNOWN, "财务已有，台账待确认 / in finance, the register is about to learn it")
    return _extra(triple, "财务已有，台账没有 / in finance, and unknown to the register")


def _in_finance(triple: Triple, registered: InRegister, found: InFinance, period: str) -> Difference | None:
    elsewhere = triple.called is None and registered.period != period and not found.listed
    if elsewhere and not found.taken_back:
        return None  # of another period, which compares it
    if registered.state in HELD_BY_FINANCE:
        return _in_the_books(triple, registered, found, registered.period if elsewhere else period)
    if registered.state in IN_DOUBT and not found.posted:
        return _in_doubt(triple, registered)  # a draft is not in the books
    if registered.state in IN_DOUBT:
        return _difference(triple, What.UNKNOWN, "财务已有，台账待确认 / in finance, the register is about to learn it")
    if registered.state is VoucherState.NEEDS_HUMAN:
        return _difference(triple, What.HELD, ", ".join(triple.standing.holds) or str(registered.state))
    return _extra(
        triple, f"财务有凭证，台账状态为 {registered.state} / in finance, though the register says {registered.state}"
    )


def _in_the_books(triple: Triple, registered: InRegister, found: InFinance, period: str) -> Difference | None:
    """The register says that finance holds it, and so it does: the same, and still standing?"""
    changes = _changes(registered, found, period)
    if found.taken_back:
        return _taken_back(triple, registered, found, changes)
    if changes:
        return _difference(triple, What.ALTERED, " | ".join(changes))
    return _against_form(triple, registered, found)


def _taken_back(triple: Triple, registered: InRegister, found: InFinance, changes: list[str]) -> Difference:
    """People reversed it in finance themselves: unexplained, unless the OA took it back as well and a list says so, or
    nothing calls for it in its own month.
    """
    words = f"被财务红冲 / reversed in finance: {found.taken_back}"
    wanted = triple.called is not None or changes or registered.new or not found.listed
    if found.undone and not wanted:
        return _extra(triple, words)
    accepted = registered.state is VoucherState.REVERSED and _NEEDS_APPROVAL in triple.standing.holds
    if accepted or (triple.standing.holds and registered.state is VoucherState.REVERSING):
        return _difference(triple, What.HELD, f"{', '.join(triple.standing.holds)} | {words}")
    return _difference(triple, What.REVERSED, " | ".join([words, *changes]))


def _against_form(triple: Triple, registered: InRegister, found: InFinance) -> Difference | None:
    """Register and finance agree: does the OA call for it, and for this amount?"""
    if triple.called is None:
        if not registered.new:
            return _difference(triple, What.EXTRA, "OA 不再要求该凭证 / no document calls for it any more")
        return _difference(triple, What.DUE, "核对期间到达 / arrived during the comparison") if found.listed else None
    if triple.called.amount_minor == registered.debit_minor:
        return None
    if triple.standing.holds:
        return _difference(triple, What.HELD, ", ".join(triple.standing.holds))
    form, booked = (to_text(n, registered.currency) for n in (triple.called.amount_minor, registered.debit_minor))
    return _difference(triple, What.ALTERED, f"金额 / amount: OA {form}, 凭证 / voucher {booked}")


def _changes(registered: InRegister, found: InFinance, period: str) -> list[str]:
    """How finance differs from what was posted, in words."""
    changes = []
    if not found.posted:
        changes.append("财务中是草稿 / a draft in finance")
    if found.period != registered.period or registered.period != period:
        changes.append(f"会计期间 / period: {registered.period} → {found.period}")
    if found.currency and found.currency != registered.currency:
        changes.append(f"币种 / currency: {registered.currency} → {found.currency}")
    if found.document_id and found.document_id != registered.document_id:
        changes.append(f"来源单据 / document: {registered.document_id} → {found.document_id}")
    if found.debit_minor != registered.debit_minor:
        ours, theirs = (to_text(minor, registered.currency) for minor in (registered.debit_minor, found.debit_minor))
        changes.append(f"金额 / amount: {ours} → {theirs}")
    lines = line_changes(registered.lines, found.lines, registered.currency) if found.lines else []
    changes += lines
    if not changes and found.kind and found.kind != registered.kind.value:
        changes.append(f"类型 / kind: {registered.kind} → {found.kind}")
    if not changes and found.content != registered.fingerprint:
        date_only = bool(found.lines)
        text = (
            "过账日期有变 / posting date changed"
            if date_only
            else "分录、日期或往来单位有变 / lines, date or party changed"
        )
        changes.append(text)
    return changes


def _difference(triple: Triple, what: What, detail: str) -> Difference:
    called, registered, found = triple.called, triple.registered, triple.found
    owner = called or registered
    kind: str = owner.kind.value if owner else (found.kind if found else "")
    return Difference(
        what=what,
        kind=kind,
        detail=detail,
        document_id=owner.document_id if owner else (found.document_id if found else ""),
        business_number=owner.business_number if owner else "",
        key=triple.key.removesuffix(AGAIN),
        finance_number=found.number if found else "",
        currency=owner.currency if owner else (found.currency if found else ""),
        oa_minor=called.amount_minor if called else None,
        finance_minor=found.debit_minor if found and found.listed else None,
    )


# ---------------------------------------------------------------- counts and sums


def unbalanced(sums: Iterable[SideSum], differences: Iterable[Difference]) -> list[Difference]:
    """Counts and sums that the list of differences does not account for: none, unless the comparison is wrong."""
    tally = Tally()
    for difference in differences:
        tally.take(difference)
    return tally.unbalanced(sums)


class Tally:
    """Adds up differences, so that they need not be kept."""

    def __init__(self) -> None:
        self.by_what: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._sums: Counter[tuple[str, str]] = Counter()

    def take(self, difference: Difference) -> None:
        """One more difference."""
        self.by_what[difference.what.value] += 1
        if difference.what is What.IN_APPROVAL:
            return  # nothing is called for yet
        name = (difference.kind, difference.currency)
        for minor, sign in ((difference.oa_minor, 1), (difference.finance_minor, -1)):
            if minor is not None:
                self._counts[name] += sign
                self._sums[name] += sign * minor

    @property
    def unexplained(self) -> int:
        """Differences that nobody explains."""
        return sum(self.by_what[what.value] for what in UNEXPLAINED)

    @property
    def explained(self) -> int:
        """Differences with a reason."""
        return self.by_what.total() - self.unexplained

    def unbalanced(self, sums: Iterable[SideSum]) -> list[Difference]:
        """``oa - finance`` by count and sum against the differences."""
        counts, amounts = Counter(self._counts), Counter(self._sums)
        for item in sums:
            sign = {"oa": -1, "finance": 1}.get(item.side, 0)
            counts[(item.kind, item.currency)] += sign * item.vouchers
            amounts[(item.kind, item.currency)] += sign * item.amount_minor
        return [
            Difference(
                what=What.SUMS,
                kind=kind,
                currency=currency,
                detail=f"合计不符 / sums differ beyond the list: {counts[kind, currency]} vouchers, "
                f"{to_text(amounts[kind, currency], currency)}",
            )
            for kind, currency in sorted(counts.keys() | amounts.keys())
            if counts[kind, currency] or amounts[kind, currency]
        ]
