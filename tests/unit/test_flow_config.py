"""Flow files: what the shipped one says, and how a wrong one is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from finbridge.core.documents import EventKind, LogRow
from finbridge.core.errors import NeedsHuman
from finbridge.core.flow import Flow
from finbridge.core.payment_status import COLUMNS, PaymentState
from finbridge.flows.config import load_flow, load_flows
from finbridge.mapping import load_translator
from finbridge.mapping.yamlfile import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FLOWS = ROOT / "include/flows"
SHIPPED = FLOWS / "weaver_tryton__expense_claim.yaml"
GOOD = SHIPPED.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def flow() -> Flow:
    return load_flow(SHIPPED)


def meaning(flow: Flow, node: str, operation: str) -> EventKind:
    at = datetime(2026, 11, 22, 9, 0)  # noqa: DTZ001 - the OA's log is in local time
    return flow.classify(LogRow("1", node, operation, "900", at)).kind


# ---------------------------------------------------------------- the shipped flow


def test_the_shipped_flow_is_what_the_oa_and_the_ledger_need(flow: Flow) -> None:
    assert flow.flow_id == SHIPPED.stem
    assert flow.source == "weaver:weaver_default"
    assert (flow.target_system, flow.target_connection) == ("tryton", "tryton_default")
    assert flow.templates == {"101", "102"}
    assert set(flow.companies) == {"1000", "2000"}
    assert {(c.code, c.currency, c.time_zone) for c in flow.companies.values()} == {
        ("1000", "CNY", "Asia/Shanghai"),
        ("2000", "CNY", "Asia/Shanghai"),
    }
    assert (flow.company_field, flow.company_constant, flow.business_number_field) == ("gsdm", None, "djbh")
    assert (flow.poll_seconds, flow.sweep) == (2, "*/15 * * * *")
    assert flow.makes == {EventKind.APPROVED: "expense", EventKind.PAID: "payment"}
    assert flow.write_back is not None
    assert (flow.write_back.node, flow.write_back.advance) == ("财务过账", True)
    assert flow.amount_field == "hdje"
    assert flow.month is not None
    assert (flow.month.approval_nodes, flow.month.cut_off_day, flow.month.cut_off_hour) == (("审批",), 5, 18)
    assert flow.payment_status is not None
    assert (flow.payment_status.save, flow.payment_status.list) == ("fkztSave", "fkztQuery")
    assert set(flow.payment_status.columns) == set(COLUMNS)
    assert set(flow.payment_status.words) == {*PaymentState, "void"}


@pytest.mark.parametrize(
    ("node", "operation", "event"),
    [
        ("起草", "保存", EventKind.SAVED),
        ("起草", "提交", EventKind.SUBMITTED),
        ("审批", "批准", EventKind.APPROVED),
        ("审批", "退回", EventKind.REJECTED),
        ("审批", "撤回", EventKind.WITHDRAWN),
        ("财务过账", "提交", EventKind.STEP),  # our own step onwards changes nothing
        ("财务过账", "退回", EventKind.REJECTED),
        ("财务过账", "撤回", EventKind.WITHDRAWN),
        ("付款", "批准", EventKind.PAID),
        ("付款", "退回", EventKind.REJECTED),
        ("付款", "保存", EventKind.SAVED),
        ("归档", "强制归档", EventKind.IGNORED),
        ("审批", "强制归档", EventKind.IGNORED),
        ("付款", "转发", EventKind.IGNORED),
    ],
)
def test_each_node_and_operation_has_its_meaning(flow: Flow, node: str, operation: str, event: EventKind) -> None:
    assert meaning(flow, node, operation) is event


def test_what_no_rule_names_goes_to_a_person(flow: Flow) -> None:
    for node, operation in (("审批", "提交"), ("付款", "同意"), ("审批", "批准2"), ("", "")):
        with pytest.raises(NeedsHuman):
            meaning(flow, node, operation)


def test_the_last_rule_says_what_is_ignored_and_why(flow: Flow) -> None:
    assert flow.log_rules[-1].event is EventKind.IGNORED
    assert "why: " in GOOD.partition("event: ignored")[2].splitlines()[0]


def test_the_flow_names_files_that_exist(flow: Flow) -> None:
    translator = load_translator(ROOT / "include/mappings" / flow.mapping)
    assert {flow.company_field, flow.business_number_field} <= translator.main_fields
    assert "formtable_main_11_dt2.skzh" in flow.personal_fields
    assert not any(column == "skzh" for columns in translator.detail_fields.values() for column in columns)
    for suite in (flow.documents_suite, flow.vouchers_suite):
        assert (ROOT / "include/expectations" / f"{suite}.yaml").exists()


def test_reading_flows_loads_no_heavy_library() -> None:
    script = (
        "import sys; from pathlib import Path; from finbridge.flows.config import load_flows; "
        f"assert load_flows(Path({str(FLOWS)!r})); "
        "print(sorted({'duckdb', 'pandas', 'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- all files of a folder


def test_all_files_of_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD, encoding="utf-8")
    other = GOOD.replace("flow: weaver_tryton__expense_claim", "flow: other").replace(
        "company: {field: gsdm}", 'company: {constant: "2000"}'
    )
    (tmp_path / "b.yaml").write_text(other, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no flow")
    flows = load_flows(tmp_path)
    assert list(flows) == ["weaver_tryton__expense_claim", "other"]
    assert (flows["other"].company_field, flows["other"].company_constant) == ("", "2000")
    assert load_flows(tmp_path / "none") == {}


def test_two_files_cannot_declare_one_flow(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigError, match="another file") as caught:
        load_flows(tmp_path)
    assert caught.value.file.name == "b.yaml"


def test_schedules_and_write_back_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(GOOD.partition("# 回写")[0], encoding="utf-8")
    flow = load_flow(path)
    assert flow.write_back is None and flow.payment_status is None
    assert (flow.poll_seconds, flow.batch_size, flow.extra) == (2.0, 200, {})


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ("document_type: expense_claim", "document_typ: expense_claim", "document_typ", "unknown key"),
        ("business_number: djbh\n", "", "(file)", "missing key(s): business_number"),
        ("{system: weaver, connection", "{sytem: weaver, connection", "source.sytem", "unknown key"),
        ('templates: ["101", "102"]', "templates: [101, 102]", "templates.0", "in quotes"),
        ('  "1000": {', "  1000: {", "companies.1000", "in quotes"),
        ("currency: CNY", "currency: RMB¥", "companies.1000.currency", "ISO 4217"),
        ("time_zone: Asia/Shanghai", "time_zone: Asia/Peking", "companies.1000.time_zone", "no time zone"),
        ("company: {field: gsdm}", 'company: {constant: "3000"}', "company.constant", "is not served"),
        ("company: {field: gsdm}", "company: {}", "company", "Write {field"),
        ("event: paid, ", "event: payed, ", "posting_plan.log.1.event", "one of the events"),
        ("operation: 退回", "operation: (退回", "posting_plan.log.4.operation", "regular expression"),
        ("- {event: rejected,  operation: 退回}", "- {event: rejected}", "posting_plan.log.4", "at least one"),
        ("    - {event: paid,      node: 付款, operation: 批准}\n", "", "posting_plan.makes.paid", "no log rule"),
        ("paid: payment}", "paid: expense}", "posting_plan.makes.paid", "payment"),
        ("poll_seconds: 2 ", "poll_seconds: 0 ", "schedule.poll_seconds", "above 0"),
        ('sweep: "*/15 * * * *"', "sweep: hourly", "schedule.sweep", "cron"),
        ("  error: jzxx\n", "", "write_back", "missing key(s): error"),
        ("advance: true", "advance: ja", "write_back.advance", "boolean"),
        ("    currency: bz\n", "", "payment_status.columns", "missing key(s): currency"),
        ("    amount: fkje\n", "    amount: djbh\n", "payment_status.columns.amount", "two meanings"),
        ("{open: 未付, paid: 已付", "{open: 已付, paid: 已付", "payment_status.words.paid", "two meanings"),
    ],
)
def test_a_wrong_flow_is_named(tmp_path: Path, old: str, new: str, field: str, words: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_flow(path)
    error = caught.value
    assert error.field == field
    assert words in error.what
    assert f"wrong.yaml:{error.line}: {field}: " in str(error)
    if new:
        assert text.splitlines()[error.line - 1] in [
            row for row in text.splitlines() if new.split("\n", maxsplit=1)[0].strip() in row
        ]
