"""What `finbridge oa fields` shows: labels, masked samples, and a bindings file that can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from finbridge.core.form import Form, FormColumn, FormTable
from finbridge.flows.form_fields import bindings_text, masked, table_lines
from finbridge.mapping.yamlfile import YamlFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def column(name: str = "c", label: str = "栏目", sample: str = "", **more: bool) -> FormColumn:
    return FormColumn(name=name, label=label, db_type="varchar2(60)", sample=sample, **more)


def form(main: list[FormColumn], *details: FormTable) -> Form:
    return Form(
        workflow="101",
        label="费用报销单",
        main=FormTable(name="formtable_main_11", title="", columns=tuple(main)),
        details=details,
        documents=("5002", "5001"),
    )


@pytest.mark.parametrize(
    ("label", "sample", "shown"),
    [
        ("单据编号", "BX20261001", "BX20261001"),
        ("业务日期", "2026-10-15", "2026-10-15"),
        ("核定总额", "106.00", "106.00"),
        ("成本中心", "CC-ADM-01", "CC-ADM-01"),
        ("部门", "财务部", "财务部"),
        ("栏目", "费用类型", "费用类型"),
        ("栏目", "成本中心", "成本中心"),
        ("申请人姓名", "李雷", "某某"),
        ("收款人", "E0001", "E0001"),
        ("收款账号", "AB12345", "xx99999"),
        ("栏目", "欧阳静", "某某"),
        ("栏目", "司马相如", "某某"),
        ("申请人姓名", "欧阳静怡", "某某"),
        ("栏目", "翟明", "某某"),
        ("栏目", "阿卜杜拉·买买提", "某某·某某"),
        ("栏目", "Zhang San", "xx xx"),
        ("栏目", "O'Neill, Mary-Ann", "xx'xx, xx-xx"),
        ("收款人", "张三 (E0001)", "某某 (xx9999)"),
        ("收款账号", "6222 0212 3456 7890", "9999 9999 9999 9999"),
        ("栏目", "张三", "某某"),
        ("栏目", "13812345678", "99999999999"),
        ("栏目", "11010119900307123X", "99999999999999999xx"),
        ("栏目", "li.lei@example.com", "xx.xx@xx.xx"),
        ("事由", "张三去上海", "某某"),
        ("栏目", "x" * 30, "x" * 23 + "…"),
        ("栏目", "", ""),
    ],
)
def test_samples_are_masked_where_they_may_be_personal(label: str, sample: str, shown: str) -> None:
    assert masked(column(label=label, sample=sample)) == shown


@given(
    name=st.sampled_from(["sqrxm", "c", "skzh"]),
    label=st.sampled_from(["姓名", "联系电话", "收款账号", "身份证号", "备注"]),
    sample=st.text(max_size=40),
)
def test_no_letter_or_digit_of_a_personal_value_is_shown(name: str, label: str, sample: str) -> None:
    shown = masked(column(name, label, sample))
    if "-" in sample and shown == " ".join(sample.split()):
        return  # a date
    assert {char for char in shown if char.isalnum()} <= set("9x某")


@given(
    name=st.text("王李欧阳司马静怡", min_size=1, max_size=6), other=st.text("王李欧阳司马静怡", min_size=1, max_size=6)
)
def test_the_shape_of_a_name_says_neither_surname_nor_length(name: str, other: str) -> None:
    assert masked(column(label="姓名", sample=name)) == masked(column(label="姓名", sample=other)) == "某某"


@given(st.text("0123456789- ", min_size=10, max_size=24))
def test_no_long_number_is_shown_whatever_its_label(number: str) -> None:
    digits = "".join(char for char in number if char.isdecimal())
    shown = masked(column(label="栏目", sample=number))
    if len(digits) >= 15:
        assert digits not in shown.replace(" ", "").replace("-", "")


def test_the_table_says_what_each_column_is() -> None:
    main = [column("djbh", "单据编号", "BX1", mandatory=True), column("pzh", "凭证号", editable=True)]
    detail = FormTable(name="formtable_main_11_dt1", title="明细1", columns=(FormColumn(name="se"),))
    lines = table_lines(form(main, detail))
    assert lines[0] == "费用报销单 · workflow 101 · 2 document(s), newest 5002"
    assert lines[2] == "主表 main: formtable_main_11"
    assert lines[4].split() == ["djbh", "单据编号", "varchar2(60)", "✓", "BX1"]
    assert lines[5].split() == ["pzh", "凭证号", "varchar2(60)", "✓"]
    assert lines[7:] == ["明细1: formtable_main_11_dt1", lines[8], lines[9]] and lines[9].split()[:2] == ["se", "?"]


LABEL = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
) | st.sampled_from(["no", "1", "true", "~", "null", "a: b", "#x", "'", '"', "0100", "2026-01-01", "[x]", "- a"])


@given(pairs=st.lists(st.tuples(LABEL, st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bindings_file_says_what_the_form_says(pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    columns = tuple(FormColumn(name=name, label=label) for label, name in pairs)
    details = [FormTable(name=f"dt{n}", title="明细", columns=columns) for n in (1, 2)]
    path = tmp_path / "bound.yaml"
    path.write_text(bindings_text(form(list(columns), *details)), encoding="utf-8")
    data = YamlFile(path, "bindings.schema.json").data
    expected: dict[str, list[str]] = {}
    for label, name in pairs:
        expected.setdefault(label, []).append(name)
    found = data["main"]["columns"]
    assert {label: [of] if isinstance(of, str) else of for label, of in found.items()} == expected
    assert list(data["details"]) == ["明细 (dt1)", "明细 (dt2)"], "titles that stand twice carry their table"
    assert data["workflow"] == "101"
