"""Flow files: `include/flows/*.yaml` to `finbridge.core.flow.Flow`. Importing this loads neither DuckDB nor pandas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from finbridge.core.documents import EventKind
from finbridge.core.flow import Company, Flow, LogRule, MonthRule, WriteBackRule
from finbridge.core.payment_status import WORDS, PaymentStatusRule
from finbridge.mapping.bindings import Labels
from finbridge.mapping.yamlfile import ConfigError, YamlFile

_ANYTHING = ".*"


def load_flow(path: Path) -> Flow:
    """Read and validate one flow file.

    Raises:
        ConfigError: names file, line and field, and says what to do.
    """
    file = YamlFile(path, "flow.schema.json")
    data = file.data
    plan = data["posting_plan"]
    company = data["company"]
    back = data.get("write_back")
    _check_makes(file, plan)
    labels = Labels(file)
    return Flow(
        flow_id=data["flow"],
        source_system=data["source"]["system"],
        source_connection=data["source"]["connection"],
        target_system=data["target"]["system"],
        target_connection=data["target"]["connection"],
        document_type=data["document_type"],
        templates=frozenset(data["templates"]),
        companies={code: _company(file, code, part) for code, part in data["companies"].items()},
        company_field=labels.column(("company", "field"), company.get("field", "")),
        company_constant=_constant(file, company, data["companies"]),
        business_number_field=labels.column(("business_number",), data["business_number"]),
        amount_field=labels.column(("amount", "field"), data["amount"]["field"]) if "amount" in data else None,
        personal_fields=tuple(_personal(labels, n, part) for n, part in enumerate(data.get("personal", ()))),
        mapping=data["mapping"],
        documents_suite=data["suites"]["documents"],
        vouchers_suite=data["suites"]["vouchers"],
        log_rules=tuple(_rule(file, index, part) for index, part in enumerate(plan["log"])),
        makes={EventKind(event): kind for event, kind in plan["makes"].items()},
        write_back=_write_back(labels, back),
        payment_status=_payment_status(file, data.get("payment_status")),
        month=_month(data.get("month")),
        code_checkers=frozenset(data.get("codes", {}).get("checkers", ())),
        deciders=frozenset(data.get("decisions", {}).get("people", ())),
        extra=data.get("extra", {}),
        **data.get("schedule", {}),
    )


def load_flows(folder: Path) -> dict[str, Flow]:
    """All ``*.yaml`` of a folder by flow id, in order of file name.

    Raises:
        ConfigError: a file is wrong, or two files declare the same flow.
    """
    flows: dict[str, Flow] = {}
    for path in sorted(folder.glob("*.yaml")):
        flow = load_flow(path)
        if flow.flow_id in flows:
            raise ConfigError(path, 1, "flow", f"流程编号重复 / {flow.flow_id} stands in another file too. Rename one.")
        flows[flow.flow_id] = flow
    return flows


def _company(file: YamlFile, code: str, part: Mapping[str, str]) -> Company:
    try:
        ZoneInfo(part["time_zone"])
    except (KeyError, ValueError, OSError):  # no such zone, or not even a name of one
        raise file.error(
            ("companies", code, "time_zone"),
            f"没有这个时区 / no time zone {part['time_zone']}. Use e.g. Asia/Shanghai.",
        ) from None
    return Company(code=code, **part)


def _personal(labels: Labels, index: int, part: str | Mapping[str, str]) -> str:
    """``column``, or ``table.column`` of a detail."""
    where = ("personal", index)
    if isinstance(part, str) or "detail" not in part:
        return labels.column(where, part)
    table = labels.detail((*where, "detail"), part["detail"], {part["label"]})
    return f"{table.name}.{labels.column((*where, 'label'), part, table)}"


def _write_back(labels: Labels, part: Mapping[str, Any] | None) -> WriteBackRule | None:
    if not part:
        return None
    columns = {n: labels.column(("write_back", n), part[n]) for n in ("voucher_number", "posting_date", "error")}
    return WriteBackRule(**{**part, **columns})


def _payment_status(file: YamlFile, part: Mapping[str, Any] | None) -> PaymentStatusRule | None:
    """What is read back must tell which status it is: no word and no column stands for two."""
    if part is None:
        return None
    words = {**WORDS, **part.get("words", {})}
    for name, chosen in (("columns", part["columns"]), ("words", words)):
        texts = list(chosen.values())
        doubled = [key for key, text in chosen.items() if texts.count(text) > 1 and key in part.get(name, {})]
        if doubled:
            text = f"{name} 有重复 / {chosen[doubled[-1]]} stands for two meanings. Make them different."
            raise file.error(("payment_status", name, doubled[-1]), text)
    return PaymentStatusRule(save=part["save"], list=part["list"], columns=part["columns"], words=words)


def _constant(file: YamlFile, company: Mapping[str, str], served: Mapping[str, Any]) -> str | None:
    constant = company.get("constant")
    if constant is not None and constant not in served:
        raise file.error(
            ("company", "constant"), f"不在所服务的公司之内 / {constant} is not served. Add it under companies."
        )
    return constant


def _month(part: Mapping[str, Any] | None) -> MonthRule | None:
    if part is None:
        return None
    return MonthRule(**{**part, "approval_nodes": tuple(part["approval_nodes"])})


def _rule(file: YamlFile, index: int, part: Mapping[str, str]) -> LogRule:
    return LogRule(
        event=EventKind(part["event"]),
        **{name: _pattern(file, index, name, part.get(name, _ANYTHING)) for name in ("node", "operation", "operator")},
    )


def _pattern(file: YamlFile, index: int, name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        where = ("posting_plan", "log", index, name)
        raise file.error(where, f"正则表达式错误 / not a regular expression: {error.msg}. Mend it.") from None


def _check_makes(file: YamlFile, plan: Mapping[str, Any]) -> None:
    """An event that makes a voucher must be one that some rule gives."""
    given = {rule["event"] for rule in plan["log"]}
    for event in plan["makes"]:
        if event not in given:
            where = ("posting_plan", "makes", event)
            raise file.error(where, f"没有规则产生 / no log rule gives {event}. Add a rule or take this away.")
