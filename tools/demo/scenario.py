"""What happens to each document of the demo, played by people through the OA while the DAGs run."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tools.demo.claims import Claim, Company
from tools.demo.oa_journal import Entry, OaJournal
from tools.demo.people import CASHIER, People, Refused

POSTING_NODE = "财务过账"
PAYMENT_NODE = "付款"
#: How long a person waits for the suite before giving up on a document (the settling limit decides in the end).
PATIENCE_SECONDS = 150.0
_PARALLEL = 8


class Fate(StrEnum):
    """What becomes of a document."""

    PACED = "approved at a steady pace"
    BURST = "submitted and approved in one second"
    CLEAN = "approved"
    PAID = "approved and paid"
    REJECTED = "rejected"
    REJECTED_RIGHT = "rejected, corrected, approved"
    WITHDRAWN = "withdrawn"
    WITHDRAWN_RIGHT = "withdrawn, resubmitted, approved"
    REVERSED = "posted, then rejected at payment"
    REVERSED_RIGHT = "posted, rejected at payment, corrected, approved again"
    RECALLED = "withdrawn right after approval"
    UNKNOWN_CODE = "approved with an unknown cost centre"
    BROKEN_VAT = "approved with wrong VAT"
    NEW_CODE = "approved with a cost centre that is loaded later"
    IN_APPROVAL = "left in approval"
    DRAFT = "left as draft"
    UNDER_KILL = "approved while something is killed"
    ARCHIVED = "approved, then forced into the archive"


#: Shares of 400 documents; smaller demos scale, each fate at least once (at least five of the named ones from 200 on).
SHARES: dict[Fate, int] = {
    Fate.PACED: 120,
    Fate.BURST: 100,
    Fate.CLEAN: 57,
    Fate.PAID: 24,
    Fate.REJECTED: 10,
    Fate.REJECTED_RIGHT: 10,
    Fate.WITHDRAWN: 10,
    Fate.WITHDRAWN_RIGHT: 12,
    Fate.REVERSED: 10,
    Fate.REVERSED_RIGHT: 6,
    Fate.RECALLED: 8,
    Fate.UNKNOWN_CODE: 8,
    Fate.BROKEN_VAT: 8,
    Fate.NEW_CODE: 1,
    Fate.IN_APPROVAL: 8,
    Fate.DRAFT: 8,
}


def plan(documents: int, under_kill: int = 0) -> dict[Fate, int]:
    """How many documents of each fate: the shares scaled, the remainder approved without a story.

    Those that are approved while something is killed come on top.
    """
    whole = sum(SHARES.values())
    counts = {fate: max(1, share * documents // whole) for fate, share in SHARES.items()}
    counts[Fate.CLEAN] += documents - sum(counts.values())
    if counts[Fate.CLEAN] < 1:
        raise ValueError(f"at least {len(SHARES) * 2} documents are needed")
    return counts | ({Fate.UNDER_KILL: under_kill} if under_kill else {})


@dataclass(slots=True)
class Document:
    """One document of the play; ``request_id`` once the OA gave it."""

    fate: Fate
    claim: Claim
    request_id: str = ""


def cast(company: Company, counts: dict[Fate, int]) -> list[Document]:
    """All documents with their claims, in a fixed order."""
    makers: dict[Fate, Callable[[], Claim]] = {
        Fate.UNKNOWN_CODE: company.with_unknown_code,
        Fate.BROKEN_VAT: company.with_broken_vat,
        Fate.NEW_CODE: company.with_new_cost_centre,
    }
    return [Document(fate, makers.get(fate, company.claim)()) for fate, count in counts.items() for _ in range(count)]


@dataclass(kw_only=True)
class Play:
    """The people at work.

    Args:
        seed: of the order and the pauses (claims have the same seed in `Company`).
        pace_seconds: between two approvals of the paced documents.
    """

    people: People
    journal: OaJournal
    company: Company
    documents: Sequence[Document]
    seed: int
    pace_seconds: float = 1.0
    refused: Counter[str] = field(default_factory=Counter)
    burst_second: str = ""

    def of(self, *fates: Fate) -> list[Document]:
        """Documents by fate."""
        return [document for document in self.documents if document.fate in fates]

    # ------------------------------------------------------------------ the three acts

    async def warm_up(self, count: int) -> list[Document]:
        """Approve some clean documents and wait until their numbers stand on the forms."""
        first = self.of(Fate.CLEAN)[:count]
        await _together([self._approved(document) for document in first])
        await _together([self._written_back(document) for document in first])
        return first

    async def burst(self) -> int:
        """Submit and approve every burst document while the OA's clock stands: all these events share one second."""
        drafts = self.of(Fate.BURST)

        async def draft(document: Document) -> None:
            document.request_id = await self.people.create(document.claim, submit=False)

        async def at_once(document: Document) -> None:
            await self.people.resubmit(document.request_id, document.claim)
            await self.people.approve(document.request_id)

        await _together([draft(document) for document in drafts])
        self.burst_second = await self.journal.hold_clock()
        try:
            await _together([at_once(document) for document in drafts])
        finally:
            await self.journal.release_clock()
        await _together([self._written_back(document) for document in drafts], parallel=len(drafts))
        return 2 * len(drafts)

    async def main_act(self, warmed: Sequence[Document]) -> None:
        """The paced approvals, and beside them everything else that happens in a company, spread over the same time."""
        paced = self.of(Fate.PACED)
        done = {id(document) for document in warmed}
        others = [d for d in self.documents if d.fate not in _OWN_TIMES and id(d) not in done]
        begin = asyncio.get_running_loop().time()
        stories = [self._paced(document, begin + n * self.pace_seconds) for n, document in enumerate(paced)]
        await _together(
            [*stories, self.stream(others, len(paced) * self.pace_seconds * 0.8)], parallel=len(stories) + 1
        )

    async def stream(self, documents: Sequence[Document], seconds: float) -> None:
        """Each document's own story, in a seeded order, begun at an even pace over so many seconds."""
        mixed = list(documents)
        rng = random.Random(self.seed + 1)  # noqa: S311 - a repeatable play, no secret
        rng.shuffle(mixed)
        begin = asyncio.get_running_loop().time()
        stories = [
            self._story(document, begin + seconds * n / len(mixed), rng.uniform(0.5, 4.0))
            for n, document in enumerate(mixed)
        ]
        await _together(stories, parallel=len(stories))

    async def approve(self, documents: Sequence[Document]) -> None:
        """Claim and approve some documents at once."""
        await _together([self._approved(document) for document in documents])

    async def numbered(self, documents: Sequence[Document], seconds: float) -> bool:
        """Wait until each of them carries its voucher's number; False when the time is over."""
        waits = [self.journal.until(document.request_id, _has_number, seconds) for document in documents]
        return all(await asyncio.gather(*waits))

    # ------------------------------------------------------------------ one document

    async def _paced(self, document: Document, approve_at: float) -> None:
        await _until(approve_at - 5.0)
        document.request_id = await self.people.create(document.claim)
        await _until(approve_at)
        await self.people.approve(document.request_id)

    async def _story(self, document: Document, start_at: float, pause: float) -> None:
        await _until(start_at)
        if document.fate in (Fate.DRAFT, Fate.IN_APPROVAL):
            document.request_id = await self.people.create(document.claim, submit=document.fate is not Fate.DRAFT)
            return
        await _STORIES.get(document.fate, Play._plain)(self, document, pause)

    async def _plain(self, document: Document, pause: float) -> None:
        document.request_id = await self.people.create(document.claim)
        await asyncio.sleep(pause)
        await self.people.approve(document.request_id)

    async def _paid(self, document: Document, pause: float) -> None:
        await self._plain(document, pause)
        if await self._reaches(document, PAYMENT_NODE):
            await asyncio.sleep(pause)
            await self.people.pay(document.request_id)

    async def _rejected(self, document: Document, pause: float) -> None:
        document.request_id = await self.people.create(document.claim)
        await asyncio.sleep(pause)
        await self.people.reject(document.request_id)
        if document.fate is Fate.REJECTED_RIGHT:
            await self._again(document, pause)

    async def _withdrawn(self, document: Document, pause: float) -> None:
        document.request_id = await self.people.create(document.claim)
        await asyncio.sleep(pause)
        await self.people.withdraw(document.request_id, document.claim)
        if document.fate is Fate.WITHDRAWN_RIGHT:
            await self._again(document, pause)

    async def _reversed(self, document: Document, pause: float) -> None:
        await self._plain(document, pause)
        if not await self._reaches(document, PAYMENT_NODE):
            return
        await asyncio.sleep(pause)
        await self.people.reject(document.request_id, by=CASHIER)
        if document.fate is Fate.REVERSED_RIGHT:
            await self._again(document, pause)

    async def _recalled(self, document: Document, pause: float) -> None:
        """The race on purpose: taken back while the suite is posting it. Too late is an answer too."""
        await self._plain(document, pause)
        await asyncio.sleep(pause)
        try:
            await self.people.withdraw(document.request_id, document.claim)
        except Refused:
            self.refused["withdrawal after the form had moved on"] += 1

    async def _archived(self, document: Document, pause: float) -> None:
        """Forced into the archive while the suite is posting it: the number may come too late for the form."""
        await self._plain(document, pause)
        await asyncio.sleep(pause)
        try:
            await self.people.force_over(document.request_id)
        except Refused:
            self.refused["an archived form is not forced over again"] += 1

    async def _again(self, document: Document, pause: float) -> None:
        document.claim = self.company.corrected(document.claim)
        await asyncio.sleep(pause)
        await self.people.resubmit(document.request_id, document.claim)
        await asyncio.sleep(pause)
        await self.people.approve(document.request_id)

    async def _approved(self, document: Document) -> None:
        await self._plain(document, 0.2)

    async def _written_back(self, document: Document) -> None:
        await self.journal.until(document.request_id, _has_number, PATIENCE_SECONDS)

    async def _reaches(self, document: Document, node: str) -> bool:
        return await self.journal.until(document.request_id, lambda entry: entry["node"] == node, PATIENCE_SECONDS)


#: Fates that others than the main act's clock bring about.
_OWN_TIMES = (Fate.PACED, Fate.BURST, Fate.UNDER_KILL)
_STORIES: dict[Fate, Callable[[Play, Document, float], Awaitable[None]]] = {
    Fate.PAID: Play._paid,  # the table is the play's own
    Fate.REJECTED: Play._rejected,
    Fate.REJECTED_RIGHT: Play._rejected,
    Fate.WITHDRAWN: Play._withdrawn,
    Fate.WITHDRAWN_RIGHT: Play._withdrawn,
    Fate.REVERSED: Play._reversed,
    Fate.REVERSED_RIGHT: Play._reversed,
    Fate.RECALLED: Play._recalled,
    Fate.ARCHIVED: Play._archived,
}


def _has_number(entry: Entry) -> bool:
    return bool(entry["main"].get("pzh"))


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


async def _together(work: Iterable[Awaitable[None]], *, parallel: int = _PARALLEL) -> None:
    limit = asyncio.Semaphore(max(1, parallel))

    async def one(item: Awaitable[None]) -> None:
        async with limit:
            await item

    async with asyncio.TaskGroup() as group:
        for item in work:
            group.create_task(one(item))
