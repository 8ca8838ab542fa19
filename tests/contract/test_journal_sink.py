"""The journal slice against its stand-in: the contract of every ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from finbridge.core.vouchers import Side

from tests.contract.journal_harness import CHART, JournalHarness
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.sink_contract import SinkContract
from tests.contract.sink_harness import SinkHarness, kinds, line, make_voucher


@pytest.fixture(scope="module")
def finance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalHarness]:
    folder = tmp_path_factory.mktemp("finance")
    chart = folder / "chart.json"
    chart.write_text(json.dumps(CHART))
    with SandboxProcess("sandbox.journal", "--data", str(folder), "--chart", str(chart)) as process:
        yield JournalHarness(process, folder)


class TestJournalSink(SinkContract):
    @pytest.fixture
    def sink(self, finance: JournalHarness) -> SinkHarness:
        return finance

    # The stand-in keeps no persons and suppliers, so it cannot refuse one; a real ledger must.

    async def test_unknown_party_is_rejected(self, sink: SinkHarness) -> None:
        await self.must_be_posted(sink, "E9999")

    async def test_missing_party_is_rejected(self, sink: SinkHarness) -> None:
        await self.must_be_posted(sink, None)

    async def must_be_posted(self, sink: SinkHarness, party: str | None) -> None:
        lines = (line(1, "660201", Side.DEBIT, 100), line(2, "2241", Side.CREDIT, 100, party=party))
        ledger, voucher = await sink.connect(), make_voucher(sink, lines=lines)
        assert kinds(await ledger.post([voucher])) == ["Accepted"]
        assert [row["lines"][1]["party"] for row in sink.rows(voucher.key)] == [party]
        await ledger.close()
