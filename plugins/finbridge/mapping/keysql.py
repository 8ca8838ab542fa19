"""The voucher's key in SQL, as `finbridge.core.ids` computes it in Python (tests compare both): for bulk output."""

from __future__ import annotations

from finbridge.core.ids import KIND_LETTER
from finbridge.mapping.sqltext import case, quote

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS = 14
_PARTS = ("r_company", "r_source", "r_document_id", "r_cause", "r_kind", "CAST(split AS VARCHAR)")


def key_sql() -> str:
    """An expression over the request's columns: kind letter, 14 base32 digits of the SHA-256, check character."""
    canonical = " || ".join(f"length({part}) || ':' || {part} || ';'" for part in _PARTS)
    # 18 hexadecimal digits are 72 bits; the key takes the first 70.
    number = f"(('0x' || substr(sha256({canonical}), 1, 18))::HUGEINT >> 2)"
    return f"list_transform([{number}], lambda n: {_from_number()})[1]"


def _from_number() -> str:
    digits = ", ".join(f"CAST((n >> {5 * (_DIGITS - 1 - i)}) & 31 AS INTEGER)" for i in range(_DIGITS))
    letter = case([(quote(kind.value), str(_ALPHABET.index(char))) for kind, char in KIND_LETTER.items()], of="r_kind")
    return f"list_transform([list_prepend({letter}, [{digits}])], lambda v: {_from_digits()})[1]"


def _from_digits() -> str:
    chars = f"list_transform(v, lambda d: {_char('d')})"
    weighted = f"list_dot_product(v, [{', '.join(str(i) for i in range(1, _DIGITS + 2))}])"
    return f"array_to_string({chars}, '') || {_char(f'CAST({weighted} AS INTEGER) % 31')}"


def _char(index: str) -> str:
    return f"substr('{_ALPHABET}', {index} + 1, 1)"
