"""Identity and key of a voucher."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from finbridge.core.ids import KEY_LENGTH, KIND_LETTER, VoucherIdentity, VoucherKind, check_character, is_key
from hypothesis import given
from hypothesis import strategies as st

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE = VoucherIdentity(
    company="1000", source="weaver:oa", document_id="90001", cause="7", kind=VoucherKind.EXPENSE, split=1
)
_identities = st.builds(
    VoucherIdentity,
    company=st.text(max_size=6),
    source=st.text(max_size=6),
    document_id=st.text(max_size=6),
    cause=st.text(max_size=6),
    kind=st.sampled_from(VoucherKind),
    split=st.integers(1, 99),
)


def test_a_key_never_changes_between_releases() -> None:
    """Keys stand in finance for ten years: whoever changes the algorithm breaks this line first."""
    assert _BASE.key() == "EEG1XEYQ06KHK1K0"


@given(_identities)
def test_a_key_is_well_formed_and_says_its_kind(identity: VoucherIdentity) -> None:
    key = identity.key()
    assert len(key) == KEY_LENGTH and is_key(key)
    assert key[0] == KIND_LETTER[identity.kind]
    assert key == identity.key()


@given(_identities, _identities)
def test_different_identities_have_different_canonical_lines(one: VoucherIdentity, other: VoucherIdentity) -> None:
    assert (one.canonical() == other.canonical()) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        replace(_BASE, company="2000"),
        replace(_BASE, source="weaver:oa2"),
        replace(_BASE, document_id="90002"),
        replace(_BASE, cause="8"),
        replace(_BASE, kind=VoucherKind.PAYMENT),
        replace(_BASE, split=2),
        replace(_BASE, company="10007", cause=""),  # a moved boundary is another identity
    ],
)
def test_every_part_of_the_identity_is_in_the_key(other: VoucherIdentity) -> None:
    assert other.key()[1:-1] != _BASE.key()[1:-1]


def test_a_separator_cannot_be_forged() -> None:
    one = replace(_BASE, document_id="a;1:b", cause="c")
    other = replace(_BASE, document_id="a", cause="b;1:c")
    assert one.canonical() != other.canonical() and one.key() != other.key()


@given(_identities, st.integers(0, KEY_LENGTH - 1), st.sampled_from(_ALPHABET))
def test_one_mistyped_character_is_found(identity: VoucherIdentity, at: int, char: str) -> None:
    key = identity.key()
    wrong = key[:at] + char + key[at + 1 :]
    # The digits 0 and Z differ by 31 and 31 is the modulus: the one pair that the check character cannot tell apart.
    same_remainder = _ALPHABET.index(char) % 31 == _ALPHABET.index(key[at]) % 31
    assert is_key(wrong) == (wrong == key or (same_remainder and at < KEY_LENGTH - 1 and at > 0))


@given(_identities)
def test_two_swapped_neighbours_are_found(identity: VoucherIdentity) -> None:
    key = identity.key()
    for at in range(1, KEY_LENGTH - 2):
        swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
        same = (_ALPHABET.index(key[at]) - _ALPHABET.index(key[at + 1])) % 31 == 0
        assert is_key(swapped) == same


@pytest.mark.parametrize(
    "text", ["", "E", "EEG1XEYQ06KHK1K", "EEG1XEYQ06KHK1K00", "XEG1XEYQ06KHK1K0", "eeg1xeyq06khk1k0"]
)
def test_what_is_no_key(text: str) -> None:
    assert not is_key(text)


def test_no_two_of_a_hundred_thousand_keys_are_equal() -> None:
    documents = range(20_000)
    causes = ("1", "2")
    keys = {
        replace(_BASE, document_id=str(document), cause=cause, kind=kind).key()[1:-1]
        for document, cause, kind in itertools.product(documents, causes, VoucherKind)
    }
    assert len(keys) == 20_000 * 2 * 3


def test_the_check_character_weighs_by_place() -> None:
    assert check_character("E" + "0" * 14) == _ALPHABET[_ALPHABET.index("E") % 31]
    assert check_character("E1" + "0" * 13) == _ALPHABET[(_ALPHABET.index("E") + 2) % 31]
