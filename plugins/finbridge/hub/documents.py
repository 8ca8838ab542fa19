"""Leased documents: the row lock under which everything of a document is changed, and its fencing number.

The fence comes from one sequence for all flows, so (document, fence) names one lease of one document for ever.
All transactions lock documents first and in the order of their ids; what hangs on a document needs no further lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import Cursor, sql
from psycopg.rows import args_row

from finbridge.core.ports import Lease, Stage
from finbridge.hub.bulk import Columns, arrays, update_rows

#: (flow id, document id)
DocumentName = tuple[str, str]

_LEASES = Columns("document_id text, fence bigint")
_KEYS = Columns("flow_id text, document_id text")
_AFTER = Columns(
    "stage text, due_at timestamptz, revision bigint, waits boolean, lease_owner text, lease_fence bigint, "
    "lease_until timestamptz, lease_revision bigint"
)


@dataclass(slots=True)
class DocumentRow:
    """A document under our lease and row lock. ``now`` is the database's clock when the lock was taken."""

    flow_id: str
    document_id: str
    company: str
    content: str
    stage: str | None
    due_at: datetime | None
    revision: int
    planned_revision: int
    lease_revision: int
    lease_owner: str
    lease_fence: int
    alive: bool
    waits: bool
    blocked: bool
    approved: bool
    end_state: str | None
    now: datetime

    @property
    def name(self) -> DocumentName:
        """Flow and document."""
        return (self.flow_id, self.document_id)

    @property
    def lease(self) -> Lease:
        """The lease under which it was locked."""
        return Lease(self.document_id, self.lease_fence)

    @property
    def news(self) -> bool:
        """Whether something came in that no plan has seen: then nothing new may be sent."""
        return self.revision > self.planned_revision


#: In the order of the fields of `DocumentRow`.
_ROW: LiteralString = """
SELECT d.flow_id, d.document_id, d.company, d.content, d.stage, d.due_at, d.revision, d.planned_revision,
       coalesce(d.lease_revision, d.revision) AS lease_revision, {owner} AS lease_owner,
       coalesce(d.lease_fence, 0) AS lease_fence, coalesce(d.lease_until > clock_timestamp(), false) AS alive,
       d.waits, d.blocked, d.approval_log_id IS NOT NULL AS approved, d.end_state, clock_timestamp() AS now
FROM hub.document d
"""
_LOCK_LEASED = sql.SQL(
    _ROW
    + """
JOIN unnest(%b::text[], %b::bigint[]) AS l(document_id, fence)
     ON d.document_id = l.document_id AND d.lease_fence = l.fence
WHERE %s::text IS NULL OR d.flow_id = %s
ORDER BY d.flow_id, d.document_id
FOR UPDATE OF d
"""
).format(owner=sql.SQL("d.lease_owner"))
_LOCK_NAMED = sql.SQL(
    _ROW + "WHERE d.flow_id = %s AND d.document_id = ANY(%b::text[]) ORDER BY d.document_id FOR UPDATE OF d"
).format(owner=sql.SQL("%s::text"))
#: News makes a document due for PLAN at once, unless it is leased: then its release does.
_NEWS = """
UPDATE hub.document SET
    revision = revision + 1, changed_at = now(), settled = settled AND NOT %s,
    stage = CASE WHEN lease_until > clock_timestamp() THEN stage ELSE 'plan' END,
    due_at = CASE WHEN lease_until > clock_timestamp() THEN due_at ELSE clock_timestamp() END
WHERE flow_id = %s AND document_id = ANY(%b::text[])
"""


def lock_leased(
    cursor: Cursor, leases: Iterable[Lease], flow_id: str | None = None, *, alive: bool = False
) -> list[DocumentRow]:
    """Lock the documents that are still under these leases, in one order for everybody.

    A lease that ran out and that nobody took over is still ours: whatever we store then, the next owner sees it.

    Args:
        alive: leave out leases that ran out: for what allows an effect outside.
    """
    pairs = sorted({(lease.document_id, lease.fence) for lease in leases})
    if not pairs:
        return []
    with cursor.connection.cursor(row_factory=args_row(DocumentRow)) as rows:
        rows.execute(_LOCK_LEASED, [*arrays(_LEASES, pairs), flow_id, flow_id])
        return [row for row in rows.fetchall() if row.alive or not alive]


def lock_named(cursor: Cursor, flow_id: str, document_ids: Sequence[str], actor: str) -> list[DocumentRow]:
    """Lock documents whoever works on them; what is changed now is the actor's doing."""
    with cursor.connection.cursor(row_factory=args_row(DocumentRow)) as rows:
        rows.execute(_LOCK_NAMED, [actor, flow_id, list(document_ids)])
        return rows.fetchall()


def bring_news(cursor: Cursor, flow_id: str, document_ids: Sequence[str], *, read_again: bool = False) -> None:
    """Make documents due for PLAN; with ``read_again`` the next list that names them has them read too."""
    if document_ids:
        cursor.execute(_NEWS, [read_again, flow_id, list(document_ids)])


def give_back(cursor: Cursor, documents: Sequence[tuple[DocumentRow, Stage | None, datetime | None]]) -> None:
    """End the leases; each document becomes due for a stage at a time, or for nothing."""
    update_rows(
        cursor,
        "document",
        _KEYS,
        _AFTER,
        [
            (d.flow_id, d.document_id, stage.value if stage else None, due_at, d.revision, d.waits, *(None,) * 4)
            for d, stage, due_at in documents
        ],
    )
