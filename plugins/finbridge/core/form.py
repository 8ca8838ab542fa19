"""A form of an OA as its documents show it: tables, columns with their labels, and a value of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class FormColumn:
    """One column. ``sample`` is a value as read, which may be personal: it is masked before anybody sees it.

    ``mandatory`` and ``editable`` are those of the reading account at the node where the document stood.
    """

    name: str
    label: str = ""
    db_type: str = ""
    mandatory: bool = False
    editable: bool = False
    sample: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormTable:
    """The main table (``title`` "") or a detail table."""

    name: str
    title: str
    columns: tuple[FormColumn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the newest documents of a workflow show. ``documents``: their ids, the newest first."""

    workflow: str
    label: str
    main: FormTable
    details: tuple[FormTable, ...]
    documents: tuple[str, ...]


class FormSource(Protocol):
    """An OA system that shows its forms."""

    async def form(self, workflow: str) -> Form | None:
        """The form of a workflow; None where the account sees no document of it."""
        ...
