"""Names of full blocks for prefix caching: SHA-256, chained from block to block.

A block's hash is H(parent hash, token ids, extra texts), so equal hashes mean equal tokens from the start of the
sequence on. `extra` is what else changes the keys and values or who may share them; it is part of the first block,
and the chain carries it to the rest. What is hashed is encoded without ambiguity, so that two blocks have one name
only when SHA-256 itself collides. Nothing is pickled.
"""

import secrets
from array import array
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Literal

HashAlgorithm = Literal["sha256", "sha256_cbor"]

HashBlock = Callable[[bytes | None, Sequence[int], Sequence[str]], bytes]
"""From the parent's hash (None for the first block), the block's tokens and the extra texts to a 32-byte hash."""

_NULL = b"\xf6"
_ARRAY_OF_THREE = b"\x83"
_DIGEST_HEAD = b"\x58\x20"
DIGEST_BYTES = 32

_UNSIGNED, _TEXT, _ARRAY = 0, 3, 4


def cbor_head(major_type: int, value: int) -> bytes:
    """The shortest CBOR head of a major type (0 unsigned, 3 text, 4 array) with its argument."""
    major = major_type << 5
    if value < 24:
        return bytes([major | value])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major | code]) + value.to_bytes(size, "big")
    raise ValueError(f"{value} does not fit a CBOR head: at most 2**64 - 1")


class _TokenCodes(dict[int, bytes]):
    """Token ids in CBOR, encoded at first use. It holds at most one entry per token of the vocabulary."""

    def __missing__(self, token_id: int) -> bytes:
        code = self[token_id] = cbor_head(_UNSIGNED, token_id)
        return code


_token_code = _TokenCodes().__getitem__


def _encode_texts(texts: Sequence[str]) -> bytes:
    if not texts:
        return _NULL
    encoded = [text.encode() for text in texts]
    items = [cbor_head(_TEXT, len(text)) + text for text in encoded]
    return cbor_head(_ARRAY, len(items)) + b"".join(items)


def hash_block(parent: bytes | None, token_ids: Sequence[int], extra: Sequence[str] = ()) -> bytes:
    """SHA-256 over canonical CBOR (RFC 8949, section 4.2) of [parent hash or null, [token ids], [extra texts] or null].

    The same in every process and language, so blocks can be named across machines.
    """
    head = _DIGEST_HEAD + parent if parent is not None else _NULL
    tokens = cbor_head(_ARRAY, len(token_ids)) + b"".join(map(_token_code, token_ids))
    return sha256(_ARRAY_OF_THREE + head + tokens + _encode_texts(extra)).digest()


class PrivateHash:
    """SHA-256 over a fixed-width encoding, under a random key of its own: quicker, and no outsider can compute a name.

    Hashed are 32 bytes (the parent's hash, or the key for a first block), the token ids as 64-bit words in the
    machine's order, and the extra texts. Only first blocks have extra texts, and their key stands in front, so the
    encoding of texts cannot run into that of tokens: the number of tokens of a block never changes.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(DIGEST_BYTES)

    def __call__(self, parent: bytes | None, token_ids: Sequence[int], extra: Sequence[str] = ()) -> bytes:
        head = self._key if parent is None else parent
        return sha256(head + array("q", token_ids).tobytes() + _encode_texts(extra)).digest()


def hash_with(algorithm: HashAlgorithm) -> HashBlock:
    """`sha256_cbor` names blocks alike everywhere; `sha256` privately to the cache that asks."""
    return hash_block if algorithm == "sha256_cbor" else PrivateHash()


def extend_hashes(
    hashes: list[bytes],
    token_ids: Sequence[int],
    block_size: int,
    num_blocks: int,
    extra: Sequence[str],
    hash_one: HashBlock = hash_block,
) -> None:
    """Append to `hashes` until it covers the first `num_blocks` blocks of `token_ids`, which must be full."""
    for block in range(len(hashes), num_blocks):
        tokens = token_ids[block * block_size : (block + 1) * block_size]
        hashes.append(hash_one(hashes[-1], tokens, ()) if block else hash_one(None, tokens, extra))
