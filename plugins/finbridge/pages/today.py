"""Today: what was approved, where it stands, and what is still open, in documents and in money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import Response

from finbridge.hub.reasons import reason
from finbridge.hub.view_today import LISTED, STATES, Place, Scope, Today
from finbridge.pages.airflow_state import AirflowState, airflow_state
from finbridge.pages.charts import Bar, Caption, columns, parts
from finbridge.pages.guard import Reader, ReaderDep
from finbridge.pages.hubs import YEARS, ask
from finbridge.pages.rendering import page
from finbridge.pages.texts import Language, catalogue, language_of, text

router = APIRouter()
#: State -> the tone of its colour: done, goes on by itself, a person must act, nothing to do.
TONES = {
    **dict.fromkeys(("written_back", "posted"), "good"),
    **dict.fromkeys(("ready", "planning"), "plain"),
    **dict.fromkeys(("waiting_period", "unknown"), "wait"),
    **dict.fromkeys(("held", "unexplained"), "bad"),
    "nothing_to_post": "off",
}
#: Shown only where there is one: it must not be.
NEVER = "unexplained"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Cell:
    """Some documents and their money."""

    documents: int = 0
    amount_minor: int = 0


@dataclass(slots=True)
class Line:
    """A company of a flow in one currency."""

    flow_id: str
    company: str
    currency: str
    states: dict[str, Cell] = field(default_factory=dict)
    approved_minor: int = 0
    differing: int = 0
    without_amount: int = 0
    noted: int = 0
    oldest: datetime | None = None
    counted: int | None = None  # approved documents, counted apart from their states
    whole: bool = False  # the sum of several companies

    @property
    def documents(self) -> int:
        """Of all states."""
        return sum(cell.documents for cell in self.states.values())

    @property
    def amount_minor(self) -> int:
        """Of all states."""
        return sum(cell.amount_minor for cell in self.states.values())

    @property
    def difference_minor(self) -> int:
        """What the vouchers say less what the forms say."""
        return self.amount_minor - self.approved_minor

    @property
    def missing(self) -> int:
        """Approved documents that stand in no state: must be 0."""
        return 0 if self.counted is None else self.counted - self.documents

    @property
    def adds_up(self) -> bool:
        """The sums over all states equal what was approved."""
        return not self.missing and not self.difference_minor and not self.differing


@router.get("/today")
async def today(
    *,
    request: Request,
    reader: ReaderDep,
    day: Annotated[str, Query(alias="date", max_length=10)] = "",
    scope: Scope = "day",
    show: Annotated[str, Query(max_length=20)] = "",
    company: Annotated[str, Query(max_length=60)] = "",
    flow: Annotated[str, Query(max_length=120)] = "",
) -> Response:
    """The page; with ``show`` also the documents behind one number."""
    wanted = _day(day)
    if show not in ("", "all", "differing", *STATES) or (flow and reader.flow(flow) is None):
        raise HTTPException(status.HTTP_400_BAD_REQUEST)
    where = places(reader, wanted)
    found = await ask(request, lambda hub: hub.views.today(where))
    alarms = await ask(request, lambda hub: hub.alarms.open_rows())
    listed: Sequence[Mapping[str, Any]] | None = None
    if show:
        chosen = {"state": show if show in STATES else None, "company": company or None, "flow_id": flow or None}
        listed = await ask(
            request,
            lambda hub: hub.views.standing_documents(
                where, scope, **chosen, differing=show == "differing", limit=LISTED + 1
            ),
        )
    language = language_of(request)
    return page(
        request,
        "today.html",
        day=min(place.day for place in where),
        picked=bool(wanted),
        now=datetime.now(UTC),
        zone=reader.zone(),
        day_lines=with_wholes(lines(found.day, found.approved)),
        open_lines=with_wholes(lines(found.open)),
        day_states=shown_states(found.day),
        open_states=shown_states(found.open),
        tones=TONES,
        strip=lambda name, line: strip(language, name, line),
        hours=hours_chart(language, found.hours),
        lags=lags_in_words(language, found.lags),
        signs=signs(reader, found, await airflow_state(reader.flow_ids)),
        alarms=[{**row, "words": cause_of(row["cause"])} for row in alarms if row["flow_id"] in ("", *reader.flow_ids)],
        several_flows=len(reader.flow_ids) > 1,
        reason=lambda code: getattr(reason(code), language),
        list_of={"scope": scope, "show": show, "company": company, "flow": flow, "most": LISTED},
        listed=None if listed is None else listed[:LISTED],
        more=listed is not None and len(listed) > LISTED,
    )


def _day(given: str) -> date | None:
    """The day asked for; None for today.

    Raises:
        HTTPException: 400, it is no day, or one of a year that has no documents.
    """
    try:
        day = date.fromisoformat(given) if given else None
    except ValueError:
        raise HTTPException(status.HTTP_400_BAD_REQUEST) from None
    if day is not None and day.year not in YEARS:
        raise HTTPException(status.HTTP_400_BAD_REQUEST)
    return day


def places(reader: Reader, day: date | None, now: datetime | None = None) -> list[Place]:
    """The companies of the reader's flows with their local day, and one place a flow for any other company."""
    moment = now or datetime.now(UTC)
    found = []
    for flow_id, flow in sorted(reader.flows.items()):
        named = sorted(flow.companies.items())
        for code, company in [*named, ("", named[0][1])]:
            local = day or moment.astimezone(ZoneInfo(company.time_zone)).date()
            found.append(
                Place(flow_id=flow_id, company=code, currency=company.currency, zone=company.time_zone, day=local)
            )
    return found


def lines(rows: Iterable[Mapping[str, Any]], approved: Mapping[tuple[str, str], int] | None = None) -> list[Line]:
    """The hub's rows as lines of the table; one that was counted and has no rows does not add up."""
    found: dict[tuple[str, str, str], Line] = {}
    for row in rows:
        place = (row["flow_id"], row["company"], row["currency"])
        line = found.setdefault(place, Line(*place))
        line.states[row["state"]] = Cell(row["documents"], row["amount_minor"])
        line.approved_minor += row["approved_minor"]
        line.differing += row["differing"]
        line.without_amount += row["without_amount"]
        line.noted += row["noted"]
        line.oldest = min(filter(None, (line.oldest, row["oldest"])), default=None)
    for (flow_id, company), count in sorted((approved or {}).items()):
        mine = [line for line in found.values() if (line.flow_id, line.company) == (flow_id, company)]
        rest = count - sum(line.documents for line in mine)
        for line in mine:
            line.counted = line.documents
        if rest:
            line = mine[0] if mine else found.setdefault((flow_id, company, ""), Line(flow_id, company, ""))
            line.counted = line.documents + rest
    return [found[place] for place in sorted(found)]


def with_wholes(rows: Sequence[Line]) -> list[Line]:
    """The lines, and one more for each currency that several of them have."""
    found = list(rows)
    for currency in sorted({line.currency for line in rows}):
        mine = [line for line in rows if line.currency == currency]
        if len(mine) > 1:
            found.append(_whole(mine))
    return found


def _whole(rows: Sequence[Line]) -> Line:
    names = [state for state in STATES if any(state in line.states for line in rows)]
    cells = {state: [line.states[state] for line in rows if state in line.states] for state in names}
    return Line(
        flow_id="",
        company="",
        currency=rows[0].currency,
        states={s: Cell(sum(c.documents for c in of), sum(c.amount_minor for c in of)) for s, of in cells.items()},
        approved_minor=sum(line.approved_minor for line in rows),
        differing=sum(line.differing for line in rows),
        oldest=min((line.oldest for line in rows if line.oldest), default=None),
        counted=sum(line.counted for line in rows if line.counted is not None) or None,
        whole=True,
    )


def shown_states(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of a table: those that every reader expects, and the rare ones where there are any."""
    there = {row["state"] for row in rows}
    rare = {"nothing_to_post", NEVER} | (set() if "written_back" in there else {"written_back"})
    return [state for state in STATES if state in there or state not in rare]


def cause_of(cause: str) -> str:
    """The catalogue's name of an alarm's cause."""
    return cause if f"today.alarm.{cause}" in catalogue("zh") else "other"


def strip(language: Language, name: str, line: Line) -> object:
    """The states of a line as one strip."""
    bars = []
    for state in STATES:
        if cell := line.states.get(state):
            label = text(language, f"today.state.{state}")
            bars.append(Bar(cell.documents, says=f"{label}: {cell.documents:,}", tone=f"{TONES[state]} {state}"))
    title = text(language, "today.strip_title", company=line.company or text(language, "today.column.total"))
    return parts(Caption(name, title, "; ".join(bar.says for bar in bars)), bars)


def hours_chart(language: Language, hours: Mapping[int, int]) -> object | None:
    """Posted vouchers by hour; None where there is none."""
    if not hours:
        return None
    bars = [
        Bar(hours.get(hour, 0), f"{hour}", f"{hour:02}:00–{hour + 1:02}:00: {hours.get(hour, 0):,}", "good")
        for hour in range(24)
    ]
    busy = "; ".join(bar.says for bar in bars if bar.value)
    return columns(Caption("hours", text(language, "today.hours"), busy), bars)


def lags_in_words(language: Language, lags: Mapping[str, Any]) -> dict[str, str] | None:
    """How long today's postings took; None where there is none."""
    if not lags["vouchers"]:
        return None
    return {name: duration(language, lags[name]) for name in ("p50", "p95", "most")} | {
        "vouchers": f"{lags['vouchers']:,}"
    }


def duration(language: Language, seconds: float) -> str:
    """``3.2 s``, ``4 min 5 s``, ``2 h 5 min``, ``3 d 4 h`` in the reader's words."""
    if seconds < _MINUTE:
        return text(language, "today.duration.seconds", n=f"{max(0.0, seconds):.1f}")
    whole = round(seconds)
    for unit, size, smaller in (("days", _DAY, _HOUR), ("hours", _HOUR, _MINUTE), ("minutes", _MINUTE, 1)):
        if whole >= size:
            return text(language, f"today.duration.{unit}", n=whole // size, m=whole % size // smaller)
    return text(language, "today.duration.seconds", n=whole)


def signs(reader: Reader, found: Today, state: AirflowState) -> list[dict[str, Any]]:
    """By flow: when a run began and when the OA was read through, which DAGs are paused, whether the watcher lives."""
    told = []
    for row in found.signs:
        dags = {dag_id: paused for dag_id, paused in state.paused.items() if dag_id.startswith(f"{row['flow_id']}__")}
        told.append(
            {
                **row,
                "zone": reader.zone(row["flow_id"]),
                "known": bool(dags),
                "paused": sorted(dag_id for dag_id, paused in dags.items() if paused),
                "watcher_at": state.triggerer_at,
                "watcher_healthy": state.triggerer_healthy,
            }
        )
    return told
