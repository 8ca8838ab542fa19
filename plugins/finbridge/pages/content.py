"""The content of a document as people compare it: field by field, personal values never shown."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from finbridge.core.flow import Flow
from finbridge.core.places import include_folder

PERSONAL = "\ue000"  # stands for a value that is not shown; the template puts words in its place


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a document. ``table`` and ``row`` are empty for the main form."""

    table: str
    row: str
    column: str
    value: str


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one field between two versions; None: the field, or its row, was not there."""

    table: str
    row: str
    column: str
    before: str | None
    after: str | None


def fields_of(canonical: bytes, personal: Collection[str]) -> list[Field]:
    """All fields of a version: the main form, then each detail table row by row.

    Args:
        canonical: see `finbridge.core.documents.canonical_content`.
        personal: columns that are not shown, as the flow names them (``column`` or ``table.column``).
    """
    return list(_fields(json.loads(bytes(canonical)), frozenset(personal)))


def _fields(content: Mapping[str, Any], personal: Collection[str]) -> Iterator[Field]:
    for column, value in content.get("main", {}).items():
        yield Field("", "", column, _shown(value, column in personal))
    for table, rows in content.get("details", {}).items():
        for position, row in enumerate(rows, start=1):
            name = str(row.get("_row") or position)
            for column, value in row.items():
                if column != "_row":
                    yield Field(table, name, column, _shown(value, f"{table}.{column}" in personal))


def _shown(value: object, personal: bool) -> str:
    text = "" if value is None else str(value)
    return PERSONAL if personal and text else text


def changes(before: bytes, after: bytes, personal: Collection[str]) -> list[Change]:
    """What differs between two versions. A personal value that changed is named, its values are not shown."""
    hidden = frozenset(personal)
    old, new = (_by_place(json.loads(bytes(part))) for part in (before, after))
    found = []
    for place in dict.fromkeys((*old, *new)):
        one, other = old.get(place), new.get(place)
        if one != other:
            table, row, column = place
            covered = (f"{table}.{column}" if table else column) in hidden
            values = (None if value is None else _shown(value, covered) for value in (one, other))
            found.append(Change(table, row, column, *values))
    return found


def _by_place(content: Mapping[str, Any]) -> dict[tuple[str, str, str], str]:
    return {(f.table, f.row, f.column): f.value for f in _fields(content, ())}


def labels(flow: Flow) -> Mapping[tuple[str, str], str]:
    """What the form calls its columns: (table, column) to label, by the flow's mapping; empty where it does not say."""
    path = include_folder() / "mappings" / flow.mapping
    return _labels(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache(maxsize=16)
def _labels(path: Path, _stamp: int) -> Mapping[tuple[str, str], str]:
    from finbridge.mapping.bindings import bind_mapping
    from finbridge.mapping.yamlfile import ConfigError, YamlFile

    try:
        file = YamlFile(path, "mapping.schema.json")
        bind_mapping(file)  # columns named by label get those of this environment
    except ConfigError:  # the tasks say what is wrong with it; a page shows columns by their own names then
        return {}
    spec = file.data
    found = dict(_named("", spec.get("main", {}).values()))
    for detail in spec.get("details", {}).values():
        table = str(detail.get("table", ""))
        found[(table, "")] = str(detail.get("label", table))
        found |= _named(table, detail.get("columns", {}).values())
    return found


def _named(table: str, columns: Sequence[Any]) -> dict[tuple[str, str], str]:
    return {(table, str(c["column"])): str(c["label"]) for c in columns if "column" in c and "label" in c}
