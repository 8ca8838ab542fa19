"""Processes on virtual time: each runs one verb on an event loop of its own; a seeded choice says who moves next.

No threads, no sockets, no real time. What a verb hands to a thread runs as a step of its own, so that others can come
between. A killed process leaves nothing behind but what it had committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any


class Killed(BaseException):
    """kill -9: nothing of the process runs on."""


class VirtualClock:
    """Seconds since the beginning; moves only when it is told to."""

    def __init__(self, begin: datetime = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)) -> None:
        self.begin = begin
        self.seconds = 0.0

    def now(self) -> datetime:
        """UTC, timezone-aware."""
        return self.begin + timedelta(seconds=self.seconds)


class ProcessLoop(asyncio.AbstractEventLoop):
    """As much of an event loop as the verbs need."""

    def __init__(self, clock: VirtualClock, latency: Callable[[], float]) -> None:
        self._clock = clock
        self._latency = latency
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = 0
        self.tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        """Virtual seconds."""
        return self._clock.seconds

    def get_debug(self) -> bool:
        """Off."""
        return False

    def is_running(self) -> bool:
        """As seen from inside."""
        return True

    def is_closed(self) -> bool:
        """A process that ended is dropped, not closed."""
        return False

    def call_soon(  # type: ignore[override]  # the stubs type it with variadic generics
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Next in this process."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """After virtual seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """At a virtual time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        del handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # the stubs want a generic coroutine type
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """A task of this loop."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override]  # as above
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """A step of its own, later: others come between, as with a thread."""
        del executor
        future = self.create_future()
        self.call_later(self._latency(), self._run, future, func, args)
        return future

    @staticmethod
    def _run(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        try:
            result = func(*args)
        except BaseException as error:  # the awaiting coroutine gets it, whatever it is
            future.set_exception(error)
        else:
            future.set_result(result)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Exceptions reach whoever awaits them; those that nobody awaits belong to killed processes."""
        del context

    def next_time(self) -> float | None:
        """When this process can move: now, at its next timer, or never."""
        if self._ready:
            return self.time()
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def step(self) -> None:
        """Run one handle."""
        while self._timers and (self._timers[0][2].cancelled() or self._timers[0][0] <= self.time()):
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                self._ready.append(timer)
        if self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def drop(self) -> None:
        """Forget everything: no coroutine runs on, not even its ``finally``."""
        self._ready.clear()
        self._timers.clear()
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process leaves tasks pending
            if not task.done():
                coroutine: Any = task.get_coro()
                with contextlib.suppress(BaseException):
                    coroutine.close()
            elif not task.cancelled():
                task.exception()  # seen: nobody else asks
        self.tasks.clear()


class Process:
    """A worker's process while it runs one verb."""

    def __init__(self, name: str, verb: str, loop: ProcessLoop) -> None:
        self.name = name
        self.verb = verb
        self.loop = loop
        self.dead = False
        self.running = 0  # how often it is on the stack: a synchronous verb waits there while others move
        self.frozen_until = 0.0
        self.sending = False  # between the mark and the bytes: the promise's limits forbid a long freeze here
        self.reads: dict[str, object] = {}
        self.task: asyncio.Task[Any] | None = None

    def check_alive(self) -> None:
        """Nothing of a killed process reaches the world."""
        if self.dead:
            raise Killed


def _nothing(process: Process, error: BaseException | None) -> None:
    del process, error


class Kernel:
    """Owns the clock and the processes."""

    def __init__(self, clock: VirtualClock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.processes: dict[str, Process] = {}
        self.current: Process | None = None
        self.turns = 0
        self.ended: Callable[[Process, BaseException | None], None] = _nothing

    def latency(self) -> float:
        """Most steps take nothing, some a moment, few long."""
        draw = self.random.random()
        return 0.0 if draw < 0.6 else draw * draw if draw < 0.98 else 10 * draw

    def start(self, name: str, verb: str, make: Callable[[Process], Coroutine[Any, Any, Any]]) -> Process:
        """A new process under a worker's name."""
        loop = ProcessLoop(self.clock, self.latency)  # type: ignore[abstract]  # what no verb uses is left out
        process = Process(name, verb, loop)
        self.processes[name] = process
        process.task = process.loop.create_task(make(process))
        return process

    def kill(self, process: Process) -> None:
        """From outside, or by the process itself (which then raises Killed)."""
        process.dead = True
        self.processes.pop(process.name, None)
        if not process.running:
            self._bury(process)

    def turn(self) -> bool:
        """One step of one process that can move; moves the clock where nobody can now. False: nobody ever can."""
        movable: list[tuple[float, Process]] = []
        for process in self.processes.values():
            at = process.loop.next_time()
            if at is not None and not process.running:
                movable.append((max(at, process.frozen_until), process))
        if not movable:
            return False
        soonest = min(at for at, _ in movable)
        self.clock.seconds = max(self.clock.seconds, soonest)
        now = [process for at, process in movable if at <= self.clock.seconds]
        self._advance(now[0] if len(now) == 1 else now[int(self.random.random() * len(now))])
        return True

    def drain(self, most: int = 100_000) -> None:
        """Until every process has ended."""
        while self.processes and most > 0 and self.turn():
            most -= 1
        if self.processes:
            raise AssertionError(f"these run for ever: {[f'{p.name} {p.verb}' for p in self.processes.values()]}")

    def _advance(self, process: Process) -> None:
        self.turns += 1
        outer, self.current = self.current, process
        loop_before = asyncio._get_running_loop()
        asyncio._set_running_loop(process.loop)
        process.running += 1
        try:
            process.loop.step()
        finally:
            process.running -= 1
            asyncio._set_running_loop(loop_before)
            self.current = outer
        if process.dead:
            self._bury(process)
        elif process.task is not None and process.task.done():
            self.processes.pop(process.name, None)
            task = process.task
            error = None if task.cancelled() else task.exception()
            process.dead = True
            self._bury(process)
            self.ended(process, error)

    @staticmethod
    def _bury(process: Process) -> None:
        loop_before = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            process.loop.drop()
        finally:
            asyncio._set_running_loop(loop_before)
