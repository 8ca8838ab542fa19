"""What a person asks for by hand, and what would become of it: shapes of manual runs and their previews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from finbridge.core.documents import DocumentRef, LogEntry
from finbridge.core.plan import Registered
from finbridge.core.ports import CodeRow, CollectedDocument, Problem
from finbridge.core.vouchers import Voucher

#: A person's run takes no more documents than this; a whole month has a DAG of its own.
MOST_DOCUMENTS = 5000
NEW = "new"


class PreviewVerdict(StrEnum):
    """What would become of a document, or what stands."""

    WOULD_POST = "would_post"
    WOULD_REVERSE = "would_reverse"
    POSTED = "posted"
    HELD = "held"
    NOTHING_TO_DO = "nothing_to_do"
    NOT_APPROVED = "not_approved"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Documents approved from a day to a day (both included, the OA's own days); ``company`` empty: of every one."""

    since: date
    until: date
    company: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person filled in: business numbers or request ids, or a window."""

    numbers: tuple[str, ...] = ()
    window: Window | None = None
    live: bool = False
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """As the hub keeps it."""
        window = self.window
        days = {"since": window.since.isoformat(), "until": window.until.isoformat()} if window else {}
        return {"numbers": list(self.numbers), **({**days, "company": window.company} if window else {})}

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> Asked:
        """From a run's row in the hub."""
        asked = run["asked"]
        window = None
        if "since" in asked:
            since, until = date.fromisoformat(asked["since"]), date.fromisoformat(asked["until"])
            window = Window(since=since, until=until, company=asked["company"])
        return cls(numbers=tuple(asked["numbers"]), window=window, live=run["live"], reason=run["reason"])


@dataclass(frozen=True, slots=True)
class Found:
    """A document that a person asked for; ``document_id`` empty: neither hub nor OA knows what was asked."""

    asked: str
    document_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A document as the hub knows it. ``moving``: due now or leased, so somebody works on it anyway."""

    company: str
    business_number: str
    content: str
    standing: str  # as hub.account counts it
    moving: bool
    problem: Problem | None
    events: tuple[LogEntry, ...]
    register: tuple[Registered, ...]
    vouchers: Mapping[str, Voucher] = field(repr=False)
    numbers: Mapping[str, str]  # key -> finance's number, of those that finance took
    holds: tuple[tuple[str, Problem], ...]  # origin (plan, deliver, write_back) and reason, open ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would become of one document (or stands), with its vouchers as rows for people."""

    document_id: str
    business_number: str
    company: str
    verdict: PreviewVerdict
    problems: tuple[Problem, ...] = ()
    vouchers: tuple[Mapping[str, Any], ...] = ()

    def row(self) -> dict[str, Any]:
        """As the hub keeps it."""
        found = asdict(self)
        found["verdict"] = self.verdict.value
        found["problems"] = [{"code": p.code, "field": p.field, "detail": p.detail} for p in self.problems]
        found["vouchers"] = [dict(voucher) for voucher in self.vouchers]
        return found


def voucher_row(voucher: Voucher, state: str, number: str = "") -> dict[str, Any]:
    """A voucher with its 借/贷 lines as plain data; ``number``: finance's own, once it has one."""
    return {
        "key": voucher.key,
        "kind": voucher.identity.kind.value,
        "state": state,
        "number": number,
        "posting_date": voucher.posting_date.isoformat(),
        "period": voucher.period,
        "voucher_word": voucher.voucher_word,
        "summary": voucher.summary,
        "currency": voucher.currency,
        "attachment_count": voucher.attachment_count,
        "debit_minor": voucher.debit_minor,
        "credit_minor": voucher.credit_minor,
        "lines": [
            {
                "line_no": line.line_no,
                "account": line.account,
                "side": line.side.value,
                "local_amount_minor": line.local_amount_minor,
                "party": line.party or "",
                "department": dict(line.dimensions).get("department", ""),
                "employee": dict(line.dimensions).get("employee", ""),
                "summary": line.summary,
            }
            for line in voucher.lines
        ],
    }


@runtime_checkable
class NumberSource(Protocol):
    """A source that can look for documents by what people call them."""

    async def candidates(self, number: str, templates: frozenset[str]) -> list[str]:
        """Ids of documents whose serial number or title holds this text; the caller compares the number itself."""
        ...


class ManualStore(Protocol):
    """Manual runs in the hub."""

    def by_number(self, flow_id: str, numbers: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Document ids by business number or document id, of those that the hub knows."""
        ...

    def approved(self, flow_id: str, window: Window) -> Sequence[str]:
        """Document ids that the hub knows as approved in a window."""
        ...

    def known(self, flow_id: str, document_ids: Iterable[str]) -> Mapping[str, Known]:
        """Documents as the hub knows them, in one reading."""
        ...

    def note(self, flow_id: str, document_ids: Iterable[str], *, actor: str, action: str, reason: str) -> None:
        """Trail rows about documents that change nothing."""
        ...


class PreviewHub(Protocol):
    """What a preview reads of the hub. Nothing of it changes anything."""

    def codes(self, flow_id: str) -> Sequence[CodeRow]:
        """See `finbridge.core.ports.Hub.codes`."""
        ...

    @property
    def manual_runs(self) -> ManualStore:
        """The part of the hub that knows manual runs."""
        ...


class ManualHub(PreviewHub, Protocol):
    """The hub as a manual run needs it."""

    def unseen(self, flow_id: str, refs: Sequence[DocumentRef]) -> list[DocumentRef]:
        """See `finbridge.core.ports.Hub.unseen`."""
        ...

    def store(self, flow_id: str, documents: Sequence[CollectedDocument]) -> int:
        """See `finbridge.core.ports.Hub.store`."""
        ...

    def retry(self, flow_id: str, document_ids: Sequence[str], *, actor: str) -> int:
        """A person asks for another look at documents."""
        ...
