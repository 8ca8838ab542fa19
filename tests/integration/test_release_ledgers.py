"""Ledgers of an older release, played again on this one: the same vouchers, or a difference with its reason."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tarfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.contract.sandbox_process import ROOT
from tests.unit.mapping_world import canonical, line, payee

RELEASES = ROOT / "tests" / "fixtures" / "releases"
#: Document -> why this release makes another ledger of it. A release that changes vouchers of the past says so here.
EXPLAINED: dict[str, str] = json.loads((RELEASES / "explained.json").read_text(encoding="utf-8"))
SEED, DOCUMENTS = 20261122, 400
LIVES = (
    "submitted approved",
    "submitted approved payment_requested paid",
    "submitted approved rejected",
    "submitted approved withdrawn submitted approved",
    "submitted approved paid rejected submitted approved",
    "submitted saved submitted approved approved",
    "submitted rejected submitted approved rejected submitted approved paid",
    "submitted",
)


def corpus() -> list[dict[str, Any]]:
    """Claims of every life, type, centre and invoice; refunds, nothing at all, codes that nobody knows."""
    chance = random.Random(SEED)
    return [_document(chance, number) for number in range(DOCUMENTS)]


def _document(chance: random.Random, number: int) -> dict[str, Any]:
    lines, total = [], 0
    for _ in range(chance.randint(1, 4)):
        gross = chance.choice([0, chance.randint(1, 500_000), chance.randint(1, 500_000)])
        gross = -gross if total > gross and chance.random() < 0.2 else gross
        total += gross
        rate = chance.choice([3, 6, 9, 13])
        centre = chance.choice(["ADM", "SAL", "PRD", "RND"]) if chance.random() < 0.97 else "XYZ"
        kind = chance.choice(["TRAVEL", "OFFICE", "ENTERTAIN", "WELFARE", "ALLOWANCE"])
        tax, invoice = _money(round(gross * rate / (100 + rate))), chance.choice(["SPECIAL", "ORDINARY", "NONE"])
        lines.append(line(kind, f"CC-{centre}-01", _money(gross), tax, f"0.{rate:02}", invoice))
    first = chance.randint(0, total)
    payees = [payee("E0007", _money(first)), payee("S0003", _money(total - first))]
    at = datetime.fromisoformat("2026-01-01T09:00:00") + timedelta(days=chance.randint(0, 300))
    log = []
    for step, event in enumerate(chance.choice(LIVES).split()):
        at += timedelta(hours=chance.randint(1, 200))
        log.append([str(number * 100 + step), event, at.isoformat()])
    company = chance.choice(["1000", "2000"])
    content = canonical(lines, payees, hdje=_money(total), bzje=_money(total), gsdm=company).decode()
    return {
        **{"document_id": str(90_000 + number), "company": company, "number": f"BX{number:04}"},
        **{"canonical": content, "log": log},
    }


def _money(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02}"


def ledger_of(tree: Path, documents: list[dict[str, Any]]) -> dict[str, list[list[str]]]:
    """What the release that lies in ``tree`` makes of them."""
    given = json.dumps({"plugins": str(tree / "plugins"), "include": str(tree / "include")})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("release_ledger.py")), given],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[list[str]]] = json.loads(done.stdout)
    return found


def test_a07_ledgers_of_an_older_release_come_out_the_same_or_explained(tmp_path: Path) -> None:
    with tarfile.open(RELEASES / "hub-0001.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    documents = corpus()
    old, new = ledger_of(tmp_path, documents), ledger_of(ROOT, documents)
    kinds = {row[1] for rows in old.values() for row in rows}
    assert kinds == {"expense", "payment", "reversal", "problem"}, "the corpus went everywhere"
    assert sum(len(rows) for rows in old.values()) > DOCUMENTS
    differs = {name for name in old if old[name] != new[name]}
    assert differs == set(EXPLAINED), {name: (old[name], new[name]) for name in sorted(differs)[:3]}
    assert all(EXPLAINED.values()), "a difference without its reason"
