"""What a month's delivery does with vouchers that finance did not take: it is tried again, and at last goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from finbridge.core.errors import RetryLater


@pytest.mark.parametrize(
    ("note", "try_number", "again"),
    [
        ({"sent": 3, "unsent": 2}, 1, True),
        ({"sent": 3, "unsent": 2}, 2, True),
        ({"sent": 3, "unsent": 2}, 3, False),  # the last one: the comparison names them and is red
        ({"sent": 3, "unsent": 0}, 1, False),
        ({"sent": 3, "unsent": 2, "paused": 1}, 1, False),  # a pause has its own way to go on
    ],
)
def test_unsent_vouchers_use_airflows_tries(
    monkeypatch: pytest.MonkeyPatch, note: dict[str, int], try_number: int, again: bool
) -> None:
    from finbridge.tasks import month_operators

    async def delivered(*_: object, **__: object) -> dict[str, int]:
        return note

    monkeypatch.setattr(month_operators, "delivered", delivered)
    task = month_operators.DeliverMonthOperator(task_id="deliver_month", flow_id="f", company="1000", period="2026-06")
    flow: Any = SimpleNamespace(context={"ti": SimpleNamespace(try_number=try_number, max_tries=2)})
    if not again:
        assert task.work(flow) == note
        return
    with pytest.raises(RetryLater) as raised:
        task.work(flow)
    assert raised.value.code == "month_unsent"
    assert "公司 1000 · 会计期间 2026-06" in raised.value.staff
