"""The statement that names what is wrong: code, field and class of value, never the value of a personal field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finbridge.mapping.fieldtypes import mistake_sql
from finbridge.mapping.layers import UNKNOWN
from finbridge.mapping.resolved import Resolved
from finbridge.mapping.scope import Scope
from finbridge.mapping.sqltext import NO_TEXT, case, chain, create, quote, select

_ROWS_SHOWN = 5
_UNKNOWN = "unknown_code: 对照表没有这个代码 / not in the code table: "
_AMBIGUOUS = "ambiguous_code: 对照表有重叠的行 / two rows of the code table are valid at once: "


@dataclass(frozen=True, slots=True)
class _Item:
    """One thing that can be wrong. ``type`` is a field type, ``code`` for a look-up or ``rule`` for a check."""

    condition: str
    text: str  # SQL: the refused text, the look-up's error, or the rule's own words
    field: str
    label: str
    type: str


def problem_statement(resolved: Resolved, main: Scope, details: Mapping[str, Scope]) -> str:
    """``problem``: a row for each (document, field, mistake), with the first few row ids where it is in a detail."""
    kinds = ", ".join(quote(rule.kind) for rule in resolved.kinds)
    unruled = _Item(
        f"r_kind NOT IN ({kinds})",
        "'no_voucher_rule: 没有这种凭证的模板 / no rule'",
        "request.kind",
        "凭证种类",
        "rule",
    )
    known: list[_Item] = []
    branches = []
    for name, scope in (("", main), *details.items()):
        items = [*_items(resolved, scope, name or None), *([] if name else [unruled])]
        table, row = (f"rows_{name}", "row_id") if name else ("head", NO_TEXT)
        structs = [
            case([(item.condition, f"{{'n': {number}, 't': {item.text}}}")])
            for number, item in enumerate(items, start=len(known))
        ]
        known += items
        # Only rows of detail tables are many: a row without any error text and without a failing check is left out.
        columns = ", ".join(item.text for item in items if item.type != "rule")
        tests = [f"coalesce({columns}) IS NOT NULL"] if columns else []
        tests += [f"({item.condition})" for item in items if item.type == "rule"]
        source = select(
            ["r_document_id", f"{row} AS row_id", f"unnest([{', '.join(structs)}]) AS p"],
            table,
            where=" OR ".join(tests),
        )
        branches.append(source)
    values = ", ".join(f"({n}, {quote(i.field)}, {quote(i.label)}, {quote(i.type)})" for n, i in enumerate(known))
    first_rows = f"array_to_string(list_slice(list_sort(list(DISTINCT row_id)), 1, {_ROWS_SHOWN}), ',')"
    steps = [
        ("found", "\n  UNION ALL ".join(branches)),
        ("known(n, field, label, type)", f"VALUES {values}"),
        (
            "told",
            select(["r_document_id", "row_id", "field", "label", f"{_words()} AS e"], "found JOIN known ON p.n = n"),
        ),
        ("listed", _grouped(first_rows)),
    ]
    detail = (
        "label || " + case([("shown = ''", "''")], "' 行/row ' || shown") + " || ': ' || substr(e, strpos(e, ': ') + 2)"
    )
    columns_out = ["document_id", "split_part(e, ': ', 1) AS code", "field", f"{detail} AS detail"]
    return create("problem", chain(steps, select(columns_out, "listed")))


def _grouped(first_rows: str) -> str:
    columns = ["r_document_id AS document_id", "field", "label", "e", f"coalesce({first_rows}, '') AS shown"]
    return select(columns, "told", tail="GROUP BY r_document_id, field, label, e")


def _words() -> str:
    """``code: words`` of what was found."""
    looked_up = case([(f"starts_with(p.t, {quote(UNKNOWN)})", quote(_UNKNOWN))], quote(_AMBIGUOUS))
    return case(
        [("'rule'", "p.t"), ("'code'", f"{looked_up} || label || ', code ' || substr(p.t, 2)")],
        mistake_sql("type", "p.t"),
        of="type",
    )


def _items(resolved: Resolved, scope: Scope, each: str | None) -> list[_Item]:
    """All that can be wrong in a row of this section."""
    items: list[_Item] = []
    section = scope.section
    for field in section.fields:
        label = f"{field.label}({', '.join(field.columns)})" if field.columns else field.label
        items.append(_value_item(resolved, scope, field.name, _placed(section.label, label), field.kind.name))
    for derived in section.derived:
        if derived.lookup:
            items.append(_value_item(resolved, scope, derived.name, f"table {derived.lookup}", "code"))
    for rule in (r for r in resolved.rules if r.check.each == each):
        condition = f"({rule.fails}){_only(resolved, rule.kinds)}"
        words = quote(f"{rule.check.code}: {rule.check.text}")
        items.append(_Item(condition, words, rule.field, _placed(section.label, rule.field.partition(".")[2]), "rule"))
    return items


def _value_item(resolved: Resolved, scope: Scope, name: str, label: str, type_: str) -> _Item:
    column = scope.error_column(name)
    field = f"{scope.section.name}.{name}"
    return _Item(f"{column} IS NOT NULL{_only(resolved, resolved.kinds_that_need(field))}", column, field, label, type_)


def _placed(section: str, label: str) -> str:
    return f"{section}·{label}" if section else label


def _only(resolved: Resolved, kinds: tuple[str, ...]) -> str:
    if len(kinds) == len(resolved.kinds):
        return ""
    return f" AND r_kind IN ({', '.join(quote(kind) for kind in kinds)})"
