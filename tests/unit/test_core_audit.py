"""Hashes of tamper evidence: fixed values, and properties of trees."""

from __future__ import annotations

import hashlib

import pytest
from finbridge.core.audit import Anchor, Tree, canonical, digest, leaf, root, seal_hash
from hypothesis import given
from hypothesis import strategies as st

LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


def h(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def test_the_tree_is_that_of_rfc_6962() -> None:
    """Published roots of the reference tree's first leaves; our leaves go in as its data."""
    data = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    wanted = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    }
    assert {size: root(data[:size]).hex() for size in wanted} == wanted


@given(LEAVES, st.data())
def test_each_leaf_has_a_way_to_the_root_and_no_other_leaf_goes_it(leaves: list[bytes], data: st.DataObject) -> None:
    tree = Tree(leaves)
    position = data.draw(st.integers(0, len(leaves) - 1))

    def end(start: bytes) -> bytes:
        found = h(b"\x00", start)
        for side, other in tree.path(position):
            found = h(b"\x01", other, found) if side == "L" else h(b"\x01", found, other)
        return found

    assert end(leaves[position]) == tree.root
    assert end(h(leaves[position])) != tree.root


@given(LEAVES, st.data())
def test_a_changed_removed_added_or_moved_leaf_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    other = [*leaves]
    other[at] = h(other[at])
    assert root(other) != root(leaves)
    assert root(leaves[:at] + leaves[at + 1 :]) != root(leaves)
    assert root([*leaves, leaves[at]]) != root(leaves)
    if at:
        assert root([leaves[at], *leaves[:at], *leaves[at + 1 :]]) != root(leaves)


def test_nothing_empty_text_and_zero_bytes_differ() -> None:
    values: list[bytes | str | None] = [None, "", b"\x00", "NULL", b"\x01"]
    assert len({digest(value) for value in values}) == len(values)
    assert digest("é") != digest("e\N{COMBINING ACUTE ACCENT}")  # Unicode is taken as it is
    assert digest("é") == digest("é".encode())


def test_a_leaf_names_its_table_key_and_document() -> None:
    digests = [digest("a"), digest(None)]
    found = {leaf(*named, digests) for named in (("a/1", "[1]", "1"), ("b/1", "[1]", "1"), ("a/1", "[2]", "1"))}
    found |= {leaf("a/1", "[1]", "2", digests), leaf("a/1", "[1]", "1", digests[::-1])}
    assert len(found) == 5


def test_a_seal_is_canonical() -> None:
    assert canonical({"b": 1, "a": "账"}) == '{"a":"账","b":1}'.encode()
    assert seal_hash(canonical({"b": 1, "a": "账"})) == seal_hash(canonical({"a": "账", "b": 1}))


def test_an_anchor_is_read_as_it_was_written() -> None:
    anchor = Anchor(chain="c" * 64, number=7, hash="a" * 64)
    assert Anchor.read(f" {anchor}\n") == anchor
    for text in ("", "7", f"7:{'a' * 64}", f"x:{'a' * 64}:{'c' * 64}", f"7:{'a' * 63}:{'c' * 64}"):
        with pytest.raises(ValueError, match=r"."):
            Anchor.read(text)
