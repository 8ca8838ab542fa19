"""What the tests of the peer's failures share: single sweeps, and things put between the flow and its systems."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from finbridge.core.errors import RetryLater
from finbridge.core.outcomes import Outcome
from finbridge.core.ports import CodeRow, Ledger, Source, Translation, TranslationRequest
from finbridge.core.vouchers import Voucher
from finbridge.flows import collect

from tests.integration.claim_world import LINES, PAYEES, PAYING_NODE, ClaimWorld, row

PAY = {"log": [row(PAYING_NODE, "批准", "17:31:00")], "node": "归档"}
RECALL = {"log": [row("起草", "撤回", "11:00:00")], "node": "起草"}


def sweep_once(world: ClaimWorld, meddle: Callable[[Source, Ledger], tuple[Source, Ledger]] | None = None) -> None:
    """One cycle of the timed sweep; nothing woke it. ``meddle`` puts something between the flow and a system."""

    async def once() -> None:
        source, ledger = world.connect()
        try:
            await world.sweep(*(meddle(source, ledger) if meddle else (source, ledger)))
        finally:
            await source.close()
            await ledger.close()

    asyncio.run(once())


def live(world: ClaimWorld, name: str, kind: str = "expense") -> list[dict[str, Any]]:
    """Vouchers of a document that no reversal took back."""
    found = world.vouchers(name)
    gone = {voucher["reverses"] for voucher in found}
    return [voucher for voucher in found if voucher["kind"] == kind and voucher["key"] not in gone]


def states(world: ClaimWorld, name: str) -> dict[str, str]:
    """State of each voucher in the register, by key."""
    rows = world.hub.register_rows(world.flow.flow_id)
    return {found["key"]: found["state"] for found in rows if found["document_id"] == name and found["key"]}


def standing(world: ClaimWorld, names: Sequence[str]) -> dict[str, str]:
    """Where each document stands."""
    rows = world.hub.document_rows(world.flow.flow_id)
    return {found["document_id"]: found["standing"] for found in rows if found["document_id"] in names}


def amount(item: dict[str, Any], total: str, tax: str) -> dict[str, Any]:
    """The same claim over another amount."""
    item["main"] |= {"bzje": total, "hdje": total}
    item["details"][LINES][0] |= {"sqje": total, "hdje": total, "se": tax}
    item["details"][PAYEES][0]["zfje"] = total
    return {"main": item["main"], "details": item["details"]}


def until(world: ClaimWorld, done: Callable[[], bool]) -> None:
    """Sweep after sweep, until it is so."""
    for _ in range(100):
        with contextlib.suppress(RetryLater):
            sweep_once(world)
        if done():
            return
    raise AssertionError(f"not so after a hundred sweeps: {world.hub.account(world.flow.flow_id)}")


@dataclass
class During:
    """A ledger in front of the real one: something happens while the vouchers are on their way."""

    ledger: Any
    happens: Callable[[], Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)

    async def post(self, vouchers: Sequence[Voucher]) -> list[Outcome]:
        """Post, and let it happen before the answer is stored."""
        outcomes: list[Outcome] = await self.ledger.post(vouchers)
        await self.happens()
        return outcomes


@dataclass
class Poisoned:
    """A translator whose engine fails on one document."""

    translator: Any
    name: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.translator, name)

    def translate(self, requests: Sequence[TranslationRequest], codes: Sequence[CodeRow]) -> Translation:
        """Fail if the document is in the batch."""
        if any(request.document_id == self.name for request in requests):
            raise ZeroDivisionError
        translation: Translation = self.translator.translate(requests, codes)
        return translation


async def only_collect(world: ClaimWorld) -> None:
    source, ledger = world.connect()
    try:
        await collect(flow=world.flow, hub=world.hub, source=source, translator=world.translator, worker="test")
    finally:
        await source.close()
        await ledger.close()
