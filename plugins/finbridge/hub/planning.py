"""Plans become rows: vouchers made, rebuilt, withdrawn or reversed, holds replaced, the document due for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from psycopg import Cursor, sql

from finbridge.core.codes import UNKNOWN_CODE
from finbridge.core.fold import EndState
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IN_DOUBT, Signal, VoucherState, step
from finbridge.core.ports import Lease, Planned
from finbridge.core.vouchers import Voucher, red_reversal
from finbridge.hub import codes
from finbridge.hub.bulk import Columns, arrays
from finbridge.hub.connections import Connections
from finbridge.hub.documents import DocumentName, DocumentRow, lock_leased
from finbridge.hub.holds import PLAN, Hold, close_plan_holds, close_voucher_holds, open_holds
from finbridge.hub.register import Register, VoucherRow
from finbridge.hub.scheduling import next_due, writes_back
from finbridge.hub.vouchers import Built, collision, identities, insert_vouchers, load_vouchers, replace_vouchers

_READY = step(VoucherState.TRANSLATED, Signal.CHECK_PASSED).state
#: A voucher that was translated again and came out the same stays as it is; one that waits goes on waiting.
_STANDS = frozenset({_READY, VoucherState.WAITING_PERIOD})
_CORRECTED = "对照表或凭证模板已更正，同一凭证键 / codes or mapping corrected, the same key"
_PLANNED = Columns(
    "flow_id text, document_id text, planned_revision bigint, planned_content text, end_state text, exceptions text, "
    "approval_log_id text, approved_at timestamp, payment_log_id text, paid_at timestamp, lost_log_id text, "
    "lost_at timestamp, empty_kinds text, blocked boolean, waits boolean, business_date date, currency text, "
    "stage text, due_at timestamptz"
)
_STORE = sql.SQL("""
UPDATE hub.document AS t SET
    planned_at = now(), planned_revision = u.planned_revision, planned_content = u.planned_content,
    end_state = u.end_state, exceptions = u.exceptions, approval_log_id = u.approval_log_id,
    approved_at = u.approved_at, payment_log_id = u.payment_log_id, paid_at = u.paid_at, lost_log_id = u.lost_log_id,
    lost_at = u.lost_at, empty_kinds = u.empty_kinds, blocked = u.blocked, waits = u.waits,
    business_date = coalesce(u.business_date, t.business_date), currency = coalesce(u.currency, t.currency),
    stage = u.stage, due_at = u.due_at,
    lease_owner = NULL, lease_fence = NULL, lease_until = NULL, lease_revision = NULL
FROM {} WHERE t.flow_id = u.flow_id AND t.document_id = u.document_id
""").format(_PLANNED.unnested)

#: A plan together with its locked document.
Mine = tuple[Planned, DocumentRow]


def save_plans(connections: Connections, flow_id: str, plans: Sequence[Planned]) -> list[Lease]:
    """Store the plans whose leases still hold; their leases end. See `finbridge.core.ports.Hub.save_plans`."""
    lacking = [plan for plan in plans if any(problem.code == UNKNOWN_CODE for problem in plan.holds)]
    with connections.transaction(effect=True) as cursor:
        if lacking:
            codes.keep_tables(cursor, flow_id)
        locked = {document.lease: document for document in lock_leased(cursor, (p.lease for p in plans), flow_id)}
        mine = [(plan, locked[plan.lease]) for plan in plans if plan.lease in locked]
        if mine:
            _Desk(cursor, flow_id, mine).work()
        if lacking:
            codes.bring_overtaken(cursor, flow_id, [p.lease.document_id for p in lacking if p.lease in locked])
        return [plan.lease for plan, _ in mine]


class _Desk:
    """One transaction's work on locked documents."""

    def __init__(self, cursor: Cursor, flow_id: str, mine: Sequence[Mine]) -> None:
        self.cursor = cursor
        self.flow_id = flow_id
        self.mine = mine
        self.register = Register.of_documents(cursor, (document for _, document in mine))
        self.actors = {document.name: document.lease_owner for _, document in mine}
        self.new: list[Built] = []
        self.rebuilt: list[Built] = []
        self.moved_on: set[str] = set()  # keys whose own holds are closed

    def work(self) -> None:
        """All of it, with a number of statements that does not depend on the number of plans."""
        self._check_identities()
        for plan, document in self.mine:
            for key in plan.withdraw:
                self._withdraw(key, document)
            for voucher in plan.vouchers:
                self._make(voucher, plan, document)
        self._reverse()
        insert_vouchers(self.cursor, self.new, _READY.value)
        replace_vouchers(self.cursor, self.rebuilt)
        self._hold()
        self._store_documents()
        self.register.flush()

    def _check_identities(self) -> None:
        """A key that is known must stand for the same identity, in this flow and this document."""
        vouchers = [voucher for plan, _ in self.mine for voucher in plan.vouchers]
        known = identities(self.cursor, [voucher.key for voucher in vouchers])
        for voucher in vouchers:
            found = known.get(voucher.key)
            if found is not None and found != (voucher.identity, self.flow_id):
                raise collision(f"{voucher.key} is {found[0]} of {found[1]}, not {voucher.identity} of {self.flow_id}")

    def _withdraw(self, key: str, document: DocumentRow) -> None:
        row = self.register.vouchers[key]
        if row.state is not VoucherState.WITHDRAWN:
            self.register.take(row, Signal.RECALLED, document)
            self.moved_on.add(key)

    def _make(self, voucher: Voucher, plan: Planned, document: DocumentRow) -> None:
        if voucher.identity.document_id != document.document_id:
            raise ValueError(f"voucher {voucher.key} is of document {voucher.identity.document_id}, not of this lease")
        row = self.register.vouchers.get(voucher.key)
        if row is None:
            self._create(voucher, plan.content, document)
        elif row.state not in _STANDS or (row.source_content, row.fingerprint) != (plan.content, voucher.content):
            self._rebuild(row, voucher, plan, document)

    def _create(self, voucher: Voucher, content: str, document: DocumentRow) -> VoucherRow:
        """A new voucher: translated, then ready, as two rows of the trail."""
        self.new.append((voucher, self.flow_id, content))
        stamp = voucher.mapping
        row = VoucherRow(
            flow_id=self.flow_id,
            document_id=document.document_id,
            key=voucher.key,
            company=voucher.identity.company,
            kind=voucher.identity.kind,
            cause=voucher.identity.cause,
            source_content=content,
            fingerprint=voucher.content,
            reverses_key=voucher.reverses_key,
            mapping=f"{stamp.mapping_id} {stamp.version} {stamp.sha256}" if stamp else None,
            posting_date=voucher.posting_date,
            state=_READY,
            state_reason="",
            state_since=document.now,
        )
        translated = VoucherState.TRANSLATED
        self.register.add(row)
        self.register.note(row, document.lease_owner, translated.value, before=None, after=translated)
        self.register.note(row, document.lease_owner, Signal.CHECK_PASSED.value, before=translated, after=_READY)
        return row

    def _rebuild(self, row: VoucherRow, voucher: Voucher, plan: Planned, document: DocumentRow) -> None:
        before = row.source_content
        self.rebuilt.append((voucher, self.flow_id, plan.content))
        corrected = before == plan.content and row.fingerprint != voucher.content
        row.source_content, row.fingerprint = plan.content, voucher.content
        self.register.take(row, Signal.REBUILT, document, reason=_CORRECTED if corrected else "", before_hash=before)
        self.register.take(row, Signal.CHECK_PASSED, document)
        row.retry_at, row.tries, row.write_back, row.posting_date = None, 0, None, voucher.posting_date
        self.moved_on.add(row.key)

    def _reverse(self) -> None:
        """红字冲销, built from the stored original; the original is REVERSING from here on."""
        wanted: dict[str, tuple[date, str, Mine]] = {}
        done = {row.reverses_key for row in self.register.vouchers.values() if row.reverses_key}
        for plan, document in self.mine:
            wanted |= {k: (day, text, (plan, document)) for k, day, text in plan.reversals if k not in done}
        originals = load_vouchers(self.cursor, wanted)
        for key, (day, summary, (plan, document)) in wanted.items():
            original = self.register.vouchers[key]
            self.register.take(original, Signal.APPROVAL_LOST, document)
            original.write_back = None
            self.moved_on.add(key)
            red = red_reversal(originals[key], day, summary)
            self._create(replace(red, reverses_number=original.finance_number), plan.content, document)

    def _hold(self) -> None:
        kept: dict[DocumentName, list[Hold]] = {document.name: [] for _, document in self.mine}
        for plan, document in self.mine:
            for problem in plan.holds:
                kept[document.name].append(
                    Hold(
                        name=document.name,
                        origin=PLAN,
                        code=problem.code,
                        field=problem.field,
                        detail=problem.detail,
                    )
                )
            for key, code in plan.needs_human:
                kept[document.name].append(Hold(name=document.name, origin=PLAN, code=code, key=key))
        close_plan_holds(self.cursor, self.register, kept, self.actors)
        close_voucher_holds(self.cursor, self.register, self.moved_on, self.actors)
        open_holds(self.cursor, self.register, (hold for holds in kept.values() for hold in holds), self.actors)

    def _store_documents(self) -> None:
        rows = [self._planned_row(plan, document) for plan, document in self.mine]
        self.cursor.execute(_STORE, arrays(_PLANNED, rows))

    def _planned_row(self, plan: Planned, document: DocumentRow) -> tuple[object, ...]:
        folded = plan.folded
        vouchers = self.register.of_document(document.name)
        self._write_again(plan, document, vouchers)
        document.planned_revision = document.lease_revision
        document.approved = folded.approved
        document.blocked = any(problem.code.upper() not in folded.exceptions for problem in plan.holds)
        document.waits = any(row.state in IN_DOUBT for row in vouchers)
        stage, due_at = next_due(document, vouchers)
        log = [value for entry in (folded.approval, folded.payment, folded.lost)
               for value in ((entry.log_id, entry.local_at) if entry else (None, None))]  # fmt: skip
        return (
            *(*document.name, document.planned_revision, plan.content, folded.end_state.value),
            "|".join(folded.exceptions),
            *log,
            "|".join(sorted(kind.value for kind in plan.empty)),
            *(document.blocked, document.waits, *_business(plan.vouchers)),
            *(stage.value if stage else None, due_at),
        )

    def _write_again(self, plan: Planned, document: DocumentRow, vouchers: Iterable[VoucherRow]) -> None:
        """A form that refused our number may take it now: the log moved, and the document stands approved."""
        moved = document.lease_revision > document.planned_revision
        if not moved or plan.folded.end_state is not EndState.APPROVED:
            return
        for row in vouchers:
            if row.write_back == "refused" and writes_back(row):
                row.write_back, row.write_back_at, row.write_back_tries = "due", None, 0
                self.register.touch(row)


def _business(vouchers: Sequence[Voucher]) -> tuple[date | None, str | None]:
    """Business date and currency of the document, as its expense voucher says."""
    for voucher in vouchers:
        if voucher.identity.kind is VoucherKind.EXPENSE:
            return voucher.business_date, voucher.currency
    return None, None
