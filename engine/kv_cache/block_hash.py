"""Names of full blocks for prefix caching: SHA-256 over canonical CBOR (RFC 8949, section 4.2).

A block's hash is H([parent hash or null, [token ids], [extra texts] or null]), so equal hashes mean equal tokens from
the start of the sequence on. `extra` is what else changes the keys and values or who may share them; it is part of
the first block, and the chain carries it to the rest. The encoding makes hashes equal in every process and language.
"""

from collections.abc import Sequence
from hashlib import sha256

_NULL = b"\xf6"
_ARRAY_OF_THREE = b"\x83"
_DIGEST_HEAD = b"\x58\x20"

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
    """The 32-byte hash of one full block. `parent` is the hash of the block before it, None for the first."""
    head = _DIGEST_HEAD + parent if parent is not None else _NULL
    tokens = cbor_head(_ARRAY, len(token_ids)) + b"".join(map(_token_code, token_ids))
    return sha256(_ARRAY_OF_THREE + head + tokens + _encode_texts(extra)).digest()


def extend_hashes(
    hashes: list[bytes], token_ids: Sequence[int], block_size: int, num_blocks: int, extra: Sequence[str]
) -> None:
    """Append to `hashes` until it covers the first `num_blocks` blocks of `token_ids`, which must be full."""
    for block in range(len(hashes), num_blocks):
        tokens = token_ids[block * block_size : (block + 1) * block_size]
        hashes.append(hash_block(hashes[-1], tokens) if block else hash_block(None, tokens, extra))
