"""From a document as the OA shows it to a row of the inbox: content, meaning of its log, and what is wrong with it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from finbridge.core.documents import DocumentRef, LogEntry, SourceDocument, canonical_content, content_hash
from finbridge.core.errors import NeedsHuman
from finbridge.core.flow import Flow
from finbridge.core.money import to_minor
from finbridge.core.ports import CollectedDocument, Problem, Translator

#: A document touched less than this before the OA's now may be touched again in the same second: read it once more.
SETTLED_AFTER = timedelta(seconds=2)
#: No form means more minor units than this; the hub's columns hold them.
_LARGEST = 10**17


def collected(
    flow: Flow, translator: Translator, document: SourceDocument, *, stamp: str, settled: bool
) -> CollectedDocument:
    """Build the inbox row of one document. ``stamp`` is what the list showed when the document was asked for."""
    canonical = canonical_content(document, translator.main_fields, translator.detail_fields)
    company = flow.company_constant or document.main.get(flow.company_field, "")
    events, log_problem = _events(flow, document)
    return CollectedDocument(
        document_id=document.document_id,
        template=document.template,
        stamp=stamp,
        settled=settled,
        company=company,
        business_number=document.main.get(flow.business_number_field, ""),
        canonical=canonical,
        content=content_hash(canonical),
        events=events,
        personal=_personal(flow, document),
        raw=document.raw,
        problem=_template_problem(flow, document) or _company_problem(flow, document, company) or log_problem,
        amount_minor=_amount(flow, document, company),
    )


def gone(ref: DocumentRef) -> CollectedDocument:
    """A document that the list names and the OA no longer shows: a problem, not silence."""
    return unusable(
        ref, Problem(document_id=ref.document_id, code="document_gone", field="", detail="listed, not there")
    )


def unusable(ref: DocumentRef, problem: Problem) -> CollectedDocument:
    """A document that cannot be read whole; it is held, the others go on."""
    canonical = json.dumps({"unreadable": problem.code}).encode()
    return CollectedDocument(
        document_id=ref.document_id,
        template=ref.template,
        stamp=ref.stamp,
        settled=False,  # it may be readable again: ask once more while the list still names it
        company="",
        business_number="",
        canonical=canonical,
        content=content_hash(canonical),
        events=(),
        personal={},
        raw=b"",
        problem=problem,
    )


def is_settled(stamp: str, now: datetime) -> bool:
    """Whether a list stamp (it begins with the OA's ``yyyy-MM-dd HH:mm:ss``) lies far enough behind the OA's clock."""
    try:
        touched = datetime.fromisoformat(stamp[:19])
    except ValueError:
        return True  # a stamp without a time moves with every change: nothing can hide inside one second
    return now - touched >= SETTLED_AFTER


def _events(flow: Flow, document: SourceDocument) -> tuple[tuple[LogEntry, ...], Problem | None]:
    """Log rows with their meaning; the first row that no rule knows is the document's problem."""
    entries: list[LogEntry] = []
    problem: Problem | None = None
    for row in document.log:
        try:
            entries.append(flow.classify(row))
        except NeedsHuman as error:
            problem = problem or Problem(
                document_id=document.document_id, code=error.code, field="log", detail=f"{row.node} / {row.operation}"
            )
    return tuple(entries), problem


def _template_problem(flow: Flow, document: SourceDocument) -> Problem | None:
    if document.template in flow.templates:
        return None
    return Problem(
        document_id=document.document_id,
        code="unknown_template",
        field="template",
        detail=(
            f"流程版本组中没有 workflow {document.template} / "
            f"workflow {document.template} is not in the flow's version group: {', '.join(sorted(flow.templates))}"
        ),
    )


def _company_problem(flow: Flow, document: SourceDocument, company: str) -> Problem | None:
    if company in flow.companies:
        return None
    return Problem(
        document_id=document.document_id,
        code="unknown_company",
        field=flow.company_field,
        detail=f"流程不处理公司 {company} / the flow does not serve company {company}: {flow.flow_id}",
    )


def _amount(flow: Flow, document: SourceDocument, company: str) -> int | None:
    """The form's total in the company's currency; None where the form shows no plain number."""
    if flow.amount_field is None or company not in flow.companies:
        return None
    try:
        amount = to_minor(document.main.get(flow.amount_field, ""), flow.companies[company].currency)
    except ValueError:
        return None
    return amount if abs(amount) <= _LARGEST else None


def _personal(flow: Flow, document: SourceDocument) -> dict[str, str]:
    """Personal values, apart from the content: ``field`` of the main table or ``table.field`` of a detail table."""
    values: dict[str, str] = {}
    for name in flow.personal_fields:
        table, _, column = name.rpartition(".")
        rows = document.details.get(table, ()) if table else (document.main,)
        found = [text for row in rows if (text := row.get(column))]
        if found:
            values[name] = "\n".join(found)
    return values
