"""The core alone against the reference: fold and plan, wave by wave, over a thousand histories, without any process."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from finbridge.cli.replay.log import LogDocument, read_log
from finbridge.cli.replay.options import RULES
from finbridge.cli.replay.rules import load_rules
from finbridge.core.documents import LogEntry, LogRow
from finbridge.core.flow import Flow
from finbridge.core.fold import Folded, fold
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.plan import Create, Registered, Reverse, plan

from tests.integration.replay_check import differences
from tests.integration.replay_logs import DECLARATIONS, NO_DATA, REAL_LOGS, REQUESTS, Family, make_log, real_log
from tests.integration.replay_reference import COLUMNS, Row, expected

_POSTED, _REVERSED = VoucherState.POSTED, VoucherState.REVERSED


def _walk(document: LogDocument, flow: Flow, amount: Decimal) -> Row:
    """Look after each event, do at once what the plan says."""
    entries: list[LogEntry] = []
    register: dict[str, Registered] = {}
    dates: dict[str, str] = {}
    folded: Folded = fold(entries)
    for number, event in enumerate(document.events, start=1):
        moment = datetime.fromisoformat(f"{event.day}T{event.time}")
        entries.append(flow.classify(LogRow(str(number), event.activity, "", "", moment)))
        folded = fold(entries)
        for action in plan(folded, "c", list(register.values()), has_amount=amount > 0):
            if isinstance(action, Create):
                key = f"{action.kind}{action.cause.log_id}"
                register[key] = Registered(key, action.kind, action.cause.log_id, _POSTED, "c")
                dates[key] = action.posting_date.isoformat()
            elif isinstance(action, Reverse):
                row = register[action.key]
                register[action.key] = Registered(row.key, row.kind, row.cause, _REVERSED, "c")
            else:
                raise AssertionError(f"{document.document_id}: {action}")
    expenses = [row for row in register.values() if row.kind is VoucherKind.EXPENSE]
    live = [row for row in expenses if row.state is _POSTED]
    day = dates[live[0].key] if live else ""
    return dict(
        zip(
            COLUMNS,
            (
                document.document_id,
                folded.end_state.value,
                str(len(live)),
                str(amount * len(live) if live else Decimal("0.00")),
                str(len(expenses)),
                str(sum(row.state is _REVERSED for row in expenses)),
                str(sum(row.kind is VoucherKind.PAYMENT for row in register.values())),
                day,
                day[:7],
                "|".join(folded.exceptions),
            ),
            strict=True,
        )
    )


def _compare(log: Path) -> int:
    rules = load_rules(RULES)
    found = read_log(log, rules)
    flow = rules.flow_for(found.columns, None)
    rows = []
    for document in found.documents:
        text = document.fields.get("Amount") or document.fields.get("RequestedAmount") or "0"
        amount = Decimal(text).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        rows.append(_walk(document, flow, amount))
    wrong = differences(rows, expected(log), COLUMNS)
    assert not wrong, f"{len(wrong)} rows differ, e.g. {wrong[:5]}"
    return len(rows)


@pytest.mark.parametrize("family", [DECLARATIONS, REQUESTS])
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_odd_histories(family: Family, seed: int, tmp_path: Path) -> None:
    assert _compare(make_log(tmp_path, family, documents=1050, seed=seed, bare=seed == 2)) == 1050


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL_LOGS)
def test_the_whole_real_logs(name: str) -> None:
    log = real_log(name)
    if log is None:
        pytest.skip(NO_DATA)
    assert _compare(log) > 6000
