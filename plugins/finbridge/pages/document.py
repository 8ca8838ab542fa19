"""One document: where it stands and why, its vouchers line by line, and everything that happened to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import Response

from finbridge.core.flow import Flow
from finbridge.hub import PostgresHub
from finbridge.hub.reasons import reason
from finbridge.pages.content import PERSONAL, changes, fields_of, labels
from finbridge.pages.find import LONGEST
from finbridge.pages.guard import ReaderDep
from finbridge.pages.hubs import ask
from finbridge.pages.rendering import page
from finbridge.pages.situation import situation
from finbridge.pages.texts import Language, language_of
from finbridge.pages.words import compared_in_words

_DIMENSIONS = (
    "department",
    "employee",
    "supplier",
    "customer",
    "project",
    "contract",
    "bank_account",
    "cash_flow_item",
)

#: What the template takes as the hub gives it.
_PARTS = ("document", "accounts", "vouchers", "events", "attempts", "write_backs")

router = APIRouter()


@router.get("/document/{flow_id}/{document_id}")
async def document(
    request: Request,
    who: ReaderDep,
    flow_id: str,
    document_id: str,
    q: Annotated[str, Query(max_length=LONGEST)] = "",
) -> Response:
    """The page of one document."""
    flow = who.flow(flow_id)
    found = await ask(request, partial(_read, flow, document_id))
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    row = found["document"]
    company = flow.companies.get(row["company"])
    for voucher in found["vouchers"]:
        for line in voucher["lines"]:
            line["dimensions"] = _dimensions(line)
    return page(
        request,
        "document.html",
        active="find",
        q=q,
        flow=flow,
        zone=who.zone(flow_id, row["company"]),
        currency=row["currency"] or (company.currency if company else None),
        situation=situation(row, found["vouchers"], found["holds"]),
        open_holds=_by_reason((hold for hold in found["holds"] if hold["closed_at"] is None), language_of(request)),
        closed_holds=[hold for hold in found["holds"] if hold["closed_at"] is not None],
        kinds={voucher["key"]: voucher["kind"] for voucher in found["vouchers"]},
        versions=_versions(flow, found["versions"]),
        labels=labels(flow),
        personal=PERSONAL,
        paid=[{**row, "why": _words(row["reason"], language_of(request))} for row in found["payment_status"]],
        trail=[{**entry, "why": _why(entry, language_of(request))} for entry in found["trail"]],
        **{name: found[name] for name in _PARTS},
    )


def _read(flow: Flow, document_id: str, hub: PostgresHub) -> dict[str, Any] | None:
    """The document, and ``accounts``: what finance calls those of its lines."""
    found = hub.views.document(flow.flow_id, document_id)
    if found is None:
        return None
    company = flow.companies.get(found["document"]["company"])
    accounts = sorted({line["account"] for voucher in found["vouchers"] for line in voucher["lines"]})
    system = f"{flow.target_system}:{flow.target_connection}"
    found["accounts"] = hub.views.account_names(system, company.ledger_company, accounts) if company else {}
    return found


def _by_reason(holds: Iterable[Mapping[str, Any]], language: Language) -> list[dict[str, Any]]:
    """Open holds, each reason once: with all its ``details``, ``fields`` and its first day.

    ``compared``: what we sent beside what finance holds, where the detail says so.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for hold in holds:
        one = found.setdefault((hold["origin"], hold["code"]), {**hold, "details": {}, "fields": {}})
        one["opened_at"] = min(one["opened_at"], hold["opened_at"])
        one["details"] |= {hold["detail"]: None} if hold["detail"] else {}
        one["fields"] |= {hold["field"]: None} if hold["field"] else {}
        one["compared"] = compared_in_words(hold["detail"], language) if hold["code"] == "conflict" else []
    return list(found.values())


def _why(entry: Mapping[str, Any], language: Language) -> str:
    """The reason of a trail entry in words; of a list, the words of its code."""
    listed = entry["action"] in ("hold_opened", "hold_closed")
    return _words(entry["reason"], language) if listed else str(entry["reason"])


def _words(code: str, language: Language) -> str:
    known = reason(code)
    return "" if not code else known.zh if language == "zh" else known.en


def _dimensions(line: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Those of a line that are filled: the typed ones by name, then those that a company made up."""
    typed = [(name, str(line[name])) for name in _DIMENSIONS if line[name]]
    return typed + sorted((str(name), str(value)) for name, value in line["other_dimensions"].items())


def _versions(flow: Flow, versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Newest first, each with its fields and what changed since the one before it."""
    made = []
    for index, version in enumerate(versions):
        before = versions[index - 1]["canonical"] if index else None
        made.append(
            {
                "number": index + 1,
                "content": version["content"],
                "first_seen_at": version["first_seen_at"],
                "fields": fields_of(version["canonical"], flow.personal_fields),
                "changes": changes(before, version["canonical"], flow.personal_fields) if before is not None else None,
            }
        )
    return made[::-1]
