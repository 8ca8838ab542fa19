"""The named lists as people work through them: open holds, counted, filtered and paged by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from finbridge.hub.connections import Connections


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFilter:
    """Which open holds; an empty text takes all. ``flow_ids`` are those that the reader may see."""

    flow_ids: Sequence[str]
    code: str = ""
    company: str = ""
    turn: str = ""

    def asked(self) -> dict[str, Any]:
        """As parameters of a statement."""
        return {"flows": list(self.flow_ids), "code": self.code, "company": self.company, "turn": self.turn}


@dataclass(frozen=True, slots=True)
class Place:
    """A hold's place in the list: oldest first."""

    opened_at: datetime
    hold_id: int


@dataclass(frozen=True, slots=True)
class HeldPage:
    """Rows of one page, and whether there are more on either side."""

    rows: list[dict[str, Any]]
    more_before: bool
    more_after: bool


_FROM = """
FROM hub.hold h JOIN hub.document d USING (document_id, flow_id)
WHERE h.closed_at IS NULL AND h.flow_id = ANY(%(flows)s::text[])
  AND (%(code)s::text = '' OR h.code = %(code)s) AND (%(turn)s::text = '' OR h.turn = %(turn)s)
  AND (%(company)s::text = '' OR d.company = %(company)s)
"""
_COLUMNS = """
SELECT h.hold_id, h.flow_id, h.document_id, h.key, h.origin, h.code, h.field, h.detail, h.text_zh, h.text_en, h.turn,
       h.opened_at, d.company, d.business_number, d.currency, d.amount_minor, d.end_state
"""
AFTER = (
    f"{_COLUMNS}{_FROM} AND (h.opened_at, h.hold_id) > (%(at)s, %(id)s) ORDER BY h.opened_at, h.hold_id LIMIT %(limit)s"
)
_FIRST = f"{_COLUMNS}{_FROM} ORDER BY h.opened_at, h.hold_id LIMIT %(limit)s"
BEFORE = (
    f"{_COLUMNS}{_FROM} AND (h.opened_at, h.hold_id) < (%(at)s, %(id)s) "
    "ORDER BY h.opened_at DESC, h.hold_id DESC LIMIT %(limit)s"
)
_COUNTS = f"""
SELECT h.code, h.turn, d.company, min(h.text_zh) AS text_zh, min(h.text_en) AS text_en,
       count(*) AS holds, count(DISTINCT (h.flow_id, h.document_id)) AS documents, min(h.opened_at) AS oldest_at
{_FROM} GROUP BY h.code, h.turn, d.company ORDER BY documents DESC, h.code, d.company LIMIT 500
"""
_DOCUMENTS = f"""
SELECT coalesce(h.turn, '') AS turn, count(DISTINCT (h.flow_id, h.document_id)) AS documents
{_FROM} GROUP BY GROUPING SETS ((h.turn), ())
"""


def held(
    connections: Connections,
    wanted: HeldFilter,
    *,
    after: Place | None = None,
    before: Place | None = None,
    limit: int = 50,
) -> HeldPage:
    """A page of open holds, oldest first: after a place, before one, or the first page.

    Rows: hold_id, flow_id, document_id, key, origin, code, field, detail, text_zh, text_en, turn, opened_at, company,
    business_number, currency, amount_minor, end_state.
    """
    place = after or before
    statement = AFTER if after else BEFORE if before else _FIRST
    asked = {**wanted.asked(), "limit": limit + 1}
    if place is not None:
        asked |= {"at": place.opened_at, "id": place.hold_id}
    with connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement, asked).fetchall()
    more, rows = len(rows) > limit, rows[:limit]
    if before is not None and after is None:
        return HeldPage(rows[::-1], more_before=more, more_after=True)
    return HeldPage(rows, more_before=after is not None, more_after=more)


def held_counts(connections: Connections, wanted: HeldFilter) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """What stands in the lists: by reason, turn and company; and documents by turn, under "" all of them.

    Rows: code, turn, company, text_zh, text_en, holds, documents, oldest_at. A document with two reasons counts once
    under each, and once in all.
    """
    with connections.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        with cursor.connection.cursor(row_factory=dict_row) as rows:
            groups = rows.execute(_COUNTS, wanted.asked()).fetchall()
            documents = {row["turn"]: row["documents"] for row in rows.execute(_DOCUMENTS, wanted.asked())}
    return groups, documents
