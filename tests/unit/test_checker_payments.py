"""The checker holds the payment statuses in the OA against finance: a right table is clean, each fault is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.checker_world import DAY2, ROOT, RULES, Row, World, expense, payment
from tools.checker import Sets, check

MONTH = ("1000", "2026-11")
EARLY, SAVED, LATE = "2026-11-25T08:00:00Z", "2026-11-25T18:00:00+08:00", "2026-11-25T12:00:00Z"  # SAVED is 10:00 UTC


class Statuses(World):
    """Four documents with their vouchers, and the OA's table of what was paid."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("open", "paid", "reversed", "kept"):
            self.draft(name)
            self.approve(name)
            voucher = self.post(name, f"E{name}", expense(), at=EARLY)
            self.write_back(name, voucher["number"])
            if name in ("paid", "kept"):
                self.pay(name)
                self.post(name, f"P{name}", payment(), kind="payment", day=DAY2, at=EARLY)
            if name in ("reversed", "kept"):
                self.lose(name)
                self.reverse(voucher, f"R{name}")
        self.number = {v["key"]: v["number"] for v in self.finance}
        self.save("1", "open", fkzt="已付", fkpzh="x", fkje="1.00")  # an earlier state of the row does not count
        self.save("1", "open", fkzt="未付", fkje="0.0000")
        self.save("2", "paid", fkzt="已付", fkpzh=self.number["Ppaid"], fkrq=DAY2, fkje="159.0000")
        self.save("3", "reversed", fkzt="已冲销", fkje="0")
        self.save("4", "kept", fkzt="已付", fkpzh=self.number["Pkept"], fkrq=DAY2, fkje="159.00")
        self.save("5", "", fkzt="作废")

    def save(self, billid: str, name: str, table: str = "uf_fkzt", **main: str) -> None:
        columns = dict.fromkeys(("djbh", "fkzt", "fkpzh", "fkrq", "fkje"), "")
        self.oa.append(
            {
                "seq": len(self.oa) + 1,
                "at": SAVED,
                "kind": "mode_save",
                "table": table,
                "billid": billid,
                "main": {**columns, "lcid": name, "bz": "CNY", **main},
                **{"request_id": "", "workflow_id": "", "node": "", "integration": True, "log": [], "details": {}},
            }
        )

    def judge(self, *months: tuple[str, str]) -> Sets:
        return check(self.oa, self.finance, RULES, {}, months)


def four(sets: Sets) -> tuple[Row, Row, Row, Row]:
    return dict(sets.lost), dict(sets.doubled), dict(sets.wrong), dict(sets.unexplained)


@pytest.mark.parametrize("months", [(), (MONTH,), (MONTH, ("2000", "2026-11"))])
def test_a_right_table_is_clean(months: tuple[tuple[str, str], ...]) -> None:
    sets = Statuses().judge(*months)
    assert four(sets) == ({}, {}, {}, {}) and sets.clean
    assert sets.statuses == 4


PLANTED: list[tuple[str, Callable[[Statuses], None], str, str]] = [
    ("two rows", lambda w: w.save("9", "open", fkzt="未付", fkje="0"), "doubled", "open"),
    ("said paid", lambda w: w.save("1", "open", fkzt="已付", fkpzh="记-1", fkrq=DAY2, fkje="159"), "wrong", "open"),
    ("said open", lambda w: w.save("2", "paid", fkzt="未付", fkje="0"), "wrong", "paid"),
    ("another number", lambda w: w.save("2", "paid", fkzt="已付", fkpzh="x", fkrq=DAY2, fkje="159"), "wrong", "paid"),
    (
        "another amount",
        lambda w: w.save("2", "paid", fkzt="已付", fkpzh=w.number["Ppaid"], fkrq=DAY2, fkje="158.99"),
        "wrong",
        "paid",
    ),
    (
        "another day",
        lambda w: w.save("2", "paid", fkzt="已付", fkpzh=w.number["Ppaid"], fkrq="2026-11-01", fkje="159"),
        "wrong",
        "paid",
    ),
    ("no number at all", lambda w: w.save("2", "paid", fkzt="已付", fkje="many"), "wrong", "paid"),
    ("still open", lambda w: w.save("3", "reversed", fkzt="未付", fkje="0"), "wrong", "reversed"),
    ("of nobody", lambda w: w.save("9", "stranger", fkzt="未付", fkje="0"), "unexplained", "stranger"),
]


@pytest.mark.parametrize(("plant", "where", "name"), [row[1:] for row in PLANTED], ids=[row[0] for row in PLANTED])
def test_each_planted_fault_is_named(plant: Callable[[Statuses], None], where: str, name: str) -> None:
    world = Statuses()
    plant(world)
    sets = world.judge()
    found = dict(zip(("lost", "doubled", "wrong", "unexplained"), four(sets), strict=True))
    assert {key: list(value) for key, value in found.items() if value} == {where: [name]}
    assert not sets.clean


def test_what_finance_posted_after_the_save_counts_only_for_months_that_must_be_right_now() -> None:
    world = Statuses()
    world.pay("open")
    world.post("open", "Popen", payment(), kind="payment", day=DAY2, at=LATE)
    assert world.judge().clean
    assert list(world.judge(MONTH).wrong) == ["open"]
    world.finance[-1].pop("at")
    assert list(world.judge().wrong) == ["open"], "without times it is held against the status"


def test_a_month_that_must_be_shown_misses_nobody() -> None:
    world = Statuses()
    world.draft("new")
    world.approve("new")
    world.write_back("new", world.post("new", "Enew", expense(), at=EARLY)["number"])
    assert world.judge().clean and world.judge(("2000", "2026-11")).clean
    assert list(world.judge(MONTH).lost) == ["new"]


def test_another_table_is_nobodys_business() -> None:
    world = Statuses()
    world.save("1", "open", table="uf_other", fkzt="已付")
    assert world.judge(MONTH).clean


def test_the_command_takes_months(tmp_path: Path) -> None:
    world = Statuses()
    for name, found in (("oa", world.oa), ("finance", world.finance)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "tools.checker", "--oa", str(tmp_path / "oa.jsonl")]
    command += ["--finance", str(tmp_path / "finance.jsonl"), "--status-month", "1000=2026-11"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "payment statuses in the OA: 4" in done.stdout
