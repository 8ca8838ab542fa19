"""The e-cology slice against its stand-in, faults on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from finbridge.core.errors import RetryLater

from tests.contract.memory_tokens import MemoryTokens
from tests.contract.sandbox_process import SandboxProcess
from tests.contract.source_contract import SourceContract
from tests.contract.source_harness import SourceHarness
from tests.contract.weaver_harness import WeaverHarness


@pytest.fixture(scope="module")
def weaver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeaverHarness]:
    folder: Path = tmp_path_factory.mktemp("oa")
    with SandboxProcess("sandbox.weaver", "--data", str(folder)) as process:
        yield WeaverHarness(process, MemoryTokens())


class TestWeaverSource(SourceContract):
    @pytest.fixture
    def oa(self, weaver: WeaverHarness) -> SourceHarness:
        return weaver

    async def test_a_clock_ahead_of_ours_stops_the_look(self, weaver: WeaverHarness) -> None:
        """A watermark from the future would skip every document until then."""
        before = datetime.fromisoformat(weaver.process.control("GET", "/clock")["now"])
        source, trusting = weaver.connect(max_clock_ahead_seconds=600), weaver.connect(max_clock_ahead_seconds=0)
        try:
            weaver.set_clock(datetime(2099, 1, 1, 9))  # noqa: DTZ001 - the OA's clock is local
            with pytest.raises(RetryLater) as caught:
                await source.now()
            assert caught.value.code == "oa_clock_ahead"
            assert (await trusting.now()).year == 2099
        finally:
            weaver.set_clock(before)
            await source.close()
            await trusting.close()
        assert abs(datetime.fromisoformat(weaver.process.control("GET", "/clock")["now"]) - before) < timedelta(hours=1)
