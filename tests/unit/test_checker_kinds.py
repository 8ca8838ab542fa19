"""The checker finds each of twelve kinds of faults wherever it stands, and could spare none of its rules."""

from __future__ import annotations

import ast
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import pytest
from finbridge.cli.stack.ledger import _JOURNAL
from hypothesis import given, settings, strategies

import tools.checker.compare
from sandbox.journal.book import Book
from tests.unit import checker_faults, checker_faults_wrong
from tests.unit.checker_kinds import KINDS, STRANGER, WAYS, Said
from tests.unit.checker_random import SHAPES, RandomWorld, journal, tryton
from tests.unit.checker_world import ROOT, RULES, Row
from tools.checker import Sets

SETS = ("lost", "doubled", "wrong", "unexplained")
SEEDS = strategies.integers(0, 2**32 - 1)  # a failing example shows its seed


def said(sets: Sets) -> Said:
    """What was said: set and name; a keyless entry has one name in both ledgers."""
    found = {(which, name.removeprefix("HAND-")) for which in SETS for name in getattr(sets, which)}
    return found | ({("turnover", "")} if sets.turnover else set())


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shape=strategies.sampled_from(sorted(SHAPES)))
def test_a_clean_world_is_clean(seed: int, shape: str) -> None:
    w = RandomWorld(random.Random(seed))
    months = tuple(w.months())
    sets = w.judge(SHAPES[shape], months)
    assert sets.clean, [dict(getattr(sets, which)) for which in SETS]
    assert set(sets.named) == set(w.held)
    assert sets.moved >= 9
    assert sets.statuses >= 7


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, shape=strategies.sampled_from(sorted(SHAPES)))
def test_a_planted_fault_is_found_where_it_stands(name: str, seed: int, shape: str) -> None:
    w = RandomWorld(random.Random(seed))
    months = tuple(w.months())
    wanted = WAYS[name][1](w)
    found = said(w.judge(SHAPES[shape], months))
    assert wanted <= found
    accused = {who for _, who in found} - {who for _, who in wanted} - {"", STRANGER}
    assert not accused, "and nobody else is accused"


def test_each_kind_has_its_ways_and_stands_in_the_readme() -> None:
    planted = {name for module in (checker_faults, checker_faults_wrong) for name in vars(module)}
    assert set(WAYS) <= planted
    assert set(KINDS) == set(range(1, 13)) == {kind for kind, _ in WAYS.values()}
    text = (ROOT / "tools/checker/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|/]+?) *(?:/[^|]*)?\|[^|]*\| (\d+) \|$", text, flags=re.M)
    ways = Counter(kind for kind, _ in WAYS.values())
    assert {int(number): name for number, name, _ in rows} == KINDS
    assert {int(number): int(count) for number, _, count in rows} == ways


# ---------------------------------------------------------------- no rule can be spared


def _rules(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
    """Statements that say or refuse something: (node, field, index) of each."""
    for node in ast.walk(tree):
        for part in ("body", "orelse"):
            statements = getattr(node, part, None)
            for at, statement in enumerate(statements if isinstance(statements, list) else ()):
                if isinstance(statement, ast.Raise) or (isinstance(statement, ast.Expr) and _says(statement)):
                    yield node, part, at


def _says(statement: ast.Expr) -> bool:
    words = ast.unparse(statement).split("(")[0]
    return bool(re.fullmatch(r"say|self\._say|self\._missing|found\.append|self\.sets\.turnover\.append", words))


MODULES = ("claims", "payments", "compare")


def _names() -> list[str]:
    names = []
    for module in MODULES:
        tree = ast.parse((ROOT / f"tools/checker/{module}.py").read_text(encoding="utf-8"))
        for at, (node, part, index) in enumerate(_rules(tree)):
            words = re.sub(r"\W+", " ", ast.unparse(getattr(node, part)[index]))
            names.append(f"{module}:{at}:{words[:70]}")
    return names


def _without(module: str, rule: int, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The checker with one statement of one of its modules taken away."""
    compare = ModuleType("compare")
    for name in MODULES[MODULES.index(module) :]:
        tree = ast.parse((ROOT / f"tools/checker/{name}.py").read_text(encoding="utf-8"))
        if name == module:
            node, part, at = list(_rules(tree))[rule]
            getattr(node, part)[at] = ast.copy_location(ast.Pass(), getattr(node, part)[at])
        compare = ModuleType(f"tools.checker.{name}")
        monkeypatch.setitem(sys.modules, compare.__name__, compare)
        exec(compile(tree, name, "exec"), compare.__dict__)  # our own source, less a line
    if module == "claims":
        assert compare.minor.__module__ == "tools.checker.claims"
    return compare


@cache
def _planted() -> list[tuple[str, RandomWorld, list[Row], tuple[tuple[str, str], ...], Said]]:
    planted = []
    for seed in range(2):
        for name, (_, plant) in WAYS.items():
            w = RandomWorld(random.Random(seed))
            months = tuple(w.months())
            wanted = plant(w)
            planted.append((name, w, [tryton(row) for row in w.finance], months, wanted))
    return planted


def _unfound(module: ModuleType) -> Iterator[str]:
    """Ways of which something is not said any more, or that make the checker fail."""
    for name, w, finance, months, wanted in _planted():
        try:
            found = said(module.check(w.oa, finance, RULES, w.held, months))
        except Exception as error:  # loud is as good as found: no clean run comes of it
            yield f"{name}: failed with {error!r}"
            continue
        if not wanted <= found:
            yield name


def test_the_whole_checker_finds_all() -> None:
    assert list(_unfound(tools.checker.compare)) == []
    assert len(_names()) >= 25


@pytest.mark.parametrize("name", _names())
def test_without_one_of_its_rules_a_planted_fault_goes_unfound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, rule, _ = name.split(":", 2)
    assert next(_unfound(_without(module, int(rule), monkeypatch)), None), "nothing planted needs this rule"


# ---------------------------------------------------------------- the journals are those of the ledgers


def test_a_world_has_the_shape_of_each_ledgers_journal() -> None:
    w = RandomWorld(random.Random(1))
    voucher = next(v for v in w.finance if v["kind"] == "payment")
    names = set(re.findall(r"'([a-z_]+)', ", _JOURNAL))
    exported = tryton(voucher)
    assert {"seq"} | names == set(exported) | set(exported["lines"][0])
    written = journal(voucher)
    _, entry = Book(companies=frozenset({"*"})).post({**written, "posting_date": written["date"]})
    assert entry is not None
    assert set(entry) == set(written)
    assert set(entry["lines"][0]) == set(written["lines"][0])
    assert {type(value) for value in entry["lines"][0].values()} == {str}
