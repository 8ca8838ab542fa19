"""The language of suites: YAML files that say what rows must be like (docs/quality.md). Knows no Great Expectations.

A suite's name is its file's path below the folder without ``.yaml``: ``expense_claim.documents``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from finbridge.core.errors import GiveUp

SCHEMA_FILE = Path(__file__).resolve().parents[3] / "include" / "schemas" / "expectations.schema.json"
#: Every frame names the document that a row belongs to.
DOCUMENT_COLUMN = "document_id"
_PARAMETER = "$PARAMETER"
_ROWS_OF = "rows_"


class Level(StrEnum):
    """What a broken rule means: ``row`` holds the documents of the bad rows, ``batch`` stops the load."""

    ROW = "row"
    BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One expectation. ``where`` is ``file:line``, for errors that only Great Expectations can find."""

    rule_id: str
    frame: str
    level: Level
    expect: str
    kwargs: Mapping[str, Any]
    reason: str
    zh: str
    en: str
    where: str

    @property
    def text(self) -> str:
        """What a person reads, Chinese first."""
        return f"{self.zh} / {self.en}"

    @property
    def field(self) -> str:
        """``frame.column``; several columns are joined by ``+``."""
        named = [self.kwargs[k] for k in ("column", "column_A", "column_B") if k in self.kwargs]
        columns = named or list(self.kwargs.get("column_list", ()))
        return f"{self.frame}.{'+'.join(columns)}" if columns else self.frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite as written. ``frames`` maps a frame to the columns that name one of its rows."""

    name: str
    sha256: str
    frames: Mapping[str, tuple[str, ...]]
    rules: tuple[Rule, ...] = field(repr=False)


def rows_parameter(frame: str) -> str:
    """The name under which a rule may ask for a frame's number of rows: ``{$PARAMETER: rows_<frame>}``."""
    return f"{_ROWS_OF}{frame}"


def load_suites(folder: Path) -> dict[str, Suite]:
    """All suites below a folder by name.

    Raises:
        GiveUp: no suite there, or a file is wrong; file, line and field are named.
    """
    files = sorted(folder.rglob("*.yaml"))
    if not files:
        raise _wrong(f"{folder}: no *.yaml")
    return {file.relative_to(folder).with_suffix("").as_posix(): load_suite(file, folder) for file in files}


def load_suite(file: Path, folder: Path) -> Suite:
    """One suite. Raises GiveUp as :func:`load_suites` does."""
    content = file.read_bytes()
    tree = _parse(file, content)
    _check_schema(tree, file)
    frames = {name: tuple(map(str, spec["row"])) for name, spec in tree["frames"].items()}
    rules: dict[str, Rule] = {}
    for index, node in enumerate(tree["rules"]):
        where = f"{file.name}:{_line(tree, ['rules', index])}"
        _check_rule(tree, index, frames, file)
        for rule in _expand(node, where):
            if rule.rule_id in rules:
                line = _line(tree, ["rules", index, "id"])
                raise _wrong(f"{file.name}:{line}: rules[{index}].id: {rule.rule_id} is there twice")
            rules[rule.rule_id] = rule
    return Suite(
        name=file.relative_to(folder).with_suffix("").as_posix(),
        sha256=hashlib.sha256(content).hexdigest(),
        frames=frames,
        rules=tuple(rules.values()),
    )


def wrong_rule(rule: Rule, why: str) -> GiveUp:
    """The error for a rule that only Great Expectations could judge wrong."""
    return _wrong(f"{rule.where}: {rule.rule_id}: {why}")


def _wrong(message: str) -> GiveUp:
    return GiveUp("bad_expectations", f"数据质量规则文件有误 / the expectations are wrong: {message}", message)


@cache
def _schema() -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def _parse(file: Path, content: bytes) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        tree = YAML(typ="rt").load(content)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _wrong(f"{file.name}:{line}: {error.problem or 'not YAML'}") from None
    if not isinstance(tree, Mapping):
        raise _wrong(f"{file.name}:1: a mapping with about, frames and rules is expected")
    return tree


def _line(tree: Any, path: Sequence[str | int]) -> int:
    """The line (from 1) where the deepest known part of a path stands; ruamel keeps it in ``lc``."""
    line: int = 0
    node: Any = tree
    for step in path:
        try:
            marks = node.lc
            line = (marks.key(step) if isinstance(node, Mapping) else marks.item(step))[0]
            node = node[step]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
    return line + 1


def _dotted(path: Sequence[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "(whole file)"


def _check_schema(tree: Any, file: Path) -> None:
    from jsonschema.exceptions import best_match

    error = best_match(_schema().iter_errors(tree))
    if error is None:
        return
    path = list(error.absolute_path)
    if error.validator == "additionalProperties":
        path.extend(sorted(set(error.instance) - set(error.schema["properties"]))[:1])
    _refuse(tree, file, path, error.message)


def _check_rule(tree: Any, index: int, frames: Mapping[str, tuple[str, ...]], file: Path) -> None:
    """What a JSON Schema cannot say about one rule."""
    node = tree["rules"][index]
    kwargs = node.get("kwargs", {})
    if node["frame"] not in frames:
        _refuse(tree, file, ["rules", index, "frame"], f"{node['frame']} is not among frames")
    if node["level"] == Level.ROW and "mostly" in kwargs:
        _refuse(
            tree, file, ["rules", index, "kwargs", "mostly"], "a row rule names all bad rows; mostly would hide some"
        )
    if "for_each" in node and "column" in kwargs:
        _refuse(tree, file, ["rules", index, "kwargs", "column"], "for_each names the columns already")
    known = {rows_parameter(frame) for frame in frames}
    for name, value in kwargs.items():
        if isinstance(value, Mapping) and value.get(_PARAMETER) not in known | {None}:
            _refuse(tree, file, ["rules", index, "kwargs", name], f"a parameter is one of {', '.join(sorted(known))}")


def _refuse(tree: Any, file: Path, path: Sequence[str | int], why: str) -> NoReturn:
    raise _wrong(f"{file.name}:{_line(tree, path)}: {_dotted(path)}: {why}")


def _expand(node: Any, where: str) -> Iterator[Rule]:
    """A rule, or one rule a column where it says ``for_each``."""
    kwargs = _plain(node.get("kwargs", {}))
    columns: Sequence[str | None] = node.get("for_each", [None])
    for column in columns:
        yield Rule(
            rule_id=node["id"] if column is None else f"{node['id']}.{column}",
            frame=node["frame"],
            level=Level(node["level"]),
            expect=node["expect"],
            kwargs=kwargs if column is None else {"column": column, **kwargs},
            reason=node["reason"],
            zh=node["zh"],
            en=node["en"],
            where=where,
        )


def _plain(value: Any) -> Any:
    """YAML's round-trip types as plain ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
