"""What is due, and the leases under which it is done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import Cursor
from psycopg.rows import dict_row

from finbridge.core.documents import EventKind, LogEntry
from finbridge.core.errors import GiveUp
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, Signal, VoucherState
from finbridge.core.ports import DocumentWork, Lease, Problem, Stage
from finbridge.hub.codes import keep_tables
from finbridge.hub.connections import Connections
from finbridge.hub.documents import DocumentRow, bring_news, give_back, lock_leased, lock_named
from finbridge.hub.register import Register
from finbridge.hub.scheduling import next_due
from finbridge.hub.timing import Timing

#: While a document is leased, ``due_at`` is the end of its lease: these conditions are the whole question, and the
#: partial index answers it without a look at what is done or waits.
DUE = """
SELECT stage, count(*) FROM hub.document
WHERE flow_id = %s AND stage IS NOT NULL AND stage = ANY ('{plan,deliver,write_back}') AND due_at <= now()
GROUP BY stage
"""
_CLAIM = """
WITH taken AS (
    SELECT document_id FROM hub.document
    WHERE flow_id = %(flow)s AND stage IS NOT NULL AND stage = %(stage)s AND due_at <= now(){only}
    ORDER BY due_at, document_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE hub.document d SET
    lease_owner = %(worker)s, lease_fence = nextval('hub.fence'), lease_revision = d.revision,
    lease_until = clock_timestamp() + %(seconds)s * interval '1 second',
    due_at = clock_timestamp() + %(seconds)s * interval '1 second'
FROM taken WHERE d.flow_id = %(flow)s AND d.document_id = taken.document_id
RETURNING d.document_id, d.lease_fence, d.company, d.business_number, d.content, d.problem_code, d.problem_field,
          d.problem_detail
"""
CLAIM = _CLAIM.format(only="")
#: The array is looked up hashed behind the index of what is due, or by primary key where it is short.
CLAIM_ONLY = _CLAIM.format(only=" AND document_id = ANY (%(only)b::text[])")
_RENEW = """
UPDATE hub.document SET lease_until = clock_timestamp() + %s * interval '1 second',
                        due_at = clock_timestamp() + %s * interval '1 second'
WHERE lease_fence = ANY(%b::bigint[])
RETURNING document_id, lease_fence
"""


def due(connections: Connections, flow_id: str) -> Mapping[Stage, int]:
    """See `finbridge.core.ports.Hub.due`."""
    with connections.session() as connection:
        rows = connection.execute(DUE, [flow_id]).fetchall()
    return {Stage(stage): count for stage, count in rows}


def claim(
    connections: Connections,
    flow_id: str,
    stage: Stage,
    *,
    worker: str,
    limit: int,
    lease_seconds: float,
    only: Sequence[str] | None = None,
) -> list[DocumentWork]:
    """See `finbridge.core.ports.Hub.claim`. Two workers never get one document, and neither waits for the other."""
    asked = {"flow": flow_id, "stage": stage.value, "worker": worker, "limit": limit, "seconds": lease_seconds}
    statement, named = (CLAIM, {}) if only is None else (CLAIM_ONLY, {"only": list(only)})
    with connections.transaction() as cursor:
        if stage is Stage.PLAN:
            keep_tables(cursor, flow_id)  # a change of codes sees this lease, or its codes are read after the change
        with cursor.connection.cursor(row_factory=dict_row) as rows:
            taken = rows.execute(statement, {**asked, **named}).fetchall()
        if not taken:
            return []
        taken.sort(key=lambda row: row["lease_fence"])
        ids = [row["document_id"] for row in taken]
        canonical = _canonical(cursor, flow_id, taken)
        events = events_of(cursor, flow_id, ids)
        register = Register.of(cursor, ((flow_id, document_id) for document_id in ids))
    return [
        DocumentWork(
            lease=Lease(row["document_id"], row["lease_fence"]),
            company=row["company"],
            business_number=row["business_number"],
            content=row["content"],
            canonical=canonical[row["document_id"]],
            events=tuple(events[row["document_id"]]),
            register=tuple(v.registered() for v in register.of_document((flow_id, row["document_id"]))),
            problem=_problem(row),
        )
        for row in taken
    ]


def _problem(row: Mapping[str, Any]) -> Problem | None:
    if row["problem_code"] is None:
        return None
    return Problem(
        document_id=row["document_id"],
        code=row["problem_code"],
        field=row["problem_field"],
        detail=row["problem_detail"],
    )


def _canonical(cursor: Cursor, flow_id: str, taken: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    cursor.execute(
        """
        SELECT v.document_id, v.canonical
        FROM hub.document_version v JOIN unnest(%b::text[], %b::text[]) AS u(document_id, content)
             ON v.document_id = u.document_id AND v.content = u.content
        WHERE v.flow_id = %s
        """,
        [[row["document_id"] for row in taken], [row["content"] for row in taken], flow_id],
        binary=True,
    )
    return {document_id: bytes(canonical) for document_id, canonical in cursor.fetchall()}


def events_of(cursor: Cursor, flow_id: str, ids: Sequence[str]) -> Mapping[str, list[LogEntry]]:
    """The approval logs of documents, each in its order."""
    found: dict[str, list[LogEntry]] = defaultdict(list)
    cursor.execute(
        """
        SELECT document_id, log_id, kind, local_at, node, operation, operator
        FROM hub.source_event WHERE flow_id = %s AND document_id = ANY(%b::text[])
        ORDER BY document_id, local_at, log_id
        """,
        [flow_id, list(ids)],
    )
    for document_id, log_id, kind, local_at, node, operation, operator in cursor:
        found[document_id].append(LogEntry(log_id, EventKind(kind), local_at, node, operation, operator))
    return found


def renew(connections: Connections, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
    """See `finbridge.core.ports.Hub.renew`. A lease that ran out and that nobody took over can be renewed."""
    if not leases:
        return []
    with connections.transaction() as cursor:
        lock_leased(cursor, leases)
        cursor.execute(_RENEW, [lease_seconds, lease_seconds, [lease.fence for lease in leases]])
        ours = {Lease(document_id, fence) for document_id, fence in cursor.fetchall()}
    return [lease for lease in leases if lease in ours]


def release(
    connections: Connections, flow_id: str, leases: Sequence[Lease], timing: Timing, retry_after_seconds: float | None
) -> None:
    """See `finbridge.core.ports.Hub.release`. Documents whose lease was lost are left alone."""
    with connections.transaction() as cursor:
        documents = lock_leased(cursor, leases, flow_id)
        if not documents:
            return
        register = Register.of_documents(cursor, documents)
        after: list[tuple[DocumentRow, Stage | None, datetime | None]] = []
        for document in documents:
            if retry_after_seconds is not None:
                after.append((document, *_put_off(document, register, retry_after_seconds)))
            else:
                _look_later(document, register, timing)
                after.append((document, *next_due(document, register.of_document(document.name))))
        give_back(cursor, after)
        register.flush()


def _put_off(document: DocumentRow, register: Register, seconds: float) -> tuple[Stage, datetime]:
    """The same stage later; news that came in meanwhile is planned now."""
    if document.stage is None:
        raise GiveUp("lease_without_stage", f"单据 {document.document_id} 状态异常 / document has a lease and no stage")
    stage = Stage(document.stage)
    if document.revision > document.lease_revision or (stage is not Stage.PLAN and document.news):
        return Stage.PLAN, document.now
    if stage is Stage.WRITE_BACK:
        for row in register.of_document(document.name):
            if row.write_back == "sent":  # the form did not show it: write it once more, which changes nothing
                row.write_back = "due"
                register.touch(row)
    return stage, document.now + timedelta(seconds=seconds)


def _look_later(document: DocumentRow, register: Register, timing: Timing) -> None:
    """Vouchers in doubt that were looked up in vain: the next look-up comes later and later."""
    if document.stage != Stage.DELIVER.value:
        return
    for row in register.of_document(document.name):
        if row.state in IN_DOUBT and (row.retry_at is None or row.retry_at <= document.now):
            row.retry_at = timing.doubt(document.now, row.last_sent_at)
            register.touch(row)


def retry(connections: Connections, flow_id: str, document_ids: Sequence[str], actor: str) -> int:
    """A person asks for another look: the documents are planned again and read again where the list shows them.

    Vouchers that finance rejected are made anew by that plan; reversals, and vouchers whose period was closed, are
    ready again as they are. Leased documents keep their lease and
    are planned after it. Returns the number of documents found.
    """
    with connections.transaction() as cursor:
        documents = lock_named(cursor, flow_id, document_ids, actor)
        register = Register.of_documents(cursor, documents)
        for document in documents:
            register.note_document(document.name, actor, "retry")
            for row in register.of_document(document.name):
                # A rejected one is translated anew by its plan; a reversal is no plan's to make again.
                stands = row.state is VoucherState.REJECTED and row.kind is VoucherKind.REVERSAL
                if stands or row.state is VoucherState.WAITING_PERIOD:
                    register.take(row, Signal.RETRY, document, reason=f"asked by {actor}")
                    row.retry_at = None
        register.flush()
        bring_news(cursor, flow_id, [document.document_id for document in documents], read_again=True)
    return len(documents)
