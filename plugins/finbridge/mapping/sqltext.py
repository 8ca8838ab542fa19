"""SQL put together from parts. Names come from validated mappings; every text from outside goes through `quote`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NO_TEXT = "CAST(NULL AS VARCHAR)"
UNIT = "\x1f"  # the unit separator: between texts that are joined to be split again


def quote(text: str) -> str:
    """A text literal."""
    return "'" + text.replace("'", "''") + "'"


def ident(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def named(columns: Iterable[tuple[str, str]]) -> list[str]:
    """``[(sql, name)]`` as ``sql AS name``."""
    return [f"{sql} AS {name}" for sql, name in columns]


def select(columns: str | Sequence[str], source: str, *, where: str = "", tail: str = "") -> str:
    """``SELECT columns FROM source [WHERE where] [tail]``."""
    parts = ["SELECT", columns if isinstance(columns, str) else ", ".join(columns), "FROM", source]
    if where:
        parts += ["WHERE", where]
    if tail:
        parts.append(tail)
    return " ".join(parts)


def chain(steps: Sequence[tuple[str, str]], last: str) -> str:
    """``WITH name AS (body), … last``."""
    return " ".join(["WITH", ",\n".join(f"{name} AS ({body})" for name, body in steps), "\n", last])


def create(table: str, body: str) -> str:
    """A temporary table made anew from a query."""
    return f"CREATE OR REPLACE TEMP TABLE {table} AS\n{body}"


def case(tests: Iterable[tuple[str, str]], otherwise: str = "NULL", of: str = "") -> str:
    """``CASE [of] WHEN … THEN … ELSE otherwise END``."""
    return " ".join(["CASE", of, *(f"WHEN {test} THEN {then}" for test, then in tests), "ELSE", otherwise, "END"])
