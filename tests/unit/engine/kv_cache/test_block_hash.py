"""Names of blocks: the encoding is CBOR's, and a name says everything that came before."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.engine.kv_cache.block_hash import cbor_head, extend_hashes, hash_block, hash_with


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (100, "1864"),
        (1000, "1903e8"),
        (1000000, "1a000f4240"),
        (1000000000000, "1b000000e8d4a51000"),
        (18446744073709551615, "1bffffffffffffffff"),
    ],
)
def test_unsigned_integers_are_encoded_as_the_examples_of_rfc_8949(value, encoded) -> None:
    assert cbor_head(0, value).hex() == encoded


def test_a_first_block_is_the_hash_of_null_tokens_and_extra() -> None:
    encoded = bytes.fromhex("83 f6 83 01 18 64 19 03e8 81 61 61")

    assert hash_block(None, [1, 100, 1000], ("a",)) == sha256(encoded).digest()


def test_a_later_block_is_the_hash_of_its_parent_and_tokens() -> None:
    parent = bytes(range(32))

    assert (
        hash_block(parent, [1])
        == sha256(bytes.fromhex("83 5820") + parent + bytes.fromhex("81 01 f6")).digest()
    )


@given(
    st.lists(st.integers(0, 3), min_size=8, max_size=8), st.lists(st.integers(0, 3), min_size=8, max_size=8)
)
def test_blocks_have_equal_names_exactly_when_all_tokens_up_to_their_end_are_equal(left, right) -> None:
    names: list[list[bytes]] = [[], []]
    extend_hashes(names[0], left, 2, 4, ())
    extend_hashes(names[1], right, 2, 4, ())

    for block in range(4):
        end = 2 * (block + 1)
        assert (names[0][block] == names[1][block]) == (left[:end] == right[:end])


def test_the_salt_changes_every_block_of_a_sequence() -> None:
    names: dict[str, list[bytes]] = {"": [], "a": [], "b": []}
    for salt, hashes in names.items():
        extend_hashes(hashes, [1, 2, 3, 4], 2, 2, (salt,) if salt else ())

    assert len({name for hashes in names.values() for name in hashes}) == 6


def test_hashes_that_exist_are_kept_and_only_new_blocks_are_hashed() -> None:
    hashes: list[bytes] = []
    extend_hashes(hashes, [1, 2, 3, 4], 2, 1, ())
    first = hashes[0]

    extend_hashes(hashes, [1, 2, 3, 4], 2, 2, ())

    assert hashes[0] is first
    assert hashes[1] == hash_block(first, [3, 4])


@pytest.mark.parametrize("algorithm", ["sha256", "sha256_cbor"])
def test_equal_names_mean_equal_beginnings_tokens_and_texts(algorithm) -> None:
    hash_one = hash_with(algorithm)
    parents = [None, b"p" * 32, b"q" * 32]
    tokens = [[1, 2], [2, 1], [1, 258], [258, 1], [0, 0], [2**31, 1]]

    names = {hash_one(parent, block, ()) for parent in parents for block in tokens}
    names |= {hash_one(None, [1, 2], texts) for texts in [("a",), ("b",), ("ab",), ("a", "b"), ("",)]}

    assert len(names) == len(parents) * len(tokens) + 5
    assert all(len(name) == 32 for name in names)
    assert hash_one(parents[1], [1, 2], ()) == hash_one(parents[1], [1, 2], ())


def test_sha256_cbor_names_blocks_alike_everywhere_and_sha256_for_one_cache_alone() -> None:
    assert hash_with("sha256_cbor")(None, [1, 2], ()) == hash_with("sha256_cbor")(None, [1, 2], ())
    assert hash_with("sha256")(None, [1, 2], ()) != hash_with("sha256")(None, [1, 2], ())
