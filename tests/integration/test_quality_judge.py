"""The judge beside its rules: empty and odd frames, no value in any result, memory, forks, speed."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import psutil
import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.ports import Verdict
from finbridge.quality import load_judge, warm
from finbridge.quality.gx import Engine
from finbridge.quality.judge import SuiteJudge
from finbridge.quality.suites import load_suites

from tests.integration.quality_frames import BAD_ID, Frames, again, both, claims, put

FOLDER = Path(__file__).resolve().parents[2] / "include" / "expectations"
DOCUMENTS, VOUCHERS = "expense_claim.documents", "expense_claim.vouchers"
SMALL = """\
about: small
frames:
  documents: {row: []}
rules:
  - {id: d.company, frame: documents, level: row, expect: expect_column_values_to_not_be_null,
     kwargs: {column: company}, reason: required_missing, zh: 空, en: empty}
  - {id: d.amount, frame: documents, level: row, expect: expect_column_values_to_be_between,
     kwargs: {column: approved_minor, min_value: 0}, reason: amount, zh: 负, en: negative}
  - {id: d.rows, frame: documents, level: batch, expect: expect_table_row_count_to_be_between,
     kwargs: {min_value: 1}, reason: rows, zh: 空, en: empty}
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def judge() -> Any:
    return load_judge(FOLDER)


def small_judge(engine: Engine, tmp_path: Path, text: str = SMALL) -> SuiteJudge:
    (tmp_path / "small.yaml").write_text(text, encoding="utf-8")
    return SuiteJudge(load_suites(tmp_path), engine)


def broken(frames: Frames) -> Frames:
    both(
        put("documents", "payable_minor", 1),
        put("lines", "vat_difference_minor", 99),
        put("voucher_lines", "account", None),
    )(frames)
    return frames


def through_duckdb(frames: Frames) -> Frames:
    """The frames as DuckDB gives them back: str, Int64, object where a column is empty, datetime64."""
    connection = duckdb.connect()
    made = {}
    for name, frame in frames.items():
        connection.register(name, frame)
        made[name] = connection.execute(f"SELECT * FROM {name}").df()
    return made


# ---------------------------------------------------------------- what frames may look like


def test_the_verdict_does_not_depend_on_how_the_frame_was_made(judge: Any) -> None:
    frames = broken(claims(6))
    duck = through_duckdb(frames)
    assert [str(kind) for kind in duck["documents"].dtypes] != [str(kind) for kind in frames["documents"].dtypes]
    text = {name: frame.astype({"document_id": "str"}) for name, frame in frames.items()}  # pandas 3: NaN for None
    for suite in (DOCUMENTS, VOUCHERS):
        verdict = judge.judge(suite, frames)
        assert verdict.bad
        for other in (duck, text):
            again_judged = judge.judge(suite, other)
            assert (again_judged.batch_ok, again_judged.bad) == (verdict.batch_ok, verdict.bad)


def test_a_column_without_any_value_names_every_document(judge: Any) -> None:
    frames = claims(3)
    frames["lines"]["account"] = None
    duck = through_duckdb(frames)
    assert str(duck["lines"]["account"].dtype) in {"object", "Int32"}
    for made in (frames, duck):
        verdict = judge.judge(DOCUMENTS, made)
        assert verdict.batch_ok, verdict.broken_batch_rules
        assert [(p.document_id, p.code) for p in verdict.bad] == [(str(90000 + n), "unknown_code") for n in range(3)]


def test_whole_numbers_beyond_a_float_keep_their_last_digit(judge: Any) -> None:
    frames = claims(3)
    for column in ("claimed_minor", "approved_minor", "payable_minor", "line_total_minor"):
        frames["documents"][column] = pd.Series([9_007_199_254_740_993] * 3, dtype="Int64")
    frames["documents"].loc[0, "payable_minor"] = 9_007_199_254_740_992
    frames["documents"].loc[2, "payable_minor"] = None  # a gap must not turn the column into floats
    codes = {(p.document_id, p.code) for p in judge.judge(DOCUMENTS, frames).bad if p.code != "amount_out_of_range"}
    assert codes == {("90000", "payable_differs"), ("90002", "required_missing")}


def test_nothing_to_judge_passes_with_zero_rows(judge: Any) -> None:
    empty = {name: frame.head(0) for name, frame in claims(1).items()}
    for made in (empty, through_duckdb(empty)):
        for suite in (DOCUMENTS, VOUCHERS):
            verdict = judge.judge(suite, made)
            assert (verdict.batch_ok, verdict.bad, verdict.rows) == (True, (), 0)


def test_one_empty_frame_beside_a_full_one_stops_the_load(judge: Any) -> None:
    frames = claims(2)
    frames["vouchers"] = frames["vouchers"].head(0)
    verdict = judge.judge(VOUCHERS, frames)
    assert not verdict.batch_ok
    assert any(rule.startswith("vouchers.row_count:") for rule in verdict.broken_batch_rules)


def test_a_missing_frame_stops_the_load(judge: Any) -> None:
    frames = claims(2)
    del frames["lines"]
    verdict = judge.judge(DOCUMENTS, frames)
    assert not verdict.batch_ok
    assert any(rule.startswith("lines: 缺少数据表") for rule in verdict.broken_batch_rules)


def test_a_missing_column_stops_the_load_and_says_which_rules_could_not_be_judged(judge: Any) -> None:
    frames = claims(2)
    frames["documents"] = frames["documents"].drop(columns=["payable_minor"])
    verdict = judge.judge(DOCUMENTS, frames)
    assert not verdict.batch_ok
    assert [rule.split(":")[0] for rule in verdict.broken_batch_rules] == [
        "documents.columns",
        "documents.required.payable_minor",
        "documents.payable_is_approved",
    ]


def test_bad_rows_without_a_document_id_stop_the_load_and_others_are_still_named(judge: Any) -> None:
    frames = claims(6)
    put("lines", "account", None)(frames)
    frames["lines"].loc[0, ["document_id", "account"]] = None
    verdict = judge.judge(DOCUMENTS, frames)
    assert [rule.split(":")[0] for rule in verdict.broken_batch_rules] == [
        "lines.document_id.present",
        "lines.known_code.account",
    ]
    assert [p.document_id for p in verdict.bad] == [BAD_ID]


def test_a_broken_batch_rule_is_told_with_the_bad_rows(judge: Any) -> None:
    frames = broken(claims(6))
    put("documents", "company", "9999")(frames)
    verdict = judge.judge(DOCUMENTS, frames)
    assert not verdict.batch_ok
    assert len(verdict.broken_batch_rules) == 1
    assert {p.code for p in verdict.bad} == {"payable_differs", "vat_mismatch"}
    stored = json.loads(verdict.result_json)
    served = next(rule for rule in stored["rules"] if rule["rule"] == "documents.company.served")
    assert (served["ok"], served["documents"], served["bad_rows"]) == (False, [BAD_ID], 1)
    assert stored["rows"] == {"documents": 6, "lines": 12}
    assert stored["suite_sha256"] == load_suites(FOLDER)[DOCUMENTS].sha256


# ---------------------------------------------------------------- suites that only Great Expectations can refuse


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("expect_column_values_to_not_be_null", "expect_miracles", "has no expect_miracles"),
        ("{column: company}", "{colum: company}", "colum"),
        ("level: batch", "level: row", "does not look at rows one by one"),
    ],
)
def test_a_rule_that_cannot_be_compiled_is_named_with_its_line(
    engine: Engine, tmp_path: Path, old: str, new: str, what: str
) -> None:
    with pytest.raises(GiveUp, match=r"small\.yaml:\d+: d\.\w+: ") as caught:
        small_judge(engine, tmp_path, SMALL.replace(old, new, 1))
    assert what in caught.value.engineer


def test_an_unknown_suite_is_an_error(judge: Any) -> None:
    with pytest.raises(GiveUp, match="no suite claim"):
        judge.judge("claim", claims(1))


def test_fewer_ids_than_bad_rows_is_an_error(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = small_judge(engine, tmp_path)
    frames = claims(6)
    frames["documents"]["company"] = None
    true_validate = Engine._validate

    def truncating(self: Engine, *args: Any) -> list[Any]:
        results = true_validate(self, *args)
        for result in results:
            for column in (result.result.get("unexpected_index_list") or [{}])[0].values():
                del column[3:]
        return results

    monkeypatch.setattr(Engine, "_validate", truncating)
    with pytest.raises(GiveUp, match="6 bad rows but 3 ids"):
        small.judge("small", frames)


# ---------------------------------------------------------------- privacy

CANARIES = ("张三丰绝密", "6222020200112233445", "身份证110101199003071234")


def test_no_value_of_a_row_reaches_results_or_logs(
    judge: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    frames = claims(6)
    put("documents", "currency", CANARIES[0])(frames)
    put("lines", "account", CANARIES[1])(frames)
    put("lines", "cost_centre_kind", CANARIES[0])(frames)
    put("documents", "company", CANARIES[2])(frames)
    put("voucher_lines", "side", CANARIES[1])(frames)
    # amounts that are texts make Great Expectations raise, with the value in its message
    frames["lines"]["vat_difference_minor"] = CANARIES[2]
    frames["vouchers"]["posting_date"] = CANARIES[0]
    caplog.set_level(logging.INFO)
    verdicts = [judge.judge(suite, frames) for suite in (DOCUMENTS, VOUCHERS)]
    assert {"currency_not_allowed", "account_not_allowed", "unknown_code"} <= {p.code for p in verdicts[0].bad}
    assert {"bad_side"} <= {p.code for p in verdicts[1].bad}
    assert any("lines.vat_within_tolerance: 无法判断" in rule for rule in verdicts[0].broken_batch_rules)
    assert any("vouchers.posting_date.range: 无法判断" in rule for rule in verdicts[1].broken_batch_rules)
    out = capfd.readouterr()
    seen = "".join([caplog.text, out.out, out.err, *(repr(verdict) for verdict in verdicts)])
    assert BAD_ID in seen
    assert [canary for canary in CANARIES if canary in seen] == []


# ---------------------------------------------------------------- memory


def test_three_hundred_runs_do_not_grow(engine: Engine, tmp_path: Path) -> None:
    small = small_judge(engine, tmp_path)
    frames = claims(20)
    put("documents", "company", None)(frames)

    def runs(count: int) -> int:
        for _ in range(count):
            assert len(small.judge("small", frames).bad) == 1
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    before = runs(60)
    after = runs(300)
    assert after - before < 12 * 2**20, f"{(after - before) / 2**20:.1f} MiB in 300 runs"


def test_the_frames_are_let_go(judge: Any) -> None:
    frames = broken(claims(4))
    watched = [weakref.ref(frame) for frame in frames.values()]
    judge.judge(DOCUMENTS, frames)
    judge.judge(VOUCHERS, frames)
    frames.clear()
    gc.collect()
    assert [watch() is None for watch in watched] == [True] * 4


# ---------------------------------------------------------------- forks


def child(judge: Any, frames: Frames, out: Any) -> None:
    verdict = judge.judge(DOCUMENTS, frames)
    out.put((verdict, [thread.name for thread in threading.enumerate() if thread.name != "QueueFeederThread"]))


def test_a_judge_loaded_in_the_parent_works_in_forked_children(judge: Any) -> None:
    """As LocalExecutor does: the parent judges too, then forks; children end before it judges again."""
    warm()
    frames = broken(claims(6))
    verdict: Verdict = judge.judge(DOCUMENTS, frames)
    assert verdict.bad
    assert [thread.name for thread in threading.enumerate() if "tqdm" in thread.name.lower()] == []
    fork = multiprocessing.get_context("fork")
    out: Any = fork.Queue()
    children = [fork.Process(target=child, args=(judge, frames, out), daemon=True) for _ in range(2)]
    for process in children:
        process.start()
    answers = [out.get(timeout=60) for _ in children]
    for process in children:
        process.join(60)
    assert [process.exitcode for process in children] == [0, 0]
    assert [answer for answer, _ in answers] == [verdict, verdict]
    assert [threads for _, threads in answers] == [["MainThread"]] * 2
    assert judge.judge(DOCUMENTS, frames) == verdict


def killed_in_the_middle() -> None:
    from tqdm import std  # type: ignore[import-untyped]  # tqdm ships no types

    std.tqdm.get_lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_child_killed_inside_great_expectations_stops_nobody(judge: Any) -> None:
    """tqdm's own lock is shared by all forks of a process: a child killed with it in hand would stop the others."""
    frames = broken(claims(4))
    verdict = judge.judge(DOCUMENTS, frames)
    fork = multiprocessing.get_context("fork")
    victim = fork.Process(target=killed_in_the_middle, daemon=True)
    victim.start()
    victim.join(30)
    assert victim.exitcode == -signal.SIGKILL
    out: Any = fork.Queue()
    survivor = fork.Process(target=child, args=(judge, frames, out), daemon=True)
    survivor.start()
    assert out.get(timeout=60)[0] == verdict
    survivor.join(30)
    assert survivor.exitcode == 0


def test_threads_take_turns(judge: Any) -> None:
    frames = broken(claims(6))
    expected = {suite: judge.judge(suite, frames) for suite in (DOCUMENTS, VOUCHERS)}
    found: list[tuple[str, Verdict]] = []

    def work(suite: str) -> None:
        for _ in range(3):
            found.append((suite, judge.judge(suite, frames)))

    threads = [threading.Thread(target=work, args=(suite,)) for suite in expected for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 12
    assert all(verdict == expected[suite] for suite, verdict in found)


# ---------------------------------------------------------------- speed


@pytest.mark.parametrize("suite", [DOCUMENTS, VOUCHERS])
def test_a_warm_verdict_on_five_hundred_documents_is_quick(judge: Any, suite: str) -> None:
    frames = claims(500)
    put("documents", "payable_minor", 1)(frames)
    judge.judge(suite, frames)
    spent = []
    for _ in range(4):
        start = time.process_time()
        judge.judge(suite, frames)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.3, f"{min(spent):.3f} s of CPU"


def test_a_duplicate_is_found_however_it_is_spread(judge: Any) -> None:
    frames = claims(300)
    again("documents")(frames)
    verdict = judge.judge(DOCUMENTS, frames)
    assert [(p.document_id, p.code) for p in verdict.bad] == [(BAD_ID, "duplicate_identity")]
    assert verdict.bad[0].detail.endswith("[kind expense; kind expense]")
