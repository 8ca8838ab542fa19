"""The e-cology stand-in as a SourceHarness."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import uuid4

from finbridge.core.connections import ConnectionSettings
from finbridge.systems.weaver.adapter import WeaverSource, connect

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.source_harness import SourceHarness

MAIN = {"djbh": "BX1", "sqr": "E0001", "sqrxm": "张三", "gsdm": "1000", "bz": "CNY", "bzje": "106.00", "hdje": "106.0"}
DETAILS = {
    "formtable_main_11_dt1": [{"fylx": "TRAVEL", "cbzx": "CC-ADM-01", "hdje": "106.00", "se": "6.0000", "sl": "0.06"}],
    "formtable_main_11_dt2": [{"skrlx": "EMPLOYEE", "skr": "E0001", "skzh": "6222021234567890", "zfje": "106.00"}],
}
_ENDPOINTS = {
    "list": "get*List",
    "count": "get*Count",
    "read": "getWorkflowRequest",
    "status": "getRequestStatus",
    "write": "submitRequest",
    "any": "*",
}
#: The stand-in's clock is virtual.
FAST = {"rate_per_second": 2000, "rate_burst": 200, "rate_parallel": 8, "max_clock_ahead_seconds": 0}


def settings_for(port: int, user: str = "900", appid: str = "finbridge", **extra: object) -> ConnectionSettings:
    """A connection to a stand-in."""
    return ConnectionSettings(
        conn_id="weaver_test", host="127.0.0.1", port=port, login=user, extra={"appid": appid, **FAST, **extra}
    )


class WeaverHarness(SourceHarness):
    """One stand-in, one token store."""

    templates = frozenset({"101", "102"})
    node, next_node = "财务过账", "付款"
    our_column, their_column = "pzh", "hdje"

    def __init__(self, process: SandboxProcess, tokens: MemoryTokens) -> None:
        self.process, self.tokens = process, tokens

    def connect(self, **extra: object) -> WeaverSource:
        return connect(settings_for(self.process.port, "900", "finbridge", **extra), tokens=self.tokens)

    def connect_to_nobody(self) -> WeaverSource:
        return connect(settings_for(1), tokens=MemoryTokens())

    def set_clock(self, now: datetime) -> None:
        self.process.control("POST", "/clock", {"now": now.isoformat()})

    def add(self, count: int, *, node: str | None = None, key: str = "") -> list[str]:
        day, clock = self.process.control("GET", "/clock")["now"].split("T")
        log = [
            {"node": "起草", "operate_type": "提交", "operator": "7", "date": day, "time": clock},
            {"node": "审批", "operate_type": "批准", "operator": "500", "date": day, "time": clock},
        ]
        items = [
            {
                "key": key or uuid4().hex,
                "workflow_id": "101" if number % 2 else "102",
                "request_name": f"报销 {number}",
                "creator": "7",
                "main": MAIN,
                "details": DETAILS,
                "node": node or self.node,
                "log": log,
            }
            for number in range(count)
        ]
        ids: list[str] = self.process.control("POST", "/impose", {"items": items})["request_ids"]
        return ids

    def _impose(self, document_ids: Sequence[str], **item: object) -> None:
        items = [{"request_id": name, **item} for name in document_ids]
        self.process.control("POST", "/impose", {"items": items})

    def operate(self, document_ids: Sequence[str]) -> None:
        day, clock = self.process.control("GET", "/clock")["now"].split("T")
        row = {"node": "财务过账", "operate_type": "保存", "operator": "501", "date": day, "time": clock}
        self._impose(document_ids, log=[row])

    def place(self, document_id: str, where: str) -> None:
        self._impose([document_id], node={"posting": "财务过账", "archived": "归档", "elsewhere": "审批"}[where])

    def delete(self, document_ids: Sequence[str]) -> None:
        self._impose(document_ids, deleted=True)

    def changes(self, document_id: str) -> list[dict[str, Any]]:
        entries = self.process.control("GET", "/journal?after=0&limit=1000000")
        return [entry for entry in entries if entry["request_id"] == document_id]

    def fault(self, name: str, *, on: str, **more: object) -> AbstractContextManager[None]:
        return self.process.faults({"endpoint": _ENDPOINTS[on], "fault": name, **more})

    def doubling_rows(self) -> AbstractContextManager[None]:
        return self.process.options(repeat=3)

    def shifting_pages(self) -> AbstractContextManager[None]:
        return self.process.options(page_drift=2)
