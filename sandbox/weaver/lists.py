"""Lists and counts: bare arrays and bare ints over a live set, scoped to the caller, filtered by whole days, paged by
offset. No total comes with a page, and rows shift while somebody pages."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sandbox.weaver.engine import Engine
from sandbox.weaver.forms import other_params
from sandbox.weaver.model import Request, User
from sandbox.wire import FaultRule

DEFAULT_PAGE_SIZE = 10
LATE_COPY_DAYS = 7
LATE_COPY_SHARE = 10  # one in so many documents of earlier days comes again

Scope = Callable[[Request, User], bool]
SCOPES: dict[str, tuple[Scope, str]] = {
    "AllWorkflowRequest": (lambda r, u: u.sees_all or r.isremark(u.id) != "", "operated"),
    "ToDoWorkflowRequest": (lambda r, u: r.isremark(u.id) == "0", "received"),
    "DoingWorkflowRequest": (lambda r, u: r.isremark(u.id) == "0", "received"),
    "MyWorkflowRequest": (lambda r, u: r.creator == u.id, "created"),
    "HandledWorkflowRequest": (lambda r, u: r.isremark(u.id) == "2", "operated"),
    "ProcessedWorkflowRequest": (lambda r, u: r.archived and (u.sees_all or r.isremark(u.id) != ""), "operated"),
}
_DATES = {"create": "created", "operate": "operated", "recieve": "received"}


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that this stand-in knows, parsed; what it does not know is ignored, as the vendor does."""

    days: tuple[tuple[str, str, str], ...]  # attribute, first day, last day
    texts: tuple[tuple[str, str], ...]  # attribute, text contained
    workflows: frozenset[str]
    workflow_types: frozenset[str]
    creator: str
    work_code: str
    node_type: str
    archived: str
    level: str

    def operated(self) -> tuple[str, str] | None:
        """The days of the last operation, where asked for: an index serves them."""
        return next(((first, last) for name, first, last in self.days if name == "operated"), None)


def parse(text: str | None, today: date) -> Filter:
    """Conditions JSON as a filter."""
    raw = {str(name): str(value) for name, value in other_params(text).items()}
    days = []
    for prefix, attribute in _DATES.items():
        bounds = _span(raw, prefix, today)
        if bounds is not None:
            days.append((attribute, *bounds))
    texts = [(attribute, raw[key]) for key, attribute in (("requestname", "name"), ("wfcode", "mark")) if raw.get(key)]
    return Filter(
        days=tuple(days),
        texts=tuple(texts),
        workflows=_csv(raw.get("workflowIds")),
        workflow_types=_csv(raw.get("workflowTypes")),
        creator=raw.get("hrmcreaterid") or raw.get("createrid") or "",
        work_code=raw.get("workcode", ""),
        node_type=raw.get("nodetype", ""),
        archived=raw.get("archivestatus", ""),
        level=raw.get("requestlevel", ""),
    )


def _csv(text: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (text or "").split(",") if part.strip())


def _span(raw: Mapping[str, str], prefix: str, today: date) -> tuple[str, str] | None:
    """First and last day of a date condition; an open end is left open."""
    kind = raw.get(f"{prefix}dateselect", "0")
    first_of_month = today.replace(day=1)
    starts: dict[str, tuple[date, date]] = {
        "1": (today, today),
        "2": (today - timedelta(days=today.weekday()), today),
        "3": (first_of_month, today),
        "4": (today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1), today),
        "5": (today.replace(month=1, day=1), today),
        "7": ((first_of_month - timedelta(days=1)).replace(day=1), first_of_month - timedelta(days=1)),
        "8": (date(today.year - 1, 1, 1), date(today.year - 1, 12, 31)),
    }
    if kind == "6":
        return raw.get(f"{prefix}datefrom") or "0000", raw.get(f"{prefix}dateto") or "9999-12-31"
    if kind in starts:
        first, last = starts[kind]
        return first.isoformat(), last.isoformat()
    return None


class Lists:
    """Serves every list and count; the ordered ids of a query are kept until something changes."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._store, self._options = engine, engine.store, engine.options
        self._kept: dict[tuple[str, str, str], tuple[int, str, list[Request]]] = {}

    def page(self, scope: str, params: Mapping[str, str], user: User, fault: FaultRule | None) -> list[Request]:
        """One page, newest first."""
        rows = self._rows(scope, params, user)
        if fault is not None and fault.fault == "late_rows":
            rows = _older_than(rows, fault.seconds(60.0))
        number, size = _number(params.get("pageNo"), 1), _number(params.get("pageSize"), DEFAULT_PAGE_SIZE)
        start = (number - 1) * size + (self._drift(fault) if number > 1 else 0)
        page = rows[max(0, start) : max(0, start) + size]
        return _disturbed(page, fault)

    def count(self, scope: str, params: Mapping[str, str], user: User, fault: FaultRule | None) -> int:
        """How many rows there are; a fault may say something else."""
        off = int(fault.options.get("by", 1)) if fault is not None and fault.fault == "wrong_count" else 0
        return max(0, len(self._rows(scope, params, user)) + off)

    def _drift(self, fault: FaultRule | None) -> int:
        if fault is not None and fault.fault == "page_drift":
            return int(fault.options.get("by", 1))
        return self._options.page_drift

    def _rows(self, scope: str, params: Mapping[str, str], user: User) -> list[Request]:
        conditions = params.get("conditions", "")
        today = self._engine.clock.now().date()
        key = (scope, user.id, conditions)
        kept = self._kept.get(key)
        if kept is not None and kept[:2] == (self._store.version, today.isoformat()):
            return self._shown(kept[2])
        wanted = parse(conditions, today)
        test, attribute = SCOPES[scope]
        rows = [r for r in self._candidates(wanted) if not r.deleted and test(r, user) and self._match(r, wanted)]
        rows.sort(key=lambda r: (getattr(r, attribute), r.id), reverse=True)
        rows = self._repeated(rows, wanted, test, user)
        if len(self._kept) > 64:
            self._kept.clear()
        self._kept[key] = (self._store.version, today.isoformat(), rows)
        return self._shown(rows)

    def _shown(self, rows: list[Request]) -> list[Request]:
        lag = self._options.list_lag_seconds
        return _older_than(rows, lag) if lag > 0 else rows

    def _candidates(self, wanted: Filter) -> Iterable[Request]:
        operated = wanted.operated()
        requests = self._store.requests
        if operated is None:
            return requests.values()
        first, last = operated
        days = [day for day in self._store.by_day if first <= day <= last]
        return (requests[number] for day in days for number in self._store.by_day[day])

    def _match(self, request: Request, wanted: Filter) -> bool:
        workflow = self._engine.workflows[request.workflow_id]
        creator = self._engine.users.get(request.creator)
        return (
            (not wanted.workflows or request.workflow_id in wanted.workflows)
            and (not wanted.workflow_types or workflow.type_id in wanted.workflow_types)
            and all(first <= getattr(request, name)[:10] <= last for name, first, last in wanted.days)
            and wanted.creator in {"", request.creator}
            and wanted.work_code in {"", creator.code if creator else ""}
            and wanted.node_type in {"", str(request.node_type)}
            and wanted.archived in {"", "0", "1" if request.archived else "2"}
            and wanted.level in {"", request.level}
            and all(text in _text(request, name) for name, text in wanted.texts)
        )

    def _repeated(self, rows: list[Request], wanted: Filter, test: Scope, user: User) -> list[Request]:
        """``repeat`` > 1: every row comes that many times, and some documents of earlier days come late again."""
        if self._options.repeat <= 1:
            return rows
        late: list[Request] = []
        operated = wanted.operated()
        if operated is not None and operated[0] > "0000":
            first = date.fromisoformat(operated[0])
            earlier = ((first - timedelta(days=back)).isoformat() for back in range(1, LATE_COPY_DAYS + 1))
            numbers = [number for day in earlier for number in self._store.by_day.get(day, ())]
            again = [self._store.requests[n] for n in numbers if (n + first.toordinal()) % LATE_COPY_SHARE == 0]
            rest = Filter((), *[getattr(wanted, name) for name in Filter.__slots__[1:]])
            late = [r for r in again if not r.deleted and test(r, user) and self._match(r, rest)]
        copies = [(row, copy) for copy in range(self._options.repeat) for row in rows] + [(row, 0) for row in late]
        seed = self._options.seed
        return [row for row, _ in sorted(copies, key=lambda item: _scattered(item[0].id, item[1], seed))]


def _scattered(number: int, copy: int, seed: int) -> int:
    """A place without pattern that stays when other rows come and go: such a list drifts no more than another."""
    return zlib.crc32(f"{seed}:{copy}:{number}".encode())


def _text(request: Request, name: str) -> str:
    return request.name if name == "name" else request.main.get("djbh", "")


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() and int(text) > 0 else default


def _older_than(rows: list[Request], seconds: float) -> list[Request]:
    limit = time.time() - seconds
    return [request for request in rows if request.changed_wall <= limit]


def _disturbed(page: list[Request], fault: FaultRule | None) -> list[Request]:
    """A page with rows hidden, doubled or in another order."""
    if fault is None or not page:
        return page
    options: Mapping[str, Any] = fault.options
    if fault.fault == "hidden_rows":
        hidden = set(fault.random.sample(range(len(page)), min(len(page), int(options.get("rows", 1)))))
        return [request for at, request in enumerate(page) if at not in hidden]
    if fault.fault == "doubled_rows":
        page = page + fault.random.choices(page, k=int(options.get("rows", 1)))
    if fault.fault in {"doubled_rows", "reordered_rows"}:
        page = fault.random.sample(page, len(page))
    return page
