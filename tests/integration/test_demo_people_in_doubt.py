"""The demo's people when the OA breaks off or dies under their hands: nothing is done twice, nothing left undone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from finbridge.cli.stack.processes import ManagedProcess

from tests.contract.sandbox_process import ROOT, SandboxProcess
from tools.demo.claims import Claim, Company
from tools.demo.history import past_month, tell
from tools.demo.oa_journal import OaJournal
from tools.demo.people import People, Refused
from tools.demo.stack import KeptPort

CLAIMS = 12


@pytest.fixture
def oa(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path / "oa")) as process:
        yield process


def journal(process: SandboxProcess) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = process.control("GET", "/journal?after=0&limit=100000")
    return rows


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("fault", ["reset", "close"])
async def test_a_broken_line_makes_nothing_twice_and_leaves_nothing_out(
    oa: SandboxProcess, fault: str, done: bool
) -> None:
    claim = Company(1, date(2026, 11, 22)).claim()
    async with People(f"http://127.0.0.1:{oa.port}") as people:
        broken: list[dict[str, object]] = [
            {"endpoint": name, "fault": fault, "count": 1, "after_commit": done}
            for name in ("doCreateRequest", "submitRequest", "rejectRequest", "withdrawRequest")
        ]
        with oa.faults(*broken):
            request_id = await people.create(claim)
            await people.approve(request_id)
            await people.withdraw(request_id, claim)
            await people.resubmit(request_id, claim)
            await people.reject(request_id)
    kinds = [row["kind"] for row in journal(oa) if row["request_id"] == request_id]
    assert kinds == ["create", "approve", "withdraw", "submit", "reject"]
    assert {row["request_id"] for row in journal(oa)} == {request_id}


async def test_a_plain_refusal_stays_a_refusal(oa: SandboxProcess) -> None:
    claim = Company(1, date(2026, 11, 22)).claim()
    async with People(f"http://127.0.0.1:{oa.port}") as people:
        request_id = await people.create(claim, submit=False)
        with pytest.raises(Refused):
            await people.approve(request_id)


@pytest.mark.slow
async def test_an_oa_that_is_killed_again_and_again_loses_no_claim_and_doubles_none(tmp_path: Path) -> None:
    """kill -9 while claims are being made and approved; the OA comes back on the same ports with all that it said."""
    port, control = KeptPort(0), KeptPort(0)
    argv = [*("--port", str(port.number), "--control-port", str(control.number)), *("--data", str(tmp_path / "oa"))]
    company = Company(2, date(2026, 11, 22))
    claims = [company.claim() for _ in range(CLAIMS)]
    port.give()
    control.give()
    process = ManagedProcess(
        "weaver", [ROOT / ".venv/bin/python", "-m", "sandbox.weaver", *argv], log=tmp_path / "oa.log", cwd=ROOT
    )
    process.start().wait_ready(60)
    try:
        tail = OaJournal(f"http://127.0.0.1:{control.number}", every_seconds=0.01)
        async with tail.tailed(), People(f"http://127.0.0.1:{port.number}") as people:

            async def story(claim: Claim) -> None:
                request_id = await people.create(claim)
                await tail.until(request_id, lambda entry: entry["kind"] == "create", 60)
                await people.approve(request_id)

            work = [asyncio.create_task(story(claim)) for claim in claims]
            for _ in range(3):
                process.kill()
                process.start().wait_ready(60)
                await asyncio.wait(work, timeout=0.05)
            await asyncio.gather(*work)
            await tail.catch_up()
            made = Counter(row["main"]["djbh"] for row in tail.entries if row["kind"] == "create")
            approved = Counter(row["main"]["djbh"] for row in tail.entries if row["kind"] == "approve")
        wanted = Counter(claim.number for claim in claims)
        assert made == wanted
        assert approved == wanted
    finally:
        process.stop()


def test_the_oa_takes_a_past_month_with_its_own_dates(oa: SandboxProcess) -> None:
    now = datetime.fromisoformat("2026-11-22T10:30:00")
    month = past_month(4, now, 120)
    tell(f"http://127.0.0.1:{oa.ready['control_port']}", month)
    rows = journal(oa)
    assert [row["kind"] for row in rows] == ["impose"] * 120
    assert month.request_ids == {row["request_id"] for row in rows}
    by_id = {row["request_id"]: row for row in rows}
    for document in month.documents:
        row = by_id[document.request_id]
        assert row["main"]["djbh"] == document.claim.number
        assert row["oa_time"][:10] == document.log[-1][1].date().isoformat()
        assert [entry["date"] for entry in row["log"]] == [moment.date().isoformat() for _, moment in document.log]
    assert oa.control("GET", "/clock")["base"] is None
