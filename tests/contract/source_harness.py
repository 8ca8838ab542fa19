"""What an OA system brings to the SourceContract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import Any

from finbridge.core.documents import DocumentRef
from finbridge.core.ports import Source


class SourceHarness(ABC):
    """An OA system under test, its people, and its faults. Every test gets a day of its own on the OA's clock, so that
    its lists show its own documents only."""

    templates: frozenset[str]
    #: where the voucher's number is written, and the node after it
    node: str
    next_node: str
    #: a column that is ours to write, and one that is not
    our_column: str
    their_column: str
    _day = date(2026, 3, 1)

    @abstractmethod
    def connect(self, **extra: object) -> Source:
        """A client of the dedicated account, in the same process but with nothing but the token store shared."""

    @abstractmethod
    def connect_to_nobody(self) -> Source:
        """A client of a port where nobody listens."""

    @abstractmethod
    def set_clock(self, now: datetime) -> None:
        """The OA's clock stands at this naive local time."""

    @abstractmethod
    def add(self, count: int, *, node: str | None = None, key: str = "") -> list[str]:
        """Documents with two detail rows and a log, standing at ``node`` (the posting node); their ids."""

    @abstractmethod
    def operate(self, document_ids: Sequence[str]) -> None:
        """Somebody did something with them now: another time of the last operation, one more log row."""

    @abstractmethod
    def place(self, document_id: str, where: str) -> None:
        """``posting``, ``archived`` or ``elsewhere``: where the document stands from now on."""

    @abstractmethod
    def delete(self, document_ids: Sequence[str]) -> None:
        """They are gone."""

    @abstractmethod
    def changes(self, document_id: str) -> list[dict[str, Any]]:
        """The OA's own journal of a document, read by another path than the slice: kind, actor, node, main."""

    @abstractmethod
    def fault(self, name: str, *, on: str, **more: object) -> AbstractContextManager[None]:
        """A fault on ``list``, ``count``, ``read``, ``status``, ``write`` or ``any`` call."""

    @abstractmethod
    def doubling_rows(self) -> AbstractContextManager[None]:
        """Rows of lists and logs come three times, shuffled."""

    @abstractmethod
    def shifting_pages(self) -> AbstractContextManager[None]:
        """Every page after the first begins later than it should: rows fall between two pages."""

    def new_day(self) -> datetime:
        """A day that no test had, at nine in the morning; far enough from the others for overlaps."""
        type(self)._day += timedelta(days=30)
        now = datetime.combine(self._day, datetime.min.time()).replace(hour=9)
        self.set_clock(now)
        return now

    def kinds(self, document_id: str) -> list[str]:
        """What was done with a document, in order, without how it came into being."""
        return [change["kind"] for change in self.changes(document_id) if change["kind"] != "impose"]


async def listed(source: Source, now: datetime, templates: frozenset[str], days: int = 0) -> list[DocumentRef]:
    """All rows of a window up to ``now``."""
    pages = source.changed(now.date() - timedelta(days=days), now, templates)
    return [ref async for page in pages for ref in page]


def values(fields: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Some columns."""
    return {name: fields[name] for name in names}
