"""Who keeps a month waiting, asked of the e-cology stand-in: only open requests are listed, and hardly one is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from finbridge.core.month import first_day
from finbridge.flows.config import load_flow
from finbridge.systems.weaver.adapter import connect
from finbridge.systems.weaver.waiting import Memory, in_approval

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.integration.claim_world import FLOW_FILE, claim, oa_settings

PERIOD = "2026-06"


@pytest.fixture(scope="module")
def oa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path_factory.mktemp("oa"))) as process:
        process.control("POST", "/clock", {"now": "2026-07-02T09:00:00"})
        yield process


def item(node: str, company: str = "1000", sent: str = f"{PERIOD}-20") -> dict[str, Any]:
    """A claim sent in on a day that stands at a node."""
    made = claim(gsdm=company)
    made["log"] = [{**made["log"][0], "date": sent}]
    made["node"] = node
    return made


async def test_only_what_is_in_approval_for_the_company_and_month_is_named(oa: SandboxProcess) -> None:
    flow = load_flow(FLOW_FILE)
    settings = oa_settings(oa.port)
    settings = replace(settings, extra={**settings.extra, "timeout_seconds": 10, "max_clock_ahead_seconds": 0})
    items = [
        item("审批"),
        item("审批", company="2000"),
        item("审批", sent="2026-07-01"),
        item("审批", sent="2026-05-31"),
    ]
    items += [item("财务过账") for _ in range(150)] + [item("归档") for _ in range(150)]
    ids = oa.control("POST", "/impose", {"items": items})["request_ids"]
    source, memory = connect(settings, tokens=MemoryTokens()), Memory()
    try:
        assert await in_approval(source, flow, "1000", PERIOD, memory) == [ids[0]]
        assert await in_approval(source, flow, "2000", PERIOD, memory) == [ids[1]]
        pages = source.unfinished(first_day(PERIOD), await source.now(), flow.templates)
        listed = {ref.document_id async for page in pages for ref in page}
        assert listed == set(ids[:154]), "archived requests are not listed"
        oa.control("POST", "/impose", {"items": [{"key": items[0]["key"], "node": "财务过账"}]})
        assert await in_approval(source, flow, "1000", PERIOD, memory) == []
    finally:
        await source.close()
    assert len(memory.names) == 2, "two nodes of one template"
