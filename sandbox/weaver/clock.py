"""The OA's own clock: naive local time of Asia/Shanghai, real, standing at a given moment, or running on from one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Shanghai")
STAMP = "%Y-%m-%d %H:%M:%S"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class VirtualClock:
    """``None`` is real time; a standing clock moves only when it is set; a running one ticks on from what was set."""

    def __init__(self) -> None:
        self._base: datetime | None = None
        self._running_since: float | None = None
        self.skew_seconds = 0.0

    def set(self, now: datetime | None, *, running: bool = False) -> None:
        """Set the clock to naive local time, or back to real time."""
        self._base = now
        self._running_since = time.time() if now is not None and running else None

    def now(self) -> datetime:
        """Naive local time, whole seconds."""
        if self._base is None:
            return datetime.now(ZONE).replace(tzinfo=None, microsecond=0)
        if self._running_since is None:
            return self._base.replace(microsecond=0)
        return (self._base + timedelta(seconds=time.time() - self._running_since)).replace(microsecond=0)

    def text(self) -> str:
        """``yyyy-MM-dd HH:mm:ss``."""
        return self.now().strftime(STAMP)

    def http_date(self) -> str:
        """The ``Date`` header: this clock in GMT, plus the skew that a test asked for."""
        local = self.now() + timedelta(seconds=self.skew_seconds)
        gmt = local.replace(tzinfo=ZONE).astimezone(UTC)
        return f"{_DAYS[gmt.weekday()]}, {gmt.day:02} {_MONTHS[gmt.month - 1]} {gmt.year:04} {gmt:%H:%M:%S} GMT"

    def state(self) -> dict[str, object]:
        """What a restart needs."""
        return {
            "base": None if self._base is None else self._base.isoformat(),
            "running_since": self._running_since,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a stored state."""
        base, since = state.get("base"), state.get("running_since")
        self._base = datetime.fromisoformat(base) if isinstance(base, str) else None
        self._running_since = float(since) if isinstance(since, int | float) else None
