"""Ways in which something is lost, doubled, unexplained or altered after posting."""

from __future__ import annotations

import copy

from tests.unit.checker_kinds import GONE, LIVE, PAID, STRANGER, TOLD, Said, copy_of, one, rewrite, shift, way
from tests.unit.checker_random import RandomWorld, cents, money, payment_of
from tests.unit.checker_world import entry

# ---------------------------------------------------------------- lost


@way(1)
def a_voucher_is_missing(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    w.finance.remove(voucher)
    return {("lost", name)}


@way(1)
def a_voucher_was_never_made_and_nobody_holds_its_document(w: RandomWorld) -> Said:
    name = w.any("held")
    w.held.pop(name)
    return {("lost", name)}


@way(2)
def a_payment_is_missing(w: RandomWorld) -> Said:
    name, voucher = one(w, PAID, "payment")
    w.finance.remove(voucher)
    return {("lost", name)}


@way(3)
def a_reversal_is_missing(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE, "reversal")
    w.finance.remove(voucher)
    return {("lost", name)}


@way(3)
def an_approval_is_lost_and_nobody_noticed(w: RandomWorld) -> Said:
    name = w.any(*LIVE)
    w.lose(name, "2027-01-15", w.chance.choice(["退回", "撤回", "保存"]))
    return {("lost", name)}


@way(4)
def a_number_is_not_on_its_form(w: RandomWorld) -> Said:
    name = w.any(*LIVE)
    rewrite(w, name, pzh="")
    return {("lost", name)}


@way(4)
def a_payment_status_was_never_brought(w: RandomWorld) -> Said:
    months = w.months()
    found = [v["document_id"] for v in w.finance if v["kind"] == "expense" and (v["company"], v["period"]) in months]
    name = w.chance.choice([n for n in found if w.life[n] in TOLD] or [""])
    w.oa = [row for row in w.oa if row["kind"] != "mode_save" or row["main"]["lcid"] != name]
    return {("lost", name)} if name else set()


@way(3)
def a_reversal_is_missing_beside_the_new_voucher(w: RandomWorld) -> Said:
    """Approved again: two vouchers live, and the set is `doubled`."""
    name, voucher = one(w, ["again"], "reversal")
    w.finance.remove(voucher)
    return {("doubled", name)}


# ---------------------------------------------------------------- doubled


@way(5)
def a_voucher_stands_twice_under_two_keys(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    copy_of(w, voucher, key=w.key("E"))
    return {("doubled", name)}


@way(5)
def a_voucher_stands_twice_under_its_key(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    w.finance.append(copy.deepcopy(voucher))
    return {("doubled", name)}


@way(5)
def a_reversal_stands_twice_under_its_key(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE, "reversal")
    w.finance.append(copy.deepcopy(voucher))
    return {("doubled", name)}


@way(5)
def what_was_reversed_stood_twice_under_its_key(w: RandomWorld) -> Said:
    """Approved twice and posted once: neither the number of approvals nor what is live tells it."""
    name = w.any("unseen")
    w.resubmit(name, "2027-01-10")
    w.approve(name, "2027-01-10")
    voucher = w.book(name, "2027-01-10")
    w.lose(name, "2027-01-11")
    w.reverse(voucher, w.key("R"), "2027-01-11")
    w.finance.append(copy.deepcopy(voucher))
    return {("doubled", name)}


@way(5)
def one_approval_got_two_vouchers_of_which_one_was_taken_back(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE)
    red = w.vouchers(name, "reversal")[-1]
    second = copy_of(w, voucher, key=w.key("E"))
    copy_of(w, red, key=w.key("R"), reverses=second["key"])
    return {("doubled", name)}


@way(6)
def a_payment_stands_twice(w: RandomWorld) -> Said:
    name, voucher = one(w, PAID, "payment")
    copy_of(w, voucher, key=w.key("P"))
    return {("doubled", name)}


@way(6)
def a_voucher_is_reversed_twice(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE, "reversal")
    copy_of(w, voucher, key=w.key("R"))
    return {("doubled", name)}


@way(6)
def a_payment_status_stands_twice(w: RandomWorld) -> Said:
    name = w.any(*TOLD)
    w.status("9999", name)
    return {("doubled", name)}


# ---------------------------------------------------------------- unexplained


@way(11)
def a_voucher_of_no_document(w: RandomWorld) -> Said:
    _, voucher = one(w, LIVE)
    foreign = copy_of(w, voucher, key=w.key("E"), document_id=STRANGER)
    return {("unexplained", foreign["key"])}


@way(11)
def a_voucher_keyed_by_hand(w: RandomWorld) -> Said:
    """Without key, kind and document in one ledger; as a transfer under a key of its own in the other."""
    _, voucher = one(w, LIVE)
    by_hand = copy_of(w, voucher, key=None, kind=None, document_id=None)
    return {("unexplained", by_hand["number"])}


@way(11)
def a_voucher_of_what_nobody_approved(w: RandomWorld) -> Said:
    name = w.any("open")
    w.book(name, "2026-12-01")
    return {("unexplained", name)}


@way(11)
def a_voucher_of_nothing_at_all(w: RandomWorld) -> Said:
    name = w.any("zero")
    w.post(
        name, w.key("E"), [entry("660101", "1.00", "0.00"), entry("2241", "0.00", "1.00", "E0001")], day="2026-12-01"
    )
    return {("unexplained", name)}


@way(11)
def a_payment_that_nobody_made(w: RandomWorld) -> Said:
    name = w.any("posted")
    w.post(name, w.key("P"), payment_of(w.form(name)), kind="payment", day="2026-12-01", at=w.now())
    return {("unexplained", name)}


@way(11)
def a_reversal_of_another_documents_voucher(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE, "reversal")
    voucher["reverses"] = w.vouchers(w.any("posted"))[-1]["key"]
    return {("unexplained", name)}


@way(11)
def a_voucher_of_what_is_said_to_be_held(w: RandomWorld) -> Said:
    """The set is `wrong`: the run's own list is what does not hold."""
    name = w.any("posted")
    w.held[name] = ["rejected_by_finance"]
    return {("wrong", name)}


@way(11)
def a_payment_status_of_no_voucher(w: RandomWorld) -> Said:
    name = w.any("open", "unseen")
    w.status("9999", name)
    return {("unexplained", name)}


# ---------------------------------------------------------------- altered


@way(12)
def the_key_again_with_another_amount(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    changed = copy.deepcopy(voucher)
    shift(changed["lines"], -1)
    w.finance.append(changed)
    return {("wrong", name)}


@way(12)
def the_key_again_on_another_day(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    w.finance.append({**copy.deepcopy(voucher), "date": "2027-05-05", "period": "2027-05"})
    return {("wrong", name)}


@way(12)
def taken_back_by_hand(w: RandomWorld) -> Said:
    """The mirror of a live voucher without a key: every balance is that of a voucher that was never posted."""
    _, voucher = one(w, LIVE)
    red = [{**ln, **{side: money(-cents(ln[side])) for side in ("debit", "credit")}} for ln in voucher["lines"]]
    by_hand = copy_of(w, voucher, key=None, kind=None, document_id=None, lines=red)
    return {("unexplained", by_hand["number"]), ("turnover", "")}


@way(12)
def a_line_moved_to_another_voucher(w: RandomWorld) -> Said:
    """Account by account, side by side, every sum of the company agrees: only the vouchers themselves tell."""
    names = w.chance.sample(w.of("posted", "paid"), 2)
    left, right = (w.vouchers(name)[-1]["lines"] for name in names)
    for side in ("debit", "credit"):
        line = next(ln for ln in left if cents(ln[side]))
        left.remove(line)
        right.append(line)
    return {("wrong", name) for name in names}
