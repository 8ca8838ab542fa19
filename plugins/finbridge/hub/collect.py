"""Collect: the right to collect for a flow, what was not seen yet, and documents going into the inbox."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg import Cursor, sql
from psycopg.types.json import Jsonb

from finbridge.core.documents import DocumentRef, EventKind, LogEntry
from finbridge.core.ports import CollectedDocument, CollectWindow
from finbridge.hub.bulk import Columns, arrays, copy_rows, insert_rows
from finbridge.hub.connections import Connections
from finbridge.hub.documents import bring_news
from finbridge.hub.register import TRAIL

_ACTOR = "collect"
_BEGIN = """
INSERT INTO hub.collect_lease AS t (flow_id, worker, fence, until)
VALUES (%(flow)s, %(worker)s, nextval('hub.fence'), clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (flow_id) DO UPDATE SET worker = excluded.worker, fence = excluded.fence, until = excluded.until
WHERE t.until <= clock_timestamp()
RETURNING fence
"""
_END = """
WITH mine AS (
    UPDATE hub.collect_lease SET until = '-infinity' WHERE flow_id = %(flow)s AND fence = %(fence)s RETURNING flow_id
)
INSERT INTO hub.watermark AS t (flow_id, through) SELECT flow_id, %(through)s FROM mine
ON CONFLICT (flow_id) DO UPDATE SET through = greatest(t.through, excluded.through), changed_at = now()
RETURNING flow_id
"""
_GIVE_UP = """
UPDATE hub.collect_lease SET until = '-infinity' WHERE flow_id = %(flow)s AND fence = %(fence)s RETURNING flow_id
"""
_UNSEEN = """
SELECT r.document_id FROM unnest(%b::text[], %b::text[]) AS r(document_id, stamp)
WHERE NOT EXISTS (
    SELECT FROM hub.document d
    WHERE d.flow_id = %s AND d.document_id = r.document_id AND d.settled AND d.stamp = r.stamp
)
"""
_INBOX = Columns("flow_id text, document_id text, raw_sha256 text, content text, template text, stamp text, raw bytea")
_VERSION = Columns("flow_id text, document_id text, content text, canonical bytea")
_LINE = Columns(
    "flow_id text, document_id text, content text, table_name text, position int, line_id text, fields jsonb"
)
_EVENT = Columns(
    "flow_id text, document_id text, log_id text, kind text, local_at timestamp, node text, operation text, "
    "operator text"
)
#: A row of the log is what the OA says now; it changes where the flow's rules give it another meaning.
_EVENT_CHANGED = """
ON CONFLICT (flow_id, document_id, log_id) DO UPDATE SET
    kind = excluded.kind, local_at = excluded.local_at, node = excluded.node, operation = excluded.operation,
    operator = excluded.operator, received_at = now()
WHERE (t.kind, t.local_at, t.node, t.operation, t.operator)
   <> (excluded.kind, excluded.local_at, excluded.node, excluded.operation, excluded.operator)
RETURNING t.document_id
"""
_DOCUMENT = Columns(
    "flow_id text, document_id text, template text, stamp text, settled boolean, company text, business_number text, "
    "content text, problem_code text, problem_field text, problem_detail text, submitted_at timestamp, "
    "amount_minor bigint, unread boolean"
)
#: A document that could not be read keeps its amount.
#: A new document is due at once; news about a known one is brought by `bring_news`.
_STORE = sql.SQL("""
INSERT INTO hub.document AS t (flow_id, document_id, template, stamp, settled, company, business_number, content,
    problem_code, problem_field, problem_detail, submitted_at, amount_minor, stage, due_at)
SELECT u.flow_id, u.document_id, u.template, u.stamp, u.settled, u.company, u.business_number, u.content,
    u.problem_code, u.problem_field, u.problem_detail, u.submitted_at,
    CASE WHEN u.unread THEN (SELECT d.amount_minor FROM hub.document d
                             WHERE d.document_id = u.document_id AND d.flow_id = u.flow_id)
         ELSE u.amount_minor END, 'plan', clock_timestamp()
FROM {} ORDER BY u.document_id
ON CONFLICT (flow_id, document_id) DO UPDATE SET
    template = excluded.template, stamp = excluded.stamp, settled = excluded.settled,
    company = coalesce(nullif(excluded.company, ''), t.company),
    business_number = coalesce(nullif(excluded.business_number, ''), t.business_number),
    content = excluded.content, problem_code = excluded.problem_code, problem_field = excluded.problem_field,
    problem_detail = excluded.problem_detail, submitted_at = coalesce(excluded.submitted_at, t.submitted_at),
    amount_minor = excluded.amount_minor
WHERE (t.template, t.stamp, t.settled, t.company, t.business_number, t.content, t.problem_code, t.problem_field,
       t.problem_detail, t.submitted_at, t.amount_minor)
      IS DISTINCT FROM
      (excluded.template, excluded.stamp, excluded.settled, excluded.company, excluded.business_number,
       excluded.content, excluded.problem_code, excluded.problem_field, excluded.problem_detail, excluded.submitted_at,
       excluded.amount_minor)
RETURNING t.document_id, t.xmax = 0 AS inserted
""").format(_DOCUMENT.unnested)
_PERSONAL = Columns("flow_id text, document_id text, fields jsonb")
_PERSONAL_CHANGED = """
ON CONFLICT (flow_id, document_id) DO UPDATE SET fields = excluded.fields, changed_at = now()
WHERE t.fields <> excluded.fields
"""


#: What is news beside log entries: content, company, business number, template; the problem's code, field, detail.
Face = tuple[str, str, str, str, str | None, str | None, str | None]


def begin_collect(connections: Connections, flow_id: str, worker: str, lease_seconds: float) -> CollectWindow | None:
    """See `finbridge.core.ports.Hub.begin_collect`."""
    with connections.transaction() as cursor:
        asked = {"flow": flow_id, "worker": worker, "seconds": lease_seconds}
        taken = cursor.execute(_BEGIN, asked).fetchone()
        if taken is None:
            return None
        found = cursor.execute("SELECT through FROM hub.watermark WHERE flow_id = %s", [flow_id]).fetchone()
    return CollectWindow(flow_id=flow_id, through=found[0] if found else None, fence=taken[0])


def end_collect(connections: Connections, window: CollectWindow, through: datetime | None) -> bool:
    """See `finbridge.core.ports.Hub.end_collect`. The watermark never goes back; False where the right was lost.

    Raises:
        ValueError: ``through`` carries a zone; it is the OA's own local time.
    """
    if through is not None and through.tzinfo is not None:
        raise ValueError("the watermark is local time of the OA: give a naive datetime")
    with connections.transaction() as cursor:
        asked = {"flow": window.flow_id, "fence": window.fence, "through": through}
        if through is None:
            return cursor.execute(_GIVE_UP, asked).fetchone() is not None
        return cursor.execute(_END, asked).fetchone() is not None


def unseen(connections: Connections, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]:
    """See `finbridge.core.ports.Hub.unseen`. One ref a document, in the order of their first showing."""
    distinct = {ref.document_id: ref for ref in refs}
    if not distinct:
        return []
    with connections.transaction() as cursor:
        asked = list(distinct), [ref.stamp for ref in distinct.values()]
        found = {row[0] for row in cursor.execute(_UNSEEN, [*asked, flow_id]).fetchall()}
    return [ref for ref in distinct.values() if ref.document_id in found]


def store(connections: Connections, flow_id: str, documents: Sequence[CollectedDocument]) -> int:
    """See `finbridge.core.ports.Hub.store`. Late, doubled and reordered copies change nothing but the inbox."""
    if not documents:
        return 0
    ordered = sorted(documents, key=lambda document: document.document_id)
    latest = {document.document_id: document for document in ordered}  # of one document the last given
    with connections.transaction() as cursor:
        before = _lock(cursor, flow_id, list(latest))
        faces = {name: _face(document, before.get(name)) for name, document in latest.items()}
        _append_inbox(cursor, flow_id, ordered)
        _append_versions(cursor, flow_id, ordered)
        moved = _store_events(cursor, flow_id, ordered)
        inserted = _store_documents(cursor, flow_id, [(d, faces[d.document_id]) for d in latest.values()])
        changed = [d for name, d in latest.items() if name in moved or before.get(name) != faces[name]]
        bring_news(cursor, flow_id, [d.document_id for d in changed if d.document_id not in inserted])
        _store_personal(cursor, flow_id, latest.values())
        _note(cursor, flow_id, changed, before)
    return len(changed)


def _face(document: CollectedDocument, before: Face | None) -> Face:
    """A document that could not be read keeps the company and number that it had."""
    problem = document.problem
    named = (problem.code, _text(problem.field), _text(problem.detail)) if problem else (None, None, None)
    company, number = _text(document.company), _text(document.business_number)
    if before is not None:
        company, number = company or before[1], number or before[2]
    return (document.content, company, number, _text(document.template), *named)


def _lock(cursor: Cursor, flow_id: str, document_ids: list[str]) -> dict[str, Face]:
    cursor.execute(
        """
        SELECT document_id, content, company, business_number, template, problem_code, problem_field, problem_detail
        FROM hub.document WHERE flow_id = %s AND document_id = ANY(%b::text[]) ORDER BY document_id FOR UPDATE
        """,
        [flow_id, document_ids],
    )
    return {row[0]: row[1:] for row in cursor.fetchall()}


def _append_inbox(cursor: Cursor, flow_id: str, documents: Iterable[CollectedDocument]) -> None:
    rows = [
        (flow_id, d.document_id, hashlib.sha256(d.raw).hexdigest(), d.content, _text(d.template), _text(d.stamp), d.raw)
        for d in documents
    ]
    insert_rows(cursor, "inbox", _INBOX, rows, "ON CONFLICT DO NOTHING")


def _append_versions(cursor: Cursor, flow_id: str, documents: Sequence[CollectedDocument]) -> None:
    rows = {(d.document_id, d.content): (flow_id, d.document_id, d.content, d.canonical) for d in documents}
    tail = "ON CONFLICT DO NOTHING RETURNING t.document_id, t.content"
    insert_rows(cursor, "document_version", _VERSION, list(rows.values()), tail)
    new = set(cursor.fetchall())
    lines = [
        (flow_id, document_id, content, *line)
        for (document_id, content), row in rows.items()
        if (document_id, content) in new
        for line in _lines(row[3])
    ]
    copy_rows(cursor, "document_line", _LINE, lines)


def _lines(canonical: bytes) -> list[tuple[str, int, str, Jsonb]]:
    """Detail rows of canonical content; none where it has no such shape (a document that could not be read)."""
    try:
        details = json.loads(canonical).get("details", {}).items()
    except (ValueError, AttributeError):
        return []
    return [
        (_text(str(table)), position, _text(str(row.get("_row") or position)), _jsonb(row))
        for table, rows in details
        for position, row in enumerate(rows)
    ]


def _store_events(cursor: Cursor, flow_id: str, documents: Iterable[CollectedDocument]) -> set[str]:
    """Add and correct log entries; returns the documents for which something moved."""
    rows = {(d.document_id, e.log_id): _event(flow_id, d.document_id, e) for d in documents for e in d.events}
    if not rows:
        return set()
    insert_rows(cursor, "source_event", _EVENT, [rows[name] for name in sorted(rows)], _EVENT_CHANGED)
    return {row[0] for row in cursor.fetchall()}


def _event(flow_id: str, document_id: str, e: LogEntry) -> tuple[object, ...]:
    texts = (_text(e.node), _text(e.operation), _text(e.operator))
    return (flow_id, document_id, _text(e.log_id), e.kind.value, e.local_at.replace(tzinfo=None), *texts)


def _store_documents(cursor: Cursor, flow_id: str, documents: Iterable[tuple[CollectedDocument, Face]]) -> set[str]:
    """Returns those that were not there before."""
    rows = []
    for d, (content, company, number, template, *problem) in documents:
        submitted = max((e.local_at for e in d.events if e.kind is EventKind.SUBMITTED), default=None)
        unread = d.problem is not None and not d.raw
        named = (template, _text(d.stamp), d.settled, company, number, content)
        rows.append((flow_id, d.document_id, *named, *problem, submitted, d.amount_minor, unread))
    cursor.execute(_STORE, arrays(_DOCUMENT, rows))
    return {document_id for document_id, inserted in cursor.fetchall() if inserted}


def _store_personal(cursor: Cursor, flow_id: str, documents: Iterable[CollectedDocument]) -> None:
    rows = [(flow_id, d.document_id, _jsonb(dict(d.personal))) for d in documents if d.personal]
    insert_rows(cursor, "document_personal", _PERSONAL, rows, _PERSONAL_CHANGED)


def _note(cursor: Cursor, flow_id: str, changed: Iterable[CollectedDocument], before: dict[str, Face]) -> None:
    rows = [
        (
            *(_ACTOR, flow_id, d.document_id, None, "collected", None, None, _text(d.stamp), None),
            *(before[d.document_id][0] if d.document_id in before else None, d.content),
        )
        for d in changed
    ]
    copy_rows(cursor, "trail", TRAIL, rows)


def _text(text: str) -> str:
    """PostgreSQL's text holds every character except NUL, which an OA may send."""
    return text.replace("\x00", "\ufffd")


def _jsonb(value: object) -> Jsonb:
    return Jsonb(value, dumps=lambda found: json.dumps(found, ensure_ascii=False).replace("\\u0000", "\\ufffd"))
