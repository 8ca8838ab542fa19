"""Walk a live list by offset without losing rows (OA contracts, section 1.2 and "Incremental read").

e-cology pages by page number and size over a list in which rows move while somebody reads it: a row that leaves lets
the next page begin one row too late, so one that nobody touched is never shown. Nothing in an answer says so. Hence:

- the number of rows is asked before and after; a walk stands only if it saw exactly that many different requests;
- otherwise the list is walked again with another page size, so that the pages' borders fall elsewhere, and rows are
  gathered over all walks; the walking ends when everything counted was seen, or when a whole walk showed nothing new
  (then the difference is what moved beyond the frozen bound, or a count that is wrong);
- a list that never comes to rest raises RetryLater: the caller's watermark stays where it was.

Page number and size are all that the vendor offers, so pages cannot be made to overlap; the second walk with other
borders takes the place of that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

from finbridge.core.documents import DocumentRef
from finbridge.core.errors import RetryLater
from finbridge.systems.weaver.client import Conditions, WeaverClient
from finbridge.systems.weaver.models import operated_at

_WALKS = 8


@dataclass(slots=True)
class _Seen:
    """What all walks of one window showed."""

    until: datetime
    requests: set[str] = field(default_factory=set)
    stamps: set[tuple[str, str]] = field(default_factory=set)

    def fresh(self, refs: list[DocumentRef]) -> list[DocumentRef]:
        """Those not given out before, without what was operated after the bound: the next window shows that."""
        given: list[DocumentRef] = []
        for ref in refs:
            self.requests.add(ref.document_id)
            at = operated_at(ref.stamp)
            if (ref.document_id, ref.stamp) not in self.stamps and (at is None or at <= self.until):
                self.stamps.add((ref.document_id, ref.stamp))
                given.append(ref)
        return given


async def walk(
    client: WeaverClient, conditions: Conditions, until: datetime, page_size: int
) -> AsyncIterator[list[DocumentRef]]:
    """Pages of rows operated up to ``until`` (naive OA-local), each (request, stamp) once.

    Raises:
        RetryLater: the OA is away, or the list did not come to rest.
    """
    seen = _Seen(until)
    for number in range(_WALKS):
        before = await client.count(conditions)
        known = len(seen.stamps)
        in_walk: set[str] = set()
        async for refs in _pages(client, conditions, _size(page_size, number), before):
            in_walk |= {ref.document_id for ref in refs}
            fresh = seen.fresh(refs)
            if fresh:
                yield fresh
        after = await client.count(conditions)
        whole = before == after and after in (len(in_walk), len(seen.requests))
        if whole or (number > 0 and len(seen.stamps) == known):
            return
    raise RetryLater(
        "list_keeps_moving",
        "OA 列表在读取过程中持续变化 / the OA's list did not come to rest while it was read",
        f"{_WALKS} walks, {len(seen.requests)} requests seen; the watermark stays",
    )


def _size(page_size: int, number: int) -> int:
    """Another page size for each walk, so that no row falls between two pages in all of them."""
    return max(2, page_size - 3 * number) if page_size > 3 * _WALKS else page_size + number


async def _pages(
    client: WeaverClient, conditions: Conditions, size: int, expected: int
) -> AsyncIterator[list[DocumentRef]]:
    """Pages until an empty one, or a short one after at least as many rows as were counted.

    A short page alone ends nothing: an OA may cap the size, and rows may be hidden.
    """
    received, page = 0, 1
    while True:
        rows = await client.rows(conditions, page, size)
        if rows:
            yield [row.ref for row in rows]
        received += len(rows)
        if not rows or (len(rows) < size and received >= expected):
            return
        page += 1
