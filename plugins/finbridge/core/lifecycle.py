"""The life of one voucher as a pure function: ``step(state, event) -> (state, effects)``.

Every arrow of the delivery promise is one row here. The hub stores the new state *before* an effect leaves the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from finbridge.core.outcomes import (
    Accepted,
    AuthFailed,
    Conflict,
    Duplicate,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
    Unknown,
)


class VoucherState(StrEnum):
    """States of a voucher in the register; the value is what is stored."""

    TRANSLATED = "translated"
    QUARANTINED = "quarantined"
    READY = "ready"
    SENDING = "sending"
    UNKNOWN = "unknown"
    WAITING_PERIOD = "waiting_period"
    REJECTED = "rejected"
    NEEDS_HUMAN = "needs_human"
    POSTED = "posted"
    WRITTEN_BACK = "written_back"
    VERIFIED = "verified"
    REVERSING = "reversing"
    REVERSED = "reversed"
    WITHDRAWN = "withdrawn"


#: Finance holds a live voucher (or one whose reversal has not landed yet).
IN_BOOKS = frozenset({VoucherState.POSTED, VoucherState.WRITTEN_BACK, VoucherState.VERIFIED, VoucherState.REVERSING})
#: Nothing ever left for finance, or finance certainly did nothing: may be withdrawn or rebuilt.
UNSENT = frozenset(
    {
        VoucherState.TRANSLATED,
        VoucherState.QUARANTINED,
        VoucherState.READY,
        VoucherState.WAITING_PERIOD,
        VoucherState.REJECTED,
    }
)
#: Only finance can say what happened.
IN_DOUBT = frozenset({VoucherState.SENDING, VoucherState.UNKNOWN})
#: A named list that a person reads.
NAMED_LISTS = frozenset(
    {
        VoucherState.QUARANTINED,
        VoucherState.WAITING_PERIOD,
        VoucherState.REJECTED,
        VoucherState.NEEDS_HUMAN,
    }
)


class Effect(StrEnum):
    """What must happen outside after a transition was stored."""

    SEND = "send"
    RESOLVE = "resolve"
    WRITE_BACK = "write_back"
    VERIFY_WRITE_BACK = "verify_write_back"
    HOLD = "hold"
    STOP_FLOW = "stop_flow"


class Signal(StrEnum):
    """Events that carry no data."""

    CHECK_PASSED = "check_passed"
    CHECK_FAILED = "check_failed"
    REBUILT = "rebuilt"
    RECALLED = "recalled"
    MARK_SENDING = "mark_sending"
    SENDER_LOST = "sender_lost"
    NOT_FOUND = "not_found"
    RETRY = "retry"
    WRITE_BACK_SENT = "write_back_sent"
    WRITE_BACK_VERIFIED = "write_back_verified"
    APPROVAL_LOST = "approval_lost"
    REVERSAL_POSTED = "reversal_posted"
    # of a person
    LOOK_AGAIN = "look_again"
    ACCEPTED_AS_HELD = "accepted_as_held"
    TAKEN_BACK = "taken_back"


@dataclass(frozen=True, slots=True)
class Step:
    """The new state and what must be done once it is stored."""

    state: VoucherState
    effects: tuple[Effect, ...] = ()


class IllegalTransition(Exception):
    """An event that the state does not allow: a bug, or a worker that lost its lease."""

    def __init__(self, state: VoucherState, event: object) -> None:
        super().__init__(f"{state.value} does not take {event}")


_S = VoucherState
_SIGNALS: dict[tuple[VoucherState, Signal], Step] = {
    (_S.TRANSLATED, Signal.CHECK_PASSED): Step(_S.READY, (Effect.SEND,)),
    (_S.TRANSLATED, Signal.CHECK_FAILED): Step(_S.QUARANTINED, (Effect.HOLD,)),
    (_S.READY, Signal.MARK_SENDING): Step(_S.SENDING, (Effect.SEND,)),
    (_S.SENDING, Signal.SENDER_LOST): Step(_S.UNKNOWN, (Effect.RESOLVE,)),
    (_S.SENDING, Signal.NOT_FOUND): Step(_S.READY, (Effect.SEND,)),
    (_S.UNKNOWN, Signal.NOT_FOUND): Step(_S.READY, (Effect.SEND,)),
    (_S.WAITING_PERIOD, Signal.RETRY): Step(_S.READY, (Effect.SEND,)),
    (_S.REJECTED, Signal.RETRY): Step(_S.READY, (Effect.SEND,)),
    (_S.POSTED, Signal.WRITE_BACK_SENT): Step(_S.WRITTEN_BACK, (Effect.VERIFY_WRITE_BACK,)),
    (_S.WRITTEN_BACK, Signal.WRITE_BACK_SENT): Step(_S.WRITTEN_BACK, (Effect.VERIFY_WRITE_BACK,)),
    (_S.WRITTEN_BACK, Signal.WRITE_BACK_VERIFIED): Step(_S.VERIFIED),
    (_S.REVERSING, Signal.REVERSAL_POSTED): Step(_S.REVERSED),
    (_S.NEEDS_HUMAN, Signal.LOOK_AGAIN): Step(_S.UNKNOWN, (Effect.RESOLVE,)),
    (_S.NEEDS_HUMAN, Signal.ACCEPTED_AS_HELD): Step(_S.POSTED, (Effect.WRITE_BACK,)),
    (_S.NEEDS_HUMAN, Signal.TAKEN_BACK): Step(_S.REVERSED),
    **{(state, Signal.TAKEN_BACK): Step(_S.REVERSED) for state in IN_BOOKS - {_S.REVERSING}},
    **{(state, Signal.RECALLED): Step(_S.WITHDRAWN) for state in UNSENT},
    **{(state, Signal.REBUILT): Step(_S.TRANSLATED) for state in UNSENT | {_S.WITHDRAWN}},
    **{(state, Signal.APPROVAL_LOST): Step(_S.REVERSING, (Effect.SEND,)) for state in IN_BOOKS - {_S.REVERSING}},
}

_OUTCOMES: dict[type, Step] = {
    Accepted: Step(_S.POSTED, (Effect.WRITE_BACK,)),
    Duplicate: Step(_S.POSTED, (Effect.WRITE_BACK,)),
    Conflict: Step(_S.NEEDS_HUMAN, (Effect.HOLD,)),
    Rejected: Step(_S.REJECTED, (Effect.HOLD, Effect.WRITE_BACK)),
    PeriodClosed: Step(_S.WAITING_PERIOD, (Effect.HOLD,)),
    Locked: Step(_S.READY, (Effect.SEND,)),
    Throttled: Step(_S.READY, (Effect.SEND,)),
    AuthFailed: Step(_S.READY, (Effect.STOP_FLOW,)),
    NotSent: Step(_S.READY, (Effect.SEND,)),
    RefusedUnprocessed: Step(_S.READY, (Effect.SEND,)),
    Unknown: Step(_S.UNKNOWN, (Effect.RESOLVE,)),
}
#: What a read by key may answer while in doubt.
_RESOLVED = (Accepted, Duplicate, Conflict)


def step(state: VoucherState, event: Signal | Outcome) -> Step:
    """The next state and its effects.

    Raises:
        IllegalTransition: the state does not take the event; nothing may be done.
    """
    if isinstance(event, Signal):
        found = _SIGNALS.get((state, event))
        if found is None:
            raise IllegalTransition(state, event)
        return found
    if state is _S.SENDING or (state is _S.UNKNOWN and isinstance(event, (*_RESOLVED, Unknown))):
        return _OUTCOMES[type(event)]
    raise IllegalTransition(state, event)
