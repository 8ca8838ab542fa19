"""The checker holds an audit pack of the hub against finance's journal: clean as it is, red wherever it was touched."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finbridge.cli import pack_verifier
from finbridge.flows.audit_pack import write_pack

from tests.contract.sandbox_process import ROOT
from tests.integration.claim_world import ClaimWorld, claim
from tests.integration.peer_world import PAY, RECALL
from tools.checker.audit import examine

RULES = json.loads((ROOT / "tools/checker/expense_claim.json").read_text(encoding="utf-8"))
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(claim_world: ClaimWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A small run with its journals and its pack: the folder, the manifest's hash, the newest anchor."""
    ids = claim_world.impose([claim() for _ in range(4)])
    claim_world.settle(ids)
    claim_world.impose([{"request_id": ids[0], **PAY}, {"request_id": ids[1], **RECALL}])
    claim_world.settle(ids)
    folder = tmp_path_factory.mktemp("audited")
    for name, process in (("oa", claim_world.oa), ("finance", claim_world.finance)):
        found = process.control("GET", "/journal?limit=1000000")
        write(folder / f"{name}.jsonl", found)
    packed = write_pack(claim_world.hub.audit, folder / "pack", Path(pack_verifier.__file__), period="2026-11")
    assert packed.vouchers == 6
    return folder, packed.manifest, str(claim_world.hub.audit.verify().newest)


def write(path: Path, found: Rows) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")


def read(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_command_is_green_for_an_untouched_pack_and_red_without_its_anchor(run: tuple[Path, str, str]) -> None:
    folder, manifest, anchor = run
    command = [sys.executable, "-m", "tools.checker", "--oa", str(folder / "oa.jsonl")]
    command += ["--finance", str(folder / "finance.jsonl"), "--audit", str(folder / "pack"), "--audit-manifest"]

    def checked(*more: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            [*command, *more, "--json"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, json.loads(done.stdout)["tampered"]

    assert checked(manifest, "--audit-anchor", anchor) == (0, [])
    code, tampered = checked("0" * 64)
    assert code == 1 and tampered
    number, _, chain = anchor.split(":")
    assert checked(manifest, "--audit-anchor", f"{int(number) + 9}:{'0' * 64}:{chain}")[0] == 1


def lines_of(rows: Rows) -> Rows:
    lines: Rows = next(row for row in rows if row["kind"] == "expense")["lines"]
    return lines


IN_FINANCE: dict[str, Callable[[Rows], object]] = {
    "another amount": lambda rows: [line.update(debit="1.00") for line in lines_of(rows)[:1]],
    "another account": lambda rows: lines_of(rows)[0].update(account="660299"),
    "another number": lambda rows: rows[0].update(number="记-2026-999999"),
    "another day": lambda rows: rows[0].update(date="2026-11-29"),
    "gone": lambda rows: rows.pop(0),
    "one more": lambda rows: rows.append({**rows[0], "key": "E999"}),
}


@pytest.mark.parametrize("name", IN_FINANCE)
def test_what_finance_shows_otherwise_is_named(name: str, run: tuple[Path, str, str]) -> None:
    folder, manifest, _ = run
    finance = read(folder / "finance.jsonl")
    assert examine(folder / "pack", finance, RULES, manifest=manifest) == []
    IN_FINANCE[name](finance)
    (said,) = examine(folder / "pack", finance, RULES, manifest=manifest)
    assert "finance" in said


def _first(name: str, column: str, value: str) -> Callable[[Path], None]:
    def touch(pack: Path) -> None:
        rows = read(pack / name)
        rows[0]["values"][column] = value
        write(pack / name, rows)

    return touch


def _seal(pack: Path) -> None:
    rows = read(pack / "seals.jsonl")
    rows[-1]["body"] = rows[-1]["body"].replace('"number"', '"number" ')
    write(pack / "seals.jsonl", rows)


def _seal_of_another_chain(pack: Path) -> None:
    """Hashed as it should be: only the seal before tells it."""
    rows = read(pack / "seals.jsonl")
    body = json.loads(rows[-1]["body"])
    text = json.dumps({**body, "number": body["number"] + 1, "previous": "0" * 64}, sort_keys=True)
    rows.append({"body": text, "hash": hashlib.sha256(text.encode()).hexdigest()})
    write(pack / "seals.jsonl", rows)


IN_PACK: dict[str, Callable[[Path], None]] = {
    "an event": _first("evidence/trail.jsonl", "actor", "nobody"),
    "an amount": _first("standing/voucher_line.jsonl", "local_amount_minor", "1"),
    "a number": _first("standing/voucher.jsonl", "finance_number", "记-2026-999999"),
    "a seal": _seal,
    "a seal of another chain": _seal_of_another_chain,
    "no seal": lambda pack: write(pack / "seals.jsonl", []),
}


@pytest.mark.parametrize("content", [False, True], ids=["its verifier", "a verifier that is always content"])
@pytest.mark.parametrize("name", IN_PACK)
def test_a_pack_that_was_touched_and_made_to_fit_is_named(
    name: str, content: bool, run: tuple[Path, str, str], tmp_path: Path
) -> None:
    folder, _, _ = run
    pack = tmp_path / "pack"
    shutil.copytree(folder / "pack", pack)
    IN_PACK[name](pack)
    if content:
        (pack / "verify.py").write_text("print('fine')\n", encoding="utf-8")
    about = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    about["files"] = {file: hashlib.sha256((pack / file).read_bytes()).hexdigest() for file in about["files"]}
    (pack / "manifest.json").write_text(json.dumps(about), encoding="utf-8")
    said = examine(pack, read(folder / "finance.jsonl"), RULES)
    assert said
    assert not content or not any(line.startswith("verify.py") for line in said)
