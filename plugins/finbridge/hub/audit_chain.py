"""The chain by itself: seals link to each other, leaves give their roots, anchors are still there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from psycopg import Connection, Cursor

from finbridge.core.audit import NO_SEAL, Anchor, root, seal_hash
from finbridge.hub import audit_tables

_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was touched.

    Args:
        field: the columns, joined by ``, ``; empty where a whole row is meant.
        what: altered, removed, added, reordered, cut, foreign, unexplained, more.
        where: seal and leaf; of ``foreign`` the login.
        row: the row's key.
    """

    table: str
    document_id: str
    field: str
    what: str
    where: str = ""
    row: str = ""


@dataclass(slots=True)
class ChainEnd:
    """What was read of the chain."""

    seals: int = 0
    leaves: int = 0
    horizon: int = 0
    opened: bool = False
    system: str = ""
    newest: Anchor | None = None
    hashes: dict[int, str] = field(default_factory=dict)

    def same_cluster(self, cursor: Cursor) -> bool:
        """Whether the newest seal was made in this cluster: elsewhere transactions are numbered otherwise."""
        found = cursor.execute(audit_tables.SYSTEM).fetchone()
        return not self.system or (found is not None and found[0] == self.system)


@dataclass(frozen=True, slots=True)
class _Seal:
    number: int
    horizon: int
    raw: bytes
    hash: str

    @property
    def body(self) -> dict[str, Any]:
        """What it says; nothing where it is no JSON any more."""
        try:
            found = json.loads(self.raw)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def check_chain(connection: Connection, anchors: Sequence[Anchor], findings: list[Finding]) -> ChainEnd:
    """Read all seals and leaves in their order."""
    end = ChainEnd()
    wanted = {anchor.number for anchor in anchors}
    leaves = _leaves(connection)
    waiting = next(leaves, None)
    first, previous = "", NO_SEAL
    for seal, following in _with_next(_seals(connection)):
        for number in range(end.seals + 1, seal.number):
            findings.append(Finding("audit_seal", "", "", "removed", where=f"seal {number}"))
        _check_seal(seal, previous, following, findings)
        while waiting is not None and waiting[0] < seal.number:
            findings.append(Finding("audit_leaf", "", "seal_no", "added", where=f"seal {waiting[0]}"))
            waiting = next(leaves, None)
        mine: list[tuple[int, bytes]] = []
        if waiting is not None and waiting[0] == seal.number:
            mine, waiting = waiting[1], next(leaves, None)
        _check_leaves(seal, mine, findings)
        end.leaves += len(mine)
        computed = seal_hash(seal.raw).hex()  # of a seal whose hash was touched, one finding is enough
        previous = computed if following and following.body.get("previous") == computed else seal.hash
        first = first or seal.hash
        if seal.number in wanted:
            end.hashes[seal.number] = seal.hash
        _note(end, seal, first)
    if waiting is not None:
        findings.append(Finding("audit_leaf", "", "seal_no", "added", where=f"seal {waiting[0]}"))
    _check_anchors(end, anchors, findings)
    return end


def _note(end: ChainEnd, seal: _Seal, first: str) -> None:
    body = seal.body
    end.seals = seal.number
    end.newest = Anchor(chain=first, number=seal.number, hash=seal.hash)
    end.horizon = seal.horizon
    end.system = str(body.get("system", end.system))
    end.opened = end.opened or body.get("kind") != "opening" or bool(body.get("done"))


def _check_seal(seal: _Seal, previous: str, following: _Seal | None, findings: list[Finding]) -> None:
    """Which part of a seal was touched, the seal after it is witness; of the newest one nobody knows but anchors."""
    body = seal.body
    computed = seal_hash(seal.raw).hex()
    touched = ""
    if computed != seal.hash:
        witness = following.body.get("previous") if following else None
        touched = {computed: "hash", seal.hash: "body"}.get(str(witness), "body or hash")
    elif body.get("previous") != previous:
        touched = "previous"
    elif body.get("number") != seal.number:
        touched = "seal_no"
    elif body.get("horizon") != str(seal.horizon):
        touched = "horizon"
    if touched:
        findings.append(Finding("audit_seal", "", touched, "altered", where=f"seal {seal.number}"))


def _check_leaves(seal: _Seal, mine: list[tuple[int, bytes]], findings: list[Finding]) -> None:
    body, where = seal.body, f"seal {seal.number}"
    if [position for position, _ in mine] != list(range(len(mine))):
        findings.append(Finding("audit_leaf", "", "position", "reordered", where=where))
    elif len(mine) != body.get("rows"):
        said = body.get("rows")
        what = "removed" if isinstance(said, int) and len(mine) < said else "added"
        findings.append(Finding("audit_leaf", "", "", what, where=where))
    elif root([leaf for _, leaf in mine]).hex() != body.get("root"):
        findings.append(Finding("audit_leaf", "", "leaf, position or the seal's root", "reordered", where=where))


def _check_anchors(end: ChainEnd, anchors: Sequence[Anchor], findings: list[Finding]) -> None:
    chain = end.newest.chain if end.newest else ""
    for anchor in anchors:
        where = f"seal {anchor.number}"
        if anchor.chain != chain:
            findings.append(Finding("audit_seal", "", "hash", "cut", where="seal 1"))
        elif anchor.number not in end.hashes:
            findings.append(Finding("audit_seal", "", "", "cut", where=where))
        elif end.hashes[anchor.number] != anchor.hash:
            findings.append(Finding("audit_seal", "", "hash", "cut", where=where))
        else:
            continue
        return  # what follows a cut says nothing more


def _with_next(seals: Iterator[_Seal]) -> Iterator[tuple[_Seal, _Seal | None]]:
    """Each with the one after it."""
    held = next(seals, None)
    while held is not None:
        following = next(seals, None)
        yield held, following
        held = following


def _seals(connection: Connection) -> Iterator[_Seal]:
    with connection.cursor("audit_seals") as cursor:
        cursor.itersize = _PAGE
        cursor.execute("SELECT seal_no, horizon, body, hash FROM hub.audit_seal ORDER BY seal_no")
        for number, horizon, body, found in cursor:
            yield _Seal(number, horizon, bytes(body), bytes(found).hex())


def _leaves(connection: Connection) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
    """Seal number -> (position, leaf) in order."""
    with connection.cursor("audit_leaves") as cursor:
        cursor.itersize = _PAGE
        cursor.execute("SELECT seal_no, position, leaf FROM hub.audit_leaf ORDER BY seal_no, position")
        for number, rows in groupby(cursor, key=lambda row: row[0]):
            yield number, [(position, bytes(leaf)) for _, position, leaf in rows]
