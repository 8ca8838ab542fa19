"""The hub in memory: `finbridge.core.ports.Hub` with the transactional promises of the one on PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from finbridge.core.clock import Clock
from finbridge.core.documents import DocumentRef
from finbridge.core.errors import GiveUp
from finbridge.core.lifecycle import IN_DOUBT
from finbridge.core.ports import (
    Account,
    CodeRow,
    CollectedDocument,
    CollectWindow,
    Deliverable,
    DocumentWork,
    Lease,
    Planned,
    Sent,
    Stage,
    Verdict,
    WriteBackItem,
    WriteBackRecord,
)
from finbridge.sim import memory_account, memory_delivery, memory_planning, memory_writeback
from finbridge.sim.memory_rows import DocumentRow, Store, Waits, next_due, next_reading


class MemoryHub:
    """Leases with fencing numbers, news before sends, states by `core.lifecycle.step`; nothing outlives the process."""

    def __init__(self, clock: Clock, waits: Waits | None = None) -> None:
        self.kept = Store(clock, waits or Waits())

    @property
    def _now(self) -> datetime:
        return self.kept.clock.now()

    def snapshot(self) -> Store:
        """A backup."""
        mine = self.kept
        return Store(
            mine.clock,
            mine.waits,
            {name: document.twin() for name, document in mine.documents.items()},
            dict(mine.collectors),
            dict(mine.watermarks),
            mine.fence,
            mine.attempts,
            mine.verdicts,
        )

    def restore(self, backup: Store) -> None:
        """Go back to a backup. Nobody may work meanwhile."""
        self.kept = backup

    # ------------------------------------------------------------ collect

    def begin_collect(self, flow_id: str, worker: str, lease_seconds: float) -> CollectWindow | None:
        """See the port."""
        del worker
        held = self.kept.collectors.get(flow_id)
        if held is not None and held[1] > self._now:
            return None
        fence = self.kept.next_fence()
        self.kept.collectors[flow_id] = (fence, self._now + timedelta(seconds=lease_seconds))
        return CollectWindow(flow_id=flow_id, through=self.kept.watermarks.get(flow_id), fence=fence)

    def end_collect(self, window: CollectWindow, through: datetime | None) -> bool:
        """See the port."""
        held = self.kept.collectors.get(window.flow_id)
        if held is None or held[0] != window.fence:
            return False
        self.kept.collectors[window.flow_id] = (window.fence, datetime.min.replace(tzinfo=held[1].tzinfo))
        if through is not None:
            known = self.kept.watermarks.get(window.flow_id, through)
            self.kept.watermarks[window.flow_id] = max(known, through)
        return True

    def unseen(self, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]:
        """See the port."""
        distinct = {ref.document_id: ref for ref in refs}
        known = self.kept.documents
        return [
            ref
            for name, ref in distinct.items()
            if (d := known.get((flow_id, name))) is None or not d.settled or d.stamp != ref.stamp
        ]

    def store(self, flow_id: str, documents: Sequence[CollectedDocument]) -> int:
        """See the port."""
        latest = {document.document_id: document for document in sorted(documents, key=lambda d: d.document_id)}
        moved = self._moved(flow_id, documents)
        changed = 0
        for name, given in latest.items():
            document = self.kept.documents.get((flow_id, name))
            if document is None:
                document = self._new(flow_id, given)
                changed += 1
            elif self._refresh(document, given) or name in moved:
                document.bring_news(self._now)
                changed += 1
            document.versions.setdefault(given.content, given.canonical)
        for given in documents:
            document = self.kept.documents[(flow_id, given.document_id)]
            document.versions.setdefault(given.content, given.canonical)
            document.events |= {entry.log_id: entry for entry in given.events}
        return changed

    def _moved(self, flow_id: str, documents: Sequence[CollectedDocument]) -> set[str]:
        """Documents with log entries that are new or have another meaning now."""
        found: set[str] = set()
        for given in documents:
            document = self.kept.documents.get((flow_id, given.document_id))
            known = document.events if document is not None else {}
            if any(known.get(entry.log_id) != entry for entry in given.events):
                found.add(given.document_id)
        return found

    def _new(self, flow_id: str, given: CollectedDocument) -> DocumentRow:
        document = DocumentRow(
            flow_id,
            given.document_id,
            given.template,
            given.stamp,
            given.settled,
            given.company,
            given.business_number,
            given.content,
            given.problem,
            Stage.PLAN,
            self._now,
        )
        self.kept.documents[(flow_id, given.document_id)] = document
        return document

    @staticmethod
    def _refresh(document: DocumentRow, given: CollectedDocument) -> bool:
        """Take what was read; whether its face changed. What could not be read keeps company and number."""
        d = document
        before = (d.content, d.company, d.business_number, d.template, _named(d.problem))
        d.template, d.stamp, d.settled = given.template, given.stamp, given.settled
        d.company, d.business_number = given.company or d.company, given.business_number or d.business_number
        d.content, d.problem = given.content, given.problem
        return before != (d.content, d.company, d.business_number, d.template, _named(d.problem))

    def take_unread(self, flow_id: str, limit: int) -> list[DocumentRef]:
        """See `finbridge.core.rereading.Rereading`."""
        found = [
            (last, document.document_id, document)
            for document in self.kept.of_flow(flow_id)
            if (look := next_reading(document, self.kept.waits)) is not None
            for at, last in [look]
            if at <= self._now
        ]
        taken = [document for *_, document in sorted(found, key=lambda one: one[:2])[:limit]]
        for document in taken:
            document.read_again_at = self._now
        return [DocumentRef(document.document_id, document.template, document.stamp) for document in taken]

    # ------------------------------------------------------------ work

    def due(self, flow_id: str) -> Mapping[Stage, int]:
        """See the port."""
        now = self._now
        return Counter(
            d.stage
            for d in self.kept.of_flow(flow_id)
            if d.stage is not None and d.due_at is not None and d.due_at <= now
        )

    def claim(
        self,
        flow_id: str,
        stage: Stage,
        worker: str,
        limit: int,
        lease_seconds: float,
        *,
        only: Sequence[str] | None = None,
    ) -> list[DocumentWork]:
        """See the port."""
        now = self._now
        due = [
            (d.due_at, d.document_id, d)
            for d in self.kept.of_flow(flow_id)
            if d.stage is stage and d.due_at is not None and d.due_at <= now and (only is None or d.document_id in only)
        ]
        taken = [document for *_, document in sorted(due, key=lambda found: found[:2])[:limit]]
        for document in taken:
            document.lease_owner, document.lease_fence = worker, self.kept.next_fence()
            document.lease_revision = document.revision
            document.lease_until = document.due_at = now + timedelta(seconds=lease_seconds)
        return [_work(document) for document in taken]

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        """See the port."""
        ours = self.kept.leased(leases)
        for document in ours.values():
            document.lease_until = document.due_at = self._now + timedelta(seconds=lease_seconds)
        return [lease for lease in leases if lease in ours]

    def release(self, flow_id: str, leases: Sequence[Lease], *, retry_after_seconds: float | None = None) -> None:
        """See the port."""
        del flow_id
        for document in self.kept.leased(leases).values():
            if retry_after_seconds is not None:
                document.stage, document.due_at = self._put_off(document, retry_after_seconds)
            else:
                self._look_later(document)
                document.stage, document.due_at = next_due(document, self._now)
            document.end_lease()

    def _put_off(self, document: DocumentRow, seconds: float) -> tuple[Stage, datetime]:
        stage = document.stage
        if stage is None:
            raise GiveUp("lease_without_stage", f"单据 {document.document_id} 状态异常 / document has no stage")
        if document.revision > document.lease_revision or (stage is not Stage.PLAN and document.news):
            return Stage.PLAN, self._now
        if stage is Stage.WRITE_BACK:
            for row in document.vouchers.values():
                row.write_back = "due" if row.write_back == "sent" else row.write_back
        return stage, self._now + timedelta(seconds=seconds)

    def _look_later(self, document: DocumentRow) -> None:
        if document.stage is Stage.DELIVER:
            for row in document.vouchers.values():
                if row.state in IN_DOUBT and (row.retry_at is None or row.retry_at <= self._now):
                    row.retry_at = self.kept.waits.doubt(self._now, row.last_sent_at)

    # ------------------------------------------------------------ decisions, finance, forms

    def save_plans(self, flow_id: str, plans: Sequence[Planned]) -> list[Lease]:
        """See the port."""
        return memory_planning.save_plans(self.kept, flow_id, plans)

    def deliverables(self, flow_id: str, leases: Sequence[Lease]) -> list[Deliverable]:
        """See the port."""
        del flow_id
        return memory_delivery.deliverables(self.kept, leases)

    def mark_sending(self, leases: Mapping[str, Lease]) -> dict[str, str]:
        """See the port."""
        return memory_delivery.mark_sending(self.kept, leases)

    def record(self, flow_id: str, results: Sequence[Sent]) -> None:
        """See the port."""
        del flow_id
        memory_delivery.record(self.kept, results)

    def write_backs(self, flow_id: str, leases: Sequence[Lease]) -> list[WriteBackItem]:
        """See the port."""
        del flow_id
        return memory_writeback.write_backs(self.kept, leases)

    def record_write_backs(self, flow_id: str, results: Sequence[WriteBackRecord]) -> None:
        """See the port."""
        del flow_id
        memory_writeback.record_write_backs(self.kept, results)

    # ------------------------------------------------------------ reading

    def codes(self, flow_id: str) -> list[CodeRow]:
        """No code tables here: the simulated mapping needs none."""
        del flow_id
        return []

    def account(self, flow_id: str) -> Account:
        """See the port."""
        return memory_account.account(self.kept, flow_id, self.due(flow_id))

    def store_verdict(self, flow_id: str, run_id: str, verdict: Verdict) -> None:
        """See the port; counted only."""
        del flow_id, run_id, verdict
        self.kept.verdicts += 1


def _named(problem: object) -> tuple[object, ...]:
    return tuple(getattr(problem, name, None) for name in ("code", "field", "detail"))


def _work(document: DocumentRow) -> DocumentWork:
    return DocumentWork(
        lease=Lease(document.document_id, document.lease_fence or 0),
        company=document.company,
        business_number=document.business_number,
        content=document.content,
        canonical=document.versions[document.content],
        events=tuple(sorted(document.events.values(), key=lambda entry: (entry.local_at, entry.log_id))),
        register=tuple(row.registered() for row in document.rows()),
        problem=document.problem,
    )
