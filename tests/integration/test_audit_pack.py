"""A pack is checked by a program that needs only the standard library, and a pack that was touched is refused."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random, randrange
from typing import Any

import pytest
from finbridge.cli import pack_verifier
from finbridge.core.errors import GiveUp
from finbridge.core.ports import CodeRow
from finbridge.flows.audit_pack import Packed, write_pack
from finbridge.hub import PostgresHub
from finbridge.hub.audit_tables import CHANGING, SHAPES

from tests.hub_world import APPROVED, PAID, REJECTED, World, document

VERIFIER = Path(pack_verifier.__file__)
PERIOD = "2026-03"


@pytest.fixture(scope="module")
def register(hub: PostgresHub) -> PostgresHub:
    from datetime import date

    world = World(hub, "packed")
    hub.audit.seal()
    row = CodeRow(table="accounts", company="", code="差旅", target="660201", valid_from=date(2026, 1, 1))
    hub.load_codes("packed", [row], maker="maker", checker="checker")
    world.post(document("1", *PAID), document("2", *APPROVED), document("9", *APPROVED, company="2000"))
    world.write_back()
    world.post(document("2", *REJECTED))
    world.post(document("3", *PAID, amount="12.34"))
    return hub


@pytest.fixture(scope="module")
def written(register: PostgresHub, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Packed]:
    folder = tmp_path_factory.mktemp("audit") / "pack"
    return folder, write_pack(register.audit, folder, VERIFIER, period=PERIOD, company="1000")


@pytest.fixture
def pack(written: tuple[Path, Packed], tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "pack"
    shutil.copytree(written[0], folder)
    yield folder
    shutil.rmtree(folder)


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """As an auditor runs it: isolated, without site packages, from the pack's own folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "verify.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONIOENCODING": "utf-8"},
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def write_manifest_anew(folder: Path) -> None:
    """What somebody would do who touches a pack and knows how it is made."""
    path = folder / "manifest.json"
    about = json.loads(path.read_bytes())
    about["files"] = {
        each.relative_to(folder).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(folder.rglob("*"))
        if each.is_file() and each != path
    }
    path.write_text(json.dumps(about), encoding="utf-8")


def change(folder: Path, name: str, touch: Callable[[list[dict[str, Any]]], object]) -> None:
    """Touch the rows of one file, and make the manifest fit."""
    path = folder / name
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    touch(rows)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    write_manifest_anew(folder)


def test_a_pack_is_whole_and_its_vouchers_can_be_rebuilt(written: tuple[Path, Packed], register: PostgresHub) -> None:
    folder, done = written
    newest = register.audit.verify().newest
    code, text = run(folder, "--manifest", done.manifest, "--anchor", str(newest))
    assert (code, done.documents, done.vouchers) == (0, 3, 6), text
    assert done.manifest in text
    heads = (folder / "vouchers.csv").read_text(encoding="utf-8-sig")
    assert "记-2026-00000" in heads
    assert "2000" not in {line.split(",")[1] for line in heads.splitlines()[1:]}
    sources = {path.name.split("-")[0] for path in (folder / "sources").iterdir()}
    assert sources == {"1", "2", "3"}


def test_the_verifier_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(VERIFIER.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert len(names) > 5
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_verifier_knows_the_columns_that_are_sealed() -> None:
    assert {shape.name: list(shape.columns) for shape in SHAPES} == pack_verifier.SHAPES
    assert {each.table: list(each.columns) for each in CHANGING} == pack_verifier.IMAGES


def test_names_and_accounts_stay_out_unless_they_are_asked_for(
    written: tuple[Path, Packed], register: PostgresHub, tmp_path: Path
) -> None:
    whole = b"".join(path.read_bytes() for path in written[0].rglob("*") if path.is_file())
    assert "张三丰".encode() not in whole
    assert b"6222020200001111" not in whole
    assert b'"withheld"' in whole
    folder = tmp_path / "wire"
    done = write_pack(register.audit, folder, VERIFIER, period=PERIOD, wire=True)
    assert done.documents == 4
    assert b'"withheld"' not in b"".join(path.read_bytes() for path in folder.rglob("*.jsonl"))
    assert run(folder)[0] == 0


def test_a_flipped_byte_in_any_file_is_found(pack: Path, written: tuple[Path, Packed]) -> None:
    seed = randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown where the test fails
    chance = Random(seed)
    files = [path for path in pack.rglob("*") if path.is_file() and path.name not in {"verify.py", "manifest.json"}]
    assert len(files) > 15
    for path in files:
        raw = bytearray(path.read_bytes())
        at = chance.randrange(len(raw))
        raw[at] ^= 1
        path.write_bytes(raw)
        code, text = run(pack)
        raw[at] ^= 1
        path.write_bytes(raw)
        assert code == 1, path
        assert path.name in text
    assert run(pack) == run(written[0])


def swap_columns(rows: list[dict[str, Any]]) -> None:
    values = rows[0]["values"]
    rows[0]["values"] = dict(zip(values, reversed(values.values()), strict=True))


def rename_columns(rows: list[dict[str, Any]]) -> None:
    other = {"maker": "checker", "checker": "maker"}
    rows[0]["values"] = {other.get(name, name): value for name, value in rows[0]["values"].items()}


def take_away(rows: list[dict[str, Any]], column: str, value: str) -> None:
    rows.remove(next(row for row in rows if row["values"][column] == value))


TOUCHES: dict[str, tuple[str, Callable[[list[dict[str, Any]]], object]]] = {
    "an amount": ("standing/voucher_line.jsonl", lambda rows: rows[0]["values"].update(amount_minor="1")),
    "a state": ("standing/voucher.jsonl", lambda rows: rows[0]["values"].update(state="posted")),
    "a line gone": ("standing/voucher_line.jsonl", lambda rows: rows.pop()),
    "a voucher gone": ("standing/voucher.jsonl", lambda rows: rows.pop()),
    "a voucher twice": ("standing/voucher.jsonl", lambda rows: rows.append({**rows[0], "row_key": '["X"]'})),
    "who": ("evidence/trail.jsonl", lambda rows: rows[0]["values"].update(actor="nobody")),
    "an event gone": ("evidence/trail.jsonl", lambda rows: take_away(rows, "action", "accepted")),
    "an event twice": ("evidence/trail.jsonl", lambda rows: rows.append(rows[0])),
    "columns swapped": ("evidence/code_history.jsonl", swap_columns),
    "a column renamed": ("evidence/code_history.jsonl", rename_columns),
    "a note": ("evidence/audit_change.jsonl", lambda rows: rows[-1]["values"].update(starts="1")),
    "a note gone": ("evidence/audit_change.jsonl", lambda rows: take_away(rows, "table_name", "voucher_line")),
    "a seal": ("seals.jsonl", lambda rows: rows[-1].update(body=rows[-1]["body"].replace("batch", "catch"))),
    "a seal gone": ("seals.jsonl", lambda rows: rows.pop()),
    "wire bytes": ("evidence/inbox.jsonl", lambda rows: rows[0]["values"]["raw"].update(withheld="0" * 64)),
    "content": ("evidence/document_version.jsonl", lambda rows: rows[0]["values"]["canonical"].update(base64="e30=")),
}  # fmt: skip


@pytest.mark.parametrize("touched", TOUCHES)
def test_a_pack_that_was_touched_with_care_is_refused(pack: Path, touched: str) -> None:
    name, touch = TOUCHES[touched]
    change(pack, name, touch)
    code, text = run(pack)
    assert code == 1, text


def test_another_manifest_or_an_older_chain_is_refused(
    pack: Path, written: tuple[Path, Packed], register: PostgresHub
) -> None:
    newest = register.audit.verify().newest
    assert newest
    later = f"{newest.number + 5}:{'0' * 64}:{newest.chain}"
    assert run(pack, "--anchor", str(newest))[0] == 0
    assert run(pack, "--anchor", later)[0] == 1
    assert run(pack, "--anchor", f"{newest.number}:{'0' * 64}:{newest.chain}")[0] == 1
    write_manifest_anew(pack)
    assert run(pack)[0] == 0
    assert run(pack, "--manifest", written[1].manifest)[0] == 1


def test_what_is_asked_wrongly_is_said(register: PostgresHub, tmp_path: Path) -> None:
    for period, code in (("2026-3", "audit_period"), ("2031-01", "audit_pack_empty")):
        with pytest.raises(GiveUp) as stopped:
            write_pack(register.audit, tmp_path / "none", VERIFIER, period=period)
        assert stopped.value.code == code
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(GiveUp, match="full"):
        write_pack(register.audit, tmp_path / "full", VERIFIER, period=PERIOD)
