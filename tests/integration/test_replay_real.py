"""600 documents of each real log, chosen to hold every path, in all variants on both targets."""

from __future__ import annotations

from pathlib import Path

import pytest
from finbridge.cli.replay.options import Target
from finbridge.cli.replay.servers import Workshop

from tests.integration.replay_check import play_and_compare
from tests.integration.replay_logs import NO_DATA, REAL_LOGS, paths, pick, real_log

DOCUMENTS = 600


@pytest.fixture(scope="module", params=REAL_LOGS)
def chosen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The log, and a file that names its chosen documents."""
    log = real_log(request.param)
    if log is None:
        pytest.skip(NO_DATA)
    documents = pick(log, DOCUMENTS)
    assert len(documents) == DOCUMENTS and paths(log, documents) == paths(log), "every path is held"
    file = tmp_path_factory.mktemp("chosen") / "documents.txt"
    file.write_text("\n".join(documents))
    return log, file


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("target", list(Target))
@pytest.mark.parametrize("variant", ["base", "repeat", "shuffle", "day"])
def test_a_real_log_becomes_what_its_rules_say(
    variant: str, target: Target, chosen: tuple[Path, Path], workshop: Workshop, tmp_path: Path
) -> None:
    log, documents = chosen
    result = play_and_compare(variant, log, workshop, tmp_path / "out.csv", target=target, documents=documents)
    assert result.documents == DOCUMENTS and result.vouchers > DOCUMENTS
