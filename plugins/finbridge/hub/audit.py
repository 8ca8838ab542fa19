"""Sealing: rows of append-only evidence become leaves, batches of leaves become seals, each seal names the one before.

A row is sealed once every transaction that began before its own has ended: below that horizon nothing can show up late,
whatever the order of numbers or commits. One sealer at a time; it holds nothing that a writer waits for.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from psycopg import Cursor, sql

from finbridge.core.audit import NO_SEAL, Anchor, canonical, root, seal_hash
from finbridge.core.errors import NeedsHuman
from finbridge.hub import audit_tables
from finbridge.hub.audit_pack import PackReader, reading
from finbridge.hub.audit_tables import SHAPES, TEXT_FORM, Shape, key_values
from finbridge.hub.audit_verify import Verification, verify
from finbridge.hub.bulk import Columns, copy_rows
from finbridge.hub.connections import Connections

_LOCK = 0x66696E62617564  # any number, the same everywhere
_LEAVES_A_SEAL = 10_000
_LEAVES = Columns("seal_no bigint, position int, shape text, row_key text, document_id text, marks bytea, leaf bytea")
_SEAL = Columns("seal_no bigint, horizon bigint, body bytea, hash bytea")
#: (row key, document id, marks, leaf) with its shape
_Leaf = tuple[str, str, str, bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What one call of `seal` did: rows sealed, seals made, the newest seal, whether older rows still wait."""

    rows: int
    seals: int
    newest: Anchor | None
    opened: bool


@dataclass(slots=True)
class _Chain:
    """The end of the chain while seals are added to it."""

    number: int
    hash: str
    first: str
    horizon: int
    body: dict[str, Any]
    system: str
    age: float = 0.0  # seconds since the newest seal

    @property
    def opening(self) -> bool:
        """Whether rows from before the first seal are still being taken."""
        return self.number == 0 or (self.body["kind"] == "opening" and not self.body["done"])


class Audit:
    """Tamper evidence of one hub."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def seal(self, *, seconds: float = 60.0, every_seconds: float = 0.0) -> Sealed:
        """Seal what can be sealed; goes on in later calls where it takes longer than ``seconds``.

        Harmless when called by many at once: one of them seals.

        Args:
            every_seconds: does nothing where the newest seal is younger, so that many short runs make few seals.

        Raises:
            NeedsHuman: the newest seal was touched; nothing is put on top of it.
        """
        rows = seals = 0
        until = time.monotonic() + seconds
        newest, opened, more = None, True, True
        while more and time.monotonic() < until:
            with self._connections.transaction() as cursor:
                taken = cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK]).fetchone()
                if not (taken and taken[0]):
                    break
                cursor.execute(TEXT_FORM)
                chain = _read_chain(cursor)
                opening = chain.opening
                if not opening and chain.age < every_seconds:
                    newest = Anchor(chain=chain.first, number=chain.number, hash=chain.hash)
                    break
                count, made = _seal_older(cursor, chain) if opening else _seal_new(cursor, chain)
            rows, seals, more = rows + count, seals + made, opening
            newest, opened = Anchor(chain=chain.first, number=chain.number, hash=chain.hash), not chain.opening
        return Sealed(rows=rows, seals=seals, newest=newest, opened=opened)

    def verify(self, anchors: Sequence[Anchor] = ()) -> Verification:
        """Compare everything with the chain and with anchors; see `finbridge.hub.audit_verify`."""
        return verify(self._connections, anchors)

    def reading(self, period: str, company: str | None) -> AbstractContextManager[PackReader]:
        """One snapshot of a period's evidence; see `finbridge.hub.audit_pack`."""
        return reading(self._connections, period, company)

    def keep_file(self, *, name: str, version: str, body: bytes, bound: bytes = b"") -> str:
        """Keep a mapping file once, as vouchers are made with it; returns the hash under which they name it."""
        sha256 = hashlib.sha256(body + bound).hexdigest()
        with self._connections.transaction() as cursor:
            cursor.execute(
                """
                INSERT INTO hub.audit_file (sha256, name, version, body, bound) SELECT %s, %s, %s, %s, %s
                WHERE NOT EXISTS (SELECT FROM hub.audit_file WHERE sha256 = %s) ON CONFLICT DO NOTHING
                """,
                [sha256, name, version, body, bound, sha256],
            )
        return sha256


def _read_chain(cursor: Cursor) -> _Chain:
    system = _one(cursor, audit_tables.SYSTEM)
    cursor.execute("SELECT seal_no, horizon, body, hash FROM hub.audit_seal ORDER BY seal_no DESC LIMIT 1")
    last = cursor.fetchone()
    if last is None:
        return _Chain(0, NO_SEAL, "", 0, {}, system)
    if seal_hash(bytes(last[2])) != bytes(last[3]):
        raise NeedsHuman(
            "audit_chain_broken",
            "审计链最新封印被改动，停止封存 / the newest seal of the audit chain was touched: sealing stops",
            f"seal {last[0]}",
        )
    first = bytes(_one(cursor, "SELECT hash FROM hub.audit_seal ORDER BY seal_no LIMIT 1")).hex()
    body = json.loads(bytes(last[2]))
    cursor.execute("SELECT extract(epoch FROM clock_timestamp() - %s::timestamptz)::float8", [body["sealed_at"]])
    (age,) = cursor.fetchone() or (0.0,)
    return _Chain(last[0], bytes(last[3]).hex(), first, last[1], body, system, age)


def _one(cursor: Cursor, statement: Any) -> Any:
    found = cursor.execute(statement).fetchone()
    if found is None:
        raise AssertionError("the statement gave no row")
    return found[0]


# ---------------------------------------------------------------- rows from before the first seal


def _seal_older(cursor: Cursor, chain: _Chain) -> tuple[int, int]:
    """One seal of older rows, as found on: the next page of a table, in the order of its key."""
    older = [shape for shape in SHAPES if shape.older]
    at = next((i for i, s in enumerate(older) if s.name == chain.body.get("shape")), 0)
    through = chain.body.get("through") or None
    leaves: list[_Leaf] = []
    shape = older[at]
    while True:
        shape = older[at]
        page = _older_page(cursor, shape, through, _LEAVES_A_SEAL - len(leaves))
        leaves += page
        if len(leaves) >= _LEAVES_A_SEAL:
            through = page[-1][1]
            done = False
            break
        if at + 1 == len(older):
            done, through = True, None
            break
        at, through = at + 1, None
    _append(cursor, chain, leaves, kind="opening", extra={"shape": shape.name, "through": through or "", "done": done})
    return len(leaves), 1


def _older_page(cursor: Cursor, shape: Shape, through: str | None, limit: int) -> list[_Leaf]:
    order = _order(shape)
    after: sql.Composable = sql.SQL("true")
    if through is not None:
        values = sql.SQL(", ").join(
            sql.SQL("{}::" + kind).format(sql.Literal(str(value)))
            for value, kind in zip(key_values(through), shape.key.types, strict=True)
        )
        after = sql.SQL("({}) > ({})").format(order, values)
    where = sql.SQL("t.audit_xid IS NULL AND {} ORDER BY {} LIMIT {}").format(after, order, sql.Literal(limit))
    cursor.execute(shape.leaves(where))
    return [(shape.name, *row[:4]) for row in cursor.fetchall()]


# ---------------------------------------------------------------- new rows


def _seal_new(cursor: Cursor, chain: _Chain) -> tuple[int, int]:
    """Seals of all rows of transactions between the last horizon and the present one.

    Restored from a dump into another cluster, transactions are numbered anew: then all that is there and has no seal
    is taken, and from then on each row is asked whether it has one.
    """
    moved = chain.system != chain.body["system"]
    horizon = int(_one(cursor, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"))
    leaves: list[_Leaf] = []
    for shape in SHAPES:
        where = sql.SQL("t.audit_xid IS NOT NULL") if moved else _between(chain.horizon, horizon)
        if moved or chain.body.get("moved"):
            where = where + _unsealed(shape)
        cursor.execute(shape.leaves(where + sql.SQL(" ORDER BY ") + _order(shape)))
        leaves += [(shape.name, *row[:4]) for row in cursor.fetchall()]
    if not leaves and not moved:
        return 0, 0
    chain.horizon = horizon
    kind = "moved" if moved else "batch"
    extra = {"moved": True} if moved or chain.body.get("moved") else None
    made = 0
    for start in range(0, max(len(leaves), 1), _LEAVES_A_SEAL):
        _append(cursor, chain, leaves[start : start + _LEAVES_A_SEAL], kind=kind, extra=extra)
        made += 1
    return len(leaves), made


def _order(shape: Shape) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier("t", name) for name in shape.key.names)


def _between(low: int, high: int) -> sql.Composable:
    return sql.SQL("t.audit_xid >= {} AND t.audit_xid < {}").format(sql.Literal(low), sql.Literal(high))


def _unsealed(shape: Shape) -> sql.Composed:
    return sql.SQL(" AND NOT EXISTS (SELECT FROM hub.audit_leaf l WHERE l.row_key = {} AND l.shape = {})").format(
        shape.row_key, sql.Literal(shape.name)
    )


def _append(
    cursor: Cursor, chain: _Chain, leaves: Sequence[_Leaf], *, kind: str, extra: Mapping[str, object] | None = None
) -> None:
    counts: dict[str, int] = {}
    for shape, *_ in leaves:
        counts[shape] = counts.get(shape, 0) + 1
    body: dict[str, Any] = {
        "number": chain.number + 1,
        "previous": chain.hash,
        "kind": kind,
        "sealed_at": _one(cursor, 'SELECT to_char(clock_timestamp(), \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'),
        "horizon": str(chain.horizon),
        "system": chain.system,
        "rows": len(leaves),
        "shapes": counts,
        "root": root([each[4] for each in leaves]).hex(),
        **(extra or {}),
    }
    written = canonical(body)
    chain.number += 1
    chain.hash = seal_hash(written).hex()
    chain.first = chain.first or chain.hash
    chain.body = body
    copy_rows(cursor, "audit_seal", _SEAL, [(chain.number, chain.horizon, written, bytes.fromhex(chain.hash))])
    copy_rows(cursor, "audit_leaf", _LEAVES, [(chain.number, position, *each) for position, each in enumerate(leaves)])
