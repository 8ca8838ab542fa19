"""How logs stand in the OA: columns of cases and events, and which flow takes which log (`logs.yaml`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from finbridge.core.errors import GiveUp
from finbridge.core.flow import Flow
from finbridge.flows.config import load_flow


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRules:
    """The columns that name things in a log, and the words of an imposed log row."""

    folder: Path
    case_document: str
    event_document: str
    event_activity: str
    event_time: str
    operation: str
    operator: str
    forms: tuple[tuple[str, tuple[str, ...]], ...]  # flow's file stem, columns of which one must be there

    def flow_for(self, columns: Collection[str], currency: str | None) -> Flow:
        """The flow of the first form that fits a log's case columns.

        Raises:
            GiveUp: none fits: the log has no column that a form knows.
        """
        for name, wanted in self.forms:
            if any(column in columns for column in wanted):
                flow = load_flow(self.folder / "flows" / f"{name}.yaml")
                return flow if currency is None else _in_currency(flow, currency)
        known = "; ".join(f"{name}: {' or '.join(wanted)}" for name, wanted in self.forms)
        raise GiveUp(
            "unknown_log", f"日志格式无法识别 / no form fits this log. One of these columns must be there: {known}"
        )


def load_rules(folder: Path) -> LogRules:
    """Read ``logs.yaml`` of a folder that also holds ``flows/``, ``mappings/`` and ``expectations/``.

    Raises:
        GiveUp: the file is missing or lacks a key.
    """
    path = folder / "logs.yaml"
    try:
        data: dict[str, Any] = YAML(typ="safe").load(path)
        return LogRules(
            folder=folder,
            case_document=data["case"]["document"],
            event_document=data["event"]["document"],
            event_activity=data["event"]["activity"],
            event_time=data["event"]["time"],
            operation=data["operation"],
            operator=data["operator"],
            forms=tuple((form["flow"], tuple(form["when_any"])) for form in data["forms"]),
        )
    except (OSError, KeyError, TypeError) as error:
        raise GiveUp("bad_log_rules", f"回放规则文件不正确 / {path} cannot be used: {error!r}") from None


def _in_currency(flow: Flow, currency: str) -> Flow:
    companies = {code: replace(company, currency=currency) for code, company in flow.companies.items()}
    return replace(flow, companies=companies)
