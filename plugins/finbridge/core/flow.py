"""A flow as data: what `include/flows/*.yaml` declares, validated (`finbridge.flows.config` is the loader)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from finbridge.core.documents import EventKind, LogEntry, LogRow
from finbridge.core.errors import GiveUp, NeedsHuman
from finbridge.core.month import cut_off
from finbridge.core.payment_status import PaymentStatusRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A company that a flow serves; the document names it by ``code``."""

    code: str
    currency: str
    time_zone: str
    ledger_company: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRule:
    """The first rule whose regular expressions match a row's node and operation gives its meaning."""

    event: EventKind
    node: re.Pattern[str]
    operation: re.Pattern[str]
    operator: re.Pattern[str]

    def matches(self, row: LogRow) -> bool:
        """Whether all three expressions match the whole text."""
        return bool(
            self.node.fullmatch(row.node)
            and self.operation.fullmatch(row.operation)
            and self.operator.fullmatch(row.operator)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBackRule:
    """Where the voucher's number goes in the OA: the posting node and the columns of its form."""

    node: str
    voucher_number: str
    posting_date: str
    error: str
    advance: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthRule:
    """How a month is closed: nodes at which a document is still in approval, and when waiting for them ends.

    The cut-off is a day and hour of the following month, local time of the company; the monthly run starts at
    ``start_hour`` of that day.
    """

    approval_nodes: tuple[str, ...]
    cut_off_day: int = 5
    cut_off_hour: int = 18
    start_hour: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One document type from one source to one target."""

    flow_id: str
    source_system: str
    source_connection: str
    target_system: str
    target_connection: str
    document_type: str
    templates: frozenset[str]
    companies: Mapping[str, Company]
    company_field: str
    company_constant: str | None
    business_number_field: str
    amount_field: str | None = None  # column of the form's total, for lists and sums; vouchers come from the mapping
    personal_fields: tuple[str, ...]
    mapping: str
    documents_suite: str
    vouchers_suite: str
    log_rules: tuple[LogRule, ...]
    makes: Mapping[EventKind, str]
    write_back: WriteBackRule | None
    payment_status: PaymentStatusRule | None = None
    month: MonthRule | None = None
    poll_seconds: float = 2.0
    sweep: str = "*/15 * * * *"
    overlap_days: int = 1
    settle_seconds: float = 60.0
    batch_size: int = 200
    code_checkers: frozenset[str] = frozenset()  # names in Airflow of those who may approve and reject code tables
    deciders: frozenset[str] = frozenset()  # names in Airflow of those who may decide about vouchers that wait for it
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The source's name inside identities: the system and its connection, so that two OA systems never mix."""
        return f"{self.source_system}:{self.source_connection}"

    def cut_off(self, company: str, period: str) -> datetime:
        """When waiting for the approvals of a company's period ends; with the company's zone.

        Raises:
            GiveUp: no such company in this flow, or the flow has no month section.
        """
        if self.month is None or company not in self.companies:
            raise GiveUp(
                "no_month", f"流程未配置该公司的月结 / flow {self.flow_id} has no month for company {company!r}"
            )
        return cut_off(period, self.month.cut_off_day, self.month.cut_off_hour, self.companies[company].time_zone)

    def classify(self, row: LogRow) -> LogEntry:
        """Give a log row its meaning.

        Raises:
            NeedsHuman: no rule matches; the document is held and the rule file must be extended.
        """
        for rule in self.log_rules:
            if rule.matches(row):
                return LogEntry(row.log_id, rule.event, row.local_at, row.node, row.operation, row.operator)
        raise NeedsHuman(
            "unknown_log_entry",
            f"审批记录无法识别 / approval log entry not known: node {row.node!r}, operation {row.operation!r}. "
            f"Add a rule to the flow's posting plan.",
        )
