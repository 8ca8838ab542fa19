"""What an act changed, by the journals of both systems and by nothing that the suite says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.demo import report
from tools.demo.oa_journal import OaJournal
from tools.demo.stack import Stack


@dataclass(frozen=True, slots=True)
class Standing:
    """How far both journals are."""

    entries: int
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gained:
    """Entries of the OA's journal and keys of vouchers in the ledger; false where nothing changed."""

    entries: Sequence[Mapping[str, Any]]
    keys: frozenset[str]

    @property
    def forms(self) -> set[str]:
        """Request ids of the forms that were touched."""
        return {str(entry["request_id"]) for entry in self.entries}

    def __bool__(self) -> bool:
        return bool(self.entries or self.keys)

    def __str__(self) -> str:
        return f"journals: OA +{len(self.entries)} entries, ledger +{len(self.keys)} vouchers"


async def standing(stack: Stack, journal: OaJournal) -> Standing:
    """Read both journals."""
    await journal.catch_up()
    return Standing(len(journal.entries), await asyncio.to_thread(_keys, stack))


async def gained(stack: Stack, journal: OaJournal, before: Standing) -> Gained:
    """What both journals gained since."""
    now = await standing(stack, journal)
    return Gained(tuple(journal.entries[before.entries : now.entries]), now.keys - before.keys)


def _keys(stack: Stack) -> frozenset[str]:
    path = stack.state / "vouchers.jsonl"
    stack.ledger_up.export_journal(path)
    return frozenset(str(row["key"]) for row in report.read_journal(path))
