"""The house rules that prose alone would not keep. Each guard proves first that it saw something."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("plugins", "dags", "sandbox", "tools", "tests", "ledger", "bench")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70


def python_files(*rooms: str) -> list[Path]:
    found = [path for room in rooms or ROOMS for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts]
    assert found, f"no Python files seen in {rooms or ROOMS}"
    return sorted(found)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def imported_roots(path: Path) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            roots.add(node.module.split(".")[0])
    return roots


def test_files_are_small_rooms() -> None:
    long = {
        name_of(p): n for p in python_files() if (n := len(p.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_functions_do_one_thing() -> None:
    long = {
        f"{name_of(path)}:{node.name}": length
        for path in python_files()
        for node in functions(ast.parse(path.read_text(encoding="utf-8")))
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_airflow_loads_one_plugin_file() -> None:
    assert (ROOT / "plugins/.airflowignore").read_text().split() == ["finbridge/"]
    assert [p.name for p in (ROOT / "plugins").glob("*.py")] == ["finbridge_plugin.py"]


def test_no_module_is_named_like_the_standard_library_at_the_top() -> None:
    tops = [path for room in ("plugins", "dags") for path in (ROOT / room).glob("*.py")]
    assert tops
    assert [name_of(p) for p in tops if p.stem in sys.stdlib_module_names] == []


def test_include_is_data_only() -> None:
    files = [p for p in (ROOT / "include").rglob("*") if p.is_file()]
    assert files
    assert [name_of(p) for p in files if p.suffix == ".py"] == []


def test_sandbox_checker_and_product_share_nothing() -> None:
    assert [name_of(p) for p in python_files("sandbox") if imported_roots(p) & {"finbridge", "tools"}] == []
    assert [name_of(p) for p in python_files("tools/checker") if imported_roots(p) & {"finbridge", "sandbox"}] == []
    assert [name_of(p) for p in python_files("plugins") if imported_roots(p) & {"sandbox", "tools", "tests"}] == []


def test_the_checker_needs_only_the_standard_library() -> None:
    foreign = {
        name_of(p): sorted(imported_roots(p) - sys.stdlib_module_names - {"tools", "__future__"})
        for p in python_files("tools/checker")
    }
    assert foreign
    assert all(not names for names in foreign.values()), foreign


@pytest.mark.parametrize("mark", ["noqa", "type: ignore", "pragma: no cover"])
def test_an_exemption_carries_its_reason(mark: str) -> None:
    bare = []
    seen = 0
    for path in python_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            seen += 1
            found = re.search(rf"#\s*{re.escape(mark)}\b[^#]*?(#\s*\S.*|\s[-–—]\s*\S.*)?$", line)
            if found and path != Path(__file__) and found.group(1) is None and not _reason_above(path, number):
                bare.append(f"{name_of(path)}:{number}")
    assert seen > 100
    assert bare == []


def _reason_above(path: Path, number: int) -> bool:
    lines = path.read_text(encoding="utf-8").splitlines()
    return number >= 2 and lines[number - 2].lstrip().startswith("#")


ACTIVITY = re.compile(r"\b(SUBMITTED|SAVED|APPROVED|REJECTED) by [A-Z]|Payment Handled|Request Payment|Permit ")


def test_no_activity_of_a_log_stands_in_the_product() -> None:
    assert [name_of(p) for p in python_files("plugins") if ACTIVITY.search(p.read_text(encoding="utf-8"))] == []


def test_every_test_can_fail() -> None:
    idle = []
    for path in (p for p in python_files("tests") if p.name.startswith("test_")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        proofs = {node.name for node in functions(tree) if not node.name.startswith("test_") and _asserts(node)}
        for node in functions(tree):
            if node.name.startswith("test_") and not _asserts(node, proofs):
                idle.append(f"{name_of(path)}:{node.name}")
    assert idle == []


def _asserts(node: ast.AST, proofs: frozenset[str] | set[str] = frozenset()) -> bool:
    for child in ast.walk(node):
        if isinstance(child, ast.Assert):
            return True
        if isinstance(child, ast.Call):
            called = ast.unparse(child.func)
            if (
                called in proofs
                or called.endswith("raises")
                or re.search(r"(^|[._])(assert|check|expect|must|prove)[a-z_]*$", called)
            ):
                return True
    return False


def test_skips_state_their_reason() -> None:
    bare = []
    for path in python_files("tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "pytest.skip",
                "pytest.mark.skip",
                "pytest.mark.xfail",
            }:
                words = [*node.args, *(k.value for k in node.keywords if k.arg == "reason")]
                if not words:
                    bare.append(f"{name_of(path)}:{node.lineno}")
    assert bare == []


def test_the_readme_names_only_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"`make ([a-z][a-z-]*)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named
    assert named <= targets


def test_documents_link_to_files_that_exist() -> None:
    broken = []
    seen = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            seen += 1
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{name_of(page)} -> {target}")
    assert seen
    assert broken == []


def test_locks_carry_hashes() -> None:
    for lock in ("requirements.txt", "requirements-dev.txt", "ledger/requirements.txt"):
        text = (ROOT / lock).read_text()
        pins = re.findall(r"^[a-zA-Z0-9_.\[\]-]+==", text, flags=re.M)
        assert pins
        assert len(re.findall(r"--hash=sha256:", text)) >= len(pins)
        assert "http://" not in text and "https://" not in text
