"""A sentence of the delivery promise names the test that proves it: here, that the test is still there."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

from tests.tidy.test_house_rules import ROOT, functions, name_of, python_files

PAGE = ROOT / "docs" / "delivery.md"
_ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_ROW = re.compile(r"^\| ([FA]\d+) \|(.*)\|$", flags=re.M)
_COMMAND = re.compile(r"`pytest ([^`]+)`")


@cache
def names_in(path: Path) -> frozenset[str]:
    """Names of the tests of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in functions(tree) if node.name.startswith("test_"))


def named() -> list[tuple[str, str]]:
    """Tests that any page of the docs names by their id."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "tools").rglob("*.md")]
    return [found for page in pages for found in _ID.findall(page.read_text(encoding="utf-8"))]


def test_every_test_that_a_page_names_exists() -> None:
    found = named()
    assert len(found) > 40
    gone = [
        f"{path}::{name}" for path, name in found if not (ROOT / path).exists() or name not in names_in(ROOT / path)
    ]
    assert gone == []


def test_every_failure_and_every_design_has_its_row_and_its_test() -> None:
    rows = dict(_ROW.findall(PAGE.read_text(encoding="utf-8")))
    assert set(rows) == {f"{letter}{number}" for letter in "FA" for number in range(1, 16)}
    bare = [number for number, row in rows.items() if not _ID.search(row) and number != "A13"]
    assert bare == []
    ids = [f"{name_of(path)}::{name}" for path in python_files("tests") for name in names_in(path)]
    for number, row in rows.items():
        own = re.compile(rf"::test_{number[0].lower()}{int(number[1:]):02}_")
        every = [test for test in ids if own.search(test)]
        assert all(test in row for test in every), f"{number} does not name {every}"
        assert every or number.startswith("A"), f"{number} is proven by no test of its own"


def test_every_command_of_the_promise_runs_something() -> None:
    """Files exist, and each word of a ``-k`` is in the name of a test, a class or a file there."""
    commands = _COMMAND.findall(PAGE.read_text(encoding="utf-8"))
    assert len(commands) > 15
    idle = []
    for command in commands:
        words = shlex.split(command)
        paths = [ROOT / word for word in words if word.startswith("tests")]
        missing = [name_of(path) for path in paths if not path.exists()]
        idle += [f"{command}: {name}" for name in missing]
        if "-k" in words and not missing:
            known = " ".join(_names(path) for path in paths)
            wanted = re.split(r" or ", words[words.index("-k") + 1])
            idle += [f"{command}: {word}" for word in wanted if word.lower() not in known]
    assert idle == []


def _names(path: Path) -> str:
    """Everything that ``-k`` can meet there but the parameters, in small letters."""
    files = set(python_files(name_of(path))) if path.is_dir() else set(_with_bases(path, set()))
    return " ".join(f"{name_of(file)} {' '.join(names_in(file))}" for file in files).lower()


def _with_bases(path: Path, seen: set[Path]) -> set[Path]:
    """A file, and those of the tests from which its classes may take theirs."""
    if path not in seen:
        seen.add(path)
        for module in re.findall(r"^from (tests\.contract[\w.]*) import", path.read_text(encoding="utf-8"), flags=re.M):
            _with_bases(ROOT / f"{module.replace('.', '/')}.py", seen)
    return seen
