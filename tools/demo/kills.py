"""kill -9 of each process of the suite and of both systems, once and by name, while claims are being approved.

Around each kill people approve claims of its own: some just before, some while the process is dead. A kill is over when
the process is back, all those claims carry their voucher's number, and nothing is left of what died with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import psutil

from tools.demo.clock import Clock
from tools.demo.scenario import Document, Fate, Play
from tools.demo.stack import Stack

BEFORE = 3  # claims approved just before a kill
DEAD = 3  # claims approved while the process is dead
PER_KILL = BEFORE + DEAD
LIMIT_SECONDS = 300.0
_POLL_SECONDS = 0.1
_SPOT_SECONDS = 0.01
_WORKER_TITLE = "airflow worker -- LocalExecutor: "
_IDLE = "<idle>"
_HEARTBEATS = {
    "scheduler": ("scheduler", "latest_scheduler_heartbeat"),
    "triggerer": ("triggerer", "latest_triggerer_heartbeat"),
    "dag-processor": ("dag_processor", "latest_dag_processor_heartbeat"),
}
#: In this order: first what others need least.
NAMES = (
    "dag-processor",
    "triggerer",
    "task-worker",
    "tryton",
    "oa",
    "ledger-postgres",
    "api-server",
    "scheduler",
    "hub-postgres",
)


class NotKilled(RuntimeError):
    """There was nothing to kill, or it did not come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What a kill showed; ``settled_seconds`` None where the limit passed."""

    name: str
    pid: int
    back_seconds: float
    settled_seconds: float | None

    def __str__(self) -> str:
        end = "NOT settled" if self.settled_seconds is None else f"settled after {self.settled_seconds:.1f} s"
        return f"killed {self.name} (process {self.pid}): back after {self.back_seconds:.1f} s, {end}"


def names_of(text: str) -> tuple[str, ...]:
    """``all``, or names with commas between. Raises ValueError for a name that nobody knows."""
    if not text:
        return ()
    names = NAMES if text == "all" else tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"no process {', '.join(unknown)}; known: all, {', '.join(NAMES)}")
    return names


class Kills:
    """Kills, brings back, and waits.

    Args:
        names: what to kill, in this order.
        limit_seconds: for one kill to be settled.
    """

    def __init__(
        self, stack: Stack, clock: Clock, names: Sequence[str], *, limit_seconds: float = LIMIT_SECONDS
    ) -> None:
        self.stack = stack
        self.clock = clock
        self.names = tuple(names)
        self.limit_seconds = limit_seconds
        self.done: list[Killed] = []
        self.errors: list[str] = []

    @property
    def documents(self) -> int:
        """How many claims the kills need."""
        return PER_KILL * len(self.names)

    def failures(self) -> list[str]:
        """Processes that were not killed exactly once, and kills that never settled."""
        times = [killed.name for killed in self.done]
        missing = [f"{name} was killed {times.count(name)} times" for name in self.names if times.count(name) != 1]
        return self.errors + missing + [str(killed) for killed in self.done if killed.settled_seconds is None]

    async def all(self, play: Play) -> None:
        """One after the other, each with claims of its own."""
        claims = play.of(Fate.UNDER_KILL)
        for at, name in enumerate(self.names):
            own = claims[at * PER_KILL : (at + 1) * PER_KILL]
            try:
                killed = await self._one(play, name, own)
            except NotKilled as error:  # the others are killed all the same; the demo fails in the end
                self.errors.append(str(error))
                self.clock.say(str(error))
                continue
            self.done.append(killed)
            self.clock.say(str(killed))

    async def _one(self, play: Play, name: str, claims: Sequence[Document]) -> Killed:
        await play.approve(claims[:BEFORE])
        victim = victim_of(self.stack, name)
        pid = await self._dead(victim, name)
        begin = time.monotonic()
        meanwhile = asyncio.create_task(play.approve(claims[BEFORE:]))
        if not victim.others_answer:  # people stand before a dead screen until it is back
            await asyncio.to_thread(victim.revive)
        await meanwhile
        if victim.others_answer:
            await asyncio.to_thread(victim.revive)
        back = await within(victim.lives, self.limit_seconds)
        if not back:
            raise NotKilled(f"{name} is not back after {self.limit_seconds:.0f} s")
        back_seconds = time.monotonic() - begin
        left = self.limit_seconds - back_seconds
        settled = await play.numbered(claims, left) and await within(victim.over, left)
        return Killed(
            name=name,
            pid=pid,
            back_seconds=back_seconds,
            settled_seconds=time.monotonic() - begin if settled else None,
        )

    async def _dead(self, victim: Victim, name: str) -> int:
        """Kill, waiting until there is something to kill."""
        until = time.monotonic() + self.limit_seconds
        while time.monotonic() < until:
            pid = await asyncio.to_thread(victim.kill)
            if pid:
                return pid
            await asyncio.sleep(_SPOT_SECONDS)
        raise NotKilled(f"{name}: there was nothing to kill")


async def within(reached: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; what fails while a part is coming back counts as not reached."""
    until = time.monotonic() + seconds
    while True:
        with suppress(Exception):
            if await asyncio.to_thread(reached):
                return True
        if time.monotonic() > until:
            return False
        await asyncio.sleep(_POLL_SECONDS)


# ---------------------------------------------------------------------- what can be killed


class Victim:
    """A process by name: how it is killed, brought back, and seen to live.

    ``others_answer``: whether people can go on working at the OA while it is dead.
    """

    others_answer = True

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def kill(self, *, clean: bool = False) -> int:
        """SIGKILL (``clean``: SIGTERM); returns the process id that was hit, 0 where there is nothing just now."""
        raise NotImplementedError

    def revive(self) -> None:
        """Start it again, where nobody else does."""

    def lives(self) -> bool:
        """Whether it works again."""
        raise NotImplementedError

    def over(self) -> bool:
        """Whether nothing is left of what died with it."""
        return True


class _Component(Victim):
    """A process of Airflow; its keeper starts it again."""

    def __init__(self, stack: Stack, name: str) -> None:
        super().__init__(stack)
        self.name = name
        self._before = 0
        self._killed_at = 0.0

    def kill(self, *, clean: bool = False) -> int:
        airflow = self.stack.airflow_up
        self._before = airflow.pid(self.name)
        if clean:
            os.kill(self._before, signal.SIGTERM)
        else:
            airflow.kill(self.name)
        self._killed_at = time.time()
        return self._before

    def lives(self) -> bool:
        airflow = self.stack.airflow_up
        if airflow.pid(self.name) in (0, self._before):
            return False
        health = airflow.health()
        if self.name not in _HEARTBEATS:
            return bool(health)
        return beats_since(health, self.name, self._killed_at)


class _TaskWorker(Victim):
    """The process that supervises a running task. The task is left an orphan; what it still does must be harmless."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self._task = ""

    def kill(self, *, clean: bool = False) -> int:
        for child in psutil.Process(self.stack.airflow_up.pid("scheduler")).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
                task = " ".join(child.cmdline()).partition(_WORKER_TITLE)[2].strip()
                if task and task != _IDLE and self._state(task) == "running":
                    os.kill(child.pid, signal.SIGTERM if clean else signal.SIGKILL)
                    if self._state(task) == "running":  # it had not just ended by itself
                        self._task = task
                        return child.pid
        return 0

    def lives(self) -> bool:
        """The other workers go on at once; the executor forks anew when it needs more."""
        return psutil.pid_exists(self.stack.airflow_up.pid("scheduler"))

    def over(self) -> bool:
        """Airflow has noticed: the task that died is no longer said to run."""
        return self._state(self._task) not in ("running", "queued", "scheduled", "restarting", "up_for_retry")

    def _state(self, task: str) -> str:
        rows = self.stack.suite.execute("airflow", "SELECT state FROM task_instance WHERE id::text = %s", [task])
        return str(rows[0][0]) if rows else ""


class _Tryton(Victim):
    def kill(self, *, clean: bool = False) -> int:
        ledger = self.stack.ledger_up
        pid = ledger.pid
        ledger.stop() if clean else ledger.kill()
        return pid

    def revive(self) -> None:
        self.stack.ledger_up.start()

    def lives(self) -> bool:
        return self.stack.ledger_up.running


class _Oa(Victim):
    others_answer = False

    def kill(self, *, clean: bool = False) -> int:
        pid = self.stack.weaver.pid
        self.stack.weaver.stop() if clean else self.stack.weaver.kill()
        return pid

    def revive(self) -> None:
        self.stack.weaver.start().wait_ready(LIMIT_SECONDS)

    def lives(self) -> bool:
        return self.stack.weaver.running


class _Postgres(Victim):
    """A database server with all its sessions, as a power cut would take them."""

    def __init__(self, stack: Stack, name: str) -> None:
        super().__init__(stack)
        self.server = stack.suite if name == "hub-postgres" else stack.ledger_postgres
        self.holds_airflow = name == "hub-postgres" and stack.airflow is not None
        self._killed_at = 0.0

    def kill(self, *, clean: bool = False) -> int:
        pid = self.server.pid
        self.server.stop() if clean else self.server.kill()
        self._killed_at = time.time()
        return pid

    def revive(self) -> None:
        self.server.start()

    def lives(self) -> bool:
        if not self.server.running:
            return False
        if not self.holds_airflow:
            return True
        health = self.stack.airflow_up.health()
        return all(beats_since(health, name, self._killed_at) for name in _HEARTBEATS)


def victim_of(stack: Stack, name: str) -> Victim:
    special: dict[str, Callable[[Stack], Victim]] = {"task-worker": _TaskWorker, "tryton": _Tryton, "oa": _Oa}
    if name in special:
        return special[name](stack)
    return _Postgres(stack, name) if name.endswith("-postgres") else _Component(stack, name)


def beats_since(health: Mapping[str, Mapping[str, str]], name: str, moment: float) -> bool:
    """Whether Airflow's monitor calls a component healthy by a heartbeat after the moment (epoch seconds)."""
    part, key = _HEARTBEATS[name]
    shown = health.get(part) or {}
    beat = shown.get(key)
    return shown.get("status") == "healthy" and bool(beat) and datetime.fromisoformat(str(beat)).timestamp() > moment
