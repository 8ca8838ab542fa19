"""``python -m tools.checker --oa OA.jsonl --finance FINANCE.jsonl --rules RULES.json``: the four sets of two journals.

Exit code 0: all sets are empty and enough documents moved. 1: a set is not empty. 2: an idle run, which proves nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tools.checker import Sets, check
from tools.checker.audit import examine

SETS = ("lost", "doubled", "wrong", "unexplained")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise SystemExit(f"{path}:{number}: {error}") from None


def read_held(path: Path | None) -> dict[str, list[str]]:
    """``document_id reason`` a line; the rest of a line and lines that begin with # are for people."""
    held: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path else ():
        words = line.split()
        if words and not words[0].startswith("#"):
            held.setdefault(words[0], []).append(words[1] if len(words) > 1 else "no_reason")
    return held


def as_json(sets: Sets) -> dict[str, Any]:
    """Sets and sums; amounts in minor units."""
    sums = {" ".join(key): dict(counter) for key, counter in sorted(sets.sums.items())}
    named = {name: dict(sorted(getattr(sets, name).items())) for name in (*SETS, "named")}
    moved = {"moved": sets.moved, "moved_in": dict(sorted(sets.moved_in.items()))}
    return {
        **named,
        "turnover": sets.turnover,
        "tampered": sets.tampered,
        "sums_minor": sums,
        **moved,
        "statuses": sets.statuses,
    }


def print_text(sets: Sets, decimals: dict[str, int]) -> None:
    """The same for people, amounts in the currency's own units."""
    for name in (*SETS, "named"):
        found = getattr(sets, name)
        print(f"{name}: {len(found)}")
        for document_id, reasons in sorted(found.items()):
            print(f"  {document_id}: {'; '.join(reasons)}")
    for name in ("turnover", "tampered"):
        for line in getattr(sets, name):
            print(f"{name}: {line}")
    for (company, currency), counter in sorted(sets.sums.items()):
        amounts = {what: Decimal(n).scaleb(-decimals.get(currency, 2)) for what, n in sorted(counter.items())}
        print(f"company {company} {currency}: " + ", ".join(f"{what} {n:,}" for what, n in amounts.items()))
    periods = ", ".join(f"{period} {count}" for period, count in sorted(sets.moved_in.items()))
    print(f"documents moved: {sets.moved}" + (f" (by period: {periods})" if periods else ""))
    print(f"payment statuses in the OA: {sets.statuses}")


def too_few(sets: Sets, minimum: int, of_period: list[tuple[str, int]]) -> list[str]:
    """What moved less than its minimum, in words."""
    asked = [("documents", sets.moved, minimum)]
    asked += [(f"documents of {period}", sets.moved_in[period], count) for period, count in of_period]
    return [f"only {has} {what} moved, {least} are needed" for what, has, least in asked if has < least]


def period_minimum(text: str) -> tuple[str, int]:
    """``2026-10=1500``."""
    period, _, count = text.partition("=")
    return period, int(count)


def status_month(text: str) -> tuple[str, str]:
    """``1000=2026-10``."""
    company, _, period = text.partition("=")
    return company, period


def main() -> int:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m tools.checker", description=__doc__)
    parser.add_argument("--oa", type=Path, required=True)
    parser.add_argument("--finance", type=Path, required=True)
    parser.add_argument("--rules", type=Path, default=Path(__file__).with_name("expense_claim.json"))
    parser.add_argument("--held", type=Path)
    parser.add_argument("--minimum", type=int, default=1)
    parser.add_argument("--minimum-of", type=period_minimum, action="append", default=[], metavar="PERIOD=N")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--status-month", type=status_month, action="append", default=[], metavar="COMPANY=PERIOD")
    parser.add_argument("--audit", type=Path, metavar="PACK", help="an audit pack of the hub, held against --finance")
    parser.add_argument("--audit-manifest", metavar="HASH", help="of its manifest, kept apart")
    parser.add_argument("--audit-anchor", action="append", default=[], metavar="N:HASH:CHAIN")
    args = parser.parse_args()
    rules = json.loads(args.rules.read_text(encoding="utf-8"))
    sets = check(rows(args.oa), rows(args.finance), rules, read_held(args.held), args.status_month)
    if args.audit:
        sets.tampered += examine(
            args.audit, rows(args.finance), rules, manifest=args.audit_manifest, anchors=args.audit_anchor
        )
    print(json.dumps(as_json(sets), ensure_ascii=False)) if args.json else print_text(sets, rules["decimals"])
    short = too_few(sets, args.minimum, args.minimum_of)
    if sets.clean and short:
        print(f"{'; '.join(short)}: this proves nothing", file=sys.stderr)
        return 2
    return 0 if sets.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
