"""Kills and faults in a seeded order: every process by -9 and by a clean stop, every fault that a wire or an OA shows.

Two hands work beside each other while people use the OA: one kills, waits until the process is back, and goes on; one
arms a fault every few seconds. What was armed before a process died may have died with it: only what fired is counted.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tools.demo.clock import Clock
from tools.demo.kills import Victim, within
from tools.prove.history import History
from tools.prove.proxy import GATEWAY, WIRE
from tools.prove.stack import ProvingStack

#: How long a process may take to be back, seconds.
BACK_SECONDS = 180.0
_KILL_PAUSE = (1.0, 5.0)
_FAULT_PAUSE = (1.0, 4.0)
_NOTHING_PAUSE = 0.05
_SPOT_SECONDS = 20.0
#: A line to the hub is no HTTP: it can be broken and made slow, not answered by somebody else.
_HUB_KINDS = ("reset", "cut_request", "cut_answer", "lose_answer", "stall")
_LISTS, _ONE = "getAllWorkflowRequest*", "getWorkflowRequest"
#: What the OA itself is told to show, on the calls that only the suite makes.
OA_FAULTS: tuple[Mapping[str, Any], ...] = (
    *({"endpoint": _LISTS, "fault": name} for name in ("page_drift", "wrong_count", "hidden_rows", "doubled_rows")),
    *({"endpoint": _LISTS, "fault": name} for name in ("reordered_rows", "late_rows", "html", "truncate", "delay")),
    *({"endpoint": _LISTS, "fault": name} for name in ("http_429", "http_500", "http_503", "token_lost", "error_body")),
    *({"endpoint": _ONE, "fault": name} for name in ("doubled_log_rows", "reordered_log_rows", "late_log_rows")),
    *({"endpoint": _ONE, "fault": name} for name in ("field_added", "http_504", "reset", "close", "token_lost")),
    {"endpoint": _ONE, "fault": "token_expired"},
    {"endpoint": _ONE, "fault": "login_timeout"},
    {"endpoint": _ONE, "fault": "slow_drip"},
    {"endpoint": _ONE, "fault": "timeout", "seconds": 8},
)
_OA_COUNT = 2
PERIOD_CLOSED = "ledger: period closed"


@dataclass(frozen=True, slots=True)
class Kill:
    """One process that was ended; ``back_seconds`` None where it never came back."""

    name: str
    clean: bool
    back_seconds: float | None


@dataclass(kw_only=True)
class Trouble:
    """The two hands.

    Args:
        kills: how many processes are ended at least; the deck of all names, -9 and clean, is gone through in turns.
        period: (companies, ``YYYY-MM``) that is closed and opened again now and then.
    """

    stack: ProvingStack
    clock: Clock
    history: History
    seed: int
    kills: int
    companies: Sequence[str]
    today: date
    done: list[Kill] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    oa_fired: Counter[str] = field(default_factory=Counter)
    _oa_seen: Counter[str] = field(default_factory=Counter)

    # ------------------------------------------------------------------ kills

    async def kill_all(self) -> None:
        """Go through the deck until enough were killed."""
        rng = random.Random(f"{self.seed}/kills")  # noqa: S311 - a repeatable play, no secret
        while len(self.done) < self.kills:
            deck = [(name, clean) for name in self.stack.killable for clean in (False, True)]
            rng.shuffle(deck)
            for name, clean in deck:
                await asyncio.sleep(rng.uniform(*_KILL_PAUSE))
                await self._kill(name, clean)
                if len(self.done) >= self.kills:
                    return

    async def _kill(self, name: str, clean: bool) -> None:
        victim = self.stack.victim(name)
        if not await self._ended(victim, clean):
            self.clock.say(f"{name}: nothing to kill within {_SPOT_SECONDS:.0f} s")
            return
        how = "stopped" if clean else "killed -9"
        begin = time.monotonic()
        self.history.nemesis("kill", name, clean=clean)
        await asyncio.to_thread(victim.revive)
        back = await within(victim.lives, BACK_SECONDS)
        seconds = time.monotonic() - begin
        self.done.append(Kill(name, clean, seconds if back else None))
        self.history.nemesis("back" if back else "not back", name)
        self.clock.say(f"{len(self.done)}. {name} {how}; " + (f"back after {seconds:.1f} s" if back else "NOT BACK"))
        if not back:
            self.errors.append(f"{name} is not back after {BACK_SECONDS:.0f} s")

    async def _ended(self, victim: Victim, clean: bool) -> bool:
        until = time.monotonic() + _SPOT_SECONDS
        while time.monotonic() < until:
            with suppress(Exception):  # Airflow's database is away: there is no running task to be found just now
                if await asyncio.to_thread(lambda: victim.kill(clean=clean)):
                    return True
            await asyncio.sleep(_NOTHING_PAUSE)
        return False

    # ------------------------------------------------------------------ faults

    async def disturb(self) -> None:
        """Arm a fault every few seconds, until cancelled."""
        rng = random.Random(f"{self.seed}/faults")  # noqa: S311 - a repeatable play, no secret
        while True:
            deck = self._deck(rng)
            rng.shuffle(deck)
            for name, arm in deck:
                await asyncio.sleep(rng.uniform(*_FAULT_PAUSE))
                with suppress(OSError):  # the one that was to show it is dead just now
                    await asyncio.to_thread(arm)
                    self.history.nemesis("fault", name)
                with suppress(OSError):
                    await asyncio.to_thread(self._count_oa)

    def _deck(self, rng: random.Random) -> list[tuple[str, Callable[[], None]]]:
        def door(name: str, kind: str) -> Callable[[], None]:
            count, seconds = rng.randint(1, 3), rng.uniform(0.5, 4.0)
            return lambda: self.stack.doors[name].arm(kind, count=count, seconds=seconds)

        def oa(rule: Mapping[str, Any]) -> Callable[[], None]:
            return lambda: self._tell_oa([{"count": _OA_COUNT, **rule}])

        kinds = {name: _HUB_KINDS if name == "hub-proxy" else (*WIRE, *GATEWAY) for name in self.stack.doors}
        deck = [(f"{name}: {kind}", door(name, kind)) for name, all_of in kinds.items() for kind in all_of]
        deck += [(f"oa: {rule['fault']}", oa(rule)) for rule in OA_FAULTS]
        return [*deck, *((PERIOD_CLOSED, self._close_for_a_while) for _ in self.companies)]

    def _close_for_a_while(self) -> None:
        """The accountants close the month by mistake, and open it again."""
        period = f"{self.today:%Y-%m}"
        ledger = self.stack.ledger_up
        with suppress(RuntimeError):  # the ledger is dead just now: nothing was closed, or `settle` opens it
            for company in self.companies:
                ledger.close_period(company, period)
            time.sleep(_KILL_PAUSE[1])
            self.oa_fired[PERIOD_CLOSED] += 1
        self.open_periods()

    def open_periods(self) -> bool:
        """Open the month in each company; false where the ledger does not answer."""
        try:
            for company in self.companies:
                self.stack.ledger_up.reopen_period(company, f"{self.today:%Y-%m}")
        except RuntimeError:
            return False
        return True

    def _tell_oa(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """New rules in place of what the last ones have left."""
        _call(f"{self.stack.control_url}/faults", method="DELETE")
        _call(f"{self.stack.control_url}/faults", rules)

    def _count_oa(self) -> None:
        """What the OA showed since the last look; it counts from zero after each of its deaths."""
        seen = Counter({str(name): int(n) for name, n in _call(f"{self.stack.control_url}/stats")["faults"].items()})
        again = any(seen[name] < count for name, count in self._oa_seen.items())
        fresh = seen if again else seen - self._oa_seen
        self.oa_fired.update({f"oa: {name}": count for name, count in fresh.items()})
        self._oa_seen = seen

    # ------------------------------------------------------------------ the end

    async def calm(self) -> None:
        """No fault is left, the month is open: from now on everything must settle."""

        def quiet() -> bool:
            self._count_oa()
            _call(f"{self.stack.control_url}/faults", method="DELETE")
            for door in self.stack.doors.values():
                door.clear()
            return self.open_periods()

        if not await within(quiet, BACK_SECONDS):
            self.errors.append("the faults could not be ended")

    def fired(self) -> Counter[str]:
        """Every fault that was shown, by kind."""
        doors = {name: door.fired() for name, door in self.stack.doors.items()}
        return self.oa_fired + Counter(
            {f"{name}: {kind}": n for name, all_of in doors.items() for kind, n in all_of.items()}
        )

    def never_fired(self) -> list[str]:
        """Kinds of the deck that were never shown."""
        names = {name for name, _ in self._deck(random.Random(0))}  # noqa: S311 - only the names count
        fired = self.fired()
        return sorted(name for name in names if not fired[name])


def _call(url: str, body: object = None, *, method: str | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310 - http, our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - http, our own
        return json.loads(answer.read() or b"null")
