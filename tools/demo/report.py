"""The demo's table, from the two journals and the suite's own lists; nothing is counted that no journal shows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
PROJECT = Path(__file__).resolve().parents[2]
POSTING_NODE = "财务过账"
DRAFT_NODE = "起草"
#: Node -> how people call a document that stands there.
_STANDS = {
    "审批": "in approval 审批中",
    POSTING_NODE: "approved, not posted yet 待入账",
    "付款": "posted, waiting for payment 已入账待付款",
    "归档": "posted and paid 已入账已付款",
}
_CAME_BACK = {"reject": "rejected 已退回", "withdraw": "withdrawn 已撤回"}


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from the OA's commit of an approval to its commit of the write-back."""

    count: int
    p50: float
    p95: float
    longest: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f} s · p95 {self.p95:.1f} s · max {self.longest:.1f} s ({self.count} approvals)"


def lags(entries: Iterable[Entry], only: frozenset[str] | None = None) -> list[float]:
    """One value for each approval whose number was written back before anything else happened to the document."""
    approved: dict[str, datetime] = {}
    found: list[float] = []
    for entry in entries:
        request = entry["request_id"]
        if only is not None and request not in only:
            continue
        at = datetime.fromisoformat(entry["at"])
        if entry["kind"] == "approve":
            approved[request] = at
        elif not entry["integration"]:
            approved.pop(request, None)
        elif entry["kind"] == "save" and entry["main"].get("pzh") and request in approved:
            found.append((at - approved.pop(request)).total_seconds())
    return found


def lag(values: Sequence[float]) -> Lag | None:
    """Percentiles (nearest rank); None where there is nothing to measure."""
    if not values:
        return None
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]

    return Lag(len(ordered), rank(0.50), rank(0.95), ordered[-1])


_STEPS = {"退回": "reject", "撤回": "withdraw"}


def _last_step(entry: Entry) -> str:
    """What brought a document where it is; of one that the OA was told whole, its last log row says it."""
    told = entry["kind"] == "impose" and entry["log"]
    return _STEPS.get(str(entry["log"][-1]["operate_type"]), "") if told else str(entry["kind"])


def final_states(entries: Iterable[Entry], held: Mapping[str, str]) -> Counter[str]:
    """Documents by where they stand at the end; a held one counts as held, whatever its node."""
    latest: dict[str, Entry] = {}
    for entry in entries:
        if entry["request_id"]:  # a save of the form engine is of no request
            latest[entry["request_id"]] = entry
    states: Counter[str] = Counter()
    for request, entry in latest.items():
        if request in held and entry["node"] == POSTING_NODE:
            states["held with a reason 挂起"] += 1
        elif entry["node"] == DRAFT_NODE:
            states[_CAME_BACK.get(_last_step(entry), "draft 草稿")] += 1
        else:
            states[_STANDS.get(str(entry["node"]), str(entry["node"]))] += 1
    return states


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What the journals show to have happened, in documents (events where it says so)."""

    rejected: int
    withdrawn: int
    resubmitted: int
    reversed_after_posting: int
    paid: int
    unknown_code: int
    broken_vat: int
    events_in_one_second: int
    written_back: int

    def short_of(self, documents: int) -> list[str]:
        """What a demo of that many documents lacks: five of each kind and 200 events in a second from 400 on."""
        least = 5 if documents >= _FULL else 1
        kinds = ("rejected", "withdrawn", "resubmitted", "reversed_after_posting", "paid", "unknown_code", "broken_vat")
        short = [f"{name} {getattr(self, name)} < {least}" for name in kinds if getattr(self, name) < least]
        events = 200 * min(documents, _FULL) // _FULL
        if self.events_in_one_second < events:
            short.append(f"events in one second {self.events_in_one_second} < {events}")
        return short


_FULL = 400


def happened(oa: Sequence[Entry], finance: Sequence[Entry], held: Mapping[str, str]) -> Happened:
    """Counted from the journals."""
    kinds: dict[str, set[str]] = {}
    came_back: set[str] = set()
    resubmitted: set[str] = set()
    seconds: Counter[str] = Counter()
    for entry in oa:
        kinds.setdefault(entry["kind"], set()).add(entry["request_id"])
        if entry["kind"] in _CAME_BACK:
            came_back.add(entry["request_id"])
        elif entry["kind"] == "submit" and not entry["integration"] and entry["request_id"] in came_back:
            resubmitted.add(entry["request_id"])
        if not entry["integration"]:
            seconds.update(f"{row['date']} {row['time']}" for row in entry["log"])
    reasons = Counter(held.values())
    return Happened(
        rejected=len(kinds.get("reject", ())),
        withdrawn=len(kinds.get("withdraw", ())),
        resubmitted=len(resubmitted),
        reversed_after_posting=len({row["document_id"] for row in finance if row["kind"] == "reversal"}),
        paid=len(kinds.get("pay", ())),
        unknown_code=sum(n for reason, n in reasons.items() if reason == "unknown_code"),
        broken_vat=sum(n for reason, n in reasons.items() if reason == "vat_mismatch"),
        events_in_one_second=max(seconds.values(), default=0),
        written_back=len({e["request_id"] for e in oa if e["integration"] and e["main"].get("pzh")}),
    )


def write_journal(path: Path, rows: Iterable[Entry]) -> None:
    """JSONL, one object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def run_checker(
    oa: Path, finance: Path, held: Path, minimum: int, of_period: Mapping[str, int] | None = None
) -> tuple[int, str]:
    """The checker as a process of its own: exit code and what it printed."""
    periods = [f"--minimum-of={period}={least}" for period, least in (of_period or {}).items()]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools.checker", "--oa", str(oa), "--finance", str(finance)),
            *("--held", str(held), "--minimum", str(minimum), *periods),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


def table(rows: Mapping[str, object], indent: str = "  ") -> str:
    """Two columns."""
    width = max((_width(name) for name in rows), default=0)
    return "\n".join(f"{indent}{name}{' ' * (width - _width(name))}  {value}" for name, value in rows.items())


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if ord(char) > 0x2E80 else 1 for char in text)
