"""Identity of a voucher and its printable key (delivery promise, section "Words").

The identity holds no counter: a hub restored to an older point computes the same keys again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HASH_CHARS = 14
KEY_LENGTH = 16


class VoucherKind(StrEnum):
    """Kinds of voucher; the value is what is stored."""

    EXPENSE = "expense"
    PAYMENT = "payment"
    REVERSAL = "reversal"


KIND_LETTER = {VoucherKind.EXPENSE: "E", VoucherKind.PAYMENT: "P", VoucherKind.REVERSAL: "R"}


@dataclass(frozen=True, slots=True)
class VoucherIdentity:
    """What makes a voucher itself: never its content, never a sequence number.

    ``cause`` is the id of the OA's log entry that approved or paid; of a reversal, the reversed voucher's key.
    """

    company: str
    source: str
    document_id: str
    cause: str
    kind: VoucherKind
    split: int = 1

    def canonical(self) -> str:
        """One unambiguous line: parts are length-prefixed, so no separator can be forged."""
        parts = (self.company, self.source, self.document_id, self.cause, self.kind.value, str(self.split))
        return "".join(f"{len(part)}:{part};" for part in parts)

    def key(self) -> str:
        """16 characters: kind letter + 14 Crockford base32 digits of the SHA-256 + check character."""
        number = int.from_bytes(hashlib.sha256(self.canonical().encode()).digest(), "big") >> (256 - 5 * _HASH_CHARS)
        digits = "".join(_CROCKFORD[(number >> (5 * i)) & 31] for i in reversed(range(_HASH_CHARS)))
        body = KIND_LETTER[self.kind] + digits
        return body + check_character(body)


def check_character(body: str) -> str:
    """Weighted sum modulo 31 over the key's first 15 characters: finds a changed character and two swapped ones."""
    return _CROCKFORD[sum(weight * _CROCKFORD.index(char) for weight, char in enumerate(body, start=1)) % 31]


def is_key(text: str) -> bool:
    """Whether the text is a well-formed key (length, alphabet, check character)."""
    return (
        len(text) == KEY_LENGTH
        and text[0] in KIND_LETTER.values()
        and all(char in _CROCKFORD for char in text[1:])
        and check_character(text[:-1]) == text[-1]
    )
