"""A company's month between the OA stand-in, the hub and the real Tryton, and a person at Tryton's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.flow import Flow
from finbridge.core.month import Month
from finbridge.core.outcomes import Accepted
from finbridge.core.ports import Judge
from finbridge.core.vouchers import Voucher
from finbridge.flows import check, write_back
from finbridge.flows.config import load_flow
from finbridge.flows.month import MonthReport, collect_month, deliver_month, reconcile
from finbridge.hub import PostgresHub, open_hub
from finbridge.mapping import load_translator, read_code_files
from finbridge.systems import adapter_of

from tests.contract.sandbox_process import SandboxProcess
from tests.contract.tryton_harness import TrytonHarness
from tests.hub_fixtures import SECRET, HubDatabase
from tests.integration.claim_world import FLOW_FILE, INCLUDE, LINES, TIMING, claim, oa_settings

#: A month of a company that no other test of the shared ledger posts into.
MONTH = Month("2000", "2026-06")
PERIOD = MONTH.period
SIZE = {"posted": 1900, "reversed": 20, "paid": 40, "unknown_code": 15, "zero": 5, "in_approval": 20}
_NODE = {"in_approval": "审批"}


def _row(node: str, operation: str, day: int, operator: str = "500") -> dict[str, str]:
    return {
        "node": node,
        "operate_type": operation,
        "operator": operator,
        "date": f"{PERIOD}-{day:02}",
        "time": "10:00:00",
    }


def item_of(what: str, number: int) -> dict[str, Any]:
    """A claim of 2,000 as a person filled it in and the manager left it."""
    day = 1 + number % 20
    item = claim(gsdm=MONTH.company, djbh=f"BX-{what}-{number:04}", ywrq=f"{PERIOD}-{day:02}")
    item["log"] = [_row("起草", "提交", day)]
    if what != "in_approval":
        item["log"].append(_row("审批", "批准", day + 1))
    item["node"] = _NODE.get(what, item["node"])
    if what == "unknown_code":
        item["details"][LINES][0]["cbzx"] = "CC-XYZ-99"
    if what == "zero":
        item["main"] |= {"hdje": "0.00"}
        item["details"][LINES][0] |= {"hdje": "0.00", "se": "0.00"}
        item["details"] |= {"formtable_main_11_dt2": []}
    return item


class MonthWorld:
    """OA, hub and Tryton, and the steps of a monthly run in order."""

    def __init__(self, oa: SandboxProcess, ledger: LedgerServer, database: HubDatabase, judge: Judge) -> None:
        self.oa, self.ledger_server, self.database, self.judge = oa, ledger, database, judge
        self.flow: Flow = replace(load_flow(FLOW_FILE), batch_size=1000, settle_seconds=1.5)
        self.translator = load_translator(INCLUDE / "mappings" / self.flow.mapping)
        self.hub: PostgresHub = open_hub(database.app_dsn, secret=SECRET, timing=TIMING)
        codes = read_code_files(INCLUDE / "codes" / "weaver_tryton")
        self.hub.load_codes(self.flow.flow_id, codes, maker="maker", checker="checker")
        self.ids: dict[str, list[str]] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.today, self.minute = f"{PERIOD}-24", 0  # the OA's; behind every machine's own clock

    def impose(self, items: list[dict[str, Any]]) -> list[str]:
        """Put claims into the OA; a moment passes on its clock before anybody looks."""
        ids: list[str] = self.oa.control("POST", "/impose", {"items": items})["request_ids"]
        self.tick()
        self.items |= dict(zip(ids, items, strict=True))
        return ids

    def tick(self) -> None:
        """Nothing that the OA shows was touched in its running second."""
        self.minute += 1
        self.oa.control("POST", "/clock", {"now": f"{self.today}T09:{self.minute:02}:00"})

    def fill(self) -> None:
        """The month as people left it."""
        for what, size in SIZE.items():
            self.ids[what] = self.impose([item_of(what, number) for number in range(size)])

    def afterwards(self) -> None:
        """What happened to posted claims later in the month: payments, and approvals taken back."""
        self.today = "2026-07-03"
        self.impose([self._later("paid", n, _row("付款", "批准", 27, "600"), "归档") for n in self.ids["paid"]])
        self.impose([self._later("reversed", n, _row("审批", "退回", 26), "起草") for n in self.ids["reversed"]])

    def _later(self, what: str, name: str, entry: dict[str, str], node: str) -> dict[str, Any]:
        return {"key": self.items[name]["key"], "log": [entry], "node": node}

    def connect(self) -> tuple[Any, Any]:
        settings = oa_settings(self.oa.port)
        settings = replace(settings, extra={**settings.extra, "timeout_seconds": 30.0, "max_clock_ahead_seconds": 0})
        rates = {"rate_per_second": 5000, "rate_burst": 5000}
        ledger = TrytonHarness(self.ledger_server).settings(rates)
        return (
            adapter_of("weaver").connect(settings, tokens=self.hub.tokens, flow=self.flow),
            adapter_of("tryton").connect(ledger, tokens=self.hub.tokens, flow=self.flow),
        )

    def run(self) -> tuple[MonthReport, dict[str, int]]:
        """The monthly run, and what its steps moved."""
        return asyncio.run(self._run())

    async def _run(self) -> tuple[MonthReport, dict[str, int]]:
        source, ledger = self.connect()
        flow, hub, translator = self.flow, self.hub, self.translator
        try:
            collected = await collect_month(flow=flow, hub=hub, source=source, translator=translator, period=PERIOD)
            only = hub.months.due_ids(flow.flow_id, MONTH.company, MONTH.period)
            checked = check(
                flow=flow, hub=hub, translator=translator, judge=self.judge, worker="m", run_id="r", only=only
            )
            delivered = await deliver_month(
                flow=flow, hub=hub, source=source, ledger=ledger, translator=translator, worker="m", month=MONTH
            )
            only = hub.months.due_ids(flow.flow_id, MONTH.company, MONTH.period)
            written = await write_back(flow=flow, hub=hub, source=source, worker="m", only=only)
            report = await reconcile(flow=flow, hub=hub, ledger=ledger, month=MONTH, run_id="r")
        finally:
            await source.close()
            await ledger.close()
        moved = {"read": collected.read, "checked": checked.documents, "sent": delivered.sent, "saved": written.saved}
        return report, moved

    async def post(self, voucher: Voucher) -> str:
        """Post past the suite; returns finance's number."""
        source, ledger = self.connect()
        try:
            (outcome,) = await ledger.post([voucher])
            assert isinstance(outcome, Accepted), outcome
            return outcome.entry.number
        finally:
            await source.close()
            await ledger.close()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Of the hub, past the suite."""
        with psycopg.connect(self.database.superuser_dsn) as connection:
            return connection.execute(statement).fetchall()

    async def reconcile(self, month: Month) -> MonthReport:
        """The last step alone."""
        source, ledger = self.connect()
        try:
            return await reconcile(flow=self.flow, hub=self.hub, ledger=ledger, month=month, run_id="r")
        finally:
            await source.close()
            await ledger.close()

    def versions(self) -> dict[str, object]:
        """Every row version that a run could change, and how much the OA has written."""
        with psycopg.connect(self.ledger_server.dsn()) as connection:
            moves = connection.execute("SELECT id, xmin::text FROM account_move ORDER BY 1").fetchall()
        return {
            "hub.voucher": self.rows("SELECT key, xmin::text FROM hub.voucher ORDER BY 1"),
            "hub.document": self.rows("SELECT document_id, xmin::text FROM hub.document ORDER BY 1"),
            "hub.hold": self.rows("SELECT hold_id, xmin::text FROM hub.hold ORDER BY 1"),
            "hub.trail": self.rows("SELECT count(*) FROM hub.trail"),
            "account_move": moves,
            "oa": self.oa.control("GET", "/stats")["journal_seq"],
        }


@contextmanager
def changed(world: MonthWorld, table: str, column: str, value: str, where: str) -> Iterator[None]:
    """One column of Tryton's own tables set past it, by SQL texts, and set back."""
    with psycopg.connect(world.ledger_server.dsn(), autocommit=True) as finance:
        rows = finance.execute(f"SELECT id, {column} FROM {table} WHERE {where}").fetchall()
        assert rows
        finance.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}")
        try:
            yield
        finally:
            for name, before in rows:
                finance.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [before, name])
