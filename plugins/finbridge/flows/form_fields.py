"""What people see of a form: columns with labels and a masked sample, and the bindings file of an environment."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from finbridge.core.form import Form, FormColumn, FormTable

#: Labels and column names under which a person or an account stands.
_PERSONAL = re.compile(
    r"姓名|名字|人$|人员|联系|电话|手机|身份证|证件|账号|帐号|账户|帐户|卡号|银行|邮箱|地址|户名|签名|备注|事由|摘要|说明"
    r"|name|phone|mobile|mail|account|card|iban|person|user|address|passport",
    re.IGNORECASE,
)
_LONG_NUMBER = re.compile(r"\d[\d -]{8,}\d[xX]?")
_MAIL = re.compile(r"[^\s@]+@[^\s@]+")
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪"
    "范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
_NAME = re.compile(r"[\u4e00-\u9fff·]{2,4}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?")
_SHOWN = 24


def masked(column: FormColumn) -> str:
    """The sample so that nobody is recognised: its shape where it may be personal, else the value, shortened."""
    value = " ".join(column.sample.split())
    if value and _looks_personal(column, value):
        value = "".join(_mask(char) for char in value)
    return value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…"


def _looks_personal(column: FormColumn, value: str) -> bool:
    if _DATE.fullmatch(value):
        return False
    if _PERSONAL.search(column.label) or _PERSONAL.search(column.name):
        return True
    if _LONG_NUMBER.search(value) or _MAIL.search(value):
        return True
    return bool(_NAME.fullmatch(value)) and value[0] in _SURNAMES


def _mask(char: str) -> str:
    if char.isdecimal():
        return "9"
    if "\u4e00" <= char <= "\u9fff":
        return "某"
    return "x" if char.isalnum() else char


def table_lines(form: Form) -> list[str]:
    """The form as text, a line a column."""
    lines = [f"{form.label} · workflow {form.workflow} · {len(form.documents)} document(s), newest {form.documents[0]}"]
    for table in (form.main, *form.details):
        title = table.title or "主表 main"
        lines += ["", f"{title}: {table.name}", *_columns(table)]
    return lines


def _columns(table: FormTable) -> list[str]:
    rows = [("列 column", "标签 label", "类型 type", "必填 mand", "可编辑 edit", "样例 sample")]
    rows += [
        (c.name, c.label or "?", c.db_type, "✓" if c.mandatory else "", "✓" if c.editable else "", masked(c))
        for c in table.columns
    ]
    widths = [max(_width(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  " + "  ".join(text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    """Columns on a terminal: an ideograph takes two."""
    return sum(2 if ord(char) > 0x2E7F else 1 for char in text)


def bindings_text(form: Form) -> str:
    """The bindings file of this environment; labels that stand on several columns list them all."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    body = {
        "workflow": DoubleQuotedScalarString(form.workflow),
        "main": _bound(form.main),
        "details": {title: _bound(table) for title, table in _titled(form.details)},
    }
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 4096
    yaml.dump(body, stream)
    head = (
        f"# {form.label}: 标签 → 列名 / labels and their columns in this environment.\n"
        f"# Made by `finbridge oa fields --workflow {form.workflow} --bind FILE`; make it anew when the form changes.\n"
    )
    return head + stream.getvalue()


def _titled(tables: Sequence[FormTable]) -> list[tuple[str, FormTable]]:
    """Titles that stand twice carry their table's name."""
    titles = [table.title for table in tables]
    return [
        (table.title if titles.count(table.title) == 1 else f"{table.title} ({table.name})", table) for table in tables
    ]


def _bound(table: FormTable) -> dict[str, object]:
    columns: dict[str, list[str]] = {}
    for column in table.columns:
        if column.label:
            columns.setdefault(column.label, []).append(column.name)
    return {
        "table": table.name,
        "columns": {label: names[0] if len(names) == 1 else names for label, names in columns.items()},
    }
