"""Month: both sides of a company's accounting period, and what explains each difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import Response

from finbridge.hub.view_runs import LISTED
from finbridge.pages.guard import Reader, ReaderDep
from finbridge.pages.hubs import ask
from finbridge.pages.rendering import page
from finbridge.pages.texts import language_of
from finbridge.pages.words import reasons_in_words

router = APIRouter()
SIDES = ("oa", "register", "finance")
_MOST_PAGES = 10_000


@dataclass(slots=True)
class SumLine:
    """One kind of voucher in one currency: side -> (vouchers, minor units)."""

    kind: str
    currency: str
    sides: dict[str, tuple[int, int]] = field(default_factory=lambda: dict.fromkeys(SIDES, (0, 0)))

    @property
    def difference(self) -> tuple[int, int]:
        """What finance has less what the OA calls for."""
        (oa_vouchers, oa_minor), (vouchers, minor) = self.sides["oa"], self.sides["finance"]
        return vouchers - oa_vouchers, minor - oa_minor

    @property
    def agrees(self) -> bool:
        """All three sides show the same."""
        return len(set(self.sides.values())) == 1


@router.get("/month")
async def months(request: Request, reader: ReaderDep) -> Response:
    """The newest comparisons."""
    rows = await ask(request, lambda hub: hub.views.months(reader.flow_ids))
    return page(request, "months.html", rows=[{**row, "zone": _zone(reader, row)} for row in rows], active="month")


@router.get("/month/{run_id}")
async def month(
    *,
    request: Request,
    reader: ReaderDep,
    run_id: str,
    company: Annotated[str, Query(max_length=60)] = "",
    what: Annotated[str, Query(max_length=40)] = "",
    start: Annotated[int, Query(ge=0, le=_MOST_PAGES * LISTED)] = 0,
) -> Response:
    """One comparison, by its number or by the run of Airflow that made it (of several companies: see ``company``)."""
    run = await _run(request, reader, run_id)
    siblings = await ask(request, lambda hub: hub.views.months_of_run([run["flow_id"]], run["run_id"]))
    for row in siblings:
        if row["company"] == company and row["month_run_id"] != run["month_run_id"]:
            run = await _run(request, reader, row["month_run_id"])
    number, flow_ids = run["month_run_id"], [run["flow_id"]]
    counted = await ask(request, lambda hub: hub.views.differences_counted(number))
    open_what = what or next((row["what"] for row in counted if row["explained"]), "")
    unexplained, explained = await ask(
        request,
        lambda hub: (
            hub.views.differences(number, explained=False, limit=LISTED + 1, offset=0 if what else start),
            hub.views.differences(
                number, explained=True, what=open_what, limit=LISTED + 1, offset=start if what else 0
            ),
        ),
    )
    same = await ask(request, lambda hub: hub.views.months(flow_ids, company=run["company"], period=run["period"]))
    language = language_of(request)
    return page(
        request,
        "month.html",
        active="month",
        run=run,
        zone=_zone(reader, run),
        sums=sum_lines(await ask(request, lambda hub: hub.months.sums(number))),
        sides=SIDES,
        counted=counted,
        unexplained=unexplained,
        explained=explained,
        what=open_what,
        picked=bool(what),
        start=start,
        most=LISTED,
        words=lambda said: reasons_in_words(said, language),
        siblings=siblings,
        earlier=[row for row in same if row["month_run_id"] != number],
    )


async def _run(request: Request, reader: Reader, name: str | int) -> dict[str, Any]:
    """A comparison that the reader may see.

    Raises:
        HTTPException: 404, there is none.
    """
    found = await ask(request, lambda hub: hub.months.run(name))
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    reader.flow(found["flow_id"])
    return found


def sum_lines(rows: Iterable[Mapping[str, Any]]) -> list[SumLine]:
    """The hub's rows as a line a kind and currency."""
    found: dict[tuple[str, str], SumLine] = {}
    for row in rows:
        name = (row["kind"], row["currency"])
        line = found.setdefault(name, SumLine(*name))
        line.sides[row["side"]] = (row["vouchers"], row["amount_minor"])
    return [found[name] for name in sorted(found)]


def _zone(reader: Reader, row: Mapping[str, Any]) -> str:
    return reader.zone(row["flow_id"], row["company"])
