"""YAML files that people write: read with line numbers, checked by a JSON Schema; errors say where and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from finbridge.core.errors import GiveUp

#: The data folder beside `plugins/` (the same layout in a checkout and in an Airflow image).
INCLUDE = Path(__file__).resolve().parents[3] / "include"
PathInFile = Sequence[str | int]


class ConfigError(GiveUp):
    """A file that people wrote is wrong. ``file``, ``line`` (from 1) and ``field`` name the place."""

    def __init__(self, file: Path, line: int, field: str, what: str) -> None:
        super().__init__("bad_configuration", f"{file}:{line}: {field}: {what}")
        self.file = file
        self.line = line
        self.field = field
        self.what = what


class YamlFile:
    """One YAML document: plain values in ``data``, lines by path.

    Raises:
        ConfigError: not YAML, a key written twice, or against the schema.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        try:
            self.raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                path, 1, "(file)", f"文件读不到 / cannot be read ({error.strerror}). Check the path."
            ) from None
        self._tree = self._parse()
        self.data: dict[str, Any] = self._plain(self._tree, ())
        self._check(_schema(schema))

    def _parse(self) -> Any:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            tree = YAML(typ="rt").load(self.raw.decode())
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = (error.problem or "not YAML").splitlines()[0]
            line = mark.line + 1 if mark else 1
            raise ConfigError(
                self.path, line, "(syntax)", f"YAML 语法错误 / not valid YAML: {problem}. Mend this line."
            ) from None
        except (YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(
                self.path, 1, "(syntax)", f"不是 UTF-8 的 YAML / not YAML in UTF-8: {type(error).__name__}."
            ) from None
        if not isinstance(tree, Mapping):
            raise ConfigError(self.path, 1, "(file)", "顶层必须是键值 / the file must hold keys and values.")
        return tree

    def line(self, where: PathInFile) -> int:
        """The line (from 1) of the deepest part of ``where`` that stands in the file."""
        node: Any = self._tree
        line = 1
        for part in where:
            try:
                place = node.lc
                line = (place.key(part) if isinstance(node, Mapping) else place.item(part))[0] + 1
                node = node[part]
            except (KeyError, IndexError, AttributeError, TypeError):
                break
        return int(line)

    def error(self, where: PathInFile, what: str) -> ConfigError:
        """An error at a place of this file."""
        return ConfigError(self.path, self.line(where), ".".join(str(part) for part in where) or "(file)", what)

    def _plain(self, node: Any, where: tuple[str | int, ...]) -> Any:
        """Round-trip nodes as plain values; scalars keep what YAML 1.2 makes of them."""
        if isinstance(node, Mapping):
            for key in node:
                if not isinstance(key, str):  # 0100 would be read as a number, and lose its zero
                    raise self.error((*where, key), "键要加引号 / a key that is no text. Put it in quotes.")
            return {str(key): self._plain(value, (*where, key)) for key, value in node.items()}
        if isinstance(node, str):
            return str(node)
        if isinstance(node, Sequence):
            return [self._plain(value, (*where, index)) for index, value in enumerate(node)]
        return node

    def _check(self, schema: Mapping[str, Any]) -> None:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        failures = list(Draft202012Validator(schema).iter_errors(self.data))
        if failures:
            # The first in the file; of alternatives that all fail, the one that came closest.
            first = min(failures, key=lambda failure: self.line(list(failure.absolute_path)))
            failure = best_match([first]) or first
            where = list(failure.absolute_path)
            if failure.validator == "additionalProperties":
                unknown = sorted(set(failure.instance) - set(failure.schema.get("properties", {})), key=str)
                where.extend(unknown[:1])
                known = ", ".join(sorted(failure.schema.get("properties", {})))
                raise self.error(where, f"未知的键 / unknown key. Remove it or use one of: {known}.")
            if failure.validator == "required":
                missing = sorted(set(failure.schema["required"]) - set(failure.instance))
                raise self.error(where, f"缺少 / missing key(s): {', '.join(missing)}. Add them.")
            advice = failure.schema.get("description", "See the schema of this file.")
            raise self.error(where, f"{failure.message}. {advice}")


@cache
def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((INCLUDE / "schemas" / name).read_text(encoding="utf-8"))
    return schema
