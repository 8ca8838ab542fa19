"""Expense claims between the e-cology stand-in, a hub and the journal stand-in: the real flow on real processes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import RetryLater
from finbridge.core.flow import Flow
from finbridge.core.ports import Judge, Ledger, Source, Translator
from finbridge.flows import check, collect, deliver, write_back
from finbridge.flows.config import load_flow
from finbridge.hub import PostgresHub, Timing, open_hub
from finbridge.mapping import load_translator, read_code_files
from finbridge.systems import adapter_of

from tests.contract.sandbox_process import ROOT, SandboxProcess
from tests.hub_fixtures import SECRET

INCLUDE = ROOT / "include"
FLOW_FILE = INCLUDE / "flows" / "weaver_tryton__expense_claim.yaml"
LINES, PAYEES = "formtable_main_11_dt1", "formtable_main_11_dt2"
POSTING_NODE, PAYING_NODE = "财务过账", "付款"
_DAY = "2026-11-20"
#: Behind every machine's own clock: one that is ahead is refused, since its watermark would skip documents.
_OA_CLOCK = "2020-01-01T09:00:00"
#: Waiting times of tests: what takes a minute in production takes moments here.
TIMING = Timing(first_seconds=0.2, doubt_most_seconds=1.0, doubt_least_seconds=0.2, write_back_first_seconds=0.2)
SETTLE_SECONDS = 1.5


def claim(**main: str) -> dict[str, Any]:
    """One approved claim of 106.00 at the posting node, as the control port takes it; ``main`` changes columns."""
    return {
        "key": uuid4().hex,
        "workflow_id": "101",
        "request_name": "报销",
        "creator": "7",
        "node": POSTING_NODE,
        "main": {
            "djbh": f"BX-{uuid4().hex[:8]}",
            "sqr": "E0007",
            "sqrxm": "张三",
            "gsdm": "1000",
            "sy": "上海客户拜访",
            "fjzs": "2",
            "ywrq": _DAY,
            "bz": "CNY",
            "bzje": "106.00",
            "hdje": "106.00",
            **main,
        },
        "details": {
            LINES: [
                {
                    "fylx": "TRAVEL",
                    "cbzx": "CC-ADM-01",
                    "fyrq": _DAY,
                    "sqje": "106.00",
                    "hdje": "106.00",
                    "se": "6.00",
                    "sl": "0.06",
                    "fpzl": "SPECIAL",
                    "fph": "1",
                }
            ],
            PAYEES: [{"skrlx": "EMPLOYEE", "skr": "E0007", "skzh": "6222021234567890", "zfje": "106.00"}],
        },
        "log": [row("起草", "提交"), row("审批", "批准")],
    }


def row(node: str, operation: str, at: str = "10:00:00") -> dict[str, str]:
    """A row of the approval log."""
    return {"node": node, "operate_type": operation, "operator": "500", "date": _DAY, "time": at}


def short_flow(**changes: object) -> Flow:
    """The shipped flow, posting into the journal stand-in, with a short settle window."""
    flow = load_flow(FLOW_FILE)
    settle: dict[str, object] = {"target_system": "journal", "settle_seconds": SETTLE_SECONDS}
    return replace(flow, **{**settle, **changes})  # type: ignore[arg-type]  # names are those of Flow


def translator_of(flow: Flow) -> Translator:
    """The shipped mapping, compiled."""
    return load_translator(INCLUDE / "mappings" / flow.mapping)


def oa_settings(port: int) -> ConnectionSettings:
    """The integration account, in a hurry."""
    rates = {"rate_per_second": 5000, "rate_burst": 5000, "rate_parallel": 16, "write_parallel": 8}
    extra = {"appid": "finbridge", "timeout_seconds": 1.0, "late_seconds": 1.0, **rates}
    return ConnectionSettings(conn_id="oa", host="127.0.0.1", port=port, login="900", extra=extra)


def finance_settings(port: int) -> ConnectionSettings:
    """The integration user, in a hurry."""
    extra = {"timeout_seconds": 1.0, "rate_per_second": 5000, "rate_burst": 5000}
    return ConnectionSettings(
        conn_id="fin", host="127.0.0.1", port=port, login="finbridge", password="finbridge", extra=extra
    )


def connect(flow: Flow, hub: PostgresHub, *, oa_port: int, finance_port: int) -> tuple[Source, Ledger]:
    """Both ends, for one event loop."""
    return (
        adapter_of("weaver").connect(oa_settings(oa_port), tokens=hub.tokens, flow=flow),
        adapter_of("journal").connect(finance_settings(finance_port), tokens=hub.tokens, flow=flow),
    )


async def sweep(
    flow: Flow,
    hub: PostgresHub,
    source: Source,
    ledger: Ledger,
    *,
    translator: Translator,
    judge: Judge,
    worker: str,
) -> None:
    """The verbs once, as a DAG runs them."""
    await collect(flow=flow, hub=hub, source=source, translator=translator, worker=worker)
    check(flow=flow, hub=hub, translator=translator, judge=judge, worker=worker, run_id=worker)
    await deliver(flow=flow, hub=hub, source=source, ledger=ledger, translator=translator, worker=worker)
    await write_back(flow=flow, hub=hub, source=source, worker=worker)


@dataclass(kw_only=True)
class ClaimWorld:
    """The flow in this process. ``hub_dsn`` is that of the role hub_app."""

    oa: SandboxProcess
    finance: SandboxProcess
    hub_dsn: str
    judge: Judge
    flow: Flow = field(default_factory=short_flow)

    def __post_init__(self) -> None:
        self.translator = translator_of(self.flow)
        self.hub = open_hub(self.hub_dsn, secret=SECRET, timing=TIMING)
        codes = read_code_files(INCLUDE / "codes" / "weaver_tryton")
        self.hub.load_codes(self.flow.flow_id, codes, maker="maker", checker="checker")

    def close(self) -> None:
        """Close the hub; the sandboxes are the caller's."""
        self.hub.close()

    # ------------------------------------------------------------ OA and finance

    def impose(self, items: Sequence[dict[str, Any]]) -> list[str]:
        """Put claims into the OA as they stand; a moment passes on its clock before anybody looks."""
        clock = datetime.fromisoformat(self.oa.control("GET", "/clock")["now"])
        ids: list[str] = self.oa.control("POST", "/impose", {"items": list(items)})["request_ids"]
        self.oa.control("POST", "/clock", {"now": (clock + timedelta(seconds=5)).isoformat()})
        return ids

    def vouchers(self, document_id: str) -> list[dict[str, Any]]:
        """What stands in finance's journal for a document."""
        found = self.finance.control("GET", "/journal?limit=100000")
        return [entry for entry in found if entry["document_id"] == document_id]

    def form(self, document_id: str) -> dict[str, Any]:
        """The last state of a request in the OA's journal."""
        found = self.oa.control("GET", "/journal?limit=1000000")
        last: dict[str, Any] = [entry for entry in found if entry["request_id"] == document_id][-1]
        return last

    def held(self, document_id: str) -> list[str]:
        """Open reason codes of a document."""
        return self._row(document_id)["holds"] or []

    def _row(self, document_id: str) -> dict[str, Any]:
        rows = self.hub.document_rows(self.flow.flow_id)
        return next((found for found in rows if found["document_id"] == document_id), {"holds": [], "stage": "unseen"})

    # ------------------------------------------------------------ the flow

    def connect(self) -> tuple[Source, Ledger]:
        """Both ends, for one event loop."""
        return connect(self.flow, self.hub, oa_port=self.oa.port, finance_port=self.finance.port)

    async def sweep(self, source: Source, ledger: Ledger) -> None:
        """The verbs once, as a DAG runs them."""
        await sweep(self.flow, self.hub, source, ledger, translator=self.translator, judge=self.judge, worker="test")

    def settle(self, document_ids: Iterable[str], *, seconds: float = 40.0) -> int:
        """Sweep until these documents are due for nothing; returns the number of sweeps that had to be repeated."""
        return asyncio.run(self._settle(list(document_ids), time.monotonic() + seconds))

    async def _settle(self, document_ids: list[str], until: float) -> int:
        source, ledger = self.connect()
        failed = 0
        try:
            while True:
                try:
                    await self.sweep(source, ledger)
                except RetryLater:
                    failed += 1
                open_ones = self.open(document_ids)
                if not open_ones:
                    return failed
                assert time.monotonic() < until, f"not settled: {open_ones}"
                await asyncio.sleep(0.1)
        finally:
            await source.close()
            await ledger.close()

    def open(self, document_ids: Iterable[str]) -> dict[str, str]:
        """Documents of these that are due for something, now or later."""
        wanted = set(document_ids)
        rows = {found["document_id"]: found["stage"] for found in self.hub.document_rows(self.flow.flow_id)}
        return {name: rows.get(name, "unseen") for name in wanted if rows.get(name, "unseen") is not None}

    def assert_posted_once(self, document_ids: Iterable[str]) -> None:
        """Exactly one expense voucher each, its number on the form, the form moved on."""
        posted: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in self.finance.control("GET", "/journal?limit=100000"):
            posted[entry["document_id"]].append(entry)
        forms = {entry["request_id"]: entry for entry in self.oa.control("GET", "/journal?limit=1000000")}
        for name in document_ids:
            assert [entry["kind"] for entry in posted[name]] == ["expense"], (name, posted[name])
            form, (voucher,) = forms[name], posted[name]
            assert form["main"]["pzh"] == voucher["number"], (name, form["main"])
            assert form["main"]["gzrq"] == voucher["date"] == _DAY and form["node"] == PAYING_NODE


@contextmanager
def open_world(folder: Path, hub_dsn: str, judge: Judge, **changes: object) -> Iterator[ClaimWorld]:
    """A world of its own; ``changes`` are those of the flow."""
    with (
        SandboxProcess("sandbox.weaver", "--data", str(folder / "oa")) as oa,
        SandboxProcess("sandbox.journal", "--data", str(folder / "finance")) as finance,
    ):
        oa.control("POST", "/clock", {"now": _OA_CLOCK})
        world = ClaimWorld(oa=oa, finance=finance, hub_dsn=hub_dsn, judge=judge, flow=short_flow(**changes))
        try:
            yield world
        finally:
            world.close()
