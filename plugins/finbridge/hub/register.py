"""The vouchers of locked documents as one unit of work: states change by `core.lifecycle.step` alone.

Load, take events, flush: one statement for all changed vouchers, one COPY for their trail rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from operator import attrgetter

from psycopg import Cursor, sql
from psycopg.rows import args_row

from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import Signal, Step, VoucherState, step
from finbridge.core.outcomes import Outcome, outcome_name
from finbridge.core.plan import Registered
from finbridge.hub.bulk import Columns, arrays, copy_rows, update_rows
from finbridge.hub.documents import DocumentName, DocumentRow

_KEY = Columns("key text")
_CHANGING = Columns(
    "state text, state_reason text, state_since timestamptz, retry_at timestamptz, tries int, "
    "last_sent_at timestamptz, send_fence bigint, finance_number text, finance_id text, finance_year int, "
    "finance_posted_on date, reversed_by_key text, write_back text, write_back_at timestamptz, write_back_tries int"
)
_values = attrgetter("key", *_CHANGING.names)
_NAMES = Columns("flow_id text, document_id text")
TRAIL = Columns(
    "actor text, flow_id text, document_id text, key text, action text, from_state text, to_state text, reason text, "
    "mapping text, before_hash text, after_hash text"
)


@dataclass(slots=True)
class VoucherRow:
    """A voucher of the register without its lines. What changes with its life is mutable and flushed as a whole."""

    flow_id: str
    document_id: str
    key: str
    company: str
    kind: VoucherKind
    cause: str
    source_content: str
    fingerprint: str
    reverses_key: str | None
    mapping: str | None
    posting_date: date
    state: VoucherState
    state_reason: str
    state_since: datetime
    retry_at: datetime | None = None
    tries: int = 0
    last_sent_at: datetime | None = None
    send_fence: int | None = None
    finance_number: str | None = None
    finance_id: str | None = None
    finance_year: int | None = None
    finance_posted_on: date | None = None
    reversed_by_key: str | None = None
    write_back: str | None = None
    write_back_at: datetime | None = None
    write_back_tries: int = 0

    def __post_init__(self) -> None:
        self.kind = VoucherKind(self.kind)
        self.state = VoucherState(self.state)

    @property
    def name(self) -> DocumentName:
        """Flow and document."""
        return (self.flow_id, self.document_id)

    def registered(self) -> Registered:
        """As the plan needs it."""
        return Registered(self.key, self.kind, self.cause, self.state, self.source_content, self.reverses_key)


_MAPPING = "v.mapping_id || ' ' || v.mapping_version || ' ' || v.mapping_sha256"
_READ = sql.SQL("""
SELECT {} FROM hub.voucher v JOIN unnest(%b::text[], %b::text[]) AS d(flow_id, document_id)
     ON v.flow_id = d.flow_id AND v.document_id = d.document_id
ORDER BY v.created_at, v.key
""").format(
    sql.SQL(", ").join(
        sql.SQL(_MAPPING) if field.name == "mapping" else sql.Identifier("v", field.name)
        for field in fields(VoucherRow)
    )
)


class Register:
    """All vouchers of some documents, their changes and their trail, inside one transaction."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.vouchers: dict[str, VoucherRow] = {}
        self._by_document: dict[DocumentName, list[VoucherRow]] = {}
        self._changed: dict[str, VoucherRow] = {}
        self._trail: list[tuple[str | None, ...]] = []

    @classmethod
    def of(cls, cursor: Cursor, documents: Iterable[DocumentName]) -> Register:
        """Load the vouchers of these documents."""
        register = cls(cursor)
        names = list(documents)
        if names:
            with cursor.connection.cursor(row_factory=args_row(VoucherRow)) as rows:
                rows.execute(_READ, arrays(_NAMES, names))
                for row in rows:
                    register.add(row)
        return register

    @classmethod
    def of_documents(cls, cursor: Cursor, documents: Iterable[DocumentRow]) -> Register:
        """Load the vouchers of locked documents."""
        return cls.of(cursor, (document.name for document in documents))

    def add(self, row: VoucherRow) -> None:
        """A voucher that is in the table already, or is put there in this transaction by the caller."""
        self.vouchers[row.key] = row
        self._by_document.setdefault(row.name, []).append(row)

    def of_document(self, name: DocumentName) -> Sequence[VoucherRow]:
        """A document's vouchers, oldest first."""
        return self._by_document.get(name, ())

    def take(
        self,
        row: VoucherRow,
        event: Signal | Outcome,
        document: DocumentRow,
        *,
        reason: str = "",
        before_hash: str | None = None,
    ) -> Step:
        """Let the voucher take an event; notes the transition in the trail.

        Raises:
            IllegalTransition: the state does not take the event; nothing changed.
        """
        taken = step(row.state, event)
        before = row.state
        if taken.state is not before:
            action = event.value if isinstance(event, Signal) else outcome_name(event)
            actor = document.lease_owner
            self.note(row, actor, action, before=before, after=taken.state, reason=reason, before_hash=before_hash)
            row.state = taken.state
            row.state_reason = reason
            row.state_since = document.now
        self.touch(row)
        return taken

    def touch(self, row: VoucherRow) -> None:
        """Something other than the state changed."""
        self._changed[row.key] = row

    def note(
        self,
        row: VoucherRow,
        actor: str,
        action: str,
        *,
        before: VoucherState | None,
        after: VoucherState,
        reason: str = "",
        before_hash: str | None = None,
    ) -> None:
        """A trail row about a voucher; hashes are those of the source content that it was built from."""
        states = (before.value if before else None, after.value)
        hashes = (before_hash or row.source_content, row.source_content)
        self._trail.append((actor, *row.name, row.key, action, *states, reason, row.mapping, *hashes))

    def note_document(
        self, name: DocumentName, actor: str, action: str, *, reason: str = "", key: str | None = None
    ) -> None:
        """A trail row about something that is no transition of a voucher."""
        self._trail.append((actor, *name, key or None, action, None, None, reason, None, None, None))

    def flush(self) -> None:
        """Store changed vouchers and the trail."""
        update_rows(self._cursor, "voucher", _KEY, _CHANGING, [_flat(row) for row in self._changed.values()])
        copy_rows(self._cursor, "trail", TRAIL, self._trail)
        self._changed.clear()
        self._trail.clear()


def _flat(row: VoucherRow) -> tuple[object, ...]:
    key, state, *others = _values(row)
    return (key, state.value, *others)
