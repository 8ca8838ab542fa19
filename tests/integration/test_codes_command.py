"""`finbridge codes` against a real hub: what people type, what they read, and what is stored."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from finbridge.cli import app
from finbridge.cli.airflow_login import verified_checker
from finbridge.core.codes import MasterKind, MasterRecord
from finbridge.core.errors import GiveUp
from finbridge.core.ports import CodeRow, Stage
from openpyxl import load_workbook
from typer.testing import CliRunner

from tests.airflow_people import PASSWORD, AirflowPeople, airflow_people, log_in
from tests.hub_fixtures import APP_PASSWORD, HubDatabase
from tests.hub_world import APPROVED, World, document, held
from tests.integration.test_hub_proposals import lacks

ROOT = Path(__file__).resolve().parents[2]
FLOW = "weaver_tryton__expense_claim"
Run = Callable[..., str]


@pytest.fixture
def people() -> Iterator[AirflowPeople]:
    with airflow_people() as found:
        yield found


@pytest.fixture
def run(hub_database: HubDatabase, monkeypatch: pytest.MonkeyPatch, people: AirflowPeople, tmp_path: Path) -> Run:
    """One command, typed by ``by``; its output. ``code`` is the exit code that is expected. Li alone may approve."""
    include = tmp_path / "include"
    shutil.copytree(ROOT / "include", include)
    flow = include / "flows" / f"{FLOW}.yaml"
    flow.write_text(flow.read_text().replace("checkers: [admin]", "checkers: [Li, zhou]"))
    monkeypatch.setattr("finbridge.cli.codes_command.include_folder", lambda: include)
    password = APP_PASSWORD.replace(" ", "%20")
    monkeypatch.setenv(
        "AIRFLOW_CONN_HUB_DEFAULT",
        f"postgres://hub_app:{password}@127.0.0.1:{hub_database.server.port}/{hub_database.name}",
    )

    def one(*arguments: str, code: int = 0, by: str = "wang") -> str:
        log_in(monkeypatch, people, by)
        done = CliRunner().invoke(app, ["codes", *arguments])
        assert done.exit_code == code, done.output
        assert PASSWORD not in done.output and "token of" not in done.output
        return done.output

    return one


def row(code: str, target: str) -> CodeRow:
    return CodeRow(table="expense_account", company="", code=code, target=target, valid_from=date(2026, 1, 1))


def test_from_a_held_document_to_a_released_one(run: Run, hub_database: HubDatabase, tmp_path: Path) -> None:
    """missing, filled in by a person, dry run, propose, overtaken, rejected, proposed again, approved, released."""
    with hub_database.open() as hub:
        world = World(hub, flow=FLOW)
        accounts = [
            MasterRecord(kind=MasterKind.ACCOUNT, company=company, code=code, name=f"名称{code}", active=True)
            for company in ("1000", "2000")
            for code in ("660201", "660202")
        ]
        party = MasterRecord(kind=MasterKind.PARTY, company="", code="E0001", name="王小明", active=True)
        hub.master_data.replace("tryton:tryton_default", [*accounts, party])
        hub.load_codes(FLOW, [row("ADM|TRAVEL", "660201")], maker="wang", checker="li")
        world.store(*(document(name, *APPROVED) for name in ("1", "2", "3")))
        world.check(held([lacks("1", "ADM|FOOD"), lacks("2", "ADM|FOOD"), lacks("3", "ADM|TAXI")]))
    path = tmp_path / "missing.xlsx"
    told = run("missing", "--flow", FLOW, "--out", str(path))
    assert "expense_account  ADM|FOOD  1000: 2 单 documents" in told and "missing codes: 2" in told
    page = (book := load_workbook(path))["expense_account"]
    assert [page.cell(2, n).value for n in (1, 2, 3, 10)] == [None, "ADM|FOOD", None, "2"]
    page.cell(2, 3, "660202")
    book.save(path)
    wanted = ("propose", "--flow", FLOW, "--file", str(path))
    told = run(*wanted, "--dry-run")
    assert "新增 new: expense_account * ADM|FOOD: 660202 名称660202 [2026-03-02 …]" in told
    assert "left open: expense_account!3" in told and "unchanged: 1" in told and "王小明" not in told
    assert "共 / in all: 0" in run("proposals")
    assert "提案 / proposal 1 " in run(*wanted)
    with hub_database.open() as hub:
        overtaking = CodeRow(
            table="expense_account", company="", code="ADM|FOOD", target="660201", valid_from=date(2026, 3, 2)
        )
        hub.load_codes(FLOW, [overtaking], maker="zhao", checker="li")
    told = run("approve", "1", by="li", code=1)
    assert "变更 changed: expense_account * ADM|FOOD: 660201 [2026-03-02 …] → 660202" in told
    assert "the tables changed" in told
    assert "rejected" in run("reject", "1", "--note", "overtaken", by="li")
    assert "two people" not in run(*wanted)
    assert "loaded 1" in run("approve", "2", by="li")
    told = run("proposals", "--all")
    assert "已驳回 rejected" in told and "已生效 approved" in told and "overtaken" in told
    assert "变更 changed" in run("proposals", "--show", "2")
    with hub_database.open() as hub:
        assert {work.lease.document_id for work in World(hub, flow=FLOW).claim(Stage.PLAN)} == {"1", "2"}
    assert "already" in run("approve", "2", by="zhou", code=1)


def test_without_a_connection_the_variable_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_HUB_DEFAULT")
    assert "AIRFLOW_CONN_HUB_DEFAULT 未设置" in run("missing", "--flow", FLOW, code=1)


def test_targets_wait_for_finance_s_master_data(run: Run, tmp_path: Path, hub_database: HubDatabase) -> None:
    hub_database.server.execute(hub_database.name, "DELETE FROM hub.master_data")
    path = tmp_path / "codes.csv"
    path.write_text("table,company,code,target,valid_from,valid_to\npayable_account,,OTHER,2241,2026-01-01,\n")
    told = run("propose", "--flow", FLOW, "--file", str(path), code=1)
    assert f"finbridge codes master --flow {FLOW}" in told


# ---------------------------------------------------------------- who it was


@pytest.fixture
def proposal(run: Run, hub_database: HubDatabase, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The number of an open proposal of wang's."""
    path = tmp_path / "codes.csv"
    code = f"WHO{abs(hash(request.node.name))}"
    path.write_text(f"table,company,code,target,valid_from,valid_to\ncost_centre_kind,,{code},ADM,2026-01-01,\n")
    told = run("propose", "--flow", FLOW, "--file", str(path))
    return told.partition("提案 / proposal ")[2].split()[0]


def state(hub_database: HubDatabase, number: str) -> tuple[str, str, str]:
    with hub_database.open() as hub:
        found = hub.proposals.proposal(int(number))
    return (found.maker, found.state.value, found.checker)


def test_the_names_are_those_that_airflow_says(
    run: Run, hub_database: HubDatabase, people: AirflowPeople, proposal: str
) -> None:
    assert state(hub_database, proposal) == ("wang", "open", "")
    people.known["li@corp"] = " Ｌi "  # whatever was typed: Airflow says whose account it is
    assert "loaded 1" in run("approve", proposal, by="li@corp")
    assert state(hub_database, proposal) == ("wang", "approved", "Li")
    assert set(people.asked) == {
        ("POST", "/auth/token"),
        ("GET", "/ui/auth/me"),
        ("GET", f"/api/v2/dags/{FLOW}__wake"),
    }


@pytest.mark.parametrize(
    "refused",
    [
        ("stranger", None, "does not know this name and password"),
        ("zhao", None, "none of those who may approve"),
        ("x", "l\u0456", "mixes letters"),  # Cyrillic i: mixed scripts
        ("x", "li\u200b", "not seen"),
        ("x", "Anonymous", "is no person"),
        ("x", "system:sample-checker", "is no person"),
        ("x", "", "not Airflow 3"),
    ],
)
def test_who_may_not_approve(
    run: Run, people: AirflowPeople, proposal: str, refused: tuple[str, str | None, str]
) -> None:
    by, shown, why = refused
    if shown is not None:
        people.known[by] = shown
    assert why in run("approve", proposal, by=by, code=1)
    assert why in run("reject", proposal, "--note", "no", by=by, code=1)
    assert "待复核 open" in run("proposals", "--show", proposal)


def test_maker_and_checker_are_two_accounts(
    run: Run, hub_database: HubDatabase, people: AirflowPeople, proposal: str, tmp_path: Path
) -> None:
    """A checker who proposes needs another checker; one who may not read the flow does neither."""
    told = run("propose", "--flow", FLOW, "--file", str(tmp_path / "codes.csv"), by="li")
    own = told.partition("提案 / proposal ")[2].split()[0]
    assert "two people" in run("approve", own, by="li", code=1)
    people.known["Li2"] = "ＬＩ"
    assert "two people" in run("approve", own, by="Li2", code=1)
    people.blind.add("zhou")
    assert "may not read" in run("approve", own, by="zhou", code=1)
    assert "may not read" in run("propose", "--flow", FLOW, "--file", str(tmp_path / "codes.csv"), by="zhou", code=1)
    assert state(hub_database, own) == ("li", "open", "")


def test_a_wrong_password_an_absent_airflow_and_nobody_to_ask(
    run: Run, people: AirflowPeople, proposal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def typed() -> str:
        done = CliRunner().invoke(app, ["codes", "approve", proposal])
        assert done.exit_code == 1 and "wrong secret" not in done.output
        return done.output

    log_in(monkeypatch, people, "li", "wrong secret")
    assert "does not know this name and password" in typed()
    monkeypatch.setenv("FINBRIDGE_AIRFLOW_URL", "http://127.0.0.1:9")
    assert "does not answer" in typed()
    monkeypatch.setenv("FINBRIDGE_AIRFLOW_URL", "http://li:secret@127.0.0.1:9")
    assert "is no address" in typed()
    monkeypatch.delenv("FINBRIDGE_PASSWORD")
    monkeypatch.setenv("FINBRIDGE_AIRFLOW_URL", people.url)
    assert "FINBRIDGE_PASSWORD" in typed()


def test_name_and_password_are_typed_where_somebody_sits(
    run: Run, people: AirflowPeople, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(monkeypatch, people, "li")
    monkeypatch.delenv("FINBRIDGE_USER")
    monkeypatch.delenv("FINBRIDGE_PASSWORD")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda _text, **_: "li")
    monkeypatch.setattr("getpass.getpass", lambda _text: PASSWORD)
    assert verified_checker(FLOW, ["LI"]) == "li"
    with pytest.raises(GiveUp, match="names nobody who may approve"):
        verified_checker(FLOW, [])
    assert PASSWORD not in "".join(capsys.readouterr())


def test_who_it_was_is_no_argument(run: Run) -> None:
    assert "No such option" in CliRunner().invoke(app, ["codes", "approve", "1", "--by", "li"]).output
    assert "No such option" in CliRunner().invoke(app, ["codes", "approve", "1", "--password", "x"]).output


def test_what_was_posted_under_the_old_code_is_shown(run: Run, hub_database: HubDatabase, tmp_path: Path) -> None:
    old = CodeRow(table="cost_centre_kind", company="", code="POSTED", target="660201", valid_from=date(2020, 1, 1))
    with hub_database.open() as hub:
        hub.load_codes(FLOW, [old], maker="wang", checker="li")
        world = World(hub, flow=FLOW)
        world.post(document("posted", *APPROVED))
    path = tmp_path / "codes.csv"
    path.write_text("table,company,code,target,valid_from,valid_to\ncost_centre_kind,,POSTED,660202,2020-01-01,\n")
    number = run("propose", "--flow", FLOW, "--file", str(path)).partition("提案 / proposal ")[2].split()[0]
    told = run("approve", number, by="li")
    assert "posted under the old code, never changed: 1 " in told and f"codes posted {number}" in told
    told = run("posted", number)
    assert "1000  BXposted  记-2026-" in told and "660201" in told and "code: 1" in told
    assert "no proposal" in run("posted", "999999", code=1)
