"""The only file that speaks to Great Expectations (1.24). Imported nowhere at module level: its import takes seconds.

What it costs, measured with 500 rows: about 5 ms an expectation with all ids, 2.3 ms for the verdict alone, hardly
anything for the rows themselves. Hence one call a frame, the verdict first, and ids only from the rules that failed.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from finbridge.core.errors import GiveUp
from finbridge.quality.suites import Level, Rule, wrong_rule

_EXCEPTION_NAME = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Warning))\b", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a rule holds; ``error`` names the exception that kept Great Expectations from judging."""

    ok: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class BadRows:
    """The rows that break a rule: a list a name, all of the same length. Never a value of another column."""

    count: int
    ids: Mapping[str, Sequence[Any]]


@cache
def import_gx() -> Any:
    """Import Great Expectations with its telemetry off and make its progress bars harmless.

    tqdm, even when its bars are disabled, starts a monitor thread and makes a lock that forked processes share: one
    killed while holding it would stop all the others for ever. Both are replaced, for the whole process.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from tqdm import std  # type: ignore[import-untyped]  # tqdm ships no types

    std.tqdm.monitor_interval = 0
    std.tqdm.set_lock(threading.RLock())
    import great_expectations
    import great_expectations.expectations

    return great_expectations


class Engine:
    """One ephemeral context with one whole-frame batch definition, made once and used for every frame."""

    def __init__(self) -> None:
        self._gx = import_gx()
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = self._gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        self._source = context.data_sources.add_pandas("frames")
        self._frame = self._source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")

    @property
    def version(self) -> str:
        """Great Expectations' version, stored with each verdict."""
        return str(self._gx.__version__)

    def compile(self, rule: Rule) -> Any:
        """The expectation of a rule.

        Raises:
            GiveUp: no such expectation, wrong arguments, or a row rule whose expectation does not look at rows.
        """
        name = "".join(part.capitalize() for part in rule.expect.split("_"))
        # a few class names keep inner capitals, e.g. ExpectColumnPairValuesAToBeGreaterThanB
        kinds = {key.lower(): kind for key, kind in vars(self._gx.expectations).items() if key.startswith("Expect")}
        kind = kinds.get(name.lower())
        if kind is None:
            raise wrong_rule(rule, f"Great Expectations has no {rule.expect}")
        kwargs = {key: _timestamp(value) for key, value in rule.kwargs.items()}
        try:
            expectation = kind(**kwargs, meta={"rule": rule.rule_id})
        except (ValueError, TypeError) as error:  # pydantic's ValidationError is a ValueError
            raise wrong_rule(rule, f"{rule.expect}: {error}") from None
        if rule.level is Level.ROW and not is_row_wise(expectation):
            raise wrong_rule(rule, f"{rule.expect} does not look at rows one by one; say level: batch")
        return expectation

    def ask(self, frame: Any, expectations: Sequence[Any], parameters: Mapping[str, int]) -> dict[str, Answer]:
        """The verdict on each rule, by rule id."""
        results = self._validate(frame, expectations, parameters, "BOOLEAN_ONLY")
        return {_rule_of(result): Answer(bool(result.success), _error_of(result)) for result in results}

    def bad_rows(
        self, frame: Any, expectations: Sequence[Any], parameters: Mapping[str, int], names: Sequence[str]
    ) -> dict[str, BadRows | str]:
        """All bad rows of each rule by the columns ``names``; the exception's name where they could not be found.

        Raises:
            GiveUp: fewer ids came back than rows are bad; nothing may be loaded on such a verdict.
        """
        # No value of a judged column is asked for: names and bank accounts must not reach results or logs.
        result_format = {
            "result_format": "COMPLETE",
            "unexpected_index_column_names": list(names),
            "exclude_unexpected_values": True,
            "return_unexpected_index_query": False,
            "include_unexpected_rows": False,
            # engines truncate ids to this number where they truncate at all; the count is compared below
            "partial_unexpected_count": max(len(frame), 1),
        }
        return {
            _rule_of(result): _error_of(result) or _bad_rows(result, names)
            for result in self._validate(frame, expectations, parameters, result_format)
        }

    def _validate(
        self, frame: Any, expectations: Sequence[Any], parameters: Mapping[str, int], result_format: Any
    ) -> list[Any]:
        batch = self._frame.get_batch({"dataframe": frame})
        suite = self._gx.ExpectationSuite(name="rules", expectations=list(expectations))
        try:
            verdict = batch.validate(suite, result_format=result_format, expectation_parameters=dict(parameters))
        finally:
            self._forget()
        return list(verdict.results)

    def _forget(self) -> None:
        """Let go of the frame, which the execution engine would keep until the next one comes."""
        manager = self._source.get_execution_engine().batch_manager
        manager.reset_batch_cache()
        manager.batch_data_cache.clear()


def is_row_wise(expectation: Any) -> bool:
    """Whether an expectation judges each row and can name the bad ones."""
    from great_expectations.expectations import expectation as kinds

    row_wise = (kinds.ColumnMapExpectation, kinds.ColumnPairMapExpectation, kinds.MulticolumnMapExpectation)
    return isinstance(expectation, row_wise)


def _timestamp(value: Any) -> Any:
    """Dates as pandas compares them with ``datetime64`` columns: a plain date would raise."""
    if isinstance(value, date | datetime):
        import pandas

        return pandas.Timestamp(value)
    return value


def _rule_of(result: Any) -> str:
    return str(result.expectation_config.meta["rule"])


def _error_of(result: Any) -> str | None:
    """The exception's class name where one was raised. Its message may hold values and is never passed on."""
    info = result.exception_info or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    raised = [entry for entry in entries if isinstance(entry, Mapping) and entry.get("raised_exception")]
    if not raised:
        return None
    names = _EXCEPTION_NAME.findall(str(raised[0].get("exception_traceback") or ""))
    return str(names[-1]) if names else "Exception"


def _bad_rows(result: Any, names: Sequence[str]) -> BadRows:
    count = int(result.result.get("unexpected_count") or 0)
    index = result.result.get("unexpected_index_list") or []
    # with exclude_unexpected_values there is one entry that holds a list a column
    ids = {name: list(index[0][name]) if index else [] for name in names}
    for found in ids.values():
        if len(found) != count:
            raise GiveUp(
                "ids_truncated",
                f"质量检查未返回全部编号，已停止 / {count} bad rows but {len(found)} ids: nothing is loaded",
            )
    return BadRows(count, ids)
