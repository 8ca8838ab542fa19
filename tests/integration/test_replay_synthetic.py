"""Replays of a log of our own: odd histories, odd amounts, missing and additional columns, without the real data."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from finbridge.cli.replay.options import Target
from finbridge.cli.replay.servers import Workshop

from tests.integration.replay_check import differences, play_and_compare
from tests.integration.replay_logs import DECLARATIONS, HISTORIES, REQUESTS, Family, make_log
from tests.integration.replay_reference import COLUMNS, expected

_DOCUMENTS = 4 * len(HISTORIES)


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_log(tmp_path_factory.mktemp("log"), DECLARATIONS, documents=_DOCUMENTS, seed=20)


@pytest.mark.parametrize("variant", ["base", "repeat", "shuffle", "day"])
def test_every_way_of_playing_gives_what_the_rules_say(
    variant: str, declarations: Path, workshop: Workshop, tmp_path: Path
) -> None:
    result = play_and_compare(variant, declarations, workshop, tmp_path / "out.csv")
    assert result.documents == _DOCUMENTS and result.vouchers > 100, "a replay that posts nothing proves nothing"
    assert sum(result.validations.values()) >= 10 and sum(result.judged_rows.values()) > 200
    assert result.calls["OA GET /api/workflow/paService/getWorkflowRequest"] >= _DOCUMENTS


@pytest.mark.parametrize(("family", "bare"), [(REQUESTS, False), (REQUESTS, True), (DECLARATIONS, True)])
def test_other_logs_of_the_collection_need_no_change_of_code(
    family: Family, bare: bool, workshop: Workshop, tmp_path: Path
) -> None:
    """With the columns and events of a parent, or with nothing but what every log has."""
    log = make_log(tmp_path / "log", family, documents=2 * len(HISTORIES), seed=3, bare=bare)
    result = play_and_compare("repeat", log, workshop, tmp_path / "out.csv")
    assert result.flow_id == ("replay__declaration" if family is DECLARATIONS else "replay__request_for_payment")


def test_the_real_ledger_gives_the_same(declarations: Path, workshop: Workshop, tmp_path: Path) -> None:
    result = play_and_compare("base", declarations, workshop, tmp_path / "out.csv", target=Target.TRYTON, documents=50)
    assert result.vouchers > 30
    assert any(call.startswith("finance POST") for call in result.calls)


def test_the_file_has_the_promised_columns_and_a_row_a_document(
    declarations: Path, workshop: Workshop, tmp_path: Path
) -> None:
    chosen = [f"declaration {100 + at}" for at in (6, 7, 24, 40)]
    (tmp_path / "chosen").write_text("\n".join(chosen))
    play_and_compare("shuffle", declarations, workshop, tmp_path / "out.csv", documents=tmp_path / "chosen")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(COLUMNS) and [row[0] for row in rows[1:]] == chosen


def test_the_comparison_sees_a_cent(declarations: Path) -> None:
    reference = expected(declarations)
    rows = [dict(row) for row in reference.values()]
    assert not differences(rows, reference, COLUMNS)
    live = next(row for row in rows if row["live_vouchers"] == "1")
    live["live_amount"] = live["live_amount"][:-1] + ("1" if live["live_amount"][-1] != "1" else "2")
    assert [name for name, _ in differences(rows, reference, COLUMNS)] == [live["document_id"]]
