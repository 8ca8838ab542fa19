"""The manual DAG in this process on real parts: form, dry run, live run, and what a person reads afterwards."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.runs import run_identity
from finbridge.flows.manual_form import parse_form

from tests.contract.sandbox_process import SandboxProcess
from tests.dags.dag_world import FLOW_ID, GOOD, ROOT
from tests.hub_fixtures import HubDatabase

TASKS = ["ask", "look", "check", "deliver", "write_back", "show"]
SKIPPED = ["check", "deliver", "write_back"]


@pytest.fixture
def manual(dag: Any) -> Any:
    """The DAG of the flow whose ledger is the journal; anew, since a run in this process leaves its form behind."""
    from finbridge.systems.operators import flow_of
    from finbridge.tasks.manual_dag import manual_dag

    assert dag.dag_id.startswith(FLOW_ID)
    return manual_dag(flow_of(FLOW_ID))


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def numbers(weaver: SandboxProcess, names: list[str]) -> str:
    entries = weaver.control("GET", "/journal?after=0&limit=1000")
    latest = {entry["request_id"]: entry["main"]["djbh"] for entry in entries}
    return "\n".join(latest[name] for name in names)


def changes(database: HubDatabase, weaver: SandboxProcess) -> tuple[Any, ...]:
    """What a run could change, the manual run's own rows aside."""
    with psycopg.connect(database.superuser_dsn) as connection:
        tables = [r[0] for r in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'hub'")]
        rows = {
            table: connection.execute(f"SELECT ctid::text, xmin::text FROM hub.{table} ORDER BY 1".encode()).fetchall()
            for table in tables
            if table not in ("manual_run", "preview", "token", "trail")
        }
    return rows, weaver.control("GET", "/journal?after=0&limit=100000")


def test_a_dry_run_skips_what_acts_and_a_live_run_posts_what_it_showed(
    manual: Any,
    documents: dict[str, list[str]],
    weaver: SandboxProcess,
    hub_database: HubDatabase,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = documents["good"][:2]
    before = changes(hub_database, weaver)
    dry = manual.test(run_conf={"document_numbers": numbers(weaver, asked) + ",BX-NOBODY"})
    assert changes(hub_database, weaver) == before
    assert states(dry) == {name: "skipped" if name in SKIPPED else "success" for name in TASKS}
    live = manual.test(run_conf={"document_numbers": ",".join(asked), "live": True, "reason": "月末补记"})
    assert states(live) == dict.fromkeys(TASKS, "success")
    with hub_database.open() as hub:
        runs, rows = hub.manual_runs, {row["document_id"]: row for row in hub.document_rows(FLOW_ID)}
        name = run_identity(live.dag_id, live.run_id)
        shown, posted = runs.previews(run_identity(dry.dag_id, dry.run_id)), runs.previews(name)
        kept = runs.run(name)
    assert [row["verdict"] for row in shown] == ["would_post", "would_post", "not_found"]
    assert [row["business_number"] for row in shown][2] == "BX-NOBODY"
    assert [(row["document_id"], row["verdict"]) for row in posted] == [(name, "posted") for name in asked]
    assert [row["vouchers"][0]["lines"] for row in shown[:2]] == [row["vouchers"][0]["lines"] for row in posted]
    assert all(row["vouchers"][0]["number"] for row in posted)
    assert set(rows) == set(asked) and len(documents["good"]) == GOOD, "the others are not even collected"
    assert kept is not None
    assert (kept["actor"], kept["live"], kept["reason"]) == ("dag_test", True, "月末补记")
    assert kept["closed_at"] is not None and kept["counts"] == {"posted": 2}
    assert "/finbridge/preview/" in capsys.readouterr().out
    for run in (dry, live):
        for ti in run.get_task_instances():
            for found in ti.xcom_pull(task_ids=ti.task_id) or {}, ti.xcom_pull(task_ids=ti.task_id, key="note") or "":
                text = json.dumps(found, ensure_ascii=False)
                assert len(text) < 2048
                assert not any(name in text for name in asked), "no document in an XCom"


def test_a_live_run_that_leaves_something_open_is_red_and_names_it(
    manual: Any,
    documents: dict[str, list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    held = documents["vat_mismatch"][0]
    run = manual.test(run_conf={"document_numbers": f"{held}, BX-NOBODY", "live": True, "reason": "补记"})
    assert states(run) == {**dict.fromkeys(TASKS, "success"), "show": "failed"}
    assert "BX-NOBODY: 未入账的单据" in capsys.readouterr().out, "the held one stands in a named list"


def test_a_form_that_is_not_right_fails_before_anything_happens(
    manual: Any, hub_database: HubDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    run = manual.test(run_conf={"document_numbers": "1", "live": True})
    assert states(run) == {**dict.fromkeys(TASKS, "upstream_failed"), "ask": "failed", "show": "failed"}
    assert run.state == "failed"
    assert "reason_missing: 正式执行必须填写原因" in capsys.readouterr().out
    with hub_database.open() as hub:
        assert hub.manual_runs.run(run_identity(run.dag_id, run.run_id)) is None


def test_the_form_has_its_fields_in_both_languages_and_is_dry_by_default(manual: Any) -> None:
    params = {name: manual.params.get_param(name) for name in manual.params}
    assert set(params) == {"document_numbers", "approved_from", "approved_to", "company", "live", "reason"}
    for param in params.values():
        assert " / " in param.schema["title"]
        assert not param.description.isascii()
    assert manual.params["live"] is False
    with pytest.raises(GiveUp, match="nothing asked"):
        parse_form(manual.params, ["1000"])
    assert manual.schedule is None
    assert "中文" in manual.doc_md
    assert "English" in manual.doc_md
    assert [task.task_id for task in manual.topological_sort()] == TASKS
    assert manual.get_task("deliver").pool == "journal" and manual.get_task("write_back").pool == "weaver"
    assert {manual.get_task(name).asked_by for name in SKIPPED} == {"manual_runs"}


def test_each_flow_has_its_form() -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(ROOT / "dags" / "manual.py")
    assert bag.import_errors == {}
    assert set(bag.dags) == {f"{FLOW_ID}__manual"}


def test_a_live_run_that_failed_on_its_way_shows_what_stands_and_is_red(
    manual: Any,
    documents: dict[str, list[str]],
    hub_database: HubDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = documents["good"][-1]
    monkeypatch.setenv("AIRFLOW_CONN_JOURNAL_DEFAULT", "journal://nobody@")
    monkeypatch.setattr("finbridge.tasks.manual_operators.SETTLE_SECONDS", 0.0)
    run = manual.test(run_conf={"document_numbers": name, "live": True, "reason": "补记"})
    assert (states(run)["deliver"], states(run)["show"], run.state) == ("failed", "failed", "failed")
    assert f"{name}: 未入账的单据" in (text := capsys.readouterr().out)
    assert "an earlier task failed, see its log first: deliver, write_back" in text
    with hub_database.open() as hub:
        (row,) = hub.manual_runs.previews(run_identity(run.dag_id, run.run_id))
        kept = hub.manual_runs.run(run_identity(run.dag_id, run.run_id))
    assert (row["verdict"], row["vouchers"][0]["state"]) == ("would_post", "ready")
    assert kept is not None and kept["closed_at"] is not None
