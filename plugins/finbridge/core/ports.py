"""Ports: what the flows need from the rooms beside and above them. Shapes only, no behaviour."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

from finbridge.core.documents import DocumentRef, LogEntry, SourceDocument
from finbridge.core.fold import Folded
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.outcomes import LedgerEntry, Outcome
from finbridge.core.plan import Registered
from finbridge.core.vouchers import MappingStamp, Voucher

# ---------------------------------------------------------------- source (an OA system)


class WriteBackResult(StrEnum):
    """What we know after a write to the OA form."""

    SAVED = "saved"
    NOT_ALLOWED = "not_allowed"  # archived, not our turn, node left: a named reason, not an error
    NOT_SHOWN = "not_shown"  # read back, and not there: gone only if it stays so for long (the hub counts)
    RETRY = "retry"  # nothing was done
    UNKNOWN = "unknown"  # sent, no answer: read back decides


class Source(Protocol):
    """An OA system as the flows see it. All calls obey the connection's rate budget.

    Every method may raise RetryLater (OA away, throttled) or GiveUp (credentials, licence, schema).
    """

    async def now(self) -> datetime:
        """The OA's own clock, naive local time of the OA server."""
        ...

    def changed(self, since: date, until: datetime, templates: frozenset[str]) -> AsyncIterator[list[DocumentRef]]:
        """Pages of rows operated from ``since`` (a day) up to the frozen ``until``. Rows may come doubled."""
        ...

    async def read(self, document_ids: Sequence[str]) -> dict[str, SourceDocument | None]:
        """Documents read whole, with details and log, bounded concurrency; None for one that is gone."""
        ...

    async def write_back(self, document_id: str, node: str, fields: Mapping[str, str]) -> WriteBackResult:
        """Save column values on the form while it stands at ``node`` (src=save); no flow-on."""
        ...

    async def advance(self, document_id: str, node: str) -> WriteBackResult:
        """Submit the document onwards from ``node`` as the integration account; a no-op if it left the node."""
        ...

    async def close(self) -> None: ...


# ---------------------------------------------------------------- ledger (a finance system)


class Ledger(Protocol):
    """A finance system as the flows see it. Outcomes, never exceptions, for what finance answers."""

    async def post(self, vouchers: Sequence[Voucher]) -> list[Outcome]:
        """Create and post, an outcome a voucher in order; reversals among them. One never decides another's."""
        ...

    async def find(self, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        """What finance holds under these keys. Raises RetryLater if it cannot say."""
        ...

    def period_entries(self, company: str, period: str) -> AsyncIterator[list[LedgerEntry]]:
        """All entries of ours in an accounting period, and those of others that people reversed in it, in pages."""
        ...

    async def close(self) -> None: ...


# ---------------------------------------------------------------- mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationRequest:
    """One voucher to be made: the document's canonical content and the log entry that calls for it."""

    document_id: str
    kind: VoucherKind
    cause: LogEntry
    company: str
    source: str
    business_number: str
    currency: str
    canonical: bytes
    split: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRow:
    """A row of a code table, valid from a day (inclusive) to a day (exclusive, None = open)."""

    table: str
    company: str  # "" = every company
    code: str
    target: str
    valid_from: date
    valid_to: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why one document cannot be translated or fails a rule: code, field and value class, never personal data."""

    document_id: str
    code: str  # e.g. unknown_code, bad_amount, vat_mismatch
    field: str
    detail: str  # e.g. "account: 6602|招待 not in table expense_account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Vouchers, problems (those documents give no voucher), what is zero, and the rows that the judge reads.

    ``frames`` are pandas frames: ``documents`` (a row a document with its typed fields), ``lines`` (a row a detail
    line), ``vouchers`` (a row a voucher with totals), ``voucher_lines``. Each has a column ``document_id``.
    """

    vouchers: tuple[Voucher, ...]
    problems: tuple[Problem, ...]
    empty: tuple[tuple[str, VoucherKind], ...]
    frames: Mapping[str, Any] = field(repr=False)


class Translator(Protocol):
    """A mapping compiled once."""

    @property
    def stamp(self) -> MappingStamp: ...
    @property
    def main_fields(self) -> frozenset[str]: ...
    @property
    def detail_fields(self) -> Mapping[str, frozenset[str]]: ...

    def translate(self, requests: Sequence[TranslationRequest], codes: Sequence[CodeRow]) -> Translation:
        """Set-based: the number of statements does not depend on the number of requests."""
        ...


# ---------------------------------------------------------------- quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Great Expectations' answer: ``bad`` names every bad document; a broken batch rule stops the load."""

    suite: str
    batch_ok: bool
    broken_batch_rules: tuple[str, ...]
    bad: tuple[Problem, ...]
    rows: int
    result_json: str  # no sample values: ids and counts only


class Judge(Protocol):
    """A suite of expectations over the real rows."""

    def judge(self, suite: str, frames: Mapping[str, Any]) -> Verdict: ...


# ---------------------------------------------------------------- hub


class Stage(StrEnum):
    """What a document is due for."""

    PLAN = "plan"
    DELIVER = "deliver"
    WRITE_BACK = "write_back"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one document until it expires; ``fence`` rises with each claim."""

    document_id: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedDocument:
    """A document as it goes into the hub."""

    document_id: str
    template: str
    stamp: str
    settled: bool  # false: read in the same second as its last operation; it must be read again
    company: str
    business_number: str
    canonical: bytes
    content: str
    events: tuple[LogEntry, ...]
    personal: Mapping[str, str]
    raw: bytes = field(repr=False)
    problem: Problem | None = None  # e.g. unknown template, unknown company, unknown log entry
    amount_minor: int | None = None  # total as the form shows it, in the company's currency; None = no plain number


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectWindow:
    """The right to collect for one flow: from the last frozen upper bound on."""

    flow_id: str
    through: datetime | None
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentWork:
    """A leased document with all that a decision needs."""

    lease: Lease
    company: str
    business_number: str
    content: str
    canonical: bytes
    events: tuple[LogEntry, ...]
    register: tuple[Registered, ...]
    problem: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The decision on one document, stored in one transaction with its lease checked.

    ``vouchers`` are new or rebuilt, with the state they get (READY); ``reversals`` go READY and turn their original to
    REVERSING. ``holds`` replace the document's open holds: those not named any more are closed. ``empty`` names the
    kinds that the log calls for and that give no voucher by rule (0.00, or the flow makes none of that kind).
    """

    lease: Lease
    folded: Folded
    content: str
    vouchers: tuple[Voucher, ...] = ()
    reversals: tuple[tuple[str, date, str], ...] = ()  # key of the original, posting date, summary
    withdraw: tuple[str, ...] = ()
    needs_human: tuple[tuple[str, str], ...] = ()  # key, code
    holds: tuple[Problem, ...] = ()
    empty: tuple[VoucherKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverable:
    """A voucher of a leased document that is to be sent (READY) or resolved (SENDING, UNKNOWN)."""

    lease: Lease
    voucher: Voucher
    state: VoucherState
    content: str  # source content hash it was built from
    last_sent_at: datetime | None
    asked_at: datetime | None = None  # by the same clock as ``last_sent_at``


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One attempt and what is known of it. ``not_found`` True, ``outcome`` None: finance has nothing by that key."""

    lease: Lease
    key: str
    attempt_id: str | None
    outcome: Outcome | None
    not_found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBackItem:
    """What must stand on the OA form of a leased document."""

    lease: Lease
    keys: tuple[str, ...]
    voucher_number: str
    posting_date: str
    error: str
    done: bool  # saved before; only the read-back is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBackRecord:
    """The result of one write-back: ``verified`` after the values were read back from the OA."""

    lease: Lease
    keys: tuple[str, ...]
    result: WriteBackResult
    verified: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where every document of a flow stands: counts by state, sums, and the ids that nothing explains."""

    documents: Mapping[str, int]
    vouchers: Mapping[str, int]
    held: Mapping[str, int]  # by reason code
    due: Mapping[str, int]  # by stage
    unexplained: tuple[str, ...]


class TokenStore(Protocol):
    """Tokens and registrations shared between processes; values are encrypted at rest."""

    def get(self, name: str) -> str | None:
        """The value, or None where absent or expired."""
        ...

    def put(self, name: str, value: str, expires_at: datetime | None) -> None: ...

    def forget(self, name: str) -> None: ...

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Mutual exclusion between processes (advisory lock), so that one applies and the others wait and read."""
        ...


class Hub(Protocol):
    """Inbox, register, attempts, write-backs, holds, watermarks and trail on PostgreSQL.

    Each method is one transaction. Methods that take a Lease check owner and fence inside it and leave out documents
    whose lease was lost; they return what they did.
    """

    # collect
    def begin_collect(self, flow_id: str, worker: str, lease_seconds: float) -> CollectWindow | None:
        """None while another worker collects for this flow."""

    def unseen(self, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]:
        """Those whose stamp differs from the last settled one."""

    def store(self, flow_id: str, documents: Sequence[CollectedDocument]) -> int:
        """Append to the inbox, add events, note the stamp; documents with news become due for PLAN: their number."""

    def end_collect(self, window: CollectWindow, through: datetime | None) -> bool:
        """Give the right back and move the watermark; None leaves it where it is (the look failed)."""

    # work
    def due(self, flow_id: str) -> Mapping[Stage, int]:
        """Documents due now and not under a live lease, by stage: one indexed query."""

    def claim(
        self,
        flow_id: str,
        stage: Stage,
        worker: str,
        limit: int,
        lease_seconds: float,
        *,
        only: Sequence[str] | None = None,  # of these documents alone; tens of thousands are fine
    ) -> list[DocumentWork]: ...

    def save_plans(self, flow_id: str, plans: Sequence[Planned]) -> list[Lease]:
        """Store decisions; the document becomes due for DELIVER, WRITE_BACK or nothing. Returns those stored."""
        ...

    def deliverables(self, flow_id: str, leases: Sequence[Lease]) -> list[Deliverable]:
        """What can be sent or resolved now: a document's reversals first, then expenses, then payments."""
        ...

    def mark_sending(self, leases: Mapping[str, Lease]) -> dict[str, str]:
        """READY -> SENDING with an attempt each, committed before bytes leave. Key -> lease in, key -> attempt out."""
        ...

    def record(self, flow_id: str, results: Sequence[Sent]) -> None:
        """Store outcomes: state by `finbridge.core.lifecycle.step`, attempt closed, hold opened where one is named."""
        ...

    def write_backs(self, flow_id: str, leases: Sequence[Lease]) -> list[WriteBackItem]: ...

    def record_write_backs(self, flow_id: str, results: Sequence[WriteBackRecord]) -> None: ...

    def release(self, flow_id: str, leases: Sequence[Lease], *, retry_after_seconds: float | None = None) -> None:
        """Give documents back; the next stage and due time are computed from their vouchers and write-backs.

        ``retry_after_seconds`` keeps the stage and puts the due time off; news is planned at once all the same.
        """
        ...

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        """Prolong; returns those still ours."""
        ...

    # reading
    def codes(self, flow_id: str) -> list[CodeRow]: ...

    def account(self, flow_id: str) -> Account: ...

    # evidence
    def store_verdict(self, flow_id: str, run_id: str, verdict: Verdict) -> None: ...
