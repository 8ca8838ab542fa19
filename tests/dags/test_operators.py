"""Operators: thin, silent until they run, and no more than counts in what they return."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import textwrap
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ports import Account
from finbridge.core.stopping import always
from finbridge.flows import reports
from finbridge.flows.config import load_flows

ROOT = Path(__file__).resolve().parents[2]
FLOW_ID = "weaver_tryton__expense_claim"
MODULES = [
    "finbridge.systems.operators",
    "finbridge.systems.weaver.operators",
    "finbridge.systems.weaver.sensors",
    "finbridge.systems.tryton.operators",
    "finbridge.systems.journal.operators",
    "finbridge.tasks.operators",
    "finbridge.tasks.manual_operators",
]
MAX_EXECUTE_LINES = 15
MAX_XCOM_BYTES = 2048


def operator_classes() -> list[type]:
    from airflow.sdk import BaseOperator

    found = [
        value
        for name in MODULES
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, BaseOperator) and value.__module__ == name
    ]
    assert len(found) >= 8
    return found


def function(cls: type, name: str) -> ast.FunctionDef | None:
    if name not in vars(cls):
        return None
    wrapped = inspect.unwrap(vars(cls)[name])
    tree = ast.parse(textwrap.dedent(inspect.getsource(wrapped)))
    found = tree.body[0]
    assert isinstance(found, ast.FunctionDef)
    return found


def body(found: ast.FunctionDef) -> list[ast.stmt]:
    """Statements without the docstring."""
    return found.body[1:] if ast.get_docstring(found) else found.body


def test_constructors_are_keyword_only_and_only_store() -> None:
    seen = 0
    for cls in operator_classes():
        init = function(cls, "__init__")
        if init is None:
            continue
        seen += 1
        assert [argument.arg for argument in init.args.args] == ["self"], cls
        for statement in body(init):
            text = ast.unparse(statement)
            stores = isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name)
            assert stores or text.startswith("super().__init__("), (cls, text)
    assert seen >= 3


def test_execute_is_short() -> None:
    seen = 0
    for cls in operator_classes():
        for name in ("execute", "work", "resume"):
            found = function(cls, name)
            if found is not None:
                seen += 1
                statements = body(found)
                lines = (statements[-1].end_lineno or 0) - statements[0].lineno + 1
                assert lines <= MAX_EXECUTE_LINES, (cls, name, lines)
    assert seen >= 6


@pytest.mark.parametrize(
    "report",
    [reports.CollectReport, reports.CheckReport, reports.DeliverReport, reports.WriteBackReport, reports.AccountReport],
)
def test_the_largest_report_fits_into_an_xcom(report: type[reports.Report]) -> None:
    huge = {
        item.name: 10**12 if item.type == "int" else tuple(str(n) for n in range(10_000))
        for item in fields(report)
        if item.type == "int" or item.name == "unexplained_ids"
    }
    note = report(**huge).as_note()
    assert set(map(type, note.values())) == {int}
    assert len(json.dumps(note)) <= MAX_XCOM_BYTES


def test_the_run_note_fits_into_an_xcom_and_names_what_moved() -> None:
    from finbridge.tasks.run_note import summary

    text = summary({"collect": {"listed": 3, "gone": 0}, "account": {"documents": 3}})
    assert text == "collect: listed 3\naccount: documents 3"
    long = summary({f"task{n}": {f"a_long_name_of_a_count_{k}": 10**9 for k in range(40)} for n in range(20)})
    assert len(json.dumps(long)) <= MAX_XCOM_BYTES


# ---------------------------------------------------------------------- the account task


class FakeTi:
    """What the account task uses of its task instance."""

    dag_id = f"{FLOW_ID}__wake"
    task_id = "account"
    log_url = "http://127.0.0.1:8080/dags/x/runs/y/tasks/account"

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_pull(self, *, task_ids: str) -> dict[str, int] | None:
        return {"collect": {"listed": 7}}.get(task_ids)

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value


class FakeHub:
    def __init__(self, unexplained: tuple[str, ...]) -> None:
        self.unexplained = unexplained
        self.closed: dict[str, Any] = {}
        self.alarms = SimpleNamespace(companies_of=lambda flow_id, ids: {"1000": len(ids)})
        self.audit = SimpleNamespace(seal=lambda **_: SimpleNamespace(newest=None))

    def account(self, flow_id: str) -> Account:
        return Account(
            documents={"posted": 2, "unexplained": len(self.unexplained)},
            vouchers={"verified": 2},
            held={"unknown_code": 1},
            due={},
            unexplained=self.unexplained,
        )

    def close_run(self, run_id: str, note: dict[str, int]) -> None:
        self.closed[run_id] = note


def account_task(monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> tuple[Any, FakeTi]:
    from finbridge.systems import operators
    from finbridge.tasks.operators import AccountOperator

    flow = load_flows(ROOT / "include" / "flows")[FLOW_ID]
    ti = FakeTi()

    @contextmanager
    def opened(flow_id: str, hub_conn_id: str, context: Any, *, asked_by: str | None, month: object) -> Any:
        assert (flow_id, hub_conn_id, asked_by, month) == (FLOW_ID, "hub_default", None, None)
        yield operators.OpenFlow(flow=flow, hub=hub, worker="w", context=context)  # type: ignore[arg-type]  # a fake hub

    monkeypatch.setattr(operators, "opened", opened)
    task = AccountOperator(task_id="account", flow_id=FLOW_ID, noted=["collect", "check"])
    return task, ti


def test_account_is_green_and_notes_the_run_when_nothing_is_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(())
    task, ti = account_task(monkeypatch, hub)
    assert task.execute({"ti": ti, "run_id": "r1"})["unexplained"] == 0
    assert ti.pushed["note"].startswith("collect: listed 7\ncheck: —\naccount: documents 2")
    assert hub.closed[f"{FLOW_ID}__wake~r1"]["collect.listed"] == 7


def test_account_is_red_and_its_log_begins_with_the_ids_and_a_link(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    task, ti = account_task(monkeypatch, FakeHub(("90003", "90007")))
    with pytest.raises(AirflowFailException, match=r"^90003 90007: ") as raised:
        task.execute({"ti": ti, "run_id": "r1"})
    assert ti.log_url in str(raised.value)
    errors = [line for line in capsys.readouterr().out.splitlines() if "[error" in line]
    assert re.search(r"\[error +\] 90003 90007: ", errors[0])
    assert "note" in ti.pushed, "a red run has its counts too"


def test_a_long_list_is_cut_and_says_so() -> None:
    from finbridge.tasks.operators import unexplained

    text = unexplained(tuple(str(n) for n in range(1000)), "http://link")
    assert text.startswith("0 1 2 ")
    assert "… +900: " in text
    assert "1000. http://link" in text


@pytest.mark.parametrize(
    ("error", "retried"), [(GiveUp("bad_schema", "改配置", "field x"), False), (RetryLater("away", "稍后"), True)]
)
def test_only_what_a_person_must_mend_fails_without_a_retry(
    monkeypatch: pytest.MonkeyPatch, error: Exception, retried: bool
) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from finbridge.systems import operators

    class Failing(operators.FlowOperator):
        def work(self, flow: operators.OpenFlow) -> dict[str, int]:
            raise error

    @contextmanager
    def opened(*_: object, **__: object) -> Any:
        yield SimpleNamespace(pause=SimpleNamespace(may_send=always))

    monkeypatch.setattr(operators, "opened", opened)
    with pytest.raises(type(error) if retried else AirflowFailException) as raised:
        Failing(task_id="t", flow_id=FLOW_ID).execute({"run_id": "r"})
    if not retried:
        assert str(raised.value) == "bad_schema: 改配置 [field x]"


def test_a_task_of_a_month_works_on_what_is_due_of_that_month_alone() -> None:
    from finbridge.core.month import Month
    from finbridge.systems.operators import OpenFlow
    from finbridge.tasks.operators import CheckOperator

    hub: Any = SimpleNamespace(months=SimpleNamespace(due_ids=lambda *asked: [*asked]))
    flow = load_flows(ROOT / "include" / "flows")[FLOW_ID]
    task = CheckOperator(task_id="check_month", flow_id=FLOW_ID, company="1000", period="2026-06")
    assert task.month == Month("1000", "2026-06")
    opened = OpenFlow(flow=flow, hub=hub, worker="w", context={}, month=task.month)
    assert opened.only == [FLOW_ID, "1000", "2026-06"]
    every = CheckOperator(task_id="check", flow_id=FLOW_ID)
    assert every.month is None
    assert OpenFlow(flow=flow, hub=hub, worker="w", context={}, month=None).only is None
