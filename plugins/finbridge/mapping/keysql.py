"""The voucher's key in SQL, as `finbridge.core.ids` computes it in Python (tests compare both): for bulk output."""

from __future__ import annotations

from finbridge.core.ids import KIND_LETTER
from finbridge.mapping.sqltext import case, chain, named, quote, select

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HALF = 7  # the key has two halves of seven base32 digits: 35 bits each
_PARTS = ("r_company", "r_source", "r_document_id", "r_cause", "r_kind", "CAST(split AS VARCHAR)")
_DIGITS = [f"(n{half} >> {5 * (_HALF - 1 - i)}) & 31" for half in (1, 2) for i in range(_HALF)]


def keys_sql(source: str) -> str:
    """A query of ``seq`` and ``key``: kind letter, 14 base32 digits of the SHA-256 of the identity, check character."""
    # concat() makes each text once, where || would make a new one at each step; no part is ever NULL.
    canonical = "concat({})".format(", ".join(f"length({part}), ':', {part}, ';'" for part in _PARTS))
    # Bits 0 to 34 stand in the first nine hexadecimal digits, bits 35 to 69 in digits nine to eighteen.
    halves = [
        ("('0x' || substr(h, 1, 9))::BIGINT >> 1", "n1"),
        (f"(('0x' || substr(h, 9, 10))::BIGINT >> 2) & {2 ** (5 * _HALF) - 1}", "n2"),
    ]
    letters = [(quote(kind.value), str(_ALPHABET.index(letter))) for kind, letter in KIND_LETTER.items()]
    values = [f"({case(letters, of='r_kind')})", *(f"({digit})" for digit in _DIGITS)]
    weighted = " + ".join(f"{weight} * {value}" for weight, value in enumerate(values, start=1))
    key = " || ".join(_char(value) for value in (*values, f"(({weighted}) % 31)"))
    steps = [
        ("k0", select(["seq", "r_kind", f"sha256({canonical}) AS h"], source)),
        ("k1", select(["seq", "r_kind", *named(halves)], "k0")),
    ]
    return chain(steps, select(["seq", f"{key} AS key"], "k1"))


def _char(index: str) -> str:
    return f"substr('{_ALPHABET}', CAST({index} AS BIGINT) + 1, 1)"
