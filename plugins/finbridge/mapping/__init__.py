"""The mapping engine: YAML that finance reviews, compiled once to set-based work in DuckDB (docs/mapping.md)."""

from __future__ import annotations

from pathlib import Path

from finbridge.core.ports import Translator
from finbridge.mapping.codes import read_code_files


def load_translator(path: Path) -> Translator:
    """Compile a mapping file. DuckDB is imported here, not when the package is.

    Raises:
        ConfigError: the file is wrong; names file, line and field.
    """
    from finbridge.mapping.engine import load_translator as load

    return load(path)


__all__ = ["load_translator", "read_code_files"]
