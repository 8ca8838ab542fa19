"""The hub as the flows see it: one thin class in front of the modules that do the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from finbridge.core.documents import DocumentRef
from finbridge.core.periods import CompanyPeriod
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
from finbridge.hub import (
    codes,
    collect,
    delivery,
    evidence,
    periods,
    planning,
    reading,
    rereading,
    settings,
    work,
    writeback,
)
from finbridge.hub.alarms import Alarms
from finbridge.hub.audit import Audit
from finbridge.hub.connections import Connections
from finbridge.hub.decisions import Decisions
from finbridge.hub.manual_runs import ManualRuns
from finbridge.hub.master_data import MasterData
from finbridge.hub.months import Months
from finbridge.hub.payment_statuses import PaymentStatuses
from finbridge.hub.proposals import CodeProposals
from finbridge.hub.recovery import Recovery
from finbridge.hub.timing import Timing
from finbridge.hub.tokens import PostgresTokens
from finbridge.hub.views import Views


class PostgresHub:
    """`finbridge.core.ports.Hub` on PostgreSQL. May be used from several threads.

    Every method raises RetryLater where the database is away or busy; the next call connects anew.
    """

    def __init__(self, dsn: str, *, secret: str = "", timing: Timing | None = None) -> None:
        self._connections = Connections(dsn)
        self._timing = timing or Timing()
        self.tokens = PostgresTokens(self._connections, secret)
        self.months = Months(self._connections)
        self.manual_runs = ManualRuns(self._connections)
        self.proposals = CodeProposals(self._connections)
        self.master_data = MasterData(self._connections)
        self.alarms = Alarms(self._connections)
        self.audit = Audit(self._connections)
        self.decisions = Decisions(self._connections)
        self.recovery = Recovery(self._connections)
        self.payment_statuses = PaymentStatuses(self._connections)
        self.views = Views(self._connections)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------ collect

    def begin_collect(self, flow_id: str, worker: str, lease_seconds: float) -> CollectWindow | None:
        """See the port."""
        return collect.begin_collect(self._connections, flow_id, worker, lease_seconds)

    def unseen(self, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]:
        """See the port."""
        return collect.unseen(self._connections, flow_id, refs)

    def store(self, flow_id: str, documents: Sequence[CollectedDocument]) -> int:
        """See the port."""
        return collect.store(self._connections, flow_id, documents)

    def end_collect(self, window: CollectWindow, through: datetime | None) -> bool:
        """See the port."""
        return collect.end_collect(self._connections, window, through)

    def take_unread(self, flow_id: str, limit: int) -> list[DocumentRef]:
        """See `finbridge.core.rereading.Rereading`."""
        return rereading.take_unread(self._connections, flow_id, limit, self._timing)

    # ------------------------------------------------------------ work

    def due(self, flow_id: str) -> Mapping[Stage, int]:
        """See the port."""
        return work.due(self._connections, flow_id)

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
        return work.claim(
            self._connections, flow_id, stage, worker=worker, limit=limit, lease_seconds=lease_seconds, only=only
        )

    def save_plans(self, flow_id: str, plans: Sequence[Planned]) -> list[Lease]:
        """See the port. The leases of stored plans end."""
        return planning.save_plans(self._connections, flow_id, plans)

    def deliverables(self, flow_id: str, leases: Sequence[Lease]) -> list[Deliverable]:
        """See the port."""
        return delivery.deliverables(self._connections, flow_id, leases)

    def mark_sending(self, leases: Mapping[str, Lease]) -> dict[str, str]:
        """See the port."""
        return delivery.mark_sending(self._connections, leases)

    def record(self, flow_id: str, results: Sequence[Sent]) -> None:
        """See the port."""
        delivery.record(self._connections, flow_id, results, self._timing)

    def write_backs(self, flow_id: str, leases: Sequence[Lease]) -> list[WriteBackItem]:
        """See the port."""
        return writeback.write_backs(self._connections, flow_id, leases)

    def record_write_backs(self, flow_id: str, results: Sequence[WriteBackRecord]) -> None:
        """See the port."""
        writeback.record_write_backs(self._connections, flow_id, results, self._timing)

    def release(self, flow_id: str, leases: Sequence[Lease], *, retry_after_seconds: float | None = None) -> None:
        """See the port."""
        work.release(self._connections, flow_id, leases, self._timing, retry_after_seconds)

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        """See the port."""
        return work.renew(self._connections, leases, lease_seconds)

    def retry(self, flow_id: str, document_ids: Sequence[str], *, actor: str) -> int:
        """A person asks for another look at documents; see `finbridge.hub.work.retry`."""
        return work.retry(self._connections, flow_id, document_ids, actor)

    def waiting_periods(self, flow_id: str) -> list[CompanyPeriod]:
        """See `finbridge.core.periods.PeriodHub`."""
        return periods.waiting_periods(self._connections, flow_id)

    def note_periods(self, flow_id: str, is_open: Mapping[CompanyPeriod, bool]) -> int:
        """See `finbridge.core.periods.PeriodHub`."""
        return periods.note_periods(self._connections, flow_id, is_open, self._timing)

    # ------------------------------------------------------------ rules as data

    def codes(self, flow_id: str) -> list[CodeRow]:
        """See the port."""
        return codes.codes(self._connections, flow_id)

    def load_codes(self, flow_id: str, rows: Sequence[CodeRow], *, maker: str, checker: str) -> int:
        """Add or change rows of code tables; see `finbridge.hub.codes.load_codes`."""
        return codes.load_codes(self._connections, flow_id, rows, maker=maker, checker=checker)

    def configure_flow(self, flow_id: str, *, write_back: bool) -> None:
        """Say whether the flow writes back; see `finbridge.hub.settings.configure_flow`."""
        settings.configure_flow(self._connections, flow_id, write_back=write_back)

    # ------------------------------------------------------------ reading

    def account(self, flow_id: str) -> Account:
        """See the port."""
        return reading.account(self._connections, flow_id)

    def document_rows(self, flow_id: str) -> Iterator[dict[str, Any]]:
        """A row a document; see `finbridge.hub.reading.document_rows`."""
        return reading.document_rows(self._connections, flow_id)

    def register_rows(self, flow_id: str) -> Iterator[dict[str, Any]]:
        """A row a voucher; see `finbridge.hub.reading.register_rows`."""
        return reading.register_rows(self._connections, flow_id)

    # ------------------------------------------------------------ evidence

    def store_verdict(self, flow_id: str, run_id: str, verdict: Verdict) -> None:
        """See the port."""
        evidence.store_verdict(self._connections, flow_id, run_id, verdict)

    def open_run(self, flow_id: str, run_id: str, kind: str) -> None:
        """Note that a run began."""
        evidence.open_run(self._connections, flow_id, run_id, kind)

    def close_run(self, run_id: str, note: Mapping[str, int | str]) -> None:
        """Keep a run's counts."""
        evidence.close_run(self._connections, run_id, note)

    def last_run_started(self, flow_id: str) -> datetime | None:
        """When the newest run of a flow began."""
        return evidence.last_run_started(self._connections, flow_id)
