"""Look for requests by what people call them: e-cology has no look-up by number, only conditions of its list.

``wfcode`` (the serial number) and ``requestname`` (the title) match parts of a text. A form's own number may stand in
either, so the rows are candidates; whoever asked compares the form's column.
"""

from __future__ import annotations

from finbridge.systems.weaver.client import Conditions, WeaverClient

_PAGE = 100
#: So many rows are looked through for one number; a text that stands in more titles than this is no number.
_PAGES = 5


async def candidates(client: WeaverClient, number: str, templates: frozenset[str]) -> list[str]:
    """Ids of requests of these workflows whose serial number is the text, else of those that hold it somewhere."""
    exact, others = await _rows(client, Conditions(workflow_ids=templates, serial=number), number)
    if exact or others:
        return exact or others
    exact, others = await _rows(client, Conditions(workflow_ids=templates, request_name=number), number)
    return exact or others


async def _rows(client: WeaverClient, conditions: Conditions, number: str) -> tuple[list[str], list[str]]:
    exact: list[str] = []
    others: list[str] = []
    for page in range(1, _PAGES + 1):
        rows = await client.rows(conditions, page, _PAGE)
        exact += [row.requestId for row in rows if row.requestmark == number]
        others += [row.requestId for row in rows if row.requestmark != number]
        if len(rows) < _PAGE:
            break
    return list(dict.fromkeys(exact)), list(dict.fromkeys(others))
