"""A wrong mapping is refused with file, line, field and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from finbridge.core.errors import GiveUp
from finbridge.mapping import load_translator
from finbridge.mapping.yamlfile import ConfigError
from ruamel.yaml import YAML

from tests.unit.mapping_world import EXPENSE_CLAIM

GOOD = EXPENSE_CLAIM.read_text(encoding="utf-8")
_FILE = Path(__file__).resolve().parents[1] / "fixtures/mapping/mistakes.yaml"
MISTAKES: list[dict[str, str]] = YAML(typ="safe").load(_FILE.read_text(encoding="utf-8"))


def refused(tmp_path: Path, text: str) -> ConfigError:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_translator(path)
    return caught.value


def line_of(text: str, part: str) -> int:
    return next(n for n, content in enumerate(text.splitlines(), start=1) if part in content)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m['field']}: {m['words']}")
def test_a_wrong_place_is_named(tmp_path: Path, mistake: dict[str, str]) -> None:
    old, field = mistake["old"], mistake["field"]
    assert GOOD.count(old) >= 1, old
    text = GOOD.replace(old, mistake["new"], 1)
    error = refused(tmp_path, text)
    assert error.field == field
    assert mistake["words"] in error.what
    assert error.file.name == "wrong.yaml"
    last = field.rpartition(".")[2]
    shown = text.splitlines()[error.line - 1]
    assert last.isdigit() or last in shown or field.split(".")[-2] in shown, (error.line, shown)
    assert f"wrong.yaml:{error.line}: {field}: " in error.staff


def test_a_line_number_is_the_line_of_the_mistake(tmp_path: Path) -> None:
    text = GOOD.replace("fylx, type: text", "fylx, type: txt", 1)
    assert refused(tmp_path, text).line == line_of(text, "type: txt")
    text = GOOD.replace("amount: input_tax", "amount: tax_input", 1)
    assert refused(tmp_path, text).line == line_of(text, "amount: tax_input")


def test_yaml_that_is_none_is_named_by_its_line(tmp_path: Path) -> None:
    text = GOOD.replace("main:\n", "main:\n  number: [\n", 1)
    error = refused(tmp_path, text)
    assert error.field == "(syntax)"
    assert error.line >= line_of(text, "number: [")


def test_a_key_written_twice_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace('version: "1"\n', 'version: "1"\nversion: "2"\n', 1)
    error = refused(tmp_path, text)
    assert (error.field, error.line) == ("(syntax)", line_of(text, 'version: "2"'))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml:1"):
        load_translator(tmp_path / "none.yaml")
    assert issubclass(ConfigError, GiveUp)
    assert "cannot be read" in refused_folder(tmp_path).what


def refused_folder(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_translator(path)
    return caught.value


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).field == "(file)"
