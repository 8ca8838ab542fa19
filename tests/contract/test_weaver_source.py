"""The e-cology slice against its stand-in, faults on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
