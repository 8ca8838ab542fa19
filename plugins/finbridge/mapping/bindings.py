"""Columns by label: the same form has other column names and detail numbers in each environment of an OA.

A mapping or flow that writes ``{label: 单据编号}`` instead of a column's name also writes ``bindings: NAME``; what the
labels mean stands in ``include/bindings/<environment>/NAME.yaml``. FINBRIDGE_ENVIRONMENT names the environment. Nothing
here is asked of a file that names its columns.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finbridge.core.places import include_folder
from finbridge.mapping.yamlfile import PathInFile, YamlFile

ENVIRONMENT = "FINBRIDGE_ENVIRONMENT"
_GUIDE = "docs/new-flow.md"
_SCHEMA = "bindings.schema.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundTable:
    """One table of the form: ``columns`` of each label, more than one where the form shows it twice."""

    name: str
    title: str
    columns: Mapping[str, tuple[str, ...]]


class Labels:
    """Finds the columns of one file's labels. The bindings are read when the first label asks for them.

    Args:
        file: the mapping or flow in which labels stand; errors name its lines.
    """

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._tables: tuple[BoundTable, ...] | None = None
        self._path = Path()
        self._workflow = ""
        #: What was found, by place: makes the identity of a mapping together with its text.
        self.found: dict[str, str] = {}

    def column(self, where: PathInFile, value: Any, table: BoundTable | None = None) -> str:
        """A column's name: ``value`` itself, or the column of its label (in the main table, or in ``table``).

        Raises:
            ConfigError: no bindings, or the label is missing or stands twice; names file, line and what to do.
        """
        if isinstance(value, str):
            return value
        label = value["label"]
        tables = self._read(where)
        columns = (table or tables[0]).columns.get(label, ())
        if len(columns) != 1:
            raise self._file.error(where, self._wrong(label, columns, (table or tables[0]).columns))
        self.found[".".join(map(str, where))] = columns[0]
        return columns[0]

    def detail(self, where: PathInFile, label: str, needed: Collection[str]) -> BoundTable:
        """A detail table by its title; where none has it, the only one that has all the labels.

        Raises:
            ConfigError: no bindings, none fits, or more than one does.
        """
        details = self._read(where)[1:]
        fitting = [table for table in details if table.title == label] or [
            table for table in details if needed and set(needed) <= set(table.columns)
        ]
        if len(fitting) != 1:
            titles = ", ".join(f"{table.title} ({table.name})" for table in details) or "–"
            why = "没有对应的明细表 / no detail table fits" if not fitting else "多个明细表符合 / more than one fits"
            raise self._file.error(
                where,
                f"{why}: {label}. {self._shown()} has {titles}. Give the detail the title of one of them as its label, "
                "or name its table.",
            )
        self.found[".".join(map(str, where))] = fitting[0].name
        return fitting[0]

    def named(self, where: PathInFile, name: str) -> BoundTable:
        """A detail table by its name in the OA's database.

        Raises:
            ConfigError: no bindings, or they have no such table.
        """
        found = next((table for table in self._read(where)[1:] if table.name == name), None)
        if found is None:
            raise self._file.error(
                (*where, "table"),
                f"没有这个明细表 / {self._shown()} has no table {name}. Write a label instead of the table: its number "
                "differs between environments.",
            )
        return found

    # ------------------------------------------------------------ the file

    def _read(self, where: PathInFile) -> tuple[BoundTable, ...]:
        if self._tables is None:
            self._path = self._find(where)
            file = YamlFile(self._path, _SCHEMA)
            self._workflow = file.data["workflow"]
            main = _table(file.data["main"], "")
            self._tables = (main, *(_table(part, title) for title, part in file.data.get("details", {}).items()))
        return self._tables

    def _find(self, where: PathInFile) -> Path:
        name = self._file.data.get("bindings")
        if name is None:
            raise self._file.error(
                where,
                "按标签取列，但没有写 bindings / a label and no column: name the column, or write `bindings: <name>` "
                f"at the top of this file and keep include/bindings/<environment>/<name>.yaml (see {_GUIDE}).",
            )
        environment = os.environ.get(ENVIRONMENT, "")
        if not _NAME.fullmatch(environment):
            raise self._file.error(
                where,
                f"按标签取列需要环境变量 {ENVIRONMENT} / columns are taken by label: set {ENVIRONMENT} to a folder of "
                "include/bindings, e.g. test or production.",
            )
        path = include_folder() / "bindings" / environment / f"{name}.yaml"
        if not path.is_file():
            raise self._file.error(
                where,
                f"没有这个环境的列对照 / there is no include/bindings/{environment}/{name}.yaml. Make it: `finbridge "
                f"oa fields --workflow <id> --bind {name}.yaml` against that environment's OA.",
            )
        return path

    def _shown(self) -> str:
        return f"bindings/{self._path.parent.name}/{self._path.name}"

    def _wrong(self, label: str, columns: tuple[str, ...], known: Mapping[str, tuple[str, ...]]) -> str:
        if columns:
            return (
                f"标签重复 / {label} stands on more than one column ({', '.join(columns)}) in {self._shown()}. Name "
                "the column here, or keep one of them there."
            )
        close = difflib.get_close_matches(label, known, n=3, cutoff=0.4)
        like = f" Close: {', '.join(close)}." if close else ""
        return (
            f"没有这个标签 / no column is labelled {label} in {self._shown()}.{like} Mend the label, or make the file "
            f"anew: `finbridge oa fields --workflow {self._workflow} --bind {self._path.name}`."
        )


def _table(part: Mapping[str, Any], title: str) -> BoundTable:
    columns = {
        label: (column,) if isinstance(column, str) else tuple(column) for label, column in part["columns"].items()
    }
    return BoundTable(name=part["table"], title=title, columns=columns)


def bind_mapping(file: YamlFile) -> dict[str, str]:
    """Put the columns of all labels of a mapping into its data; what was found, by place (empty: it has no labels).

    Raises:
        ConfigError: see `Labels`.
    """
    labels = Labels(file)
    for name, part in file.data["main"].items():
        _bind(labels, ("main", name), part, None)
    for name, detail in file.data.get("details", {}).items():
        fields = detail["columns"]
        unbound = {field["label"] for field in fields.values() if _by_label(field)}
        table = None
        where = ("details", name)
        if "table" not in detail:
            table = labels.detail((*where, "label"), detail["label"], unbound)
            detail["table"] = table.name
        elif unbound:
            table = labels.named(where, detail["table"])
        for key, field in fields.items():
            _bind(labels, (*where, "columns", key), field, table)
    return labels.found


def _by_label(field: Mapping[str, Any]) -> bool:
    return "column" not in field and "value" not in field


def _bind(labels: Labels, where: PathInFile, field: dict[str, Any], table: BoundTable | None) -> None:
    if _by_label(field):
        field["column"] = labels.column((*where, "label"), {"label": field["label"]}, table)
