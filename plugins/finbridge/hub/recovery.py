"""What a hub that was set back forgot, and how it learns it again from finance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from psycopg import Cursor

from finbridge.core.lifecycle import VoucherState
from finbridge.core.outcomes import LedgerEntry
from finbridge.core.recovery import Unserved
from finbridge.core.vouchers import Voucher
from finbridge.hub.connections import Connections
from finbridge.hub.delivery import note_posted
from finbridge.hub.documents import DocumentRow, bring_news, lock_named
from finbridge.hub.register import Register, VoucherRow
from finbridge.hub.vouchers import insert_vouchers
from finbridge.hub.work import events_of

_UNSERVED = """
SELECT d.document_id, d.company, d.business_number, array_agg(e.log_id ORDER BY e.log_id)
FROM hub.source_event e JOIN hub.document d USING (document_id, flow_id)
WHERE e.flow_id = %s AND e.kind = 'approved' AND e.document_id > %s
  AND NOT EXISTS (SELECT FROM hub.voucher v WHERE v.document_id = e.document_id AND v.flow_id = e.flow_id
                  AND v.cause = e.log_id AND v.kind = 'expense')
GROUP BY 1, 2, 3 ORDER BY 1 LIMIT %s
"""
_FOUND = "found_in_finance"


class Recovery:
    """`finbridge.core.recovery.RecoveryDesk` on PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def unserved(self, flow_id: str, after: str, limit: int) -> list[Unserved]:
        """See the port."""
        with self._connections.transaction() as cursor:
            rows = cursor.execute(_UNSERVED, [flow_id, after, limit]).fetchall()
            events = events_of(cursor, flow_id, [row[0] for row in rows])
        return [
            Unserved(
                document_id=name,
                company=company,
                business_number=number,
                causes=tuple(causes),
                events=tuple(events[name]),
            )
            for name, company, number, causes in rows
        ]

    def take_over(self, flow_id: str, found: Sequence[tuple[Voucher, LedgerEntry]], actor: str) -> int:
        """See the port."""
        by_document: dict[str, list[tuple[Voucher, LedgerEntry]]] = defaultdict(list)
        for voucher, entry in found:
            by_document[voucher.identity.document_id].append((voucher, entry))
        with self._connections.transaction(effect=True) as cursor:
            documents = lock_named(cursor, flow_id, sorted(by_document), actor)
            register = Register.of_documents(cursor, documents)
            made = [
                document.document_id
                for document in documents
                for voucher, entry in by_document[document.document_id]
                if _take_over(cursor, register, document, voucher, entry)
            ]
            register.flush()
            bring_news(cursor, flow_id, sorted(set(made)))
        return len(made)


def _take_over(cursor: Cursor, register: Register, document: DocumentRow, voucher: Voucher, entry: LedgerEntry) -> bool:
    """One voucher; a no-op where the register learned of it meanwhile."""
    if voucher.key in register.vouchers:
        return False
    state = VoucherState.POSTED
    insert_vouchers(cursor, [(voucher, document.flow_id, document.content)], state.value)
    row = VoucherRow(
        flow_id=document.flow_id,
        document_id=document.document_id,
        key=voucher.key,
        company=voucher.identity.company,
        kind=voucher.identity.kind,
        cause=voucher.identity.cause,
        source_content=document.content,
        fingerprint=voucher.content,
        reverses_key=None,
        mapping=None,
        posting_date=voucher.posting_date,
        state=state,
        state_reason="",
        state_since=document.now,
    )
    register.add(row)
    register.note(row, document.lease_owner, _FOUND, before=None, after=state, reason=entry.number)
    note_posted(register, document, row, entry)
    register.touch(row)
    return True
