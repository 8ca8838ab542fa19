"""Derived values in layers: each layer computes what rests on earlier ones only. Look-ups join, transforms compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finbridge.mapping.scope import Expr, Scope
from finbridge.mapping.spec import Derived
from finbridge.mapping.sqltext import case, quote, select
from finbridge.mapping.transforms import DATE, TEXT

UNKNOWN, AMBIGUOUS = "?", "!"  # how a look-up's error text begins


@dataclass(frozen=True, slots=True)
class Layered:
    """Common table expressions that start from ``l0``; ``last`` is the name of the last one."""

    steps: tuple[tuple[str, str], ...]
    last: str


def layered(scope: Scope, items: Sequence[Derived], *, late: bool = False) -> Layered:
    """Put derived values into layers and make them known to the scope.

    Raises:
        ConfigError: an unknown name, or values that rest on each other in a circle.
    """
    waiting = list(items)
    steps: list[tuple[str, str]] = []
    last = "l0"
    while waiting:
        names = {item.name for item in waiting}
        ready = [item for item in waiting if not names & _locals(item)]
        if not ready:
            circle = ", ".join(sorted(names))
            raise scope.file.error(waiting[0].where, f"互相引用 / these rest on each other in a circle: {circle}.")
        steps += _layer(scope, ready, last, late=late)
        last = steps[-1][0]
        waiting = [item for item in waiting if item not in ready]
    return Layered(tuple(steps), last)


def _locals(item: Derived) -> set[str]:
    return {ref for ref in (*item.args, *item.key, item.on) if isinstance(ref, str) and "." not in ref}


def _layer(scope: Scope, items: Sequence[Derived], last: str, *, late: bool) -> list[tuple[str, str]]:
    number = int(last[1:]) + 1
    columns: list[str] = []
    joins: list[str] = []
    keys: list[str] = []
    for item in items:
        if item.transform is not None:
            expr = scope.call(item, late=late)
            columns.append(f"{expr.sql} AS {scope.column(item.name)}")
        else:
            expr = _lookup(scope, item, late=late, keys=keys, joins=joins, columns=columns)
        scope.derive(item, expr)
    steps = []
    if keys:
        steps.append((f"k{number}", select(["*", *keys], last)))
        last = f"k{number}"
    return [*steps, (f"l{number}", select([f"{last}.*", *columns], " ".join([last, *joins])))]


def _lookup(scope: Scope, item: Derived, *, late: bool, keys: list[str], joins: list[str], columns: list[str]) -> Expr:
    """Join a code table twice: the company's own row wins over the row for every company."""
    parts = [scope.get(ref, (*item.where, "key", i), TEXT, late=late) for i, ref in enumerate(item.key)]
    on = scope.get(item.on, (*item.where, "on"), DATE, late=late)
    key, value = f"k{scope.column(item.name)}", scope.column(item.name)
    keys.append(f"{key_sql([part.sql for part in parts])} AS {key}")
    own, common = f"o_{item.name}", f"c_{item.name}"
    for alias, company in ((own, "r_company"), (common, "''")):
        joins.append(
            f"\n  LEFT JOIN code AS {alias} ON {alias}.tab = {quote(item.lookup or '')} AND {alias}.company = {company}"
            f" AND {alias}.code = {key} AND {on.sql} >= {alias}.valid_from AND {on.sql} < {alias}.valid_to"
        )
    found = case([(f"{own}.code IS NOT NULL", f"{own}.target")], f"{common}.target")
    state = case([(f"coalesce({own}.code, {common}.code) IS NULL", quote(UNKNOWN))], quote(AMBIGUOUS))
    # NULL where the key or the day is missing: their own errors are told, not this one.
    error = case([(f"{value} IS NULL", f"{state} || {key} || ', company ' || r_company || ', date ' || {on.sql}")])
    columns += [f"{found} AS {value}", f"{error} AS {scope.error_column(item.name)}"]
    needs = frozenset().union(on.needs, *(part.needs for part in parts))
    return Expr("", TEXT, needs, late=on.late or any(part.late for part in parts))


def key_sql(parts: Sequence[str]) -> str:
    """The SQL of `finbridge.mapping.codes.code_of`."""
    if len(parts) == 1:
        return parts[0]
    return "(" + " || '|' || ".join(rf"replace(replace({part}, '\', '\\'), '|', '\|')" for part in parts) + ")"
