"""Columns by label: bound for each environment, part of the mapping's identity, refused where not clear."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from finbridge.core.ids import VoucherKind
from finbridge.flows.config import load_flow
from finbridge.mapping import load_translator
from finbridge.mapping.bindings import ENVIRONMENT
from finbridge.mapping.spec import read_mapping
from finbridge.mapping.yamlfile import ConfigError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.mapping_world import EXPENSE_CLAIM, canonical, expense_codes, line, payee, request

ROOT = Path(__file__).resolve().parents[2]
FLOW = ROOT / "include/flows/weaver_tryton__expense_claim.yaml"
SHIPPED = EXPENSE_CLAIM.read_text(encoding="utf-8")
TABLES = {"费用明细": "formtable_main_11_dt1", "收款明细": "formtable_main_11_dt2"}
#: The shipped mapping without a single column or table of the OA: its labels stand for them.
BY_LABEL = re.sub(r"\n    table: formtable_main_11_dt\d", "", re.sub(r"\{column: \w+,\s*", "{", SHIPPED)).replace(
    "target: tryton\n", "target: tryton\nbindings: claim\n", 1
)
FLOW_BY_LABEL = (
    FLOW.read_text(encoding="utf-8")
    .replace("document_type: expense_claim\n", "document_type: expense_claim\nbindings: claim\n")
    .replace("company: {field: gsdm}", "company: {field: {label: 公司代码}}")
    .replace("business_number: djbh\n", "business_number: {label: 单据编号}\n", 1)
    .replace("amount: {field: hdje}", "amount: {field: {label: 核定总额}}")
    .replace(
        "personal: [sqrxm, formtable_main_11_dt2.skzh]",
        "personal: [{label: 申请人姓名}, {label: 收款账号, detail: 收款明细}]",
    )
    .replace("voucher_number: pzh", "voucher_number: {label: 凭证号}", 1)
    .replace("posting_date: gzrq", "posting_date: {label: 过账日期}")
    .replace("error: jzxx", "error: {label: 记账信息}")
)


def labels() -> dict[str, dict[str, str]]:
    """Columns by label, by section, as the shipped mapping has them; and those of the flow."""
    found: dict[str, dict[str, str]] = {}
    spec = read_mapping(EXPENSE_CLAIM)
    for section in (spec.main, *spec.details):
        found[section.label] = {field.label: field.columns[0] for field in section.fields}
    found[""] |= {"凭证号": "pzh", "过账日期": "gzrq", "记账信息": "jzxx"}
    found["收款明细"]["收款账号"] = "skzh"
    return found


LABELS = labels()


def bindings(
    columns: Mapping[str, Mapping[str, str]] = LABELS, tables: Mapping[str, str] = TABLES, **titles: str
) -> str:
    """A bindings file; titles of the details are 明细1 and 明细2 unless given."""

    def table(name: str, section: str, indent: str) -> list[str]:
        lines = [f"{indent}table: {name}", f"{indent}columns:"]
        return lines + [f'{indent}  "{label}": "{column}"' for label, column in columns[section].items()]

    lines = ['workflow: "101"', "main:", *table("formtable_main_11", "", "  "), "details:"]
    for number, (section, name) in enumerate(tables.items(), 1):
        lines += [f'  "{titles.get(section, f"明细{number}")}":', *table(name, section, "    ")]
    return "\n".join(lines) + "\n"


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the bindings of one environment, test."""
    monkeypatch.setenv("FINBRIDGE_INCLUDE", str(tmp_path))
    monkeypatch.setenv(ENVIRONMENT, "test")
    put(tmp_path, "bindings/test/claim.yaml", bindings())
    return tmp_path


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def renamed(prefix: str) -> dict[str, dict[str, str]]:
    return {section: {label: f"{prefix}{column}" for label, column in of.items()} for section, of in LABELS.items()}


# ---------------------------------------------------------------- bound


def test_nothing_changes_for_what_names_its_columns(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(include, "bindings/test/claim.yaml", "not: even\nread: [\n")
    assert read_mapping(EXPENSE_CLAIM).stamp.sha256 == hashlib.sha256(EXPENSE_CLAIM.read_bytes()).hexdigest()
    monkeypatch.delenv(ENVIRONMENT)
    assert load_flow(FLOW).business_number_field == "djbh"


def test_a_mapping_by_label_makes_the_same_vouchers(include: Path) -> None:
    assert "column:" not in BY_LABEL.partition("derive:")[0] and "table:" not in BY_LABEL.partition("derive:")[0]
    by_label = load_translator(put(include, "mappings/claim.yaml", BY_LABEL))
    shipped = load_translator(EXPENSE_CLAIM)
    assert (by_label.main_fields, by_label.detail_fields) == (shipped.main_fields, shipped.detail_fields)
    content = canonical([line(), line("OFFICE", hdje="50.00")], [payee(amount="150.00")])
    asked = [request(content, kind=VoucherKind.EXPENSE)]
    one, other = (t.translate(asked, expense_codes()) for t in (by_label, shipped))
    assert [v.content for v in one.vouchers] == [v.content for v in other.vouchers] and len(one.vouchers) == 1
    assert one.problems == ()


def test_each_environment_has_its_columns_and_its_identity(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In production the columns are renamed and the details have changed places."""
    path = put(include, "mappings/claim.yaml", BY_LABEL)
    tables = {"收款明细": "formtable_main_77_dt1", "费用明细": "formtable_main_77_dt2"}
    put(include, "bindings/production/claim.yaml", bindings(renamed("p_"), tables))
    test = read_mapping(path)
    monkeypatch.setenv(ENVIRONMENT, "production")
    production = read_mapping(path)
    assert {s.name: s.table for s in production.details} == {
        "lines": "formtable_main_77_dt2",
        "payees": "formtable_main_77_dt1",
    }
    assert production.main.columns == tuple(f"p_{column}" for column in test.main.columns)
    assert production.stamp.sha256 != test.stamp.sha256 != hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_mapping(path).stamp == production.stamp, "the same columns, the same identity"


@given(columns=st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=11, max_size=11, unique=True))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_columns_are_called(columns: list[str], include: Path) -> None:
    names = list(LABELS[""])
    given_columns = LABELS | {"": {**LABELS[""], **dict(zip(names, columns, strict=False))}}
    put(include, "bindings/test/claim.yaml", bindings(given_columns))
    spec = read_mapping(put(include, "mappings/claim.yaml", BY_LABEL))
    assert {field.label: field.columns for field in spec.main.fields} == {
        label: (given_columns[""][label],) for label in names[:11]
    }
    again = read_mapping(put(include, "mappings/claim.yaml", BY_LABEL)).stamp
    put(include, "bindings/test/claim.yaml", bindings(given_columns | {"": {**given_columns[""], names[0]: "other__"}}))
    assert spec.stamp == again != read_mapping(include / "mappings/claim.yaml").stamp


def test_a_detail_is_found_by_its_title_first(include: Path) -> None:
    """Two tables have all the labels; one of them has the title."""
    both = LABELS | {"收款明细": LABELS["收款明细"] | LABELS["费用明细"]}
    put(include, "bindings/test/claim.yaml", bindings(both, 费用明细="费用明细"))
    spec = read_mapping(put(include, "mappings/claim.yaml", BY_LABEL))
    assert [section.table for section in spec.details] == list(TABLES.values())


def test_a_flow_by_label_is_the_flow(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(include, "flows/flow.yaml", FLOW_BY_LABEL)
    assert load_flow(path) == load_flow(FLOW)
    tables = {"收款明细": "formtable_main_77_dt1", "费用明细": "formtable_main_77_dt2"}
    put(include, "bindings/production/claim.yaml", bindings(renamed("p_"), tables))
    monkeypatch.setenv(ENVIRONMENT, "production")
    flow = load_flow(path)
    assert (flow.company_field, flow.business_number_field, flow.amount_field) == ("p_gsdm", "p_djbh", "p_hdje")
    assert flow.personal_fields == ("p_sqrxm", "formtable_main_77_dt1.p_skzh")
    assert flow.write_back is not None
    assert (flow.write_back.voucher_number, flow.write_back.posting_date, flow.write_back.error) == (
        "p_pzh",
        "p_gzrq",
        "p_jzxx",
    )


# ---------------------------------------------------------------- refused


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_flow(path) if path.parent.name == "flows" else read_mapping(path)
    error = caught.value
    text = path.read_text(encoding="utf-8").splitlines()[error.line - 1]
    assert str(error.file) == str(path) and error.field.split(".")[-1] in {"label", "table", "detail"} | set(
        re.findall(r"\w+", text)
    ), f"the line shows it: {text}"
    return error


@pytest.mark.parametrize("file", ["mappings/claim.yaml", "flows/flow.yaml"])
def test_without_bindings_a_label_says_what_to_do(include: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    text = BY_LABEL if file.startswith("mappings") else FLOW_BY_LABEL
    path = put(include, file, text)
    (include / "bindings/test/claim.yaml").unlink()
    assert "finbridge oa fields" in refused(path).what
    for environment in ("", "../test"):
        monkeypatch.setenv(ENVIRONMENT, environment)
        assert f"set {ENVIRONMENT}" in refused(path).what
    put(include, file, text.replace("bindings: claim\n", ""))
    assert "write `bindings: <name>`" in refused(path).what


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ('"单据编号": "djbh"', '"单据编码": "djbh"', "main.number.label", "Close: 单据编码"),
        (
            '"单据编号": "djbh"',
            '"单据编号": ["djbh", "djbh2"]',
            "main.number.label",
            "more than one column (djbh, djbh2)",
        ),
        ('"税额": "se"', '"Tax": "se"', "details.lines.label", "no detail table fits"),
        ('"明细1":', '"费用明细":', "details.lines.columns.tax.label", "no column is labelled 税额"),
    ],
)
def test_a_label_that_is_not_clear_is_named(include: Path, old: str, new: str, field: str, words: str) -> None:
    text = bindings()
    assert old in text
    text = text.replace(old, new, 1)
    if field.endswith("tax.label"):
        text = text.replace('"税额": "se"', '"Tax": "se"')
    put(include, "bindings/test/claim.yaml", text)
    error = refused(put(include, "mappings/claim.yaml", BY_LABEL))
    assert error.field == field and words in error.what and "bindings/test/claim.yaml" in error.what


def test_two_details_that_both_fit_are_refused(include: Path) -> None:
    both = LABELS | {"收款明细": LABELS["收款明细"] | LABELS["费用明细"]}
    put(include, "bindings/test/claim.yaml", bindings(both))
    error = refused(put(include, "mappings/claim.yaml", BY_LABEL))
    assert error.field == "details.lines.label" and "more than one fits" in error.what


def test_a_table_of_another_environment_is_refused(include: Path) -> None:
    text = BY_LABEL.replace(
        "  lines:\n    label: 费用明细", "  lines:\n    table: formtable_main_99_dt1\n    label: 费用明细", 1
    )
    error = refused(put(include, "mappings/claim.yaml", text))
    assert error.field == "details.lines.table" and "formtable_main_99_dt1" in error.what


def test_a_wrong_bindings_file_is_named(include: Path) -> None:
    put(include, "bindings/test/claim.yaml", 'workflow: "101"\nmain:\n  columns: {}\n')
    with pytest.raises(ConfigError) as caught:
        read_mapping(put(include, "mappings/claim.yaml", BY_LABEL))
    assert caught.value.file.name == "claim.yaml" and caught.value.file.parent.name == "test"
    assert "table" in caught.value.what
