"""The ledger as it is set up: chart, years, numbers, parties, rights; set up again; the database's own guards."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from finbridge.cli.stack.ledger import LedgerServer, demo_spec

from ledger.make_chart import HERE, chart
from ledger.set_up import SetUp
from ledger.tryton_rpc import RpcFailed, TrytonRpc
from tests.contract.sink_harness import kinds, make_voucher
from tests.contract.tryton_harness import TrytonHarness

EXPENSES = ("差旅费", "办公费", "业务招待费", "福利费", "补贴")


@pytest.fixture
def admin(ledger_server: LedgerServer) -> TrytonRpc:
    """Tryton's administrator."""
    return TrytonRpc(ledger_server.url, ledger_server.database, "admin", ledger_server.admin_password)


@pytest.fixture
def integration(ledger_server: LedgerServer) -> TrytonRpc:
    """The integration user, by the plain API."""
    return TrytonRpc(ledger_server.url, ledger_server.database, ledger_server.user, ledger_server.password)


@pytest.fixture
def own_server(ledger_server: LedgerServer, tmp_path: Path) -> Iterator[LedgerServer]:
    """A second database on the session's PostgreSQL, to be changed freely."""
    with LedgerServer(tmp_path, ledger_server.postgres, spec=demo_spec(), database="own") as server:
        yield server
    ledger_server.postgres.drop_database("own")


def test_chart_file_is_made_from_the_list() -> None:
    text = (HERE / "chart_cn.csv").read_text(encoding="utf-8")
    assert (HERE / "finbridge_bridge" / "chart_cn.xml").read_text(encoding="utf-8") == chart(text)


@pytest.mark.parametrize("company", ["1000", "2000"])
def test_chart_has_the_accounts_of_the_posting_plan(admin: TrytonRpc, company: str) -> None:
    rows = admin.read("account.account", [("company.code", "=", company)], ["code", "name", "type", "party_required"])
    accounts = {row["code"]: row for row in rows if row["code"]}
    with (HERE / "chart_cn.csv").open(encoding="utf-8") as file:
        assert set(accounts) == {row["code"] for row in csv.DictReader(file)}
    for group in ("6602", "6601", "5101", "5301"):
        assert accounts[group]["type"] is None, "a heading takes no lines"
        assert tuple(accounts[f"{group}{n:02d}"]["name"] for n in range(1, 6)) == EXPENSES
    assert {code for code, row in accounts.items() if row["party_required"]} == {"1122", "2202", "2241"}
    assert accounts["22210101"]["name"] == "进项税额" and accounts["22210102"]["name"] == "进项税额转出"


def test_years_periods_and_numbers(admin: TrytonRpc) -> None:
    periods = admin.read("account.period", [("company.code", "=", "1000")], ["name"])
    assert sorted(row["name"] for row in periods) == [
        f"{year}-{month:02d}" for year in (2025, 2026, 2027) for month in range(1, 13)
    ]
    series = admin.read("ir.sequence.strict", [("prefix", "like", "记-%")], ["prefix", "company", "padding"])
    assert sorted(row["prefix"] for row in series) == sorted([f"记-{year}-" for year in (2025, 2026, 2027)] * 2)
    assert len({(row["company"], row["prefix"]) for row in series}) == 6


def test_set_up_again_changes_nothing_and_adds_what_is_new(own_server: LedgerServer) -> None:
    rpc = TrytonRpc(own_server.url, own_server.database, "admin", own_server.admin_password)
    tables = ("account_account", "account_period", "party_party", "ir_sequence_strict", "res_user", "company_company")

    def counts() -> dict[str, Any]:
        execute = own_server.postgres.execute
        return {table: execute("own", f"SELECT count(*) FROM {table}")[0][0] for table in tables}

    before = counts()
    spec = demo_spec()
    SetUp(rpc, spec).run(own_server.password)
    assert counts() == before
    spec["years"].append(2028)
    spec["parties"].append({"code": "E9001", "name": "新员工"})
    spec["accounts"] = [{"code": "660206", "name": "培训费", "parent": "6602", "like": "660201"}]
    SetUp(rpc, spec).run(own_server.password)
    assert counts() == {
        **before,
        "account_account": before["account_account"] + 2,
        "account_period": before["account_period"] + 24,
        "party_party": before["party_party"] + 1,
        "ir_sequence_strict": before["ir_sequence_strict"] + 2,
    }


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("account.move.create", [[{"description": "by hand"}]]),
        ("account.move.write", [[1], {"description": "changed"}]),
        ("account.move.delete", [[1]]),
        ("account.move.post", [[1]]),
        ("account.move.line.write", [[1], {"description": "changed"}]),
        ("account.period.close", [[1]]),
        ("account.period.write", [[1], {"name": "x"}]),
        ("account.account.write", [[1], {"name": "x"}]),
        ("account.journal.create", [[{"name": "x", "type": "general"}]]),
        ("party.party.create", [[{"name": "x", "code": "X1"}]]),
        ("party.party.search_read", [[], 0, None, None, ["name"]]),
        ("company.company.write", [[1], {"code": "x"}]),
        ("ir.sequence.strict.write", [[1], {"prefix": "x"}]),
        ("res.user.write", [[1], {"password": "x"}]),
    ],
)
def test_integration_user_has_no_other_way(integration: TrytonRpc, method: str, arguments: list[Any]) -> None:
    with pytest.raises(RpcFailed) as caught:
        integration.model(method, *arguments)
    error = caught.value.error
    assert caught.value.status == 403 or (isinstance(error, list) and error[0] == "UserError"), caught.value


def test_database_itself_refuses_a_second_key_and_a_second_reversal(ledger_server: LedgerServer) -> None:
    insert = """
        INSERT INTO account_move (company, period, journal, date, state, external_ref, reverses)
        SELECT f.company, p.id, j.id, p.start_date, 'draft', %(ref)s, %(reverses)s
        FROM account_period p JOIN account_fiscalyear f ON f.id = p.fiscalyear, account_journal j
        WHERE p.name = '2026-12' AND j.code = 'FIN' AND f.company = (SELECT min(id) FROM company_company)
        RETURNING id"""
    with psycopg.connect(ledger_server.dsn()) as connection:
        row = connection.execute(insert, {"ref": "E-guard", "reverses": None}).fetchone()
        assert row is not None
        for values in ({"ref": "E-guard", "reverses": None}, {"ref": "R-guard", "reverses": row[0]}):
            with connection.transaction(force_rollback=True):
                if values["reverses"]:
                    connection.execute(insert, {"ref": "R-first", "reverses": row[0]})
                with pytest.raises(psycopg.errors.UniqueViolation):
                    connection.execute(insert, values)
                raise psycopg.Rollback
        connection.rollback()


async def test_period_script_closes_reopens_and_names_what_is_missing(own_server: LedgerServer) -> None:
    sink = TrytonHarness(own_server)
    ledger = await sink.connect()

    async def posted() -> list[str]:
        return kinds(await ledger.post([make_voucher(sink, company="2000", day=date(2026, 4, 30))]))

    assert await posted() == ["Accepted"]
    own_server.close_period("2000", "2026-04")
    own_server.close_period("2000", "2026-04")
    assert await posted() == ["PeriodClosed"]
    own_server.reopen_period("2000", "2026-04")
    assert await posted() == ["Accepted"]
    own_server.postgres.execute("own", "UPDATE account_journal_period SET state = 'closed'")
    assert await posted() == ["PeriodClosed"], "the journal alone is closed for that period"
    await ledger.close()
    with pytest.raises(RuntimeError, match="no period 1926-04"):
        own_server.close_period("2000", "1926-04")


def test_set_up_without_passwords_says_so(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"user": {"login": "x"}}')
    command = [sys.executable, str(HERE / "set_up.py"), "--url", "http://127.0.0.1:1", "--database", "x"]
    done = subprocess.run([*command, "--spec", str(spec)], capture_output=True, text=True, check=False, env={})
    assert done.returncode == 2 and "password" in done.stderr


async def test_older_database_is_updated_and_keeps_its_vouchers(ledger_server: LedgerServer, tmp_path: Path) -> None:
    """A run with one more year in the spec finds the database of the run before."""
    older, newer = demo_spec(), demo_spec((2025, 2026, 2027, 2028))
    try:
        with LedgerServer(tmp_path, ledger_server.postgres, spec=older, database="kept") as server:
            sink = TrytonHarness(server)
            voucher, late = make_voucher(sink), make_voucher(sink, day=date(2028, 2, 29))
            ledger = await sink.connect()
            assert kinds(await ledger.post([voucher, late])) == ["Accepted", "PeriodClosed"]
            await ledger.close()
        with LedgerServer(tmp_path, ledger_server.postgres, spec=newer, database="kept") as server:
            ledger = await TrytonHarness(server).connect()
            assert kinds(await ledger.post([voucher, late])) == ["Duplicate", "Accepted"]
            await ledger.close()
            first_password = server.admin_password
        with LedgerServer(tmp_path, ledger_server.postgres, spec=newer, database="kept") as server:
            assert server.admin_password == first_password
            TrytonRpc(server.url, "kept", "admin", server.admin_password)
    finally:
        ledger_server.postgres.drop_database("kept")
