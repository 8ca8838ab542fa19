"""The task that brings payment statuses to the OA: what it takes, what it refuses, what it returns."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from finbridge.core.errors import RetryLater
from finbridge.flows.reports import PaymentStatusReport
from finbridge.systems.operators import operators_of


def task(**arguments: Any) -> Any:
    cls = operators_of("weaver").PAYMENT_STATUS
    return cls(task_id="payment_status", flow_id="f", company="1000", period="{{ params.period }}", **arguments)


def flow(asked: dict[str, Any], report: PaymentStatusReport, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An open flow whose verb notes what it was asked for."""

    async def verb(**given: Any) -> PaymentStatusReport:
        await asyncio.sleep(0)
        asked.update(given)
        return report

    @asynccontextmanager
    async def end() -> Any:
        yield object()

    monkeypatch.setattr("finbridge.flows.write_payment_status", verb)
    return SimpleNamespace(flow="flow", hub="hub", source=end, ledger=end, pause=SimpleNamespace(may_send=lambda: True))


def test_company_and_period_are_templates() -> None:
    assert set(task().template_fields) >= {"company", "period"}
    rendered = task()
    rendered.period = rendered.render_template(rendered.period, {"params": {"period": "2026-10"}})
    assert (rendered.company, rendered.period) == ("1000", "2026-10")


def test_it_asks_for_the_month_and_returns_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    report = PaymentStatusReport(documents=2, paid=1, open=1, sent=2, verified=2, listed=(("1", "x"),))
    note = task().work(flow(asked, report, monkeypatch))
    assert (asked["company"], asked["period"]) == ("1000", "{{ params.period }}")
    assert note["verified"] == 2 and "listed" not in note and all(type(count) is int for count in note.values())


@pytest.mark.parametrize("report", [PaymentStatusReport(in_doubt=1), PaymentStatusReport(put_off=1)])
def test_what_is_not_settled_is_tried_again(monkeypatch: pytest.MonkeyPatch, report: PaymentStatusReport) -> None:
    with pytest.raises(RetryLater) as caught:
        task().work(flow({}, report, monkeypatch))
    assert caught.value.code == "payment_status_open"
    paused = task().work(flow({}, replace(report, paused=1), monkeypatch))
    assert paused["paused"] == 1
