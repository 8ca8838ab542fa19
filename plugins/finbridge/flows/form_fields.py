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
#: Frequent ones; without those that mostly begin words of business (费用, 项目, 成本).
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟"
    "谭陆汪范金石廖贾温焦庞樊兰殷施陶洪翟安颜倪严牛芦季俞章鲁葛伍申尤毕聂柴向柳邢岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟"
    "卜路詹关苗凌纪靳盛童甄曲游阳裴席卫查屈鲍位覃霍翁隋植甘景薄包司柏宁柯阮桂闵解强华车冉房边辜吉饶刁瞿戚丘古米池滕"
    "晋苑邬臧畅宫来嵺苟褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁蒙喻揭窦迟宇敖糜鄢冷卓花仇艾蓝都巩稽井练仲乐虞卞"
    "封竺冼官衣楚佟栗匡宗台巫鞠僧桑荆谌银扬明沙伏岑习胥蔺夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史黎贺顾毛郝龚邵万钱武"
    "戴孔汤"
)
#: Of two ideographs.
_COMPOUND = re.compile(
    "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|司徒|令狐|端木|夏侯|长孙|宇文"
    "|轩辕|独孤|南宫|西门|申屠|闻人|澹台|公冶|赫连|太史|淳于|完颜|呼延|司空|钟离"
)
_NAME = re.compile(r"[\u4e00-\u9fff]{2,4}|[\u4e00-\u9fff]{1,8}·[\u4e00-\u9fff·]{1,16}")
#: Two to four capitalised words: ``Zhang San``, ``O'Neill, Mary-Ann``, ``LI LEI``.
_LATIN_NAME = re.compile(r"[A-Z][A-Za-z'’-]*(,? [A-Z][A-Za-z'’.-]*){1,3}")
#: An employee's code where a person is asked for: nobody outside is recognised by it, and finance needs it.
_CODE = re.compile(r"[A-Za-z]{1,4}-?\d{1,6}")
_PERSON = re.compile(r"人$|人员|员工|工号")
_SHAPES = (
    (re.compile(r"\d"), "9"),
    (re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+"), "某某"),
    (re.compile(r"[^\W\d_某]+"), "xx"),
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?")
_SHOWN = 24


def masked(column: FormColumn) -> str:
    """The sample so that nobody is recognised: its shape where it may be personal, else the value, shortened.

    A shape shows no surname and no length of a word: 某某 stands for any ideographs, xx for any letters. A code such as
    an employee's (``E0021``) stays.
    """
    value = " ".join(column.sample.split())
    if value and _looks_personal(column, value):
        value = _shape(value)
    return value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…"


def _looks_personal(column: FormColumn, value: str) -> bool:
    if _DATE.fullmatch(value) or (_CODE.fullmatch(value) and _PERSON.search(column.label)):
        return False
    if _PERSONAL.search(column.label) or _PERSONAL.search(column.name):
        return True
    if _LONG_NUMBER.search(value) or _MAIL.search(value):
        return True
    if _LATIN_NAME.fullmatch(value):
        return True
    return bool(_NAME.fullmatch(value) and ("·" in value or value[0] in _SURNAMES or _COMPOUND.match(value)))


def _shape(value: str) -> str:
    for part, shown in _SHAPES:
        value = part.sub(shown, value)
    return value


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
