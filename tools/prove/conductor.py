"""One proof on a started stack: people at work, trouble beside them, calm, then the examination."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tools.demo import report
from tools.demo.claims import Company
from tools.demo.clock import Clock
from tools.demo.conductor import OA_ZONE
from tools.demo.examine import held_documents
from tools.demo.oa_journal import OaJournal
from tools.demo.scenario import Play, cast
from tools.demo.settling import settle
from tools.demo.stack import FLOW_ID
from tools.prove.history import History, RecordedPeople, forgotten, read_history
from tools.prove.lives import moved_at_least, plan
from tools.prove.stack import ProvingStack
from tools.prove.trouble import Kill, Trouble

#: States of a voucher of which nobody knows yet what became of it.
UNRESOLVED = ("sending", "unknown")


@dataclass(kw_only=True)
class Proof:
    """What a run showed; ``failures`` empty means that the promise held."""

    seed: int
    documents: int
    moved_at_least: int
    kills: Sequence[Kill]
    fired: Counter[str]
    never_fired: Sequence[str]
    history: Counter[str]
    checker_code: int
    checker_text: str
    held: Counter[str]
    vouchers: Counter[str]
    unresolved: int
    lag: report.Lag | None
    refused: Counter[str]
    seconds: float
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a proof is to show."""

    seed: int
    documents: int
    kills: int
    play_seconds: float
    settle_seconds: float


async def perform(stack: ProvingStack, clock: Clock, order: Order) -> Proof:
    """Let people work for so long, with trouble until they and the kills are done; then settle and examine."""
    begin = time.monotonic()
    today = datetime.now(OA_ZONE).date()
    company = Company(order.seed, today)
    history = History(stack.state / "history.jsonl")
    companies = sorted({"1000", "2000"})
    trouble = Trouble(
        stack=stack, clock=clock, history=history, seed=order.seed, kills=order.kills, companies=companies, today=today
    )
    async with OaJournal(stack.control_url).tailed() as journal, RecordedPeople(stack.oa_url, history) as people:
        counts = plan(order.documents)
        play = Play(people=people, journal=journal, company=company, documents=cast(company, counts), seed=order.seed)
        title = f"{order.documents} documents over {order.play_seconds:.0f} s, at least {order.kills} kills"
        async with clock.phase("trouble", title):
            disturbing = asyncio.create_task(trouble.disturb())
            async with asyncio.TaskGroup() as group:
                group.create_task(play.stream(play.documents, order.play_seconds))
                group.create_task(trouble.kill_all())
            disturbing.cancel()
            await asyncio.gather(disturbing, return_exceptions=True)
        async with clock.phase("settling", "calm: no fault is left; waiting until the suite is settled"):
            await trouble.calm()
            settled = await settle(stack, clock, order.settle_seconds)
        await journal.catch_up()
    history.close()
    proof = await asyncio.to_thread(_examine, stack, play, trouble, order, moved_at_least(counts))
    proof.seconds = time.monotonic() - begin
    if not settled:
        proof.failures.insert(0, f"not settled within {order.settle_seconds:.0f} s")
    return proof


def _examine(stack: ProvingStack, play: Play, trouble: Trouble, order: Order, minimum: int) -> Proof:
    """Both journals, the checker, the history against the OA, the hub's own lists."""
    oa_file, finance_file, held_file = (stack.state / name for name in ("oa.jsonl", "finance.jsonl", "held.txt"))
    report.write_journal(oa_file, play.journal.entries)
    stack.ledger_up.export_journal(finance_file)
    with stack.open_hub() as hub:
        held = held_documents(hub)
        account = hub.account(FLOW_ID)
    held_file.write_text("".join(f"{name} {reason}\n" for name, reason in held.items()), encoding="utf-8")
    code, text = report.run_checker(oa_file, finance_file, held_file, minimum)
    vouchers = Counter(account.vouchers)
    proof = Proof(
        seed=order.seed,
        documents=order.documents,
        moved_at_least=minimum,
        kills=tuple(trouble.done),
        fired=trouble.fired(),
        never_fired=trouble.never_fired(),
        history=Counter(row["type"] for row in read_history(stack.state / "history.jsonl")),
        checker_code=code,
        checker_text=text,
        held=Counter(held.values()),
        vouchers=vouchers,
        unresolved=sum(vouchers[state] for state in UNRESOLVED),
        lag=report.lag(report.lags(play.journal.entries)),
        refused=play.refused,
        seconds=0.0,
    )
    proof.failures.extend(trouble.errors)
    proof.failures.extend(_failures(proof, order, account.unexplained))
    proof.failures.extend(_forgotten(stack.state / "history.jsonl", play.journal.entries))
    return proof


def _failures(proof: Proof, order: Order, unexplained: Sequence[str]) -> list[str]:
    failures = []
    if proof.checker_code:
        failures.append(f"the checker ended with {proof.checker_code}")
    if len(proof.kills) < order.kills:
        failures.append(f"only {len(proof.kills)} kills of {order.kills}")
    if proof.unresolved:
        failures.append(f"{proof.unresolved} vouchers of which nobody knows what became of them")
    if unexplained:
        failures.append(f"unexplained in the hub: {' '.join(unexplained)}")
    return failures


def _forgotten(history: Path, journal: Sequence[dict[str, Any]]) -> list[str]:
    lines = forgotten(read_history(history), journal)
    return [f"the OA forgot what it had answered: {line}" for line in lines]
