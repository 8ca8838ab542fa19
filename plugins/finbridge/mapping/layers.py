"""Derived values in layers: each layer computes what rests on earlier ones only. Look-ups join, transforms compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finbridge.mapping.codes import EVERY_COMPANY
from finbridge.mapping.scope import Expr, Scope
from finbridge.mapping.spec import Derived
from finbridge.mapping.sqltext import UNIT, quote, select
from finbridge.mapping.transforms import DATE, TEXT


@dataclass(frozen=True, slots=True)
class Layered:
    """Common table expressions that start from ``<prefix>0``; ``last`` is the name of the last one."""

    steps: tuple[tuple[str, str], ...]
    last: str


def layered(scope: Scope, items: Sequence[Derived], *, late: bool = False, prefix: str = "l") -> Layered:
    """Put derived values into layers and make them known to the scope.

    A look-up joins on what earlier layers computed; a transform may also use values of its own layer (DuckDB lets a
    later column name an earlier one). Few layers matter: each costs planning time in every call.

    Raises:
        ConfigError: an unknown name, or values that rest on each other in a circle.
    """
    waiting = list(items)
    steps: list[tuple[str, str]] = []
    while waiting:
        names = {item.name for item in waiting}
        ready = [item for item in waiting if item.lookup and not names & _locals(item)]
        taken: set[str] = {item.name for item in ready}
        while more := [i for i in waiting if not i.lookup and i.name not in taken and not (names - taken) & _locals(i)]:
            ready += more
            taken |= {item.name for item in more}
        if not ready:
            circle = ", ".join(sorted(names))
            raise scope.file.error(waiting[0].where, f"互相引用 / these rest on each other in a circle: {circle}.")
        steps.append(_layer(scope, ready, (f"{prefix}{len(steps)}", f"{prefix}{len(steps) + 1}"), late=late))
        waiting = [item for item in waiting if item.name not in taken]
    return Layered(tuple(steps), f"{prefix}{len(steps)}")


def _locals(item: Derived) -> set[str]:
    return {ref for ref in (*item.args, *item.key, item.on) if isinstance(ref, str) and "." not in ref}


def _layer(scope: Scope, items: Sequence[Derived], names: tuple[str, str], *, late: bool) -> tuple[str, str]:
    columns: list[str] = []
    joins: list[str] = []
    for item in items:
        if item.transform is not None:
            expr = scope.call(item, late=late)
            columns.append(f"{expr.sql} AS {scope.column(item.name)}")
        else:
            expr, join, made = _lookup(scope, item, late=late)
            joins.append(join)
            columns += made
        scope.derive(item, expr)
    before, own = names
    return own, select([f"{before}.*", *columns], " ".join([before, *joins]))


def _lookup(scope: Scope, item: Derived, *, late: bool) -> tuple[Expr, str, list[str]]:
    """Join a code table: for one company and day it holds one row at most (`finbridge.mapping.codes.ranges`)."""
    parts = [scope.get(ref, (*item.where, "key", i), TEXT, late=late) for i, ref in enumerate(item.key)]
    on = scope.get(item.on, (*item.where, "on"), DATE, late=late)
    key = key_sql([part.sql for part in parts])
    value, code = scope.column(item.name), f"c_{item.name}"
    scope.used_of_request.add("company")
    join = (
        f"\n  LEFT JOIN code AS {code} ON {code}.tab = {quote(item.lookup or '')} AND {code}.code = {key}"
        f" AND {on.sql} >= {code}.valid_from AND {on.sql} < {code}.valid_to AND ({code}.company = r_company"
        f" OR ({code}.company = {quote(EVERY_COMPANY)} AND NOT list_contains({code}.except_for, r_company)))"
    )
    # Where the key or the day is missing their own errors are told, not this one.
    condition = f"{value} IS NULL AND {' AND '.join(f'{part.sql} IS NOT NULL' for part in (*parts, on))}"
    text = f"concat_ws({quote(UNIT)}, {key}, r_company, {on.sql})"
    scope.errors[item.name] = (condition, text)
    needs = frozenset().union(on.needs, *(part.needs for part in parts))
    late = on.late or any(part.late for part in parts)
    return Expr("", TEXT, needs, late=late), join, [f"{code}.target AS {value}"]


def key_sql(parts: Sequence[str]) -> str:
    """Several parts joined with ``|``: `finbridge.mapping.codes.for_keys` sees to it that this is unambiguous."""
    return parts[0] if len(parts) == 1 else "(" + " || '|' || ".join(parts) + ")"
