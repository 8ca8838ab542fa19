"""Find: any number of any system, or a pasted list of them."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from finbridge.hub.view_find import HITS_AT_MOST, WORDS_AT_MOST, Found
from finbridge.pages.guard import ReaderDep
from finbridge.pages.hubs import ask
from finbridge.pages.rendering import HEADERS, link, page

LONGEST = 2000
_BETWEEN = re.compile(r"[\s,;、|]+")
_WORD_AND_SERIAL = re.compile(r"(?:^|(?<=[\s,;、|]))([\u4e00-\u9fff]{1,2})\s+(?=\d)")  # 记 123

router = APIRouter()


def words_of(text: str) -> list[str]:
    """The numbers that a text names: full-width characters made plain, parted by blanks, commas and the like."""
    plain = unicodedata.normalize("NFKC", text)
    visible = "".join(char for char in plain if char.isspace() or unicodedata.category(char)[0] != "C")
    parts = _BETWEEN.split(_WORD_AND_SERIAL.sub(r"\1-", visible))
    return list(dict.fromkeys(part for part in parts if part))


@router.get("/find")
async def find(request: Request, who: ReaderDep, q: Annotated[str, Query(max_length=LONGEST)] = "") -> Response:
    """The search; one document alone is shown at once."""
    words = words_of(q)
    found: Found | None = None
    if words:
        found = await ask(request, lambda hub: hub.views.find(who.flow_ids, words))
        if len(found.documents) == 1 and not found.runs and not found.missing:
            only = found.documents[0]
            path = f"/document/{quote(only['flow_id'], safe='')}/{quote(only['document_id'], safe='')}"
            return RedirectResponse(link(request, path, q=q), status_code=303, headers=HEADERS)
    return page(
        request,
        "find.html",
        q=q,
        focus=not q,
        found=found,
        several=len(words) > 1,
        left_out=max(0, len(words) - WORDS_AT_MOST),
        most=WORDS_AT_MOST,
        hits_most=HITS_AT_MOST,
        currencies={flow_id: _currencies(who, flow_id) for flow_id in who.flows},
        zone=who.zone(),
    )


def _currencies(who: ReaderDep, flow_id: str) -> dict[str, str]:
    return {code: company.currency for code, company in who.flows[flow_id].companies.items()}
