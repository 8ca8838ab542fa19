"""The demo judges itself: a month, a run by hand or a kill that came out wrong is named, a right one is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any, cast

import pytest

from tools.demo.acts import manual, past_month
from tools.demo.acts.journals import Gained
from tools.demo.acts.manual import UNKNOWN_NUMBER, ManualRun, ManualShown
from tools.demo.acts.past_month import CompanyMonth, MonthShown, totals_of
from tools.demo.claims import Company
from tools.demo.clock import Clock
from tools.demo.history import past_month as make_month
from tools.demo.kills import NAMES, PER_KILL, Killed, Kills, beats_since, names_of
from tools.demo.scenario import Document, Fate
from tools.demo.stack import Stack
from tools.demo.telling import shortened

NOW = datetime.fromisoformat("2026-11-22T10:30:00")
TODAY = date(2026, 11, 22)


# ---------------------------------------------------------------------- the past month


def good_month() -> MonthShown:
    month = make_month(1, NOW, 200)
    for number, document in enumerate(month.documents):
        document.request_id = str(number)
    companies = [
        CompanyMonth(
            company=company,
            state="success",
            unexplained=0,
            sums=(),
            differences=[
                {"what": "held", "document_id": d.request_id}
                for d in month.documents
                if d.held and d.claim.company == company
            ],
        )
        for company in month.companies
    ]
    again, changed = ["success"] * 2, Gained((), frozenset())
    return MonthShown(month=month, companies=companies, ledger=month.totals(), again=again, changed=changed)


def test_a_month_that_is_right_has_no_failures() -> None:
    assert past_month.failures(good_month()) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ({"state": "failed"}, "the run is failed"),
        ({"unexplained": 1}, "1 unexplained differences"),
        ({"unexplained": None}, "None unexplained differences"),
        ({"differences": []}, "held 0, not"),
    ],
)
def test_a_run_that_says_something_else_is_named(spoil: dict[str, Any], says: str) -> None:
    shown = good_month()
    shown.companies[0] = replace(shown.companies[0], **spoil)
    found = past_month.failures(shown)
    assert len(found) == 1
    assert says in found[0]
    assert "company 1000" in found[0]


def test_a_ledger_that_shows_something_else_is_named_whatever_the_run_says() -> None:
    shown = good_month()
    key = ("1000", "expense", "CNY")
    count, amount = shown.ledger[key]
    shown.ledger = {**shown.ledger, key: (count, amount - 1)}
    assert [text for text in past_month.failures(shown) if "1000 expense CNY" in text]
    shown.ledger = {**shown.month.totals(), ("2000", "reversal", "CNY"): (1, -5)}
    assert [text for text in past_month.failures(shown) if "2000 reversal CNY" in text]


def test_the_ledgers_totals_are_of_the_period_and_of_the_debit_side() -> None:
    def row(period: str, *debits: str, kind: str = "expense") -> dict[str, Any]:
        lines = [{"debit": debit} for debit in debits]
        return {"company": "1000", "kind": kind, "currency": "CNY", "period": period, "lines": lines}

    rows = [
        row("2026-10", "100.10", "0.00", "5.5"),
        row("2026-10", "7"),
        row("2026-11", "9.00"),
        row("2026-10", "-100.10", "-0.05", kind="reversal"),
    ]
    assert totals_of(rows, "2026-10") == {
        ("1000", "expense", "CNY"): (2, 11_260),
        ("1000", "reversal", "CNY"): (1, -10_015),
    }


@pytest.mark.parametrize(
    "spoil",
    [{"again": ["success", "failed"]}, {"again": []}, {"changed": None}, {"changed": Gained((), frozenset({"K"}))}],
)
def test_a_second_run_that_fails_or_changes_something_is_named(spoil: dict[str, Any]) -> None:
    found = past_month.failures(replace(good_month(), **spoil))
    assert len(found) == 1
    assert "second run" in found[0]


# ---------------------------------------------------------------------- by hand


def gain(forms: list[str], keys: int) -> Gained:
    return Gained([{"request_id": name} for name in forms], frozenset(f"K{n}" for n in range(keys)))


def good_repair() -> ManualShown:
    company = Company(1, TODAY)
    posted = Document(Fate.PACED, company.claim(), "1")
    mended = Document(Fate.NEW_CODE, company.with_new_cost_centre(), "2")
    one, two = posted.claim.number, mended.claim.number

    def run(verdicts: dict[str, str], entries: int, keys: int) -> ManualRun:
        return ManualRun(
            title="run",
            live=bool(keys),
            state="success",
            seconds=1.0,
            previews=[{"business_number": name, "verdict": verdict} for name, verdict in verdicts.items()],
            gained=gain(["2"] * entries, keys),
        )

    return ManualShown(
        posted=posted,
        mended=mended,
        runs=[
            run({one: "posted", two: "would_post", UNKNOWN_NUMBER: "not_found"}, 0, 0),
            run({one: "posted", two: "posted"}, 2, 1),
            run({one: "posted", two: "posted"}, 0, 0),
        ],
    )


def test_a_repair_that_is_right_has_no_failures() -> None:
    assert manual.failures(good_repair()) == []


@pytest.mark.parametrize(
    ("at", "spoil", "says"),
    [
        (0, {"state": "failed"}, "the run is failed"),
        (0, {"previews": []}, "not spoken of"),
        (0, {"gained": gain([], 1)}, "ledger +1"),
        (0, {"gained": gain(["9"], 0)}, "forms touched: 9"),
        (1, {"gained": gain(["2"], 0)}, "ledger +0"),
        (1, {"gained": gain(["2", "1"], 1)}, "forms touched: 1 2"),
        (2, {"gained": gain([], 1)}, "ledger +1"),
    ],
)
def test_a_repair_that_did_something_else_is_named(at: int, spoil: dict[str, Any], says: str) -> None:
    shown = good_repair()
    shown.runs[at] = replace(shown.runs[at], **spoil)
    found = manual.failures(shown)
    assert found
    assert any(says in text for text in found), found


def test_a_repair_that_stopped_half_way_is_named() -> None:
    shown = good_repair()
    shown.runs.pop()
    assert manual.failures(shown) == ["by hand: 2 runs, not 3"]


# ---------------------------------------------------------------------- what is told


def test_only_the_list_of_what_is_held_is_cut() -> None:
    lines = ["lost: 3", "  a: x", "  b: x", "  c: x", "named: 4", "  d: x", "  e: x", "  f: x", "  g: x", "moved: 9"]
    assert shortened(lines, most=2) == [*lines[:5], "  d: x", "  e: x", "  … 2 more", "moved: 9"]
    assert shortened(lines, most=4) == lines


# ---------------------------------------------------------------------- kills


def kills_of(*names: str) -> Kills:
    return Kills(cast("Stack", None), Clock(), names)


def killed(name: str, settled: float | None = 1.0) -> Killed:
    return Killed(name=name, pid=7, back_seconds=0.5, settled_seconds=settled)


def test_all_names_every_process_once() -> None:
    assert names_of("all") == NAMES
    assert len(set(NAMES)) == 9
    assert names_of("oa, tryton") == ("oa", "tryton")
    assert names_of("") == ()
    with pytest.raises(ValueError, match="no process postgres; known: all, "):
        names_of("oa,postgres")


def test_kills_need_claims_of_their_own() -> None:
    assert kills_of("oa", "tryton").documents == 2 * PER_KILL


def test_a_process_that_was_not_killed_exactly_once_is_a_failure() -> None:
    kills = kills_of("oa", "tryton")
    kills.done = [killed("oa")]
    assert kills.failures() == ["tryton was killed 0 times"]
    kills.done = [killed("oa"), killed("tryton")]
    assert kills.failures() == []
    kills.done.append(killed("oa"))
    assert kills.failures() == ["oa was killed 2 times"]


def test_a_kill_that_never_settled_is_a_failure() -> None:
    kills = kills_of("oa")
    kills.done = [killed("oa", None)]
    assert kills.failures() == ["killed oa (process 7): back after 0.5 s, NOT settled"]
    kills.done, kills.errors = [], ["oa is not back after 150 s"]
    assert kills.failures() == ["oa is not back after 150 s", "oa was killed 0 times"]


@pytest.mark.parametrize(
    ("status", "beat", "lives"),
    [
        ("healthy", "2026-11-22T10:00:01+00:00", True),
        ("healthy", "2026-11-22T09:59:59+00:00", False),
        ("unhealthy", "2026-11-22T10:00:01+00:00", False),
        ("healthy", None, False),
    ],
)
def test_only_a_heartbeat_after_the_kill_shows_life(status: str, beat: str | None, lives: bool) -> None:
    moment = datetime.fromisoformat("2026-11-22T10:00:00+00:00").timestamp()
    health = {"scheduler": {"status": status, "latest_scheduler_heartbeat": beat}}
    assert beats_since(cast("Any", health), "scheduler", moment) is lives
    assert not beats_since({}, "scheduler", moment)
