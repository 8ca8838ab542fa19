"""One world: OA, finance and hub in memory, the processes between them, and the steps of a history."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any, cast

from finbridge.core.crashpoints import watched
from finbridge.core.errors import FinbridgeError, GiveUp
from finbridge.core.lifecycle import VoucherState
from finbridge.core.ports import Hub, Stage
from finbridge.core.rereading import CollectHub
from finbridge.flows import check, collect, deliver, write_back
from finbridge.sim import mapping
from finbridge.sim.books import Books, ConnectorBug
from finbridge.sim.history import History, Step
from finbridge.sim.kernel import Kernel, Killed, Process, VirtualClock
from finbridge.sim.lines import BooksLine, HubLine, OfficeLine
from finbridge.sim.memory_hub import MemoryHub
from finbridge.sim.memory_rows import DocumentRow, Store, next_reading
from finbridge.sim.office import Office
from finbridge.sim.oracle import BrokenPromise, Oracle
from finbridge.sim.trouble import Trouble
from finbridge.sim.verdicts import final

_MOST_DOCUMENTS = 5
_MOST_SWEEPS = 150
_VERBS = ("collect", "check", "deliver", "write_back")
_VERB_OF = {Stage.PLAN: "check", Stage.DELIVER: "deliver", Stage.WRITE_BACK: "write_back"}
_EXPECTED_ENDS = frozenset({"ledger_credentials", "broken_batch_rule"})
#: Longer than this, a jump of time would freeze a process between its mark and its send beyond the promise's limits.
_SHORT_JUMP = 5.0


class World:
    """Everything, and nothing outside of it."""

    def __init__(self, history: History) -> None:
        setting = history.setting
        self.history = history
        self.random = Random(history.seed)  # noqa: S311  # a simulation's chance, not a secret
        self.clock = VirtualClock(setting.begin)
        self.kernel = Kernel(self.clock, self.random)
        self.kernel.ended = self._ended
        self.office = Office(self.clock, setting.skew, scrambled=setting.scrambled)
        self.books = Books(self.clock, unique=setting.unique)
        self.hub = MemoryHub(self.clock)
        self.trouble = Trouble()
        self.oracle = Oracle(self)
        self.translator = mapping.CheapTranslator()
        self.judge = mapping.CheapJudge(self.trouble)
        self.broken: list[BrokenPromise] = []
        self.restored = False
        self._patience = 0.0
        self._acts_seen = 0
        self._backup: tuple[Store, dict[str, int], int] | None = None
        self._forgotten: dict[str, int] = {}  # forms whose vouchers a restore forgot -> their acts at the backup

    @property
    def forgotten(self) -> frozenset[str]:
        """Forms that a restored hub lost sight of: posted after the backup, and changed by people after it."""
        return frozenset(name for name, acts in self._forgotten.items() if self.office.forms[name].acts > acts)

    # ------------------------------------------------------------ running

    def play(self) -> None:
        """All steps; in bounded mode then the settling and the final verdicts. Stops at the first broken promise."""
        with self.under_watch():
            for step in self.history.steps:
                self.take(step)
                self.oracle.look_at_all()
                if self.broken:
                    return
            self.kernel.drain()
            if self.history.mode.value == "bounded":
                self.settle()

    @contextmanager
    def under_watch(self) -> Iterator[None]:
        """Crash points kill whom they are armed for; nobody is left running at the end."""
        logger = logging.getLogger("finbridge.flows")
        silent, logger.disabled = logger.disabled, True
        try:
            with watched(self._passed):
                yield
        finally:
            self._kill_all()
            logger.disabled = silent

    def take(self, step: Step) -> None:
        """Let one step happen, and everybody move a little."""
        self.random.seed(step.seed)
        getattr(self, f"_do_{step.kind}")(*step.args)
        for _ in range(int(self.random.random() * 16)):
            self.kernel.turn()

    def _passed(self, point: str) -> None:
        process = self.kernel.current
        if process is not None and self.trouble.take(point) is not None:
            self.trouble.crashes[point] += 1
            self.kernel.kill(process)
            raise Killed

    def _ended(self, process: Process, error: BaseException | None) -> None:
        if error is None or isinstance(error, ConnectorBug | Killed):
            return
        if isinstance(error, GiveUp) and error.code not in _EXPECTED_ENDS:
            self.broken.append(BrokenPromise("no bug", "-", f"{process.verb} gave up: {error.code}"))
        elif not isinstance(error, FinbridgeError):
            self.broken.append(BrokenPromise("no bug", "-", f"{process.verb}: {type(error).__name__}: {error}"))

    async def pause(self, process: Process) -> None:
        """A call on the wire takes a moment."""
        process.check_alive()
        await asyncio.sleep(self.kernel.latency())
        process.check_alive()

    # ------------------------------------------------------------ workers

    def _do_verb(self, worker: str, verb: str) -> None:
        if worker in self.kernel.processes:
            return
        due = sorted(self.hub.due(mapping.FLOW.flow_id))
        if verb == "what is due":  # as a watcher would
            verb = _VERB_OF[due[int(self.random.random() * len(due))]] if due else "collect"
        self.kernel.start(worker, verb, self._run)

    def _run(self, process: Process) -> Coroutine[Any, Any, Any]:
        hub = cast("CollectHub", HubLine(self, process))
        source = OfficeLine(self, process)
        flow, translator, worker = mapping.FLOW, self.translator, process.name
        if process.verb == "collect":
            return collect(flow=flow, hub=hub, source=source, translator=translator, worker=worker)
        if process.verb == "check":
            return self._check(hub, worker)
        if process.verb == "deliver":
            return deliver(
                flow=flow,
                hub=hub,
                source=source,
                ledger=BooksLine(self, process),
                translator=translator,
                worker=worker,
                clock=self.clock,
            )
        return write_back(flow=flow, hub=hub, source=source, worker=worker)

    async def _check(self, hub: Hub, worker: str) -> None:
        check(flow=mapping.FLOW, hub=hub, translator=self.translator, judge=self.judge, worker=worker, run_id="run")

    # ------------------------------------------------------------ steps

    def _do_turns(self, number: int) -> None:
        for _ in range(number):
            self.kernel.turn()

    def _do_create(self, amount: str, person: str) -> None:
        if len(self.office.forms) < _MOST_DOCUMENTS:
            form = self.office.create(amount, person)
            self.office.act(form.name, "submit_approve", amount)

    def _do_act(self, form: int, act: str, amount: str) -> None:
        names = list(self.office.forms)
        if names:
            self.office.act(names[form % len(names)], act, amount)

    def _do_act_late(self, form: int, act: str, amount: str, lag: float) -> None:
        names = list(self.office.forms)
        if names:
            self.office.act_late(names[form % len(names)], act, amount, lag)

    def _do_hasty(self, form: int, worker: str) -> None:
        """Two changes of one form, as close as the collector between them allows."""
        self._do_act(form, "edit_silent", "100")
        self._do_verb(worker, "collect")
        self._do_turns(16)
        self._do_act(form, "edit_silent", "300")

    def _do_outage(self, form: int, seconds: float) -> None:
        """Nobody works while people go on; the first collector afterwards dies over what it finds."""
        self._kill_all()
        self._do_act(form, "submit_approve" if self.random.random() < 0.5 else "withdraw", "100")
        self._do_create("200", "E1")
        self._do_jump(seconds)
        self._do_verb("w1", "collect")
        self._do_turns(int(self.random.random() * 16))
        self._do_kill("w1")

    def _do_arm(self, place: str, fault: str) -> None:
        self.trouble.arm(place, fault)

    def _do_crash(self, point: str) -> None:
        self.trouble.arm(point, "killed")

    def _do_kill(self, worker: str) -> None:
        process = self.kernel.processes.get(worker)
        if process is not None:
            self.trouble.crashes[f"at an await of {process.verb}"] += 1
            self.kernel.kill(process)

    def _kill_all(self) -> None:
        for process in list(self.kernel.processes.values()):
            self.kernel.kill(process)

    def _do_freeze(self, worker: str, seconds: float) -> None:
        process = self.kernel.processes.get(worker)
        if process is not None and not process.sending:
            self.trouble.met["process: frozen"] += 1
            process.frozen_until = self.clock.seconds + seconds

    def _do_jump(self, seconds: float) -> None:
        if seconds > _SHORT_JUMP:
            for _ in range(500):
                if not any(process.sending for process in self.kernel.processes.values()):
                    break
                self.kernel.turn()
        self.clock.seconds += seconds
        self.office.catch_up()
        self.books.catch_up()

    def _do_period(self, which: int) -> None:
        period = f"{self.office.local():%Y-%m}"
        if which % 2 and period in self.books.closed:
            self.books.closed.discard(period)
        else:
            self.books.closed.add(period)
        self.trouble.met["finance: period closed or opened"] += 1

    def _do_block(self, which: int) -> None:
        self.books.blocked ^= {f"E{which % 2 + 1}"}
        self.trouble.met["finance: party blocked or freed"] += 1

    def _do_hand_reverse(self, which: int) -> None:
        self.trouble.met["finance: reversed by hand"] += self.books.reverse_by_hand(which)

    def _do_hand_key(self, which: int) -> None:
        forms = list(self.office.forms.values())
        if forms:
            form = forms[which % len(forms)]
            amount = int(form.amount) if form.amount.isdigit() else 1
            self.books.key_by_hand(form.name, form.stamp.date(), amount, form.person, "")
            self.trouble.met["finance: keyed by hand"] += 1

    def _do_backup(self) -> None:
        acts = {name: form.acts for name, form in self.office.forms.items()}
        self._backup = (self.hub.snapshot(), acts, len(self.books.received))

    def _do_restore(self) -> None:
        if self._backup is None or not self.books.unique:
            return
        self._kill_all()
        store, acts, received = self._backup
        for voucher in self.books.received[received:]:
            name = voucher.identity.document_id
            self._forgotten.setdefault(name, acts.get(name, -1))
        self.hub.restore(store)
        self._backup = None
        self.restored = True
        self.trouble.met["hub: restored to a backup"] += 1

    # ------------------------------------------------------------ the end of all faults

    def settle(self) -> None:
        """The faults end, people stop, time goes on until nothing is due; then the final verdicts."""
        self.trouble.end()
        self._patience = self.clock.seconds + 200.0  # longer than any lease: a dead collector's, a dead worker's
        self.books.blocked.clear()
        if not self.history.setting.stays_closed:
            self.books.closed.clear()
        for _ in range(_MOST_SWEEPS):
            for verb in _VERBS:
                self.kernel.start("settler", verb, self._run)
                self.kernel.drain()
            self.oracle.look_at_all()
            if self.broken:
                return
            wait = self._next_look()
            if wait is None:
                self.broken.extend(final(self))
                return
            self._do_jump(wait)
        open_ones = {d.document_id: str(d.stage) for d in self.hub.kept.documents.values() if d.stage is not None}
        self.broken.append(BrokenPromise("everything settles", "-", f"after {_MOST_SWEEPS} sweeps: {open_ones}"))

    def _still_listed(self, document: DocumentRow) -> bool:
        """Whether the next collect's list reaches back to it."""
        through = self.hub.kept.watermarks.get(mapping.FLOW.flow_id)
        since = through.date() - timedelta(days=mapping.FLOW.overlap_days) if through is not None else None
        return since is None or document.stamp[:10] >= since.isoformat()

    def _next_look(self) -> float | None:
        """Seconds to the next sweep; None: nothing will move any more."""
        now = self.clock.now()
        moving = not (self.office.quiet and self.books.quiet) or self.office.acts != self._acts_seen
        self._acts_seen = self.office.acts
        times = [0.0] if moving else []
        for document in self.hub.kept.documents.values():
            if not document.settled and self._still_listed(document):
                times.append(0.0)
            look = next_reading(document, self.hub.kept.waits)
            if look is not None:
                times.append((look[0] - now).total_seconds())
            if document.stage is None or document.due_at is None:
                continue
            states = {row.state for row in document.vouchers.values()}
            stands = document.stage.value == "deliver" and states & {VoucherState.WAITING_PERIOD} and self.books.closed
            if not stands:
                times.append((document.due_at - now).total_seconds())
        if self.clock.seconds < self._patience:
            times.append(self._patience - self.clock.seconds)
        return max(3.0, min(times)) if times else None
