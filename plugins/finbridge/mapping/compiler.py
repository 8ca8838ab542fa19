"""A mapping compiled to a fixed list of set-based statements.

Tables made, in order: ``rows_<detail>`` (a row a detail line), ``head`` (a row a request: main fields, sums and what
rests on them), ``problem``, ``good``, ``posting`` (voucher lines), ``total`` and ``voucher``; before them ``doc`` (main
fields alone) where a detail's values rest on the main table. The number of statements depends on the mapping alone,
never on how many requests there are. DuckDB plans each statement anew in every call, and planning is most of what one
document costs: hence few statements, few steps in each, and no column that nobody reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finbridge.core.vouchers import MappingStamp
from finbridge.mapping.fieldtypes import filled_sql, raw_sql, refused_sql, value_sql
from finbridge.mapping.layers import Layered, layered
from finbridge.mapping.outputs import Output, output_statements
from finbridge.mapping.problems import Mistake, mistakes_of, mistakes_sql, problem_statement
from finbridge.mapping.resolved import Resolved, resolve
from finbridge.mapping.scope import SCALE, Expr, Scope
from finbridge.mapping.spec import Derived, Field, MappingSpec, Section, read_mapping
from finbridge.mapping.sqltext import case, chain, create, ident, named, quote, select

#: Columns of the request table, in the order in which they are loaded.
REQUEST_COLUMNS: Mapping[str, str] = {
    "seq": "BIGINT",
    "r_document_id": "VARCHAR",
    "r_kind": "VARCHAR",
    "r_cause": "VARCHAR",
    "r_operator": "VARCHAR",
    "r_posting_date": "DATE",
    "r_company": "VARCHAR",
    "r_source": "VARCHAR",
    "r_business_number": "VARCHAR",
    "r_currency": "VARCHAR",
    SCALE: "VARCHAR",
    "split": "INTEGER",
    "canonical": "VARCHAR",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Statements by name, in order; queries that read the results; and the columns that the form must give."""

    stamp: MappingStamp
    statements: Mapping[str, str]
    output: Output
    mistakes: tuple[Mistake, ...]
    key_parts: Mapping[str, frozenset[int]]  # by code table
    main_columns: frozenset[str]
    detail_columns: Mapping[str, frozenset[str]]
    file: bytes = b""
    bound: bytes = b""  # see `MappingSpec`


def compile_mapping(path: Path, *, frames: bool = True) -> Compiled:
    """Read, validate and compile.

    Args:
        frames: whether the frames for the judge are read (``Output.documents``, ``Output.lines``); without them the
            tables have only those columns that vouchers need.

    Raises:
        ConfigError: names file, line and field.
    """
    spec = read_mapping(path)
    main = Scope(spec.main, spec.file)
    details = {section.name: Scope(section, spec.file, main) for section in spec.details}
    _declare_errors(main, "j.main")
    for scope in details.values():
        _declare_errors(scope, "j")
    early = _derive_main(main, spec, sums=None)
    layers = {name: layered(scope, scope.section.derived) for name, scope in details.items()}
    for scope in details.values():
        scope.kept.clear()
    late = _derive_main(main, spec, sums=details)
    resolved = resolve(spec, main, details)
    statements: dict[str, str] = {}
    mistakes: list[Mistake] = []
    if any(scope.needs_document() for scope in details.values()):
        statements["doc"] = create("doc", chain(*_main(main, early)))
    for name, scope in details.items():
        own = mistakes_of(resolved, scope, name)
        kept = scope.kept if frames else scope.posted
        statements[f"rows_{name}"] = _rows(scope, layers[name], kept, mistakes_sql(own, len(mistakes)))
        mistakes += own
    own = mistakes_of(resolved, main, None)
    columns = "* EXCLUDE (j)" if frames else ", ".join(_head_columns(main, resolved))
    statements["head"] = _head(main, (early, late), details, columns, mistakes_sql(own, len(mistakes)))
    mistakes += own
    statements["problem"] = problem_statement(details)
    statements.update(output_statements(resolved))
    return Compiled(
        stamp=spec.stamp,
        statements=statements,
        output=Output.of(resolved),
        mistakes=tuple(mistakes),
        key_parts=_key_parts(spec),
        main_columns=frozenset(spec.main.columns),
        detail_columns={section.table: frozenset(section.columns) for section in spec.details},
        file=spec.file.raw,
        bound=spec.bound,
    )


def _key_parts(spec: MappingSpec) -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for item in (item for section in (spec.main, *spec.details) for item in section.derived if item.lookup):
        table = item.lookup or ""
        found[table] = found.get(table, frozenset()) | {len(item.key)}
    return found


def _declare_errors(scope: Scope, at: str) -> None:
    """When a field is in error, and the text that shows it."""
    for field in scope.section.fields:
        raw = raw_sql(_raw(field, at), field.kind)
        condition = refused_sql(raw, scope.column(field.name), field.kind)
        scope.errors[field.name] = (condition, f"coalesce({raw}, '')")


def _derive_main(main: Scope, spec: MappingSpec, sums: Mapping[str, Scope] | None) -> Layered:
    """Derived values of the document: those that need no sum (``sums`` None), then those that do."""
    rests = {item.name for item in spec.main.derived if item.sum or item.count}
    while more := {item.name for item in spec.main.derived if _locals(item) & rests} - rests:
        rests |= more
    if sums is None:
        return layered(main, [item for item in spec.main.derived if item.name not in rests])
    aggregates = [item for item in spec.main.derived if item.sum or item.count]
    for item in aggregates:
        main.derive(item, _aggregate(item, sums, spec))
    rest = [item for item in spec.main.derived if item.name in rests and item not in aggregates]
    return layered(main, rest, late=True, prefix="t")


def _locals(item: Derived) -> set[str]:
    return {ref for ref in (*item.args, *item.key, item.on) if isinstance(ref, str)}


def _aggregate(item: Derived, details: Mapping[str, Scope], spec: MappingSpec) -> Expr:
    detail, _, name = (item.sum or item.count or "").partition(".")
    where = (*item.where, "sum" if item.sum else "count")
    if detail not in details:
        raise spec.file.error(where, f"没有这个明细 / no detail table {detail}. Known: {', '.join(details) or 'none'}.")
    if item.count:
        return Expr("", "integer", late=True)
    summed = details[detail].get(name, where, "money")
    return Expr("", "money", summed.needs, late=True)


# ---------------------------------------------------------------- statements


def _shape(section: Section) -> dict[str, str]:
    return dict.fromkeys(section.columns, "VARCHAR")


def _parsed(shape: Mapping[str, object]) -> str:
    """The canonical text as a struct of texts: each text is parsed once."""
    return f"from_json(canonical, {quote(json.dumps(shape, ensure_ascii=False))})"


def _main(scope: Scope, derived: Layered) -> tuple[list[tuple[str, str]], str]:
    """Steps of a query over the main table, with the parsed text ``j``; and the last of them as a query."""
    shape: dict[str, object] = {"template": "VARCHAR"}
    if scope.section.columns:
        shape["main"] = _shape(scope.section)
    source = select(["* EXCLUDE (canonical)", f"{_parsed(shape)} AS j"], "request")
    steps = [("src", source), ("l0", _values(scope, ["*", "j.template AS r_template"], "j.main")), *derived.steps]
    return steps, select("*", derived.last)


def _rows(scope: Scope, derived: Layered, kept: set[str], mistakes: str) -> str:
    """A row a detail line, with only those columns of request and document that something uses."""
    section = scope.section
    shape = {"details": {section.table: [{"_row": "VARCHAR", **_shape(section)}]}}
    used = sorted(scope.used_of_request - {"document_id", "kind", "template"})
    carried = ["seq", "r_document_id", "r_kind", SCALE, *(f"r_{name}" for name in used)]
    main = [expr.sql for expr in scope.used_of_main.values()]
    main += ["r_template"] if "template" in scope.used_of_request else []
    join = f" JOIN ({select(['seq', *main], 'doc')}) AS m USING (seq)" if main else ""
    items = f"{_parsed(shape)}.details.{ident(section.table)} AS items"
    flat = ["* EXCLUDE (items)", "unnest(items) AS j", "unnest(range(1, len(items) + 1)) AS pos"]
    keep = [
        *(*carried, *main, "j"),
        "coalesce(j._row, CAST(pos AS VARCHAR)) AS row_id",
        "coalesce(TRY_CAST(j._row AS BIGINT), pos) AS ord",
    ]
    steps = [
        ("lists", select([*carried, *main, items], f"request{join}")),
        ("src", select(flat, "lists")),
        ("l0", _values(scope, keep, "j")),
        *derived.steps,
    ]
    own = ["seq", "r_document_id", "r_kind"]
    known = {*(expr.sql for expr in scope.names.values()), *carried, *main} - set(own)
    columns = [*own, "row_id", "ord", *sorted(kept & known), f"{mistakes} AS mistakes"]
    return create(f"rows_{section.name}", chain(steps, select(columns, derived.last)))


def _values(scope: Scope, keep: list[str], at: str) -> str:
    """The typed values of a section's fields."""
    fields = scope.section.fields
    values = named((value_sql(raw_sql(_raw(f, at), f.kind), f.kind, SCALE), scope.column(f.name)) for f in fields)
    return select([*keep, *values], "src")


def _raw(field: Field, at: str) -> str:
    if field.constant is not None:
        return quote(field.constant)
    first, *others = (f"{at}.{ident(column)}" for column in field.columns)
    if not others:
        return first
    filled = [case([(filled_sql(column, field.kind), column)]) for column in (first, *others)]
    return f"coalesce({', '.join(filled)}, {first})"


def _head_columns(main: Scope, resolved: Resolved) -> list[str]:
    """What vouchers need of a document: the request, and of the main table what a header or a line names."""
    of_lines = {sql for rule in resolved.kinds for line in rule.lines for sql in line.of_main}
    request = [name for name in REQUEST_COLUMNS if name != "canonical"]
    return [*request, *sorted((main.posted | of_lines) - set(request))]


def _head(main: Scope, derived: tuple[Layered, Layered], details: Mapping[str, Scope], kept: str, mistakes: str) -> str:
    """The document with the sums of its rows; a sum over a row without value has no value."""
    early, late = derived
    steps, _ = _main(main, early)
    source, columns = early.last, []
    for name in details:
        wanted = [item for item in main.section.derived if (item.sum or item.count or "").partition(".")[0] == name]
        if not wanted:
            continue
        sums = select(["seq", *named((_sum(item), f"s_{item.name}") for item in wanted)], f"rows_{name} GROUP BY seq")
        source += f" LEFT JOIN ({sums}) AS a_{name} USING (seq)"
        columns += named((case([(f"a_{name}.seq IS NULL", "0")], f"s_{i.name}"), main.column(i.name)) for i in wanted)
    steps += [("t0", select([f"{early.last}.*", *columns], source)), *late.steps]
    return create("head", chain(steps, select([kept, f"{mistakes} AS mistakes"], late.last)))


def _sum(item: Derived) -> str:
    if item.count:
        return "count(*)"
    column = "d_" + (item.sum or "").partition(".")[2]
    # A total beyond 64 bits has no value, and the voucher is then held as incomplete.
    return case([(f"count({column}) = count(*)", f"TRY_CAST(sum({column}) AS BIGINT)")])
