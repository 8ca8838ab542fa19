"""A month of 2,000 claims between the e-cology stand-in, the hub and the real Tryton: loaded, tampered with, mended.

One document missing, one extra and one altered amount are planted in Tryton's own database; the run names exactly
those three, passes once they are mended, and changes nothing when it runs again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest
from finbridge.cli.stack.ledger import LedgerServer
from finbridge.core.documents import DocumentRef
from finbridge.core.errors import GiveUp
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.outcomes import Locked, Outcome, Unknown
from finbridge.core.ports import Judge, Problem
from finbridge.core.vouchers import Side, Voucher, VoucherLine
from finbridge.flows import month as month_flow
from finbridge.flows.inbox import unusable
from finbridge.flows.month import MonthReport

from tests.contract.sandbox_process import SandboxProcess
from tests.contract.tryton_harness import Accountant
from tests.hub_fixtures import HubDatabase
from tests.integration.month_world import MONTH, PERIOD, SIZE, MonthWorld, changed, item_of


@pytest.fixture(scope="module")
def world(
    hub_database: HubDatabase,
    ledger_server: LedgerServer,
    claim_judge: Judge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MonthWorld]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path_factory.mktemp("oa"))) as oa:
        made = MonthWorld(oa, ledger_server, hub_database, claim_judge)
        made.tick()
        try:
            yield made
        finally:
            made.hub.close()


def named(report: MonthReport) -> dict[str, str]:
    """Unexplained differences by kind: business number or key."""
    return {d.what.value: d.business_number or d.key for d in report.named}


def explained(world: MonthWorld, report: MonthReport) -> Counter[str]:
    rows = world.hub.months.differences(report.month_run_id, limit=10_000)
    return Counter(row["what"] for row in rows if row["explained"])


@contextmanager
def tampered(world: MonthWorld, missing: str, altered: str, extra: Voucher) -> Iterator[str]:
    """The three faults in Tryton's own database, taken away again afterwards; gives the number of the extra one."""
    number = asyncio.run(world.post(extra))
    with psycopg.connect(world.ledger_server.dsn(), autocommit=True) as finance:
        for table, column in (("account_move", "id"), ("account_move_line", "move")):
            finance.execute(
                f"CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE {column} = "
                f"(SELECT id FROM account_move WHERE external_ref = '{missing}')"
            )
        finance.execute("DELETE FROM account_move_line WHERE move IN (SELECT id FROM kept_account_move)")
        finance.execute("DELETE FROM account_move WHERE id IN (SELECT id FROM kept_account_move)")
        changed = finance.execute(
            "UPDATE account_move_line SET debit = debit + 1 WHERE debit > 10 AND move = "
            "(SELECT id FROM account_move WHERE external_ref = %s)",
            [altered],
        )
        assert changed.rowcount == 1
        try:
            yield number
        finally:
            finance.execute("INSERT INTO account_move SELECT * FROM kept_account_move")
            finance.execute("INSERT INTO account_move_line SELECT * FROM kept_account_move_line")
            finance.execute(
                "UPDATE account_move_line SET debit = debit - 1 WHERE debit > 10 AND move = "
                "(SELECT id FROM account_move WHERE external_ref = %s)",
                [altered],
            )
            finance.execute(
                "DELETE FROM account_move_line WHERE move = (SELECT id FROM account_move WHERE external_ref = %s)",
                [extra.key],
            )
            finance.execute("DELETE FROM account_move WHERE external_ref = %s", [extra.key])
            finance.execute("DROP TABLE kept_account_move, kept_account_move_line")


def stray() -> Voucher:
    """A voucher under a key of our form that no document calls for."""
    sides = (("660201", Side.DEBIT, None), ("2241", Side.CREDIT, "E0007"))
    return Voucher(
        identity=VoucherIdentity(MONTH.company, "weaver:nowhere", "404", "1", VoucherKind.EXPENSE),
        currency="CNY",
        business_date=date(2026, 6, 15),
        document_date=date(2026, 6, 15),
        posting_date=date(2026, 6, 15),
        summary="无来源",
        business_number="BX-404",
        lines=tuple(
            VoucherLine(
                line_no=n,
                account=account,
                side=side,
                amount_minor=777,
                currency="CNY",
                local_amount_minor=777,
                party=party,
            )
            for n, (account, side, party) in enumerate(sides, start=1)
        ),
    )


def key_of(world: MonthWorld, document_id: str) -> str:
    (row,) = world.rows(f"SELECT key FROM hub.voucher WHERE document_id = '{document_id}' AND kind = 'expense'")
    return str(row[0])


def test_a_month_of_2000_is_loaded_and_three_planted_faults_are_named(world: MonthWorld) -> None:
    world.fill()
    report, moved = world.run()
    assert sum(SIZE.values()) == 2000 == moved["read"] == report.documents
    posted = SIZE["posted"] + SIZE["reversed"] + SIZE["paid"]
    assert (moved["sent"], report.finance, report.register, report.oa) == (posted, posted, posted, posted + 20)
    assert report.green, named(report)
    reasons = {"held": SIZE["unknown_code"], "zero": SIZE["zero"], "in_approval": SIZE["in_approval"]}
    assert explained(world, report) == reasons

    world.afterwards()
    report, moved = world.run()
    assert report.green, named(report)
    assert moved["sent"] == SIZE["paid"] + SIZE["reversed"]
    sums = {(s.side, s.kind): (s.vouchers, s.amount_minor) for s in report.sums}
    for side in ("finance", "register"):
        assert sums[side, "payment"] == (SIZE["paid"], SIZE["paid"] * 10_600)
        assert sums[side, "reversal"] == (SIZE["reversed"], SIZE["reversed"] * -10_600)
        assert sums[side, "expense"] == (posted, posted * 10_600)
    assert explained(world, report) == reasons

    missing, altered = world.ids["posted"][100], world.ids["posted"][1500]
    extra = stray()
    with tampered(world, key_of(world, missing), key_of(world, altered), extra) as number:
        report, moved = world.run()
        assert (moved["sent"], moved["checked"]) == (0, 0)
        assert not report.green
        assert named(report) == {
            "missing": world.items[missing]["main"]["djbh"],
            "altered": world.items[altered]["main"]["djbh"],
            "extra": extra.key,
        }
        listed = {d.what.value: d for d in report.named}
        assert listed["extra"].finance_number == number
        assert (listed["altered"].oa_minor, listed["altered"].finance_minor) == (10_600, 10_700)
        assert (listed["missing"].oa_minor, listed["missing"].finance_minor) == (10_600, None)
        assert explained(world, report) == reasons

    report, _ = world.run()
    assert report.green, named(report)
    before = world.versions()
    report, moved = world.run()
    assert report.green
    assert moved == {"read": 0, "checked": 0, "sent": 0, "saved": 0}
    after = world.versions()
    assert {name: after[name] == before[name] for name in before} == dict.fromkeys(before, True)


def test_what_people_did_in_finance_past_the_suite_is_named(world: MonthWorld) -> None:
    """After the test above, when all agrees: reversed by Tryton's own cancel; another period, department, document."""
    names = dict(zip(("reversed", "later", "period", "department", "document"), world.ids["posted"], strict=False))
    keys = {what: key_of(world, name) for what, name in names.items()}
    accountant = Accountant(world.ledger_server, MONTH.company)
    cancelled = accountant.cancel(("external_ref", "=", keys["reversed"]))
    later = accountant.cancel(("external_ref", "=", keys["later"]))
    july = (
        f"(SELECT p.id FROM account_period p JOIN account_fiscalyear f ON f.id = p.fiscalyear JOIN company_company c "
        f"ON c.id = f.company WHERE p.name = '2026-07' AND c.code = '{MONTH.company}')"
    )
    is_move = "id = (SELECT id FROM account_move WHERE external_ref = '{}')".format
    with ExitStack() as undone:
        for table, column, value, where in (
            ("account_move", "period", july, f"id = {later}"),
            ("account_move", "date", "'2026-07-03'", f"id = {later}"),
            ("account_move", "period", july, is_move(keys["period"])),
            ("account_move", "external_document", "'1'", is_move(keys["document"])),
            ("account_move_line", "department", "'X'", "move" + is_move(keys["department"])[2:] + " AND debit > 0"),
        ):
            undone.enter_context(changed(world, table, column, value, where))
        report, moved = world.run()
        assert (moved["sent"], moved["checked"], report.unexplained) == (0, 0, 5)
        told = {d.key: (d.what.value, d.detail) for d in report.named}
        numbers = dict(_numbers(world, cancelled, later))
        assert {what: told[key][0] for what, key in keys.items()} == {
            "reversed": "reversed_in_finance",
            "later": "reversed_in_finance",
            "period": "altered",
            "department": "altered",
            "document": "altered",
        }
        assert numbers[cancelled] in told[keys["reversed"]][1]
        assert f"{numbers[later]} (2026-07-03, 2026-07)" in told[keys["later"]][1]
        assert told[keys["period"]][1] == "会计期间 / period: 2026-06 → 2026-07"
        assert told[keys["department"]][1].startswith("部门 / department: ")
        assert "document: " in told[keys["document"]][1]
        # The month in which it was reversed names it as well, and the voucher that was moved into it.
        next_month = asyncio.run(world.reconcile(replace(MONTH, period="2026-07")))
        listed = {d.key: d.what.value for d in next_month.named if d.key in keys.values()}
        assert listed == {keys["later"]: "reversed_in_finance", keys["period"]: "altered"}
    with pytest.raises(GiveUp) as refused:
        asyncio.run(world.reconcile(replace(MONTH, period="2031-01")))
    assert refused.value.code == "no_period"

    # What was cancelled and cancelled again stands: Tryton frees the lines first.
    with psycopg.connect(world.ledger_server.dsn()) as finance:
        finance.execute("UPDATE account_move_line SET reconciliation = NULL WHERE move IN (%s, %s)", [cancelled, later])
    for made in (cancelled, later):
        accountant.cancel(("id", "=", made))
    report, _ = world.run()
    assert report.green, named(report)


def _numbers(world: MonthWorld, *moves: int) -> list[tuple[int, str]]:
    with psycopg.connect(world.ledger_server.dsn()) as finance:
        found: list[tuple[int, str]] = finance.execute(
            "SELECT id, number FROM account_move WHERE id = ANY(%s)", [list(moves)]
        ).fetchall()
        return found


def test_an_extra_voucher_is_explained_once_an_accountant_cancelled_it(world: MonthWorld) -> None:
    """Tryton deletes no posted move: both stay, and so does the difference, with its reason."""
    extra = stray()
    asyncio.run(world.post(extra))
    report = asyncio.run(world.reconcile(MONTH))
    assert (report.green, named(report)) == (False, {"extra": extra.key})
    made = Accountant(world.ledger_server, MONTH.company).cancel(("external_ref", "=", extra.key))
    ((_, number),) = _numbers(world, made)
    report, moved = world.run()
    assert (report.green, named(report), moved["sent"]) == (True, {}, 0)
    rows = world.hub.months.differences(report.month_run_id, limit=10_000)
    ((key, detail),) = [(row["key"], row["detail"]) for row in rows if row["what"] == "extra_reversed"]
    assert key == extra.key and number in detail


class Silent:
    """A finance system that gives no answer that can be trusted to what is posted."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def post(self, vouchers: list[Voucher]) -> list[Outcome]:
        return [Unknown("cut") for _ in vouchers]


def test_a_voucher_in_doubt_keeps_the_month_red_until_finance_was_asked(
    world: MonthWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(connect: Any = world.connect) -> tuple[Any, Any]:
        source, ledger = connect()
        return source, Silent(ledger)

    (late,) = world.impose([item_of("silent", 1)])
    with monkeypatch.context() as away:
        away.setattr(month_flow, "PATIENCE_SECONDS", 0.0)
        away.setattr(world, "connect", silent)
        report, _ = world.run()
    assert world.rows(f"SELECT state FROM hub.voucher WHERE document_id = '{late}'") == [("unknown",)]
    assert (report.green, named(report)) == (False, {"in_doubt": world.items[late]["main"]["djbh"]})
    report, moved = world.run()
    assert (report.green, moved["sent"], named(report)) == (True, 1, {})


class Busy:
    """A finance system that is locked for its first calls."""

    def __init__(self, ledger: Any, calls: int) -> None:
        self._ledger, self.calls = ledger, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def post(self, vouchers: list[Voucher]) -> list[Outcome]:
        if self.calls:
            self.calls -= 1
            return [Locked(0.2) for _ in vouchers]
        answered: list[Outcome] = await self._ledger.post(vouchers)
        return answered


def test_what_finance_put_off_is_tried_again_and_never_green_while_unsent(
    world: MonthWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks: list[Busy] = []
    calls = 10**6
    connect = world.connect

    def busy() -> tuple[Any, Any]:
        source, ledger = connect()
        locks.append(Busy(ledger, calls))
        return source, locks[-1]

    monkeypatch.setattr(world, "connect", busy)
    monkeypatch.setattr(month_flow, "PATIENCE_SECONDS", 1.0)
    (late,) = world.impose([item_of("locked", 1)])
    report, _ = world.run()
    assert locks[-1].calls < 10**6 - 1  # more than once
    assert (report.green, named(report)) == (False, {"unsent": world.items[late]["main"]["djbh"]})

    calls = 2
    monkeypatch.setattr(month_flow, "PATIENCE_SECONDS", 30.0)
    report, _ = world.run()
    assert (report.green, locks[-1].calls, named(report)) == (True, 0, {})


def test_an_amount_that_was_never_read_is_read_again_or_named(world: MonthWorld) -> None:
    name = world.ids["posted"][7]
    forget = f"UPDATE hub.document SET amount_minor = NULL WHERE document_id = '{name}' RETURNING document_id"
    assert world.rows(forget) == [(name,)]
    report = asyncio.run(world.reconcile(MONTH))
    assert (report.green, named(report)) == (False, {"amount_unread": world.items[name]["main"]["djbh"]})
    report, _ = world.run()
    assert (report.green, named(report)) == (True, {})
    assert world.rows(f"SELECT amount_minor FROM hub.document WHERE document_id = '{name}'") == [(10_600,)]


def test_a_document_without_a_company_stands_in_every_month_that_it_could_belong_to(world: MonthWorld) -> None:
    broken = Problem(document_id="999001", code="oa_cannot_read", field="", detail="never shown")
    ref = DocumentRef(document_id="999001", template="101", stamp=f"{PERIOD}-20 10:00:00")
    world.hub.store(world.flow.flow_id, [unusable(ref, broken)])
    nobody = world.hub.months.without_company(world.flow.flow_id, PERIOD)
    assert [(d.document_id, d.what.value) for d in nobody] == [("999001", "missing")]  # nothing holds it yet
    report = asyncio.run(world.reconcile(MONTH))
    assert (report.green, [d.document_id for d in report.named]) == (False, ["999001"])
    report, _ = world.run()  # its check holds it
    assert report.green, named(report)
    rows = world.hub.months.differences(report.month_run_id, limit=10_000)
    (listed,) = [row for row in rows if row["what"] == "no_company"]
    assert (listed["document_id"], listed["explained"]) == ("999001", True)
    assert "oa_cannot_read" in listed["detail"]
    assert world.hub.months.without_company(world.flow.flow_id, "2026-07") == []  # last touched before it
