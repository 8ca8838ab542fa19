"""Ways in which a voucher, a form or a payment status is wrong."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.checker_kinds import GONE, LIVE, TOLD, Said, copy_of, one, other, rewrite, shift, way
from tests.unit.checker_random import LINES, PAYEES, RandomWorld, cents, expense_of, money
from tests.unit.checker_world import Row, entry


@way(7)
def an_amount_is_another_on_both_sides(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    shift(voucher["lines"], w.chance.choice([-1, 1, 1000]))
    return {("wrong", name)}


@way(7)
def a_payment_is_of_another_amount(w: RandomWorld) -> Said:
    name, voucher = one(w, ["paid"], "payment")
    shift(voucher["lines"], 1)
    return {("wrong", name)}


@way(7)
def two_amounts_are_wrong_so_that_all_sums_agree(w: RandomWorld) -> Said:
    names = w.chance.sample(w.of(*TOLD), 2)
    for name, minor in zip(names, (700, -700), strict=True):
        voucher = w.vouchers(name)[-1]
        for form in [row for row in w.oa if row["request_id"] == name]:
            form["main"]["gsdm"] = "1000"
        voucher["company"] = "1000"
        voucher["lines"] += [entry("660202", money(minor), "0.00"), entry("2241", "0.00", money(minor), "E0001")]
        for paid in w.vouchers(name, "payment"):
            paid["company"] = "1000"
    return {("wrong", name) for name in names}


@way(7)
def two_lines_cancel_on_one_account(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    voucher["lines"] += [entry("660202", "5.00", "0.00"), entry("660202", "0.00", "5.00")]
    return {("wrong", name), ("turnover", "")}


@way(7)
def an_account_is_another(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    w.chance.choice([ln for ln in voucher["lines"] if cents(ln["debit"])])["account"] = "660299"
    return {("wrong", name)}


@way(7)
def a_party_is_another(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    w.chance.choice([ln for ln in voucher["lines"] if cents(ln["credit"])])["party"] = "E9999"
    return {("wrong", name)}


@way(7)
def a_tax_is_taken_where_none_is_allowed(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    line = next(ln for ln in voucher["lines"] if cents(ln["debit"]))
    line["debit"] = money(cents(line["debit"]) - 3)
    voucher["lines"].insert(1, entry("22210101", "0.03", "0.00"))
    return {("wrong", name)}


def _posted_all_the_same(w: RandomWorld, change: Callable[[Row], object]) -> Said:
    """A form that allows no voucher, and a voucher that is as good as can be made of it."""
    name, voucher = one(w, ["forced"])
    for form in [row for row in w.oa if row["request_id"] == name]:
        before = expense_of(form)
        change(form)
        voucher["currency"] = form["main"]["bz"]
        voucher["lines"] = before
    return {("wrong", name)}


@way(7)
def a_tax_does_not_follow_from_its_rate_and_is_posted(w: RandomWorld) -> Said:
    name, voucher = one(w, ["forced"])
    for form in [row for row in w.oa if row["request_id"] == name]:
        first = form["details"][LINES][0]
        first |= {"fpzl": "SPECIAL", "fylx": "TRAVEL", "se": money(cents(first["se"]) + 500)}
        voucher["lines"] = expense_of(form)
    return {("wrong", name)}


@way(7)
def a_tax_without_a_rate_is_posted(w: RandomWorld) -> Said:
    invoice = {"fpzl": "SPECIAL", "fylx": "OFFICE", "sl": ""}
    return _posted_all_the_same(w, lambda form: form["details"][LINES][0].update(invoice))


@way(7)
def an_amount_that_is_no_number_is_posted(w: RandomWorld) -> Said:
    return _posted_all_the_same(w, lambda form: form["details"][LINES][0].update(hdje="1,000.00"))


@way(7)
def a_cost_centre_that_nobody_knows_is_posted(w: RandomWorld) -> Said:
    return _posted_all_the_same(w, lambda form: form["details"][LINES][0].update(cbzx="CC-XXX-01"))


@way(7)
def a_payee_of_a_kind_that_nobody_knows_is_posted(w: RandomWorld) -> Said:
    return _posted_all_the_same(w, lambda form: form["details"][PAYEES][0].update(skrlx="FRIEND"))


@way(7)
def lines_and_payees_agree_and_are_not_what_was_approved(w: RandomWorld) -> Said:
    return _posted_all_the_same(w, lambda form: form["main"].update(hdje=money(cents(form["main"]["hdje"]) + 100)))


@way(7)
def a_second_voucher_does_not_balance(w: RandomWorld) -> Said:
    name, voucher = one(w, ["posted"])
    copy_of(w, voucher, key=w.key("E"))["lines"].append(entry("660202", "0.01", "0.00"))
    return {("doubled", name), ("wrong", name)}


@way(7)
def a_reversed_voucher_was_wrong(w: RandomWorld) -> Said:
    name, voucher = one(w, ["reversed"])
    for both, sign in ((voucher, 1), (w.vouchers(name, "reversal")[-1], -1)):
        both["lines"] += [entry("660202", money(sign * 900), "0.00"), entry("2241", "0.00", money(sign * 900), "E0001")]
    return {("wrong", name)}


@way(7)
def a_reversal_swaps_the_sides(w: RandomWorld) -> Said:
    """Every balance agrees; turnover does not."""
    name, voucher = one(w, GONE, "reversal")
    for ln in voucher["lines"]:
        ln["debit"], ln["credit"] = money(-cents(ln["credit"])), money(-cents(ln["debit"]))
    return {("wrong", name), ("turnover", "")}


@way(7)
def a_reversal_is_of_a_part(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE, "reversal")
    shift(voucher["lines"], 1)
    return {("wrong", name)}


@way(8)
def a_voucher_stands_in_another_company(w: RandomWorld) -> Said:
    name, voucher = one(w, ["posted", "forced"])
    voucher["company"] = other(w, ["1000", "2000"], voucher["company"])
    return {("wrong", name)}


@way(8)
def a_voucher_is_in_another_currency(w: RandomWorld) -> Said:
    name, voucher = one(w, ["posted", "forced"])
    voucher["currency"] = w.chance.choice(["USD", "JPY"])
    return {("wrong", name)}


@way(8)
def a_form_in_a_currency_that_nobody_knows_is_posted(w: RandomWorld) -> Said:
    return _posted_all_the_same(w, lambda form: form["main"].update(bz="XAU"))


@way(8)
def a_payment_stands_in_another_company(w: RandomWorld) -> Said:
    name, voucher = one(w, ["paid"], "payment")
    voucher["company"] = other(w, ["1000", "2000"], voucher["company"])
    return {("wrong", name)}


@way(8)
def a_reversal_stands_in_another_company(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE, "reversal")
    voucher["company"] = other(w, ["1000", "2000"], voucher["company"])
    return {("wrong", name)}


@way(9)
def a_voucher_has_another_day(w: RandomWorld) -> Said:
    """Of a form on which no day stands, so that nothing else tells it."""
    name, voucher = one(w, ["forced"])
    voucher["date"] = f"{voucher['period']}-{int(voucher['date'][8:]) % 28 + 1:02}"
    return {("wrong", name)}


@way(9)
def a_voucher_has_another_period(w: RandomWorld) -> Said:
    name, voucher = one(w, (*LIVE, *GONE))
    voucher["period"] = other(w, ["2026-09", "2027-06"], voucher["period"])
    return {("wrong", name)}


@way(9)
def a_voucher_is_a_draft(w: RandomWorld) -> Said:
    name, voucher = one(w, LIVE)
    voucher["state"] = "draft"
    return {("wrong", name)}


@way(9)
def a_reversal_has_another_day(w: RandomWorld) -> Said:
    name, voucher = one(w, GONE, "reversal")
    voucher.update(date="2027-05-05", period="2027-05")
    return {("wrong", name)}


@way(10)
def a_form_shows_another_number(w: RandomWorld) -> Said:
    name = w.any(*TOLD)
    rewrite(w, name, pzh="记-2026-777777")
    return {("wrong", name)}


@way(10)
def a_form_shows_another_day(w: RandomWorld) -> Said:
    name = w.any(*TOLD)
    rewrite(w, name, gzrq="2027-07-07")
    return {("wrong", name)}


@way(10)
def a_payment_status_shows_another_amount(w: RandomWorld) -> Said:
    name = w.any(*TOLD)
    w.oa = [row for row in w.oa if row["kind"] != "mode_save" or row["main"]["lcid"] != name]
    w.status("9999", name, fkje="0.01")
    return {("wrong", name)}


@way(10)
def a_payment_status_says_the_opposite(w: RandomWorld) -> Said:
    name = w.any(*TOLD)
    word = "未付" if w.vouchers(name, "payment") else "已付"
    w.oa = [row for row in w.oa if row["kind"] != "mode_save" or row["main"]["lcid"] != name]
    w.status("9999", name, fkzt=word)
    return {("wrong", name)}
