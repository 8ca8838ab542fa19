"""Held: every open reason, whose turn it is and how long it stands; filtered, paged by key, and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import Response, StreamingResponse

from finbridge.core.money import to_text
from finbridge.hub.view_held import HeldFilter, HeldPage, Place
from finbridge.pages.formats import days_since, moment
from finbridge.pages.guard import Reader, ReaderDep
from finbridge.pages.hubs import YEARS, ask
from finbridge.pages.rendering import HEADERS, page
from finbridge.pages.texts import Language, language_of, text, word

ROWS = 50
_CSV_ROWS = 2000
_COLUMNS = (
    *("flow", "document", "business_number", "company", "amount", "currency", "code", "reason", "field", "detail"),
    *("turn", "opened_at", "days"),
)
#: Full-width forms are taken for formulas by spreadsheets of East Asian locales.
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NEGATIVE = re.compile(r"-[0-9]+(\.[0-9]+)?")

router = APIRouter()
Text = Annotated[str, Query(max_length=100)]


@router.get("/held")
async def held(
    request: Request,
    who: ReaderDep,
    *,
    code: Text = "",
    company: Text = "",
    turn: Text = "",
    after: Text = "",
    before: Text = "",
) -> Response:
    """The list, oldest first, with counts by reason on top."""
    wanted = HeldFilter(flow_ids=who.flow_ids, code=code, company=company, turn=turn)
    places = {"after": _place(after), "before": _place(before)}
    everything = HeldFilter(flow_ids=who.flow_ids, company=company)
    rows = await ask(request, lambda hub: hub.views.held(wanted, **places, limit=ROWS))
    groups, documents = await ask(request, lambda hub: hub.views.held_counts(everything))
    return page(
        request,
        "held.html",
        documents_held=_by_document(who, rows.rows),
        reasons=_reasons(groups, turn),
        documents=documents,
        companies=sorted({code for flow in who.flows.values() for code in flow.companies}),
        chosen={"code": code, "company": company, "turn": turn},
        turns=[name for name in ("submitter", "finance", "it", "nobody") if documents.get(name)],
        newer=_after(rows),
        older=_before(rows),
        paged=bool(after or before),
    )


def _by_document(who: Reader, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring rows of one document as one, each of its reasons once with all its details."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if not found or any(found[-1][name] != row[name] for name in ("flow_id", "document_id")):
            zone = who.zone(row["flow_id"], row["company"])
            found.append({**row, "zone": zone, **_money(who, row), "reasons": {}})
        same = found[-1]["reasons"].setdefault((row["code"], row["turn"]), {**row, "details": {}})
        same["details"] |= {row["detail"]: None} if row["detail"] else {}
    return found


def _money(who: Reader, row: Mapping[str, Any]) -> dict[str, Any]:
    """A document that was never planned has no currency yet: its company's, then."""
    company = who.flows[row["flow_id"]].companies.get(row["company"])
    return {"currency": row["currency"] or (company.currency if company else None)}


def _reasons(groups: Sequence[Mapping[str, Any]], turn: str) -> list[dict[str, Any]]:
    """The counts by reason, over all companies that are shown."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for group in groups:
        if turn and group["turn"] != turn:
            continue
        known = found.setdefault((group["code"], group["turn"]), {**group, "documents": 0})
        known["documents"] += group["documents"]
        known["oldest_at"] = min(known["oldest_at"], group["oldest_at"])
    return sorted(found.values(), key=lambda reason: (-reason["documents"], reason["code"]))


def _place(mark: str) -> Place | None:
    """A place from an address.

    Raises:
        HTTPException: 400, it is not one.
    """
    if not mark:
        return None
    at, _, hold_id = mark.rpartition("~")
    try:
        opened_at = datetime.fromisoformat(at)
        place = Place(opened_at.astimezone(UTC) if opened_at.tzinfo else opened_at, int(hold_id))
    except (ValueError, OverflowError):
        raise HTTPException(status.HTTP_400_BAD_REQUEST) from None
    sound = place.opened_at.tzinfo is not None and place.opened_at.year in YEARS and 0 <= place.hold_id < 2**62
    if not sound:
        raise HTTPException(status.HTTP_400_BAD_REQUEST)
    return place


def _mark(row: Mapping[str, Any]) -> str:
    return f"{row['opened_at'].astimezone(UTC).isoformat()}~{row['hold_id']}"


def _after(rows: HeldPage) -> str:
    return _mark(rows.rows[-1]) if rows.more_after and rows.rows else ""


def _before(rows: HeldPage) -> str:
    return _mark(rows.rows[0]) if rows.more_before and rows.rows else ""


# ---------------------------------------------------------------------- CSV


@router.get("/held.csv")
async def held_csv(request: Request, who: ReaderDep, code: Text = "", company: Text = "", turn: Text = "") -> Response:
    """All rows of the list; an error in the middle breaks the download, it never shortens it silently."""
    wanted = HeldFilter(flow_ids=who.flow_ids, code=code, company=company, turn=turn)
    first = await ask(
        request, lambda hub: hub.views.held(wanted, limit=_CSV_ROWS)
    )  # away is said before anything is sent
    name = f"held-{datetime.now(UTC):%Y%m%d}.csv"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    lines = _lines(request, who, wanted, first)
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


async def _lines(request: Request, who: Reader, wanted: HeldFilter, rows: HeldPage) -> AsyncIterator[str]:
    language = language_of(request)
    yield "\ufeff" + _csv([[text(language, f"held.csv.{name}") for name in _COLUMNS]])
    while rows.rows:
        yield _csv([_cells(who, language, row) for row in rows.rows])
        if not rows.more_after:
            return
        last = Place(rows.rows[-1]["opened_at"], rows.rows[-1]["hold_id"])
        rows = await ask(request, partial(_next_page, wanted, last))


def _next_page(wanted: HeldFilter, last: Place, hub: Any) -> HeldPage:
    found: HeldPage = hub.views.held(wanted, after=last, limit=_CSV_ROWS)
    return found


def _cells(who: Reader, language: Language, row: Mapping[str, Any]) -> list[str]:
    currency = _money(who, row)["currency"] or ""
    amount = "" if row["amount_minor"] is None else to_text(row["amount_minor"], currency)
    return [
        *(row["flow_id"], row["document_id"], row["business_number"], row["company"], amount, currency),
        *(row["code"], row[f"text_{language}"], row["field"], row["detail"], word(language, "turn", row["turn"])),
        *(moment(row["opened_at"], who.zone(row["flow_id"], row["company"])), str(days_since(row["opened_at"]))),
    ]


def _csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: str) -> str:
    """A text that a spreadsheet would take for a formula stays a text; a negative amount stays a number."""
    if _NEGATIVE.fullmatch(cell):
        return cell
    return f"'{cell}" if cell.lstrip(" ").startswith(_RISKY) else cell
