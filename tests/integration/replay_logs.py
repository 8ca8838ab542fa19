"""Logs to replay: where the real ones are, which of their documents to take, and a seeded log of our own.

Real data never enters the project: it lies in FINBRIDGE_DATA or in ../shared/data (BPI Challenge 2020, van Dongen,
DOI 10.4121/uuid:52fb97d4-4588-43c9-9d04-3604d4613b51, for tests and evaluation only).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import duckdb

PROJECT = Path(__file__).resolve().parents[2]
REAL_LOGS = ("bpic2020_DomesticDeclarations", "bpic2020_RequestForPayment")
NO_DATA = (
    "neither FINBRIDGE_DATA nor ../shared/data holds the real logs (see the DOI in tests/integration/replay_logs.py)"
)
_ZONE = ZoneInfo("Europe/Amsterdam")


def real_log(name: str) -> Path | None:
    """Folder of a real log, or None."""
    candidates = [os.environ.get("FINBRIDGE_DATA", ""), str(PROJECT.parent / "shared" / "data")]
    for candidate in candidates:
        if candidate and (Path(candidate) / name / "events.parquet").is_file():
            return Path(candidate) / name
    return None


_CANDIDATES = """
WITH paths AS (
  SELECT "case:concept:name" AS doc, min(_case_index) AS place,
         string_agg("concept:name", '>' ORDER BY _event_index)
           || CASE WHEN count(*) > count(DISTINCT left("time:timestamp", 19)) THEN ' same second' ELSE '' END AS path,
         list(DISTINCT left("time:timestamp", 10)) AS days
  FROM read_parquet($events) GROUP BY 1
)
SELECT p.doc, p.path || CASE WHEN TRY_CAST(coalesce({amount}) AS DOUBLE) > 0 THEN '' ELSE ' zero' END AS kind, p.days
FROM paths p JOIN read_parquet($cases) c ON c."concept:name" = p.doc ORDER BY p.place
"""


def pick(log: Path, wanted: int) -> list[str]:
    """Documents that hold every path of the log (activities in order, equal seconds, 0.00), on few calendar days.

    Raises:
        ValueError: the log has more paths than ``wanted``.
    """
    cases = str(log / "cases.parquet")
    with duckdb.connect() as db:
        columns = {row[0] for row in db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [cases]).fetchall()}
        amount = ", ".join([*(f'c."{n}"' for n in ("Amount", "RequestedAmount") if n in columns), "NULL"])
        values = {"events": str(log / "events.parquet"), "cases": cases}
        found = db.execute(_CANDIDATES.format(amount=amount), values).fetchall()
    by_kind: dict[str, list[tuple[str, set[str]]]] = defaultdict(list)
    for doc, kind, on in found:
        by_kind[kind].append((doc, set(on)))
    if len(by_kind) > wanted:
        raise ValueError(f"{log} has {len(by_kind)} paths, more than {wanted}")
    days: set[str] = set()
    chosen: dict[str, None] = {}
    for candidates in sorted(by_kind.values(), key=len):  # a path with one document leaves no choice
        doc, on = min(candidates, key=lambda candidate: len(candidate[1] - days))
        chosen[doc] = None
        days |= on
    for doc, _, _ in sorted(found, key=lambda row: len(set(row[2]) - days)):
        if len(chosen) < wanted:
            chosen[doc] = None
    return list(chosen)


def paths(log: Path, documents: list[str] | None = None) -> set[str]:
    """The distinct sequences of activities among these documents (None: all)."""
    with duckdb.connect() as db:
        rows = db.execute(
            """SELECT "case:concept:name", string_agg("concept:name", '>' ORDER BY _event_index)
               FROM read_parquet(?) GROUP BY 1""",
            [str(log / "events.parquet")],
        ).fetchall()
    wanted = None if documents is None else set(documents)
    return {path for doc, path in rows if wanted is None or doc in wanted}


# ---------------------------------------------------------------- a log of our own


@dataclass(frozen=True, kw_only=True)
class Family:
    """One log of the collection: its words and columns."""

    prefix: str
    amount: str
    number: str
    document_id: str
    case_columns: tuple[str, ...]


DECLARATIONS = Family(
    prefix="Declaration",
    amount="Amount",
    number="DeclarationNumber",
    document_id="declaration",
    # a requested and an adjusted amount stand beside the amount to post, as in the log of international claims
    case_columns=("RequestedAmount", "AdjustedAmount", "OriginalAmount", "Permit BudgetNumber"),
)
REQUESTS = Family(
    prefix="Request For Payment",
    amount="RequestedAmount",
    number="RfpNumber",
    document_id="request for payment",
    case_columns=("OrganizationalEntity", "Permit Cost Type"),
)
#: Histories in letters: v saved, s submitted, t step, A approved, R rejected, W withdrawn, Q payment requested, P paid,
#: . something of the parent, = the next event shares the second of the one before.
HISTORIES = (
    "",
    ".",
    "v",
    "vs",
    "st",
    "st.t",
    "sA",
    "sA=t",
    "stA=Q",
    "stQ=AP",  # recorded in the wrong order
    "stAQP",
    ".stA.QP.",
    "stAP",
    "stAPQ",
    "stAQPP",
    "stAQP=P",
    "sR",
    "sW",
    "stRWstAQP",
    "stAR",
    "stARstAQP",
    "stARWvsARsAQP",
    "stAQR",
    "stAQs",
    "stAQv",
    "stAQRstAQP",
    "stAQPR",
    "stAQPv",
    "stAQPRsAQ",
    "sQ",
    "sP",
    "sQPR",
    "sPAP",
    "sAA",
    "stAt",
)
AMOUNTS = (
    "0",
    "0.00",
    "0.004",
    "0.005",
    "0.015",
    "1.005",
    "12.345",
    "26.85120450862128",
    "320.64613660358276",
    "99999.9949",
)
_VERBS = {
    "v": "{p} SAVED by EMPLOYEE",
    "s": "{p} SUBMITTED by EMPLOYEE",
    "t": "{p} APPROVED by ADMINISTRATION",
    "A": "{p} FINAL_APPROVED by SUPERVISOR",
    "R": "{p} REJECTED by ADMINISTRATION",
    "W": "{p} REJECTED by EMPLOYEE",
    "Q": "Request Payment",
    "P": "Payment Handled",
}
_PARENT = (
    "Permit SUBMITTED by EMPLOYEE",
    "Permit FINAL_APPROVED by DIRECTOR",
    "Start trip",
    "End trip",
    "Send Reminder",
)


@dataclass
class _Rows:
    cases: list[dict[str, str | int]] = field(default_factory=list)
    events: list[dict[str, str | int]] = field(default_factory=list)


def make_log(folder: Path, family: Family, *, documents: int, seed: int, bare: bool = False) -> Path:
    """Write cases.parquet and events.parquet in the collection's shape: every history with every kind of amount.

    ``bare`` leaves out every column that a log may lack.
    """
    random, rows = Random(seed), _Rows()
    for at in range(documents):
        history = HISTORIES[at % len(HISTORIES)]
        amount = AMOUNTS[(at * 7 + at // len(HISTORIES)) % len(AMOUNTS)]
        _document(rows, family, random, at=at, history=history, amount=amount, bare=bare)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "cases.parquet", rows.cases)
    _write(folder / "events.parquet", rows.events)
    return folder


def _document(rows: _Rows, family: Family, random: Random, *, at: int, history: str, amount: str, bare: bool) -> None:
    name = f"{family.document_id} {100 + at}"
    case: dict[str, str | int] = {"_case_index": at, "concept:name": name, family.amount: amount}
    if not bare:
        case |= {"id": name, family.number: "UNKNOWN" if at % 3 else f"{family.document_id} number {at % 50}"}
        case |= {column: "77777.77" if "Amount" in column else f"{column} {at % 4}" for column in family.case_columns}
    case["_n_events"] = len(history.replace("=", ""))
    rows.cases.append(case)
    for index, (letter, moment) in enumerate(_moments(history, random)):
        activity = random.choice(_PARENT) if letter == "." else _VERBS[letter].format(p=family.prefix)
        event: dict[str, str | int] = {
            "concept:name": activity,
            "time:timestamp": moment.isoformat(timespec="milliseconds"),
            "_case_index": at,
            "_event_index": index,
            "case:concept:name": name,
        }
        if not bare:
            event |= {"id": f"st_step {index}", "org:role": "EMPLOYEE", "org:resource": "STAFF MEMBER"}
        rows.events.append(event)


def _moments(history: str, random: Random) -> Iterator[tuple[str, datetime]]:
    """Letters with their moments: late in the evening and around new year too, where UTC has another day."""
    moment = datetime(2018, 12, 17, 9, tzinfo=_ZONE) + timedelta(minutes=random.randrange(12 * 24 * 60))
    together = False
    for letter in history:
        if letter == "=":
            together = True
            continue
        if not together:
            moment += timedelta(days=random.randrange(3), minutes=random.randrange(1, 900))
        together = False
        yield letter, moment.astimezone(_ZONE)


def _write(path: Path, rows: list[dict[str, str | int]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    kinds = {name: "BIGINT" if name.startswith("_") else "VARCHAR" for name in columns}
    with duckdb.connect() as db:
        db.execute("CREATE TABLE t (" + ", ".join(f'"{name}" {kinds[name]}' for name in columns) + ")")
        values = [[row.get(name) for name in columns] for row in rows]
        if values:
            db.executemany(f"INSERT INTO t VALUES ({', '.join('?' for _ in columns)})", values)
        db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
