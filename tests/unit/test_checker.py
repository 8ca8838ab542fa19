"""The checker finds each planted fault and nothing in a clean run: it judges the other tests and must be sharp."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.checker_world import DAY1, DAY2, DAY3, ROOT, Row, World, entry, expense, line, payee, payment


def clean_world() -> World:
    """Everything that a run may hold: posted, paid, reversed, approved again, rejected unseen, zero, held, recalled."""
    w = World()
    for name in ("posted", "paid", "reversed", "again", "unseen", "zero", "held", "open"):
        w.draft(name, lines=[line("CC-ADM-01", "TRAVEL", "0.00", "0.00")] if name == "zero" else None)
        if name != "open":
            w.approve(name)
    w.write_back("posted", w.post("posted", "E1", expense())["number"])
    w.write_back("paid", w.post("paid", "E2", expense())["number"])
    w.pay("paid")
    w.post("paid", "P2", payment(), kind="payment", day=DAY2)
    first = w.post("reversed", "E3", expense())
    w.write_back("reversed", first["number"])
    w.lose("reversed")
    w.reverse(first, "R3")
    second = w.post("again", "E4", expense())
    w.write_back("again", second["number"])
    w.lose("again")
    w.reverse(second, "R4")
    w.form("again")["details"]["formtable_main_11_dt2"] = [
        payee("EMPLOYEE", "E0002", "59.00"),
        payee("SUPPLIER", "S0001", "100.00"),
    ]
    w.resubmit("again")
    w.approve("again", DAY3)
    lines = [*expense()[:3], entry("2241", "0.00", "59.00", "E0002"), entry("2202", "0.00", "100.00", "S0001")]
    w.write_back("again", w.post("again", "E5", lines, day=DAY3)["number"], DAY3)
    w.lose("unseen", operate="撤回")
    w.form("held")["details"]["formtable_main_11_dt1"][0]["cbzx"] = "CC-XXX-01"
    w.lose("held")
    w.resubmit("held")
    w.approve("held", DAY2)
    return w


HELD = {"held": ["unknown_code"]}


def the_voucher(w: World, key: str) -> Row:
    return next(voucher for voucher in w.finance if voucher["key"] == key)


def test_a_clean_run_reports_nothing() -> None:
    sets = clean_world().check(HELD)
    assert (dict(sets.lost), dict(sets.doubled), dict(sets.wrong), dict(sets.unexplained)) == ({}, {}, {}, {})
    assert sets.turnover == []
    assert list(sets.named) == ["held"]
    assert "unknown code CC-XXX-01" in sets.named["held"][0]
    assert sets.moved == 4
    assert sets.sums[("1000", "CNY")]["posted"] == 3 * 15900
    assert sets.sums[("1000", "CNY")]["paid"] == 15900
    assert sets.sums[("1000", "CNY")]["turnover_debit"] == 4 * 15900


def drop(key: str) -> Callable[[World], None]:
    return lambda w: w.finance.remove(the_voucher(w, key))


def double(key: str) -> Callable[[World], None]:
    def plant(w: World) -> None:
        extra = copy.deepcopy(the_voucher(w, key))
        w.finance.append({**extra, "key": key[0] + "99", "number": "记-2026-000099"})

    return plant


def change(key: str, **values: Any) -> Callable[[World], None]:
    return lambda w: the_voucher(w, key).update(values)


def replace(key: str, index: int, **values: Any) -> Callable[[World], None]:
    return lambda w: the_voucher(w, key)["lines"][index].update(values)


def amount(key: str) -> Callable[[World], None]:
    def plant(w: World) -> None:
        replace(key, 0, debit="90.00")(w)
        replace(key, 3, credit="149.00")(w)

    return plant


def swapped(w: World) -> None:
    the_voucher(w, "R3")["lines"] = [
        {**ln, "debit": ln["credit"], "credit": ln["debit"]} for ln in copy.deepcopy(the_voucher(w, "E3")["lines"])
    ]


def other_number(w: World) -> None:
    for row in w.oa:
        if row["request_id"] == "posted" and row["main"]["pzh"]:
            row["main"]["pzh"] = "记-2026-000777"


def no_number(w: World) -> None:
    for row in w.oa:
        if row["request_id"] == "posted":
            row["main"]["pzh"] = ""


def foreign(w: World) -> None:
    w.post("77777", "E77", expense())


def never_approved(w: World) -> None:
    w.post("open", "E78", expense())


def unposted_zero(w: World) -> None:
    w.post("zero", "E79", expense())


def vat_where_none_is_allowed(w: World) -> None:
    lines = the_voucher(w, "E1")["lines"]
    lines[1]["debit"], lines[2]["debit"] = "9.00", "50.00"


def bad_vat_posted(w: World) -> None:
    for row in w.oa:
        if row["request_id"] == "posted":
            row["details"]["formtable_main_11_dt1"][0]["se"] = "16.00"


def held_and_posted(w: World) -> None:
    w.form("held")["details"]["formtable_main_11_dt1"][0]["cbzx"] = "CC-ADM-01"
    w.oa[-1]["details"] = copy.deepcopy(w.form("held")["details"])
    w.post("held", "E80", expense(), day=DAY2)


FAULTS: list[tuple[str, Callable[[World], None], str, str, str]] = [
    ("missing expense voucher", drop("E1"), "lost", "posted", "expense voucher of 159.00 is missing"),
    ("missing payment voucher", drop("P2"), "lost", "paid", "payment voucher of 159.00 is missing"),
    ("missing reversal", drop("R3"), "lost", "reversed", "the reversal is missing"),
    ("number not written back", no_number, "lost", "posted", "was not written back"),
    ("expense twice", double("E1"), "doubled", "posted", "more than one live expense voucher"),
    ("payment twice", double("P2"), "doubled", "paid", "more than one payment voucher"),
    ("reversal twice", double("R3"), "doubled", "reversed", "reversed more than once"),
    ("other amount", amount("E1"), "wrong", "posted", "2241 credit E0001: 14900, not 15900"),
    ("other expense account", replace("E1", 0, account="660202"), "wrong", "posted", "660201 debit -: 0, not 10000"),
    ("other account class", replace("E1", 3, account="2202"), "wrong", "posted", "2202 credit E0001: 15900, not 0"),
    ("other party", replace("E1", 3, party="E0002"), "wrong", "posted", "2241 credit E0002: 15900, not 0"),
    ("VAT where none is allowed", vat_where_none_is_allowed, "wrong", "posted", "22210101 debit -: 900, not 600"),
    ("VAT that does not follow", bad_vat_posted, "wrong", "posted", "the form allows none: VAT"),
    ("other day", change("E1", date=DAY2), "wrong", "posted", f"posting date {DAY2}, not {DAY1}"),
    ("other period", change("E1", period="2026-12"), "wrong", "posted", "period 2026-12"),
    ("other company", change("E1", company="2000"), "wrong", "posted", "company 2000, not 1000"),
    ("other currency", change("E1", currency="USD"), "wrong", "posted", "currency USD, not CNY"),
    ("left as a draft", change("E1", state="draft"), "wrong", "posted", "state draft"),
    ("unbalanced", replace("E1", 0, debit="100.01"), "wrong", "posted", "debit and credit differ"),
    ("payment from another bank account", replace("P2", 1, account="1001"), "wrong", "paid", "1002 credit -: 0"),
    ("reversal with swapped sides", swapped, "wrong", "reversed", "sides swapped"),
    ("reversal of a part", replace("R3", 0, debit="-1.00"), "wrong", "reversed", "not the original with a minus"),
    ("reversal on another day", change("R3", date=DAY3, period="2026-12"), "wrong", "reversed", "not on a day"),
    ("the reversed voucher was wrong", replace("E3", 3, party="E0009"), "wrong", "reversed", "2241 credit E0009"),
    ("number of another voucher", other_number, "wrong", "posted", "the form says 记-2026-000777"),
    ("held and yet posted", held_and_posted, "wrong", "held", "and yet posted"),
    ("foreign voucher", foreign, "unexplained", "E77", "no OA document '77777'"),
    ("never approved", never_approved, "unexplained", "open", "never approved"),
    ("0.00 posted", unposted_zero, "unexplained", "zero", "0.00 never posts"),
    ("payment nobody made", change("P2", document_id="posted"), "unexplained", "posted", "no payment calls for"),
    ("reversal of nothing", change("R3", reverses="E1"), "unexplained", "reversed", "reverses no expense voucher"),
]


@pytest.mark.parametrize(("plant", "which", "name", "reason"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_planted_fault_is_named(plant: Callable[[World], None], which: str, name: str, reason: str) -> None:
    w = clean_world()
    plant(w)
    sets = w.check(HELD)
    assert not sets.clean
    assert reason in "; ".join(getattr(sets, which).get(name, [])), {k: dict(getattr(sets, k)) for k in SETS}
    others = {other for k in SETS for other in getattr(sets, k)} - {name}
    assert others == ({"paid"} if reason == "no payment calls for" else set())  # it was taken away from there


SETS = ("lost", "doubled", "wrong", "unexplained")


def test_a_document_held_without_being_named_is_lost() -> None:
    sets = clean_world().check({})
    assert list(sets.lost) == ["held"]


def test_a_remark_excuses_no_absence() -> None:
    w = clean_world()
    drop("E1")(w)
    assert list(w.check({**HELD, "posted": ["paid_twice"]}).lost) == ["posted"]
    assert w.check({**HELD, "posted": ["rejected_by_finance"]}).clean


def test_a_payment_that_waits_for_its_period_is_named_beside_its_posted_expense() -> None:
    w = clean_world()
    drop("P2")(w)
    assert list(w.check(HELD).lost) == ["paid"]
    sets = w.check({**HELD, "paid": ["period_closed"]})
    assert sets.clean
    assert sets.named["paid"] == ["period_closed: payment voucher of 159.00 is missing"]


def test_a_log_row_told_twice_counts_once_and_a_second_approval_changes_nothing() -> None:
    w = clean_world()
    w.act("posted", "approve", ("审批", "付款"), "批准", DAY3)
    w.oa.append({**w.oa[-1], "seq": len(w.oa) + 1})
    assert w.check(HELD).clean


def test_an_approval_lost_by_saving_or_submitting_the_draft_needs_the_reversal() -> None:
    for operate in ("保存", "提交", "退回", "撤回"):
        w = clean_world()
        w.act("posted", "save", ("起草", "起草"), operate, DAY2)
        assert list(w.check(HELD).lost) == ["posted"], operate


def test_a_number_is_not_due_where_the_form_was_forced_into_the_archive() -> None:
    w = World()
    w.draft("forced")
    w.approve("forced")
    w.post("forced", "E1", expense())
    assert list(w.check().lost) == ["forced"]  # it stands at the posting node: the number is due
    w.act("forced", "force_over", ("财务过账", "归档"), "强制归档", DAY1)
    assert w.check().clean


def test_amounts_are_rounded_half_up_once_each() -> None:
    w = World()
    w.draft("digits", lines=[line("CC-RND-01", "OFFICE", "10.0050", "0", invoice="NONE")], hdje="10.005")
    w.form("digits")["details"]["formtable_main_11_dt2"][0]["zfje"] = "10.0050"
    w.approve("digits")
    w.post("digits", "E1", [entry("530102", "10.01", "0"), entry("2241", "0", "10.01", "E0001")])
    assert dict(w.check().wrong) == {}


def test_turnover_is_compared_per_side_not_only_the_balance() -> None:
    w = clean_world()
    voucher = the_voucher(w, "E1")
    voucher["lines"] += [entry("660201", "5.00", "0.00"), entry("660201", "0.00", "5.00")]
    sets = w.check(HELD)
    assert "1000 CNY 660201 credit: 500, not 0" in sets.turnover
    assert "posted" in sets.wrong


def run(tmp_path: Path, w: World, *args: str) -> subprocess.CompletedProcess[str]:
    files = {"oa": w.oa, "finance": w.finance}
    for name, found in files.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "held.txt").write_text("# id reason\nheld unknown_code account: CC-XXX|TRAVEL\n", encoding="utf-8")
    command = [sys.executable, "-m", "tools.checker", "--oa", str(tmp_path / "oa.jsonl")]
    command += ["--finance", str(tmp_path / "finance.jsonl"), "--rules", "tools/checker/expense_claim.json"]
    command += ["--held", str(tmp_path / "held.txt"), *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_answers_by_its_exit_code(tmp_path: Path) -> None:
    w = clean_world()
    clean = run(tmp_path, w)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "lost: 0" in clean.stdout
    assert "company 1000 CNY: held 159.00, paid 159.00, posted 477.00" in clean.stdout
    assert "documents moved: 4" in clean.stdout
    idle = run(tmp_path, w, "--minimum", "5")
    assert idle.returncode == 2
    assert "proves nothing" in idle.stderr
    assert "documents moved: 4 (by period: 2026-11 4, 2026-12 1)" in clean.stdout
    assert run(tmp_path, w, "--minimum-of", "2026-11=4").returncode == 0
    other_month = run(tmp_path, w, "--minimum-of=2026-11=4", "--minimum-of=2026-10=1")
    assert other_month.returncode == 2
    assert "only 0 documents of 2026-10 moved, 1 are needed" in other_month.stderr
    drop("E1")(w)
    bad = run(tmp_path, w, "--json")
    assert bad.returncode == 1
    answer = json.loads(bad.stdout)
    assert list(answer["lost"]) == ["posted"]
    assert list(answer["named"]) == ["held"]
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", World()).returncode == 2
