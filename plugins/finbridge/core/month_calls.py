"""What the OA calls for: the vouchers of one document, folded from its approval log. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.fold import EndState, Folded, fold
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, VoucherState
from finbridge.core.month import HELD_BY_FINANCE, Called, Difference, InRegister, MonthDocument, What

#: Marks a voucher that is called for once more under a key that is reversed already.
AGAIN = "+"


def called_for(document: MonthDocument, source: str) -> list[Called]:
    """What must stand in finance for one document, in whatever period: the log's vouchers, and red ones beside those
    that the register posted and the log no longer calls for. A payment in the books stays: the money has left. But a
    document is paid once: a second payment is called for by nobody.

    Args:
        document: with its log and its vouchers in the register.
        source: the source's name inside identities.
    """
    calls: dict[str, Called] = {}
    folded = fold(document.events)
    served: set[str] = set()
    for kind, cause, causes in _wanted(folded):
        serving = _serving(kind, cause, causes, document.register)
        calls |= _wanted_call(document, source, kind, cause, serving)
        if serving is not None:
            served.add(serving.key)
    for registered in document.register:
        stands = registered.state in HELD_BY_FINANCE and registered.kind is not VoucherKind.REVERSAL
        if registered.kind is VoucherKind.PAYMENT and any(c.kind is VoucherKind.PAYMENT for c in calls.values()):
            continue
        if stands and (registered.key not in served or _is_reversed(registered)):
            calls.setdefault(registered.key, _call(document, registered.key, registered, registered.debit_minor))
            if registered.kind is VoucherKind.EXPENSE:
                red = _red(document, source, registered, folded)
                calls[red.key] = red
    return list(calls.values())


def amount_unread(document: MonthDocument, calls: Sequence[Called]) -> Difference | None:
    """A document whose vouchers were compared with themselves: what the form shows was never read as a number."""
    if document.amount_minor is not None or not any(r.state in HELD_BY_FINANCE for r in document.register):
        return None
    mine = next((c for c in calls if c.kind is not VoucherKind.REVERSAL), None)
    if mine is None:
        return None
    return Difference(
        what=What.AMOUNT_UNREAD,
        kind=mine.kind.value,
        detail="表单金额未读取，凭证未与单据核对；请对该单据执行“重试”后再次运行月结，仍出现则检查流程的 amount 字段 / "
        "the form's total was not read, so the voucher is not compared with it: retry the document and run the month "
        "again; if it stays, check the field `amount` of the flow",
        document_id=document.document_id,
        business_number=document.business_number,
        key=mine.key.removesuffix(AGAIN),
        currency=mine.currency,
    )


def in_approval(document: MonthDocument, period: str) -> Difference | None:
    """A document sent in during the period that nobody has approved yet: explained, and finance may estimate it."""
    if fold(document.events).end_state is not EndState.IN_APPROVAL:
        return None
    sent = max((e.local_at for e in document.events if e.kind is EventKind.SUBMITTED), default=None)
    if sent is None or f"{sent:%Y-%m}" != period:
        return None
    return Difference(
        what=What.IN_APPROVAL,
        kind=VoucherKind.EXPENSE.value,
        detail="截止时仍在审批 / still in approval at the cut-off",
        document_id=document.document_id,
        business_number=document.business_number,
        currency=document.currency,
        oa_minor=document.amount_minor,
    )


def _wanted(folded: Folded) -> list[tuple[VoucherKind, LogEntry, frozenset[str]]]:
    wanted = []
    if folded.approval is not None:
        wanted.append((VoucherKind.EXPENSE, folded.approval, folded.approvals))
    if folded.payment is not None:
        wanted.append((VoucherKind.PAYMENT, folded.payment, folded.payments))
    return wanted


def _serving(
    kind: VoucherKind, cause: LogEntry, causes: frozenset[str], register: Sequence[InRegister]
) -> InRegister | None:
    """The voucher that serves a call: one that finance has or may have, else the one of the cause itself."""
    mine = [r for r in register if r.kind is kind]
    known = [r for r in mine if r.state in (HELD_BY_FINANCE | IN_DOUBT) and not _is_reversed(r)]
    standing = [r for r in known if r.cause in causes or kind is VoucherKind.PAYMENT]
    return standing[0] if standing else next((r for r in mine if r.cause == cause.log_id), None)


def _wanted_call(
    document: MonthDocument, source: str, kind: VoucherKind, cause: LogEntry, serving: InRegister | None
) -> dict[str, Called]:
    if serving is not None:
        amount = document.amount_minor if document.amount_minor is not None else serving.debit_minor
        again = AGAIN if _is_reversed(serving) else ""
        call = _call(document, serving.key + again, serving, amount)
        return {call.key: call}
    identity = VoucherIdentity(document.company, source, document.document_id, cause.log_id, kind)
    key = identity.key()
    return {
        key: Called(
            key=key,
            document_id=document.document_id,
            business_number=document.business_number,
            kind=kind,
            period=f"{cause.local_at:%Y-%m}",
            currency=document.currency,
            amount_minor=document.amount_minor or 0,
        )
    }


def _call(document: MonthDocument, key: str, registered: InRegister, amount_minor: int) -> Called:
    return Called(
        key=key,
        document_id=document.document_id,
        business_number=document.business_number,
        kind=registered.kind,
        period=registered.period,
        currency=registered.currency,
        amount_minor=amount_minor,
    )


def _is_reversed(registered: InRegister) -> bool:
    return registered.state in (VoucherState.REVERSING, VoucherState.REVERSED)


def _red(document: MonthDocument, source: str, original: InRegister, folded: Folded) -> Called:
    """The red voucher of an original: the register's own, else the one that the plan will make."""
    known = next((r for r in document.register if r.reverses_key == original.key), None)
    if known is not None:
        return _call(document, known.key, known, -original.debit_minor)
    identity = VoucherIdentity(document.company, source, document.document_id, original.key, VoucherKind.REVERSAL)
    period = f"{folded.lost.local_at:%Y-%m}" if folded.lost else original.period
    return Called(
        key=identity.key(),
        document_id=document.document_id,
        business_number=document.business_number,
        kind=VoucherKind.REVERSAL,
        period=period,
        currency=original.currency,
        amount_minor=-original.debit_minor,
    )
