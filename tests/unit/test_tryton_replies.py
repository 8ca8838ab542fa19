"""The Tryton slice without a server: the table of codes, texts, batches, differences."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import orjson
import pytest
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.money import to_text
from finbridge.core.month_lines import lines_text
from finbridge.core.outcomes import AuthFailed, Outcome, PeriodClosed, RefusedUnprocessed, Rejected, TakenBack, Unknown
from finbridge.core.vouchers import Side, Voucher, VoucherLine, red_reversal
from finbridge.systems.tryton.adapter import _batches
from finbridge.systems.tryton.models import Move, clean, reversal_values, voucher_values
from finbridge.systems.tryton.replies import REFUSALS, difference, entry_of, refusal
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_month_lines import booked_line, text_of

MODULE = Path(__file__).resolve().parents[2] / "ledger" / "finbridge_bridge"
DAY = date(2026, 11, 20)


def line(no: int, side: Side, minor: int, account: str = "660201", party: str | None = None) -> VoucherLine:
    """A line in CNY."""
    return VoucherLine(
        line_no=no,
        account=account,
        side=side,
        amount_minor=minor,
        currency="CNY",
        local_amount_minor=minor,
        party=party,
    )


def voucher(*lines: VoucherLine) -> Voucher:
    """An expense voucher with these lines."""
    return Voucher(
        identity=VoucherIdentity("1000", "weaver:oa", "90001", "71", VoucherKind.EXPENSE),
        currency="CNY",
        business_date=DAY,
        document_date=DAY,
        posting_date=DAY,
        summary="报销",
        business_number="BX1",
        lines=lines or (line(1, Side.DEBIT, 100), line(2, Side.CREDIT, 100, "2241", "E0001")),
    )


def _wire_line(ln: VoucherLine) -> tuple[object, ...]:
    """A line as the module shows it."""
    named = dict(ln.dimensions)
    columns: tuple[str, ...] = ("department", "cost_centre", "project")
    details = {name: clean(named.pop(name)) for name in columns if name in named}
    if named:
        details["dimensions"] = orjson.dumps({name: clean(value) for name, value in named.items()}).decode()
    if ln.currency != "CNY":
        sign = 1 if ln.side is Side.DEBIT else -1
        details |= {"second_currency": ln.currency, "second_amount": to_text(sign * ln.amount_minor, ln.currency)}
    details |= {"tax_code": ln.tax_code} if ln.tax_code else {}
    return (ln.account, ln.side.value, to_text(ln.local_amount_minor, "CNY"), ln.party, details or None)


def move_of(sent: Voucher, **changes: object) -> Move:
    """The move that the ledger makes of a voucher."""
    values: dict[str, object] = {
        "id": 7,
        "ref": sent.key,
        "number": "记-2026-000001",
        "date": sent.posting_date,
        "period": sent.period,
        "state": "posted",
        "kind": "expense",
        "document": "90001",
        "reverses": sent.reverses_key,
        "cancelled_by": [],
        "lines": [_wire_line(ln) for ln in sent.lines],
    }
    return Move.model_validate({**values, **changes})


def test_an_entry_shows_kind_document_and_the_turnover_of_the_debit_side() -> None:
    sent = voucher(line(1, Side.DEBIT, 150), line(2, Side.DEBIT, -50), line(3, Side.CREDIT, 100, "2241", "E0001"))
    entry = entry_of(move_of(sent), company="1000", currency="CNY")
    assert (entry.kind, entry.document_id, entry.currency, entry.debit_minor) == ("expense", "90001", "CNY", 100)
    red = red_reversal(sent, DAY, "红字冲销")
    entry = entry_of(move_of(red, kind="reversal"), company="1000", currency="CNY")
    assert (entry.kind, entry.debit_minor) == ("reversal", -100)


def test_an_entry_shows_all_that_its_lines_hold_and_its_own_period() -> None:
    foreign = replace(
        line(1, Side.DEBIT, 71_000),
        amount_minor=10_000,
        currency="USD",
        tax_code="J1",
        dimensions=(("department", " D\n1 "), ("cost_centre", "CC"), ("employee", "E0001"), ("x", "y")),
    )
    sent = voucher(foreign, replace(foreign, line_no=2, side=Side.CREDIT, account="2241", party="E0001"))
    for booked in (sent, red_reversal(sent, DAY, "冲销")):
        entry = entry_of(move_of(booked, period="2026-13"), company="1000", currency="CNY")
        assert (entry.lines, entry.period, entry.taken_back) == (text_of(booked), "2026-13", ())
    shown = entry_of(move_of(replace(sent, lines=(line(1, Side.DEBIT, 5),))), company="1000", currency="CNY").lines
    assert shown == lines_text([booked_line(line(1, Side.DEBIT, 5))])


def test_an_entry_names_who_took_it_back_and_dimensions_that_are_no_object_are_shown() -> None:
    cancel = [None, "2026-12-01", "2026-12", "draft"]
    entry = entry_of(move_of(voucher(), cancelled_by=[cancel]), company="1000", currency="CNY")
    assert entry.taken_back == (TakenBack("", date(2026, 12, 1), "2026-12", posted=False),)
    odd = move_of(voucher(), lines=[("660201", "D", "1.00", None, {"dimensions": "[1]"})])
    assert "dimensions=[1]" in entry_of(odd, company="1000", currency="CNY").lines


# ---------------------------------------------------------------- codes


def test_every_code_of_the_module_has_a_meaning_and_none_is_made_up() -> None:
    documented = set(re.findall(r"^([a-z_]+) {2,}\S", (MODULE / "refusals.py").read_text(encoding="utf-8"), re.M))
    documented.discard("code")  # the table's head
    assert documented == set(REFUSALS)
    raised = set()
    for path in MODULE.glob("*.py"):
        raised |= set(re.findall(r"Refusal\(\s*'([a-z_]+)'", path.read_text(encoding="utf-8")))
    assert len(raised) > 15
    assert raised <= documented


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("period_closed", PeriodClosed),
        ("no_period", PeriodClosed),
        ("access_denied", AuthFailed),
        ("internal_error", RefusedUnprocessed),
        ("unbalanced", Rejected),
        ("a_code_of_tomorrow", Unknown),
        (None, Unknown),
    ],
)
def test_codes_become_outcomes(code: str | None, expected: type[Outcome]) -> None:
    outcome = refusal(code, "660201")
    assert isinstance(outcome, expected)
    if isinstance(outcome, Rejected):
        assert outcome.code == code and "660201" in outcome.message


def test_every_text_is_in_two_languages() -> None:
    for code, (_, text) in REFUSALS.items():
        chinese, _, english = text.partition(" / ")
        assert re.search(r"[\u4e00-\u9fff]", chinese) and english, code


# ---------------------------------------------------------------- texts and values


@given(st.text(st.characters(), max_size=40) | st.text(st.characters(categories=["Cs", "Cc"]), max_size=10))
def test_cleaned_text_can_always_be_stored(text: str) -> None:
    cleaned = clean(text)
    orjson.dumps(cleaned)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", cleaned)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_two_halves_of_an_emoji_become_one() -> None:
    assert clean("\ud83e\uddfe!") == "🧾!"
    assert clean("\ud83e!") == "\ufffd!"


def test_values_carry_amounts_as_decimals_on_their_own_side() -> None:
    sent = voucher(line(1, Side.DEBIT, -5), line(2, Side.CREDIT, -5, "2241", "E0001"))
    values = voucher_values(sent, company="1000", currency="CNY", journal="FIN")
    assert [(ln["side"], ln["amount"]["decimal"]) for ln in values["lines"]] == [("D", "-0.05"), ("C", "-0.05")]
    red = reversal_values(red_reversal(sent, DAY, "冲销"), company="1000", currency="CNY", journal="FIN")
    assert [(ln[1], ln[2]["decimal"]) for ln in red["lines"]] == [("D", "0.05"), ("C", "0.05")]
    assert red["original_ref"] == sent.key


def test_dimensions_go_to_their_columns_and_the_rest_into_json() -> None:
    debit = replace(
        line(1, Side.DEBIT, 100), dimensions=(("department", "CC-1"), ("employee", "E0001"), ("contract", "HT\n1"))
    )
    values = voucher_values(voucher(debit, line(2, Side.CREDIT, 100)), company="1000", currency="CNY", journal="FIN")
    assert values["lines"][0]["department"] == "CC-1"
    assert orjson.loads(values["lines"][0]["dimensions"]) == {"employee": "E0001", "contract": "HT 1"}
    assert values["lines"][1]["dimensions"] is None


# ---------------------------------------------------------------- comparison


def test_what_was_sent_and_what_is_shown_have_one_fingerprint() -> None:
    sent = voucher()
    move = move_of(sent)
    assert difference(sent, move, "CNY") == ""
    entry = entry_of(move, company="A", currency="CNY")
    assert (entry.content, entry.company, entry.finance_id) == (sent.content, "A", "7")


def test_order_of_lines_and_side_of_a_zero_line_do_not_matter() -> None:
    sent = voucher(line(1, Side.DEBIT, 100), line(2, Side.CREDIT, 0, "1002"), line(3, Side.CREDIT, 100, "2241", "E1"))
    lines = [("2241", "C", "1", "E1", None), ("1002", "C", "0", None, None), ("660201", "D", "1.00", None, None)]
    move = move_of(sent, lines=lines)
    assert difference(sent, move, "CNY") == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"date": "2026-10-31"}, ("2026-11-20", "2026-10-31")),
        ({"state": "draft"}, ("草稿",)),
        ({"reverses": "E000000000000000"}, ("E000000000000000",)),
        (
            {"lines": [("660202", "D", "1.00", None, None), ("2241", "C", "1.00", "E0001", None)]},
            ("借 660201", "借 660202"),
        ),
        ({"lines": [("660201", "D", "1.00", None, None), ("2241", "C", "1.00", "E0002", None)]}, ("E0001", "E0002")),
        ({"lines": [("660201", "C", "-1.00", None, None), ("2241", "C", "1.00", "E0001", None)]}, ("贷 660201 -1.00",)),
    ],
)
def test_difference_names_what_differs(changes: dict[str, object], words: tuple[str, ...]) -> None:
    sent = voucher()
    shown = difference(sent, move_of(sent, **changes), "CNY")
    assert all(word in shown for word in words), shown


def test_long_difference_is_cut() -> None:
    sent = voucher(*(line(n, Side.DEBIT, n) for n in range(1, 50)))
    shown = difference(sent, move_of(sent, lines=[]), "CNY")
    assert shown.count("借") == 10 and shown.endswith("…")


# ---------------------------------------------------------------- batches


def test_batches_keep_order_and_never_mix_reversals_with_others() -> None:
    first, second = voucher(), voucher(line(1, Side.DEBIT, 1), line(2, Side.CREDIT, 1))
    vouchers = [first, second, red_reversal(first, DAY, "冲"), red_reversal(second, DAY, "冲"), first]
    assert list(_batches([0, 1, 2, 3, 4], vouchers, 50)) == [[0, 1], [2, 3], [4]]
    assert list(_batches([0, 1, 4], vouchers, 2)) == [[0, 1], [4]]
    assert list(_batches([], vouchers, 2)) == []


def test_batches_are_limited_in_lines() -> None:
    big = voucher(*(line(n, Side.DEBIT, 1) for n in range(999)))
    assert list(_batches(range(5), [big] * 5, 50)) == [[0, 1], [2, 3], [4]]
    huge = voucher(*(line(n, Side.DEBIT, 1) for n in range(3000)))
    assert list(_batches(range(2), [huge] * 2, 50)) == [[0], [1]]
