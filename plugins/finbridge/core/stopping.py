"""The question that a verb asks before anything leaves the process: may it, or has a person stopped the flow?

A pause is not an error. A verb that may not send gives its leases back, says ``paused`` in its report and ends; what it
had left stays due in the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Asked before each effect, from any thread; cheap enough for that (whoever answers keeps the answer for a moment).
#: Raises RetryLater where nobody can say: then nothing is sent either.
MaySend = Callable[[], bool]


def always() -> bool:
    """Nobody can stop this one."""
    return True


async def allowed(may_send: MaySend) -> bool:
    """Ask without holding up the event loop."""
    return True if may_send is always else await asyncio.to_thread(may_send)
