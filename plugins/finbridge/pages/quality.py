"""Quality: what Great Expectations answered, rule by rule in words, how it went on, and the documents it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from finbridge.core.places import include_folder
from finbridge.hub import PostgresHub
from finbridge.hub.reasons import reason
from finbridge.hub.view_quality import DAYS, NAMED, RUNS
from finbridge.pages.charts import Bar, Caption, columns, trend
from finbridge.pages.formats import moment
from finbridge.pages.guard import ReaderDep
from finbridge.pages.hubs import ask
from finbridge.pages.rendering import page
from finbridge.pages.texts import Language, language_of, text
from finbridge.quality.suites import Level, Rule, Suite, load_suites

router = APIRouter()


@dataclass(slots=True)
class RuleLine:
    """One rule over the window. ``last`` is its newest answer."""

    rule_id: str
    level: str
    words: str
    reason: str
    turn: str
    judged: int = 0
    bad: int = 0
    failed: int = 0
    bars: list[Bar] = field(default_factory=list)
    last: Mapping[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether it found anything in the window."""
        return bool(self.failed)


@router.get("/quality")
async def quality(request: Request, reader: ReaderDep, flow: Annotated[str, Query(max_length=120)] = "") -> Response:
    """The suites of one flow; the first one where none is named."""
    chosen = reader.flow(flow or reader.flow_ids[0])
    names = list(dict.fromkeys((chosen.documents_suite, chosen.vouchers_suite)))
    found = await ask(request, lambda hub: [_read(hub, chosen.flow_id, name) for name in names])
    language, zone = language_of(request), reader.zone(chosen.flow_id)
    written = declared_suites()
    return page(
        request,
        "quality.html",
        flow_id=chosen.flow_id,
        flow_ids=reader.flow_ids,
        zone=zone,
        runs=RUNS,
        days=DAYS,
        named=NAMED,
        suites=[
            suite_view(language, zone, name, stored, written.get(name))
            for name, stored in zip(names, found, strict=True)
        ],
    )


@dataclass(frozen=True, slots=True)
class Stored:
    """What the hub keeps of one suite, the oldest first."""

    validations: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]]
    bad: Sequence[Mapping[str, Any]]


def _read(hub: PostgresHub, flow_id: str, suite: str) -> Stored:
    validations = hub.views.validations(flow_id, suite)
    if not validations:
        return Stored((), (), ())
    oldest = validations[0]["quality_run_id"]
    return Stored(validations, hub.views.rule_answers(flow_id, suite), hub.views.bad_documents(flow_id, suite, oldest))


def declared_suites() -> Mapping[str, Suite]:
    """The suites of ``include/expectations``, read again when a file changes."""
    folder = include_folder() / "expectations"
    return _suites(folder, tuple((p.as_posix(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*.yaml"))))


@lru_cache(maxsize=2)
def _suites(folder: Path, _stamps: tuple[tuple[str, int], ...]) -> Mapping[str, Suite]:
    return load_suites(folder)


def suite_view(language: Language, zone: str, name: str, stored: Stored, written: Suite | None) -> dict[str, Any]:
    """One suite as the template shows it."""
    rules = {rule.rule_id: rule for rule in written.rules} if written else {}
    rows = rule_lines(language, zone, stored, rules)
    return {
        "name": name,
        "part": name.rpartition(".")[2],
        "latest": stored.validations[-1] if stored.validations else None,
        "count": len(stored.validations),
        "rows": sum(found["rows"] for found in stored.validations),
        "bad_documents": sum(found["bad_documents"] for found in stored.validations),
        "chart": _documents_chart(language, zone, name, stored.validations),
        "findings": [
            (line, trend(Caption(f"{_id(name)}-{_id(line.rule_id)}", line.words, _told(line)), line.bars))
            for line in sorted((line for line in rows if line.found), key=lambda line: (-line.bad, line.rule_id))
        ],
        "clean": [line for line in rows if not line.found],
        "broken": [found for found in reversed(stored.validations) if not found["batch_ok"]],
        "broken_words": lambda said: broken_words(language, said, rules),
        "bad": [{**row, "words": detail_words(language, row, rules)} for row in stored.bad],
        "reason": lambda code: getattr(reason(code), language),
    }


def rule_lines(language: Language, zone: str, stored: Stored, rules: Mapping[str, Rule]) -> list[RuleLine]:
    """A line a rule, in the suite's order; a rule that no file names any more says its reason."""
    times = {found["quality_run_id"]: found["at"] for found in stored.validations}
    lines: dict[str, RuleLine] = {}
    for answer in stored.answers:
        rule_id = answer["rule_id"]
        line = lines.get(rule_id)
        if line is None:
            why = reason(answer["reason"] or "")
            words = getattr(rules.get(rule_id, why), language)
            line = lines[rule_id] = RuleLine(rule_id, answer["level"], words, getattr(why, language), why.turn)
        _add(line, answer, language, moment(times[answer["quality_run_id"]], zone))
    return list(lines.values())


def _add(line: RuleLine, answer: Mapping[str, Any], language: Language, at: str) -> None:
    rows, bad = answer["rows"] or 0, answer["bad_rows"] or 0
    line.judged += rows
    line.bad += bad
    line.failed += not answer["ok"]
    line.last = answer
    key, tone = ("judged", "bad") if not answer["error"] else ("not_judged", "wait")
    says = text(language, f"quality.bar.{key}", at=at, rows=f"{rows:,}", bad=f"{bad:,}")
    line.bars.append(Bar(0 if answer["ok"] else max(1, bad), says=says, tone=tone))


def _told(line: RuleLine) -> str:
    return "; ".join(bar.says for bar in line.bars if bar.value)


def _documents_chart(
    language: Language, zone: str, name: str, validations: Sequence[Mapping[str, Any]]
) -> object | None:
    """Bad documents by validation; None where there never was one."""
    if not any(found["bad_documents"] for found in validations):
        return None
    bars = [_bar(language, zone, found) for found in validations]
    told = "; ".join(bar.says for bar in bars if bar.value)
    return columns(Caption(f"{_id(name)}-documents", text(language, "quality.chart"), told), bars)


def _bar(language: Language, zone: str, found: Mapping[str, Any]) -> Bar:
    at: datetime = found["at"]
    said = {"at": moment(at, zone), "rows": f"{found['rows']:,}", "bad": f"{found['bad_documents']:,}"}
    return Bar(found["bad_documents"], moment(at, zone)[5:16], text(language, "quality.bar.documents", **said), "bad")


def broken_words(language: Language, said: str, rules: Mapping[str, Rule]) -> str:
    """A stored text of a broken batch rule, ``rule: 中文 / English``, in one language where its rule is known."""
    rule_id, _, rest = said.partition(": ")
    rule = rules.get(rule_id)
    return f"{rule_id}: {getattr(rule, language)}" if rule and rest == rule.text else said


def detail_words(language: Language, row: Mapping[str, Any], rules: Mapping[str, Rule]) -> str:
    """A stored detail, ``中文 / English [rows]``, in one language where its rule is known."""
    detail: str = row["detail"]
    for rule in rules.values():
        same = rule.level is Level.ROW and (rule.reason, rule.field) == (row["code"], row["field"])
        if same and detail.startswith(rule.text):
            return f"{getattr(rule, language)}{detail.removeprefix(rule.text)}"
    return detail


def _id(name: str) -> str:
    return name.replace(".", "-").replace("_", "-")
