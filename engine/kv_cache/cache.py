"""The key/value cache as the scheduler sees it: it asks in tokens, and holds one opaque table per request.

Asking (`find_prefix`, `fits`, `can_extend`) changes nothing; doing (`admit`, `extend`, `release`) cannot fail after a
yes. Nothing outside this package computes with blocks, so a cache with several layer groups (sliding windows that let
old blocks go) or with a recurrent state per request beside the blocks fits behind the same methods: a table then
holds one list per group and its state's slot, and `find_prefix` answers what all groups can serve.
"""

import sys
from collections.abc import Iterable, Sequence

from paddock.engine.kv_cache.block_hash import HashAlgorithm, extend_hashes, hash_with
from paddock.engine.kv_cache.block_pool import BlockPool
from paddock.engine.kv_cache.block_table import BlockTable
from paddock.engine.kv_cache.swap_space import SwapSpace

_NEVER = sys.maxsize


class KVCache:
    """Block tables over one pool, with automatic prefix caching when `prefix_caching` is set."""

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        prefix_caching: bool,
        hash_algorithm: HashAlgorithm = "sha256_cbor",
        num_swap_blocks: int = 0,
    ) -> None:
        self._hash_block = hash_with(hash_algorithm)
        self.block_size = block_size
        self.prefix_caching = prefix_caching
        self._pool = BlockPool(num_blocks)
        self.swap_space = SwapSpace(num_swap_blocks)

    @property
    def num_blocks(self) -> int:
        return self._pool.num_blocks

    @property
    def usage(self) -> float:
        """Share of the blocks that requests hold, 0 to 1. Cached blocks without a reader do not count."""
        return self._pool.num_used / self._pool.num_blocks

    def new_table(self, cache_salt: str | None = None, adapter: int = 0) -> BlockTable:
        """An empty table; requests share blocks only with those of the same salt and adapter."""
        salt = () if cache_salt is None else (cache_salt,)
        return BlockTable(
            # Two texts in front, so that no salt alone looks like an adapter's.
            extra=("adapter", str(adapter), *salt) if adapter else salt,
            next_full=self.block_size if self.prefix_caching else _NEVER,
        )

    def find_prefix(self, table: BlockTable, token_ids: Sequence[int]) -> list[int]:
        """Blocks that hold the beginning of `token_ids`. The last token is never among them: it yields the logits."""
        if not self.prefix_caching:
            return []
        num_full = (len(token_ids) - 1) // self.block_size
        extend_hashes(table.hashes, token_ids, self.block_size, num_full, table.extra, self._hash_block)
        block_ids = []
        for block_hash in table.hashes[:num_full]:
            block_id = self._pool.find(block_hash)
            if block_id is None:
                break
            block_ids.append(block_id)
        return block_ids

    def fits(self, prefix: Sequence[int], num_tokens: int, spare: int) -> bool:
        """Could a sequence of `num_tokens` that starts with the blocks of `prefix` be admitted, leaving `spare` blocks?"""
        missing = self._blocks_for(num_tokens) - len(prefix)
        return missing + self._pool.count_cached(prefix) + spare <= self._pool.num_available

    def num_kept(self, table: BlockTable, prefix: Sequence[int]) -> int:
        """Tokens that a sequence need not compute which starts with the blocks of `prefix`, or was swapped out."""
        return max(len(prefix) * self.block_size, table.num_swapped_tokens)

    def admit(self, table: BlockTable, prefix: list[int], num_tokens: int) -> None:
        """Fill an empty table: the blocks of `prefix` shared, new ones for the rest, into which swapped ones are copied
        back. Only after `fits` said yes."""
        self._pool.share(prefix)
        table.block_ids = prefix + self._pool.take(self._blocks_for(num_tokens) - len(prefix))
        table.capacity = len(table.block_ids) * self.block_size
        if table.swapped:
            self.swap_space.bring_back(table.swapped, table.block_ids, len(prefix))
            table.swapped, table.num_swapped_tokens = [], 0
        if self.prefix_caching:
            table.num_registered = len(prefix)
            table.next_full = (len(prefix) + 1) * self.block_size

    def can_extend(self, table: BlockTable, num_tokens: int) -> bool:
        """Are there blocks enough for the table to hold `num_tokens`?"""
        return self._blocks_for(num_tokens) - len(table.block_ids) <= self._pool.num_available

    def extend(self, table: BlockTable, num_tokens: int) -> list[int]:
        """Let the table hold `num_tokens`; returns the blocks appended. Only after `can_extend` said yes."""
        block_ids = self._pool.take(self._blocks_for(num_tokens) - len(table.block_ids))
        table.block_ids += block_ids
        table.capacity = len(table.block_ids) * self.block_size
        return block_ids

    def register_full_blocks(self, table: BlockTable, token_ids: Sequence[int], num_computed: int) -> None:
        """Make the blocks of the first `num_computed` tokens findable.

        Done when the step that computes them is planned, so that requests of the same step share them: a layer
        writes all keys and values of the step before any of its queries reads.
        """
        num_full = num_computed // self.block_size
        extend_hashes(table.hashes, token_ids, self.block_size, num_full, table.extra, self._hash_block)
        for block in range(table.num_registered, num_full):
            self._pool.register(table.block_ids[block], table.hashes[block])
        table.num_registered = num_full
        table.next_full = (num_full + 1) * self.block_size

    def release(self, table: BlockTable) -> None:
        """Give all blocks back; the table is empty and may be admitted again."""
        self._pool.release(table.block_ids)
        table.block_ids = []
        table.capacity = table.num_registered = 0

    def can_swap_out(self, num_tokens: int) -> bool:
        """Is there room for the blocks of so many computed tokens, and are they worth it? Up to one block is computed
        again in the step that the request returns with anyway."""
        return self.block_size < num_tokens and self._blocks_for(num_tokens) <= self.swap_space.num_free

    def swap_out(self, table: BlockTable, num_tokens: int) -> None:
        """Have the first `num_tokens` tokens copied before their blocks are written again; `release` comes next. Only
        after `can_swap_out` said yes."""
        table.swapped = self.swap_space.take(table.block_ids[: self._blocks_for(num_tokens)])
        table.num_swapped_tokens = num_tokens

    def drop_swapped(self, table: BlockTable) -> None:
        """Let go what was swapped out of a table, if anything was."""
        if table.swapped:
            self.swap_space.discard(table.swapped)
            table.swapped, table.num_swapped_tokens = [], 0

    def forget(self, block_ids: Iterable[int]) -> None:
        """Let no other request share these blocks: they were not written."""
        self._pool.forget(block_ids)

    def reset_prefix_cache(self) -> int:
        """Forget the blocks that no request holds; returns how many were forgotten."""
        return self._pool.forget_cached()

    def check_integrity(self, tables: Iterable[BlockTable]) -> None:
        """`tables` are all there are. Raises `CacheIntegrityError` when a block leaked or is counted twice."""
        every = list(tables)
        self._pool.check_integrity(table.block_ids for table in every)
        self.swap_space.check_integrity(table.swapped for table in every)

    def _blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_size)
