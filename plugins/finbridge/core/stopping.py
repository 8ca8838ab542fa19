"""The question that is asked before anything leaves the process: may it, or has a person stopped the flow?

A pause is not an error. A verb that may not send gives its leases back, says ``paused`` in its report and ends; what it
had left stays due in the hub. Verbs ask before they begin something; the transport asks once more in the moment before
the bytes of an effect leave, however long they waited for their turn (`finbridge.core.transport`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from finbridge.core.errors import RetryLater

#: Asked before each effect, from any thread; cheap enough for that (whoever answers keeps the answer for a moment).
#: Raises RetryLater where nobody can say: then nothing is sent either.
MaySend = Callable[[], bool]
#: An answer that takes longer is too old when it comes: nothing is sent then.
ANSWER_SECONDS = 2.0


def always() -> bool:
    """Nobody can stop this one."""
    return True


_ASKED: ContextVar[MaySend] = ContextVar("may_send", default=always)


async def allowed(may_send: MaySend) -> bool:
    """Ask without holding up the event loop."""
    return True if may_send is always else await asyncio.to_thread(may_send)


@contextmanager
def guarded(may_send: MaySend) -> Iterator[None]:
    """Have every effect inside ask this, whatever system it goes to. ``always`` leaves an outer guard as it is."""
    if may_send is always:
        yield
        return
    token = _ASKED.set(may_send)
    try:
        yield
    finally:
        _ASKED.reset(token)


async def may_leave() -> bool:
    """Whether an effect may leave now.

    Raises:
        RetryLater: nobody can say, or not soon enough.
    """
    try:
        return await asyncio.wait_for(allowed(_ASKED.get()), ANSWER_SECONDS)
    except TimeoutError:
        raise RetryLater(
            "pause_unknown",
            "无法及时确认流程是否已暂停，暂不发送 / nobody said in time whether the flow is paused: nothing is sent",
        ) from None
