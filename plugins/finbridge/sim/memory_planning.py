"""Plans become rows of the hub in memory: vouchers made, rebuilt, withdrawn or reversed, holds replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finbridge.core.errors import GiveUp
from finbridge.core.fold import EndState
from finbridge.core.lifecycle import IN_DOUBT, Signal, VoucherState
from finbridge.core.ports import Lease, Planned
from finbridge.core.rereading import UNREAD
from finbridge.core.vouchers import Voucher, red_reversal
from finbridge.sim.memory_rows import DocumentRow, Hold, Store, VoucherRow, close_holds, next_due, writes_back

_STANDS = frozenset({VoucherState.READY, VoucherState.WAITING_PERIOD})


def save_plans(store: Store, flow_id: str, plans: Sequence[Planned]) -> list[Lease]:
    """Store the plans whose leases still hold; their leases end. All or nothing."""
    leased = store.leased(plan.lease for plan in plans)
    mine = [(plan, leased[plan.lease]) for plan in plans if plan.lease in leased]
    before = {(d.flow_id, d.document_id): d.twin() for _, d in mine}
    try:
        _refuse_collisions(store, flow_id, [voucher for plan, _ in mine for voucher in plan.vouchers])
        for plan, document in mine:
            _Desk(store, plan, document).work()
    except Exception:
        store.documents |= before
        raise
    return [plan.lease for plan, _ in mine]


def _refuse_collisions(store: Store, flow_id: str, vouchers: Sequence[Voucher]) -> None:
    known = {
        row.key: (row.voucher.identity, document.flow_id)
        for document in store.documents.values()
        for row in document.vouchers.values()
    }
    for voucher in vouchers:
        if known.setdefault(voucher.key, (voucher.identity, flow_id)) != (voucher.identity, flow_id):
            raise GiveUp("key_collision", "凭证键冲突 / two vouchers claim the same key or identity: posting stops")


class _Desk:
    """One plan on one document."""

    def __init__(self, store: Store, plan: Planned, document: DocumentRow) -> None:
        self.store = store
        self.now = store.clock.now()
        self.plan = plan
        self.document = document
        self.moved_on: set[str] = set()

    def work(self) -> None:
        """All of it."""
        for key in self.plan.withdraw:
            row = self.document.vouchers[key]
            if row.state is not VoucherState.WITHDRAWN:
                row.take(Signal.RECALLED)
                self.moved_on.add(key)
        for voucher in self.plan.vouchers:
            self._make(voucher)
        self._reverse()
        self._hold()
        self._store()

    def _make(self, voucher: Voucher) -> None:
        if voucher.identity.document_id != self.document.document_id:
            raise ValueError(f"voucher {voucher.key} is of another document than the lease")
        row = self.document.vouchers.get(voucher.key)
        if row is None:
            self._create(voucher)
        elif row.state not in _STANDS or (row.content, row.voucher.content) != (self.plan.content, voucher.content):
            row.take(Signal.REBUILT)
            row.take(Signal.CHECK_PASSED)
            row.voucher, row.content = voucher, self.plan.content
            row.retry_at, row.tries, row.write_back = None, 0, None
            self.moved_on.add(voucher.key)

    def _create(self, voucher: Voucher) -> None:
        self.document.vouchers[voucher.key] = VoucherRow(voucher, self.plan.content, VoucherState.READY, self.now)

    def _reverse(self) -> None:
        done = {row.voucher.reverses_key for row in self.document.vouchers.values()}
        for key, day, summary in self.plan.reversals:
            if key in done:
                continue
            original = self.document.vouchers[key]
            original.take(Signal.APPROVAL_LOST)
            original.write_back = None
            self.moved_on.add(key)
            self._create(replace(red_reversal(original.voucher, day, summary), reverses_number=original.number))

    def _hold(self) -> None:
        named: set[Hold] = {("plan", p.code, "", p.field, p.detail) for p in self.plan.holds}
        named |= {("plan", code, key, "", "") for key, code in self.plan.needs_human}
        self.document.holds = {hold for hold in self.document.holds if hold[0] != "plan"} | named
        since = self.document.unread_since
        self.document.unread_since = {hold: since.get(hold, self.now) for hold in named if hold[1] in UNREAD}
        close_holds(self.document, self.moved_on)

    def _store(self) -> None:
        document, folded = self.document, self.plan.folded
        moved = document.lease_revision > document.planned_revision
        if moved and folded.end_state is EndState.APPROVED:
            for row in document.vouchers.values():
                if row.write_back == "refused" and writes_back(row):
                    row.write_back, row.write_back_at, row.write_back_tries = "due", None, 0
        document.planned_revision = document.lease_revision
        document.folded = folded
        document.empty = frozenset(self.plan.empty)
        document.blocked = any(problem.code.upper() not in folded.exceptions for problem in self.plan.holds)
        document.waits = any(row.state in IN_DOUBT for row in document.vouchers.values())
        document.stage, document.due_at = next_due(document, self.now)
        document.end_lease()
