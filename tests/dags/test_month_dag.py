"""The monthly DAG: its form, its steps for each company, its label, a green month and a red one on real parts."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.runs import run_identity
from finbridge.mapping import read_code_files

from tests.contract.sandbox_process import SandboxProcess
from tests.hub_fixtures import APP_PASSWORD, SECRET, HubDatabase
from tests.integration.claim_world import claim

ROOT = Path(__file__).resolve().parents[2]
FLOW_ID = "weaver_tryton__expense_claim"
DAG_ID = f"{FLOW_ID}__monthly"
PERIOD = "2026-06"
STEPS = [
    "month_quiet",
    "collect_month",
    "check_month",
    "deliver_month",
    "write_back_month",
    "payment_status",
    "reconcile",
]
GOOD = 3


# ---------------------------------------------------------------------- as Airflow loads it


@pytest.fixture(scope="module")
def declared() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    return bag.dags[DAG_ID]


def test_each_step_runs_for_each_company_and_says_for_which(declared: Any) -> None:
    tasks = [task.task_id for task in declared.topological_sort()]
    assert tasks == ["months", *STEPS]
    for name in STEPS:
        task = declared.get_task(name)
        assert task.map_index_template == "公司 {{ task.company }} · 会计期间 {{ task.period }}"
        assert task.get_closest_mapped_task_group() is not None
        assert task.owner == "finance-integration"
        assert timedelta(0) < task.execution_timeout <= timedelta(days=29)
    assert declared.get_task("collect_month").max_active_tis_per_dagrun == 1
    assert {declared.get_task(name).pool for name in ("collect_month", "write_back_month")} == {"weaver"}
    assert declared.get_task("deliver_month").pool == "tryton"


def test_a_person_picks_a_company_and_a_month_in_both_languages(declared: Any) -> None:
    company, period, wait = (declared.params.get_param(name) for name in ("company", "period", "wait"))
    assert company.schema["enum"] == ["all", "1000", "2000"]
    assert (company.value, period.value, wait.value) == ("all", None, True)
    for param in (company, period, wait):
        text = param.schema["title"] + param.description
        assert any("\u4e00" <= char <= "\u9fff" for char in text)
        assert any(char.isascii() and char.isalpha() for char in text)
    assert "中文" in declared.doc_md and "English" in declared.doc_md
    assert all(name in declared.doc_md for name in STEPS)


def test_it_starts_on_the_cut_off_day_by_the_companys_clock(declared: Any) -> None:
    assert declared.timetable.expression == "0 6 5 * *"
    assert str(declared.timetable.timezone) == "Asia/Shanghai" or declared.timetable.timezone.name == "Asia/Shanghai"
    assert declared.catchup is False


def test_a_run_is_labelled_before_it_did_anything() -> None:
    from finbridge.tasks.month_note import label_of, put_label

    asked = SimpleNamespace(dag_id=DAG_ID, run_id="r", conf={"company": "1000", "period": "2026-10"}, note=None)
    asked.logical_date, asked.run_after = None, datetime(2026, 11, 22, tzinfo=UTC)
    put_label(asked)  # type: ignore[arg-type]  # a run in as far as a label needs it
    assert asked.note == "公司 1000 · 会计期间 2026-10"
    asked.conf = {}
    asked.logical_date = datetime(2026, 10, 31, 16, 30, tzinfo=UTC)  # the first of November in Shanghai
    assert label_of(asked) == "公司 1000、2000 · 会计期间 2026-10"  # type: ignore[arg-type]  # as above
    asked.conf, asked.note = {"company": "9999"}, None
    put_label(asked)  # type: ignore[arg-type]  # as above
    assert asked.note is None, "a label that cannot be made disturbs nobody"


# ---------------------------------------------------------------------- waiting for approvals

SHANGHAI = ZoneInfo("Asia/Shanghai")


def sensor(monkeypatch: pytest.MonkeyPatch, now: datetime, period: str = "2026-10", wait: bool | str = True) -> Any:
    """The sensor at a moment."""
    from finbridge.systems.weaver import sensors

    clock = SimpleNamespace(now=now.astimezone)
    monkeypatch.setattr(sensors, "datetime", clock)
    return sensors.WeaverMonthSensor(task_id="s", flow_id=FLOW_ID, company="1000", period=period, wait=wait)


@pytest.mark.parametrize(
    ("now", "wait", "waits"),
    [
        (datetime(2026, 11, 1, 0, 0, tzinfo=SHANGHAI), True, True),
        (datetime(2026, 11, 5, 17, 59, tzinfo=SHANGHAI), "True", True),
        (datetime(2026, 11, 5, 18, 0, tzinfo=SHANGHAI), True, False),  # the cut-off
        (datetime(2026, 10, 31, 23, 59, tzinfo=SHANGHAI), True, False),  # the period is not over: compare as it stands
        (datetime(2026, 11, 1, 0, 0, tzinfo=SHANGHAI), "False", False),
    ],
)
def test_the_sensor_waits_between_the_months_end_and_the_cut_off(
    monkeypatch: pytest.MonkeyPatch, now: datetime, wait: bool | str, waits: bool
) -> None:
    from airflow.sdk.exceptions import TaskDeferred
    from finbridge.systems.weaver.triggers import WeaverMonthTrigger

    waiting = sensor(monkeypatch, now, wait=wait)
    if not waits:
        waiting.execute({})
        return
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})
    classpath, arguments = deferred.value.trigger.serialize()
    assert classpath == f"{WeaverMonthTrigger.__module__}.{WeaverMonthTrigger.__name__}"
    assert WeaverMonthTrigger(**arguments).serialize() == (classpath, arguments)
    assert "password" not in json.dumps(arguments)


def test_the_sensor_comes_back_green_or_says_what_a_person_must_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    waiting = sensor(monkeypatch, datetime(2026, 11, 1, tzinfo=UTC))
    waiting.resume({}, {"waiting": 0, "cut_off": False})
    waiting.resume({}, {"waiting": 3, "cut_off": True})
    with pytest.raises(AirflowFailException, match="停用"):
        waiting.resume({}, {"error": "账号被停用"})


@pytest.mark.parametrize(
    ("answers", "cut_off", "event"),
    [
        ([["1", "2"], ["2"], []], False, {"waiting": 0, "cut_off": False}),
        ([RetryLater("oa_away", "稍后"), []], False, {"waiting": 0, "cut_off": False}),
        ([["1", "2"]], True, {"waiting": 2, "cut_off": True}),
        ([RetryLater("oa_away", "稍后")], True, {"waiting": 0, "cut_off": True}),
        ([GiveUp("credentials", "账号被停用")], False, {"error": "账号被停用"}),
    ],
)
async def test_the_trigger_ends_when_nothing_waits_or_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], cut_off: bool, event: dict[str, Any]
) -> None:
    from finbridge.core.flow import Flow
    from finbridge.systems.weaver import triggers

    left = list(answers)

    async def answer(*_: object) -> list[str]:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return list(found)

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[None]:
        yield None

    moment = datetime.now(UTC) + (timedelta(seconds=-1) if cut_off else timedelta(days=1))
    monkeypatch.setattr(triggers, "in_approval", answer)
    monkeypatch.setattr(triggers, "_opened", opened)
    monkeypatch.setattr(Flow, "cut_off", lambda *_: moment)
    trigger = triggers.WeaverMonthTrigger(
        flow_id=FLOW_ID, company="1000", period="2026-10", hub_conn_id="hub_default", poll_seconds=0.0
    )
    assert [found.payload async for found in trigger.run()] == [event]


# ---------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patched:
        yield patched


@pytest.fixture(scope="module")
def weaver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path_factory.mktemp("weaver"))) as process:
        process.control("POST", "/clock", {"now": "2026-07-03T09:00:00"})
        yield process


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    folder = tmp_path_factory.mktemp("journal")
    with SandboxProcess("sandbox.journal", "--data", str(folder), "--control-port", "0") as process:
        yield process


@pytest.fixture(scope="module")
def dag(
    tmp_path_factory: pytest.TempPathFactory,
    patch: pytest.MonkeyPatch,
    weaver: SandboxProcess,
    journal: SandboxProcess,
    hub_database: HubDatabase,
) -> Any:
    """The month's DAG with the journal as its ledger, and connections to what runs here."""
    include = tmp_path_factory.mktemp("include") / "include"
    shutil.copytree(ROOT / "include", include)
    flow_file = include / "flows" / f"{FLOW_ID}.yaml"
    text = flow_file.read_text(encoding="utf-8")
    target = "{system: journal, connection: journal_default}"
    flow_file.write_text(text.replace("{system: tryton, connection: tryton_default}", target), encoding="utf-8")
    extra = {"appid": "finbridge", "rate_per_second": 500, "rate_burst": 50, "max_clock_ahead_seconds": 0}
    extra |= {"mode_systemid": "finbridge", "mode_password": "local-only-mode"}
    connections: dict[str, dict[str, Any]] = {
        "WEAVER_DEFAULT": {"conn_type": "weaver", "port": weaver.port, "login": "900", "extra": extra},
        "JOURNAL_DEFAULT": {
            "conn_type": "journal", "port": journal.port, "login": "finbridge", "password": "finbridge",
        },
        "HUB_DEFAULT": {
            "conn_type": "postgres",
            "port": hub_database.server.port,
            "schema": hub_database.name,
            "login": "hub_app",
            "password": APP_PASSWORD,
            "extra": {"token_secret": SECRET},
        },
    }  # fmt: skip
    patch.setenv("FINBRIDGE_INCLUDE", str(include))
    for name, connection in connections.items():
        patch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"host": "127.0.0.1", **connection}))
    with hub_database.open() as hub:
        hub.load_codes(FLOW_ID, read_code_files(ROOT / "include/codes/weaver_tryton"), maker="m", checker="c")
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags").dags[DAG_ID]


def claims(company: str, count: int) -> list[dict[str, Any]]:
    """Claims of June, approved."""
    items = [claim(gsdm=company) for _ in range(count)]
    for item in items:
        item["log"] = [{**row, "date": f"{PERIOD}-20"} for row in item["log"]]
    return items


@pytest.fixture(scope="module")
def runs(dag: Any, weaver: SandboxProcess, journal: SandboxProcess) -> dict[str, Any]:
    """A month of both companies; then of one, with a voucher in finance that nobody calls for."""
    items = [*claims("1000", GOOD), *claims("2000", 1)]
    weaver.control("POST", "/impose", {"items": items})
    weaver.control("POST", "/clock", {"now": "2026-07-03T09:10:00"})
    green = dag.test(run_conf={"company": "all", "period": PERIOD})
    stray(journal)
    red = dag.test(run_conf={"company": "1000", "period": PERIOD})
    return {"green": green, "red": red}


def stray(journal: SandboxProcess) -> str:
    """A voucher in finance under a key of our form that no document calls for."""
    key = VoucherIdentity("1000", "weaver:nowhere", "404", "1", VoucherKind.EXPENSE).key()
    lines = [
        {"account": "660201", "debit": "7.77", "credit": "0.00"},
        {"account": "2241", "debit": "0.00", "credit": "7.77", "party": "E0007"},
    ]
    body = {"key": key, "company": "1000", "kind": "expense", "posting_date": f"{PERIOD}-15", "currency": "CNY"}
    root = f"http://127.0.0.1:{journal.port}"
    token = _post(f"{root}/login", {"user": "finbridge", "password": "finbridge"}, {})["token"]
    vouchers = {"vouchers": [{**body, "reverses": None, "lines": lines}]}
    answer = _post(f"{root}/api/vouchers", vouchers, {"Authorization": f"Bearer {token}"})
    assert answer["results"][0]["outcome"] == "accepted", answer
    return key


def _post(url: str, body: object, headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=10) as response:
        found: dict[str, Any] = json.loads(response.read())
        return found


def states(run: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ti in sorted(run.get_task_instances(), key=lambda ti: ti.map_index):
        found.setdefault(ti.task_id, []).append(ti.state)
    return found


def test_a_month_of_two_companies_is_green_step_by_step(runs: dict[str, Any], hub_database: HubDatabase) -> None:
    run = runs["green"]
    assert run.state == "success"
    assert states(run) == {"months": ["success"], **{name: ["success"] * 2 for name in STEPS}}
    labels = Counter(ti.rendered_map_index for ti in run.get_task_instances() if ti.task_id != "months")
    assert labels == {f"公司 {company} · 会计期间 {PERIOD}": len(STEPS) for company in ("1000", "2000")}
    with hub_database.open() as hub:
        rows = [row for row in hub.months.runs(FLOW_ID) if row["run_id"] == run_identity(run.dag_id, run.run_id)]
        assert {(row["company"], row["period"], row["unexplained"]) for row in rows} == {
            ("1000", PERIOD, 0), ("2000", PERIOD, 0),
        }  # fmt: skip
        sums = {row["company"]: hub.months.sums(row["month_run_id"]) for row in rows}
    assert {(s["side"], s["vouchers"], s["amount_minor"]) for s in sums["1000"]} == {
        (side, GOOD, GOOD * 10_600) for side in ("oa", "register", "finance")
    }


def test_an_unexplained_voucher_makes_the_month_red_and_the_list_comes_first(
    runs: dict[str, Any], hub_database: HubDatabase
) -> None:
    run = runs["red"]
    assert run.state == "failed"
    assert states(run)["reconcile"] == ["failed"]
    assert states(run)["payment_status"] == ["success"]
    with hub_database.open() as hub:
        found = hub.months.run(run_identity(run.dag_id, run.run_id))
        assert found is not None
        (difference,) = hub.months.differences(found["month_run_id"])
    assert (difference["what"], difference["finance_minor"]) == ("extra", 777)
    (ti,) = [ti for ti in run.get_task_instances() if ti.task_id == "reconcile"]
    assert ti.xcom_pull(task_ids="reconcile", map_indexes=0)["month_run_id"] == found["month_run_id"]
    note = ti.xcom_pull(task_ids="reconcile", map_indexes=0, key="note")
    assert note.startswith(f"公司 1000 · 会计期间 {PERIOD}: 无法解释 / unexplained 1")


def test_the_note_of_a_run_is_its_label_first_and_what_each_company_said_at_the_end(runs: dict[str, Any]) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from finbridge_plugin import RunNotes

    for at_first in (True, False):
        with create_session() as session:
            run = session.get(DagRun, runs["green"].id)
            assert run is not None
            if at_first:
                run.note = None
                RunNotes().on_dag_run_running(run, "")
            else:
                RunNotes().on_dag_run_success(run, "")
        with create_session() as session:
            found = session.get(DagRun, runs["green"].id)
            assert found is not None
            note = str(found.note)
        if at_first:
            assert note == f"公司 1000、2000 · 会计期间 {PERIOD}"
        else:
            first, second = (f"公司 {company} · 会计期间 {PERIOD}: 相符 / agrees" for company in ("1000", "2000"))
            assert note.startswith(first)
            assert second in note


def test_what_a_red_month_says_begins_with_what_is_wrong() -> None:
    from finbridge.core.month import Difference, Month, What
    from finbridge.flows.month import MonthReport
    from finbridge.tasks.month_operators import MAX_NAMED, unexplained

    named = tuple(
        Difference(what=What.MISSING, kind="expense", detail="gone", key=f"K{n}", business_number=f"BX{n}")
        for n in range(MAX_NAMED + 5)
    )
    report = MonthReport(
        month_run_id=7, documents=9, oa=9, register=9, finance=8, unexplained=60, explained=0, named=named
    )
    told = unexplained(Month("1000", PERIOD), report, "http://oa/finbridge/month/7").splitlines()
    assert told[0].startswith("missing: BX0 K0 ")
    assert told[-2] == "… +10"
    assert told[-1].endswith("unexplained: 60. http://oa/finbridge/month/7")
    assert len(told) == MAX_NAMED + 2
