"""A log as documents: case columns as form fields, events as rows of an approval log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from random import Random

from finbridge.cli.replay.rules import LogRules
from finbridge.core.errors import GiveUp
from finbridge.mapping.parquet import read_parquet


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event: its own local day and time, as the text says it before the offset."""

    activity: str
    day: str  # yyyy-MM-dd
    time: str  # HH:mm:ss


@dataclass(frozen=True, slots=True)
class LogDocument:
    """One case with its events in the order of the log."""

    document_id: str
    fields: Mapping[str, str]
    events: tuple[LogEvent, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """A whole log."""

    columns: tuple[str, ...]
    documents: tuple[LogDocument, ...]

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(len(document.events) for document in self.documents)

    @property
    def years(self) -> tuple[int, ...]:
        """All years from the first to the last event."""
        years = {int(event.day[:4]) for document in self.documents for event in document.events}
        return tuple(range(min(years), max(years) + 1)) if years else (date.today().year,)  # noqa: DTZ011 - any year


def read_log(folder: Path, rules: LogRules, *, documents: int | Path | None = None, shuffle: int | None = None) -> Log:
    """Read ``cases.parquet`` and ``events.parquet``.

    Args:
        documents: only the first so many, or only those named in a file (one id a line).
        shuffle: seed; events that share a second of their document change places.

    Raises:
        GiveUp: a file or a column is missing.
    """
    cases = _read(folder / "cases.parquet", (rules.case_document,))
    wanted = (rules.event_document, rules.event_activity, rules.event_time)
    events: dict[str, list[LogEvent]] = {str(case[rules.case_document]): [] for case in cases}
    for row in _read(folder / "events.parquet", wanted):
        document, activity, text = (str(row[name]) for name in wanted)
        if document in events:
            events[document].append(LogEvent(activity, text[:10], text[11:19]))
    chosen = _chosen([str(case[rules.case_document]) for case in cases], documents)
    random = None if shuffle is None else Random(shuffle)  # noqa: S311 - a seeded shuffle, no secret
    made = []
    for case in cases:
        name = str(case[rules.case_document])
        if name in chosen:
            mine = events[name] if random is None else list(_shuffled(events[name], random))
            made.append(LogDocument(name, _fields(case), tuple(mine)))
    columns = tuple(column for column in (cases[0] if cases else ()) if not column.startswith("_"))
    return Log(columns, tuple(made))


def _read(path: Path, needed: Iterable[str]) -> list[dict[str, object]]:
    try:
        rows = read_parquet(path)
    except ValueError as error:
        raise GiveUp("bad_log", f"日志文件无法读取 / {error}") from None
    missing = [name for name in needed if rows and name not in rows[0]]
    if missing:
        raise GiveUp("bad_log", f"日志缺少列 / {path} has no column {', '.join(missing)}")
    return rows


def _fields(case: Mapping[str, object]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in case.items() if not name.startswith("_")}


def _chosen(names: list[str], documents: int | Path | None) -> set[str]:
    if documents is None:
        return set(names)
    if isinstance(documents, int):
        return set(names[:documents])
    asked = {line.strip() for line in documents.read_text(encoding="utf-8").splitlines() if line.strip()}
    unknown = asked - set(names)
    if unknown:
        raise GiveUp("unknown_document", f"日志中没有该单据 / not in the log: {sorted(unknown)[:5]}")
    return asked


def _shuffled(events: Iterable[LogEvent], random: Random) -> Iterator[LogEvent]:
    for _, group in groupby(events, key=lambda event: (event.day, event.time)):
        together = list(group)
        random.shuffle(together)
        yield from together
