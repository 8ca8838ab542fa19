"""An audit pack of the hub held against finance's journal: by its own hashes, by its own verifier, by what was posted.

Written from the description of the pack's format (docs/audit.md), not from the program that writes it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tools.checker.claims import Row, minor

_SIDES = {"D": "debit", "C": "credit"}
_HEAD = {"company": "company", "number": "finance_number", "date": "posting_date", "currency": "currency"}


def examine(
    pack: Path, finance_rows: Iterable[Row], rules: Row, *, manifest: str | None = None, anchors: Iterable[str] = ()
) -> list[str]:
    """What in a pack was touched, or differs from what finance shows; a line each.

    Args:
        pack: the folder.
        finance_rows: finance's journal.
        rules: the rules file, for the decimals of currencies.
        manifest: the manifest's hash as it was printed when the pack was written.
        anchors: ``number:hash:chain``, kept apart from the register.
    """
    try:
        found = [*_sealed(pack), *_posted(pack, list(finance_rows), rules)]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        found = [f"the pack cannot be read: {type(error).__name__} {error}"]
    return found + _by_its_verifier(pack, manifest, anchors)


def _by_its_verifier(pack: Path, manifest: str | None, anchors: Iterable[str]) -> list[str]:
    """The pack's own program, isolated from everything that is installed here."""
    command = [sys.executable, "-I", "-S", "-B", "verify.py", *(["--manifest", manifest] if manifest else [])]
    for anchor in anchors:
        command += ["--anchor", anchor]
    try:
        done = subprocess.run(
            command, cwd=pack, capture_output=True, check=False, timeout=600, env={"PYTHONIOENCODING": "utf-8"}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"verify.py: {type(error).__name__}"]
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    return [] if done.returncode == 0 else [f"verify.py: {line}" for line in lines[-20:] or ["no answer"]]


# ---------------------------------------------------------------- seals


def _sealed(pack: Path) -> Iterator[str]:
    """Seals follow each other, and each row leads to the root of its seal."""
    roots: dict[int, str] = {}
    before: tuple[int, str] | None = None
    for seal in _rows(pack / "seals.jsonl"):
        body = json.loads(seal["body"])
        if hashlib.sha256(seal["body"].encode()).hexdigest() != seal["hash"]:
            yield f"seal {body['number']} was changed"
        if before is not None and before != (body["number"] - 1, body["previous"]):
            yield f"seal {body['number']} does not follow {before[0]}"
        before = (body["number"], seal["hash"])
        roots[body["number"]] = body["root"]
    if not roots:
        yield "the pack has no seal"
    for path in sorted((pack / "evidence").glob("*.jsonl")):
        for row in _rows(path):
            if _root(row) != roots.get(row["seal"]):
                yield f"{path.stem} {row['document_id']} {row['row_key']} does not lead to its seal"


def _root(row: Row) -> str:
    head = "".join(f"{row[name]}\n" for name in ("shape", "row_key", "document_id")).encode()
    leaf = hashlib.sha256(head + b"".join(_digest(value) for value in row["values"].values())).digest()
    node = hashlib.sha256(b"\x00" + leaf).digest()
    for side, neighbour in row["way"]:
        pair = (bytes.fromhex(neighbour), node) if side == "L" else (node, bytes.fromhex(neighbour))
        node = hashlib.sha256(b"\x01" + b"".join(pair)).digest()
    return node.hex()


def _digest(value: object) -> bytes:
    if value is None:
        return hashlib.sha256(b"\x00").digest()
    if isinstance(value, Mapping):
        if "withheld" in value:
            return bytes.fromhex(value["withheld"])
        return hashlib.sha256(b"\x01" + base64.b64decode(value["base64"])).digest()
    return hashlib.sha256(b"\x01" + str(value).encode()).digest()


# ---------------------------------------------------------------- what finance shows of it


def _posted(pack: Path, finance: list[Row], rules: Row) -> Iterator[str]:
    """Each voucher that the hub shows with a number stands in finance so, and finance has no other of that period."""
    about = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    heads = {row["values"]["key"]: row["values"] for row in _rows(pack / "standing" / "voucher.jsonl")}
    lines: dict[str, Counter[tuple[str, str, str]]] = {key: Counter() for key in heads}
    for row in _rows(pack / "standing" / "voucher_line.jsonl"):
        value = row["values"]
        entry = (value["account"], _SIDES[value["side"]], value["party"] or "")
        lines[value["key"]][entry] += int(value["local_amount_minor"])
    shown = {row["key"]: row for row in finance if row["key"]}
    for key, head in heads.items():
        if head["finance_number"]:
            yield from _compare(head, lines[key], shown.get(key), rules)
    for key, entry_of in shown.items():
        of_pack = entry_of["period"] == about["period"] and about["company"] in ("", entry_of["company"])
        if of_pack and entry_of["kind"] in ("expense", "payment", "reversal") and key not in heads:
            yield f"{key} stands in finance as {entry_of['number']} and not in the pack"


def _compare(head: Row, lines: Counter[tuple[str, str, str]], row: Row | None, rules: Row) -> Iterator[str]:
    name = f"{head['document_id']} {head['key']}"
    if row is None:
        yield f"{name}: the hub says {head['finance_number']}, finance has no such key"
        return
    for theirs, ours in _HEAD.items():
        if row[theirs] != head[ours]:
            yield f"{name}: {theirs} {row[theirs]} in finance, {head[ours]} in the hub"
    has: Counter[tuple[str, str, str]] = Counter()
    for line in row["lines"]:
        for side in _SIDES.values():
            has[(line["account"], side, line.get("party") or "")] += minor(line[side], row["currency"], rules)
    if {k: n for k, n in has.items() if n} != {k: n for k, n in lines.items() if n}:
        yield f"{name}: its lines are others in finance than in the hub"


def _rows(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            yield json.loads(line)
