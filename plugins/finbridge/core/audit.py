"""Hashes of tamper evidence: digests of values, leaves of rows, Merkle roots, seals in a chain. `docs/audit.md`.

Exactly:

- the digest of a value is ``SHA-256(00)`` for null, else ``SHA-256(01 ‖ bytes)``; bytes are those of a binary column,
  or the UTF-8 of PostgreSQL's text form with time zone UTC and date style ISO. Text is taken as it is: Unicode is not
  normalised, numbers are not rounded;
- the leaf of a row is ``SHA-256(shape ‖ LF ‖ row key ‖ LF ‖ document id ‖ LF ‖ digest of each column in order)``;
- a Merkle tree is that of RFC 6962: ``SHA-256(00 ‖ leaf)`` below, ``SHA-256(01 ‖ left ‖ right)`` above, the left part
  of a tree the largest power of two that is smaller than it; the root of none is ``SHA-256()``;
- a seal is an object of strings and whole numbers as canonical JSON (keys sorted, no white space, UTF-8 unescaped);
  its hash is the SHA-256 of these bytes, and it names the hash of the seal before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A seal's number and hash, to be kept outside the database; ``chain`` is the hash of the chain's first seal."""

    chain: str
    number: int
    hash: str

    def __str__(self) -> str:
        """``number:hash:chain``: as it is logged, written to a file and read again."""
        return f"{self.number}:{self.hash}:{self.chain}"

    @classmethod
    def read(cls, text: str) -> Anchor:
        """An anchor as text.

        Raises:
            ValueError: it is none.
        """
        number, found, chain = text.strip().split(":")
        if {len(found), len(chain)} != {64}:
            raise ValueError(text)
        return cls(chain=chain, number=int(number), hash=found)


#: What the first seal names as the seal before it.
NO_SEAL = "0" * 64
#: How many bytes of a digest name a column that was touched.
MARK_BYTES = 8


def digest(value: bytes | str | None) -> bytes:
    """The digest of one value."""
    if value is None:
        return hashlib.sha256(b"\x00").digest()
    return hashlib.sha256(b"\x01" + (value.encode() if isinstance(value, str) else value)).digest()


def leaf(shape: str, row_key: str, document_id: str, digests: Sequence[bytes]) -> bytes:
    """The leaf of a row."""
    return hashlib.sha256(f"{shape}\n{row_key}\n{document_id}\n".encode() + b"".join(digests)).digest()


class Tree:
    """A Merkle tree over leaves in their order."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [[hashlib.sha256(b"\x00" + each).digest() for each in leaves]]
        while len(self._levels[-1]) > 1:  # pairs from the left, an odd one goes up as it is: the tree of RFC 6962
            self._levels.append(_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        """The hash over all leaves."""
        return self._levels[-1][0] if self._levels[-1] else hashlib.sha256(b"").digest()

    def path(self, position: int) -> list[tuple[str, bytes]]:
        """What leads from one leaf to the root: the neighbours, each with its side, ``L`` or ``R``."""
        found: list[tuple[str, bytes]] = []
        for level in self._levels[:-1]:
            neighbour = position ^ 1
            if neighbour < len(level):
                found.append(("L" if neighbour < position else "R", level[neighbour]))
            position //= 2
        return found


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle root of leaves in their order."""
    return Tree(leaves).root


def _above(level: Sequence[bytes]) -> list[bytes]:
    paired = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
    return [*paired, level[-1]] if len(level) % 2 else paired


def canonical(body: Mapping[str, object]) -> bytes:
    """Canonical JSON of a seal."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def seal_hash(body: bytes) -> bytes:
    """The hash of a seal."""
    return hashlib.sha256(body).digest()
