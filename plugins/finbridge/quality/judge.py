"""The judge: suites over the real rows, with an answer that names every bad document and no value."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finbridge.core.errors import GiveUp
from finbridge.core.ports import Problem, Verdict
from finbridge.quality.gx import Answer, BadRows, Engine, is_row_wise
from finbridge.quality.suites import DOCUMENT_COLUMN, Level, Rule, Suite, rows_parameter

#: How many bad lines of one document a message names; the stored result counts them all.
_LINES_NAMED = 10


@dataclass(slots=True)
class _Findings:
    """What has been found in one batch so far."""

    broken: list[str] = field(default_factory=list)
    bad: list[tuple[str, int, Problem]] = field(default_factory=list)
    rules: list[dict[str, object]] = field(default_factory=list)


class SuiteJudge:
    """Implements :class:`finbridge.core.ports.Judge`. One judge a process; calls from several threads take turns."""

    def __init__(self, suites: Mapping[str, Suite], engine: Engine) -> None:
        self._engine = engine
        self._suites = dict(suites)
        self._expectations = {
            name: {rule.rule_id: engine.compile(rule) for rule in suite.rules} for name, suite in suites.items()
        }
        self._order = {name: {rule.rule_id: n for n, rule in enumerate(suite.rules)} for name, suite in suites.items()}
        self._turn = threading.Lock()

    @property
    def suites(self) -> Mapping[str, Suite]:
        """The suites by name."""
        return self._suites

    def judge(self, suite: str, frames: Mapping[str, Any]) -> Verdict:
        """Judge the rows of one batch.

        Args:
            suite: its name, e.g. ``expense_claim.documents``.
            frames: pandas frames by name; others than the suite's are not looked at. A batch whose frames are all
                empty holds nothing to judge: it passes with ``rows`` 0.

        Raises:
            GiveUp: no such suite, or Great Expectations did not name all bad rows.
        """
        if suite not in self._suites:
            known = ", ".join(sorted(self._suites))
            raise GiveUp("unknown_suite", f"没有该质量规则集 / no suite {suite}; there are {known}")
        spec = self._suites[suite]
        here = {name: frames[name] for name in spec.frames if frames.get(name) is not None}
        found = _Findings()
        found.broken.extend(f"{name}: 缺少数据表 / the frame is missing" for name in spec.frames if name not in here)
        rows = sum(len(frame) for frame in here.values())
        if rows or found.broken:
            parameters = {rows_parameter(name): len(here.get(name, ())) for name in spec.frames}
            with self._turn:
                for name, frame in here.items():
                    self._judge_frame(spec, name, frame, parameters, found)
        found.bad.sort(key=lambda item: item[:2])
        return Verdict(
            suite=suite,
            batch_ok=not found.broken,
            broken_batch_rules=tuple(found.broken),
            bad=tuple(problem for _, _, problem in found.bad),
            rows=rows,
            result_json=self._result(spec, here, found),
        )

    def _judge_frame(
        self, suite: Suite, name: str, frame: Any, parameters: Mapping[str, int], found: _Findings
    ) -> None:
        rules = [rule for rule in suite.rules if rule.frame == name]
        expectations = self._expectations[suite.name]
        if not rules:
            return
        answers = self._engine.ask(frame, [expectations[rule.rule_id] for rule in rules], parameters)
        failed = [rule for rule in rules if not answers[rule.rule_id].ok and not answers[rule.rule_id].error]
        named = [expectations[rule.rule_id] for rule in failed if is_row_wise(expectations[rule.rule_id])]
        columns = list(dict.fromkeys((DOCUMENT_COLUMN, *suite.frames[name])))
        rows = self._engine.bad_rows(frame, named, parameters, columns) if named else {}
        for rule in rules:
            self._take(suite, rule, answers[rule.rule_id], rows.get(rule.rule_id), found)

    def _take(self, suite: Suite, rule: Rule, answer: Answer, rows: BadRows | str | None, found: _Findings) -> None:
        """One rule's answer into the findings."""
        error = answer.error or (rows if isinstance(rows, str) else None)
        documents = _by_document(rows, suite.frames[rule.frame]) if isinstance(rows, BadRows) else {}
        nameless = documents.pop(None, [])
        found.rules.append(
            {
                "rule": rule.rule_id,
                "expect": rule.expect,
                "level": rule.level.value,
                "reason": rule.reason,
                "ok": answer.ok,
                "error": error,
                "bad_rows": rows.count if isinstance(rows, BadRows) else None,
                "documents": sorted(str(document) for document in documents),
            }
        )
        if answer.ok:
            return
        if error:
            found.broken.append(f"{rule.rule_id}: 无法判断 / could not be judged ({error})")
        elif rule.level is Level.BATCH:
            found.broken.append(f"{rule.rule_id}: {rule.text}")
        elif nameless or not documents:
            found.broken.append(f"{rule.rule_id}: 问题行没有单据编号 / bad rows that name no document; {rule.text}")
        order = self._order[suite.name][rule.rule_id]
        if rule.level is Level.ROW:
            for document, lines in documents.items():
                problem = Problem(
                    document_id=str(document), code=rule.reason, field=rule.field, detail=_detail(rule, lines)
                )
                found.bad.append((str(document), order, problem))

    def _result(self, suite: Suite, frames: Mapping[str, Any], found: _Findings) -> str:
        """Ids and counts only."""
        result = {
            "suite": suite.name,
            "suite_sha256": suite.sha256,
            "great_expectations": self._engine.version,
            "rows": {name: len(frame) for name, frame in frames.items()},
            "batch_ok": not found.broken,
            "broken_batch_rules": found.broken,
            "bad_documents": len({document for document, _, _ in found.bad}),
            "rules": found.rules,
        }
        return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def _by_document(rows: BadRows, names: Sequence[str]) -> dict[str | None, list[str]]:
    """Bad rows by document; under None those whose document is not named. Values name the row, e.g. ``line_id 3``."""
    grouped: dict[str | None, list[str]] = defaultdict(list)
    parts = [name for name in names if name != DOCUMENT_COLUMN]
    for n, document in enumerate(rows.ids[DOCUMENT_COLUMN]):
        label = ", ".join(f"{name} {rows.ids[name][n]}" for name in parts)
        grouped[None if _missing(document) else str(document)].append(label)
    return grouped


def _missing(value: Any) -> bool:
    """Whether a frame's cell names nobody: None, NaN, pandas.NA or an empty text."""
    import pandas

    return bool(pandas.isna(value)) or value == ""


def _detail(rule: Rule, lines: Sequence[str]) -> str:
    named = [line for line in lines if line][:_LINES_NAMED]
    if not named:
        return rule.text
    more = f" … ({len(lines)})" if len(lines) > len(named) else ""
    return f"{rule.text} [{'; '.join(named)}{more}]"
