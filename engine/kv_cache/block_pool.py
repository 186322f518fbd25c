"""Who holds which block: reference counts, the free list, and full blocks found again by their hash.

A block is in exactly one of three places. *Used*: at least one block table holds it. *Cached*: no table holds it, its
keys and values are known by a hash, and it waits in an LRU queue to be found or evicted. *Free*: nothing in it is
worth keeping. `num_free + num_cached + num_used == num_blocks`, always.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class CacheIntegrityError(RuntimeError):
    """The block pool's books do not add up: a bug in the engine, never a user's doing."""


class BlockPool:
    """Blocks 0 to num_blocks - 1. Every method but the queries changes the pool; none of them waits or fails half-way."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._references = [0] * num_blocks
        self._hash_of: list[bytes | None] = [None] * num_blocks
        self._block_with: dict[bytes, int] = {}
        self._free = list(range(num_blocks - 1, -1, -1))
        self._cached: OrderedDict[int, None] = OrderedDict()

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_cached(self) -> int:
        """Blocks without a reader that can still be found by their hash."""
        return len(self._cached)

    @property
    def num_available(self) -> int:
        """Blocks that `take` can hand out."""
        return len(self._free) + len(self._cached)

    @property
    def num_used(self) -> int:
        return self.num_blocks - self.num_available

    def find(self, block_hash: bytes) -> int | None:
        """The block with this content, used or cached. It may be evicted by the next `take` unless shared first."""
        return self._block_with.get(block_hash)

    def count_cached(self, block_ids: Iterable[int]) -> int:
        """How many of these blocks `share` would take away from the available ones."""
        references = self._references
        return sum(1 for block_id in block_ids if not references[block_id])

    def take(self, count: int) -> list[int]:
        """`count` blocks with one reference each; cached ones are evicted, longest unused first, when none is free."""
        if count > self.num_available:
            raise CacheIntegrityError(f"{count} blocks asked for, {self.num_available} available: ask first")
        block_ids = [self._free.pop() if self._free else self._evict() for _ in range(count)]
        for block_id in block_ids:
            self._references[block_id] = 1
        return block_ids

    def _evict(self) -> int:
        block_id, _ = self._cached.popitem(last=False)
        self._forget(block_id)
        return block_id

    def _forget(self, block_id: int) -> None:
        block_hash = self._hash_of[block_id]
        if block_hash is not None:
            del self._block_with[block_hash]
            self._hash_of[block_id] = None

    def share(self, block_ids: Iterable[int]) -> None:
        """One more reader for each of these blocks, which `find` has just returned."""
        for block_id in block_ids:
            if not self._references[block_id]:
                del self._cached[block_id]
            self._references[block_id] += 1

    def release(self, block_ids: Sequence[int]) -> None:
        """One reader fewer for each block of a table.

        Later blocks are let go first, so that the end of a sequence is evicted before the beginning that leads to it.
        """
        for block_id in reversed(block_ids):
            readers = self._references[block_id] = self._references[block_id] - 1
            if readers < 0:
                raise CacheIntegrityError(f"block {block_id} was released more often than it was taken")
            if readers:
                continue
            if self._hash_of[block_id] is None:
                self._free.append(block_id)
            else:
                self._cached[block_id] = None

    def register(self, block_id: int, block_hash: bytes) -> None:
        """Make a used, full block findable.

        When another block already has this content, nothing changes: block tables only ever grow at their end, so
        two equal blocks that both have readers are not merged.
        """
        if self._hash_of[block_id] is None and block_hash not in self._block_with:
            self._block_with[block_hash] = block_id
            self._hash_of[block_id] = block_hash

    def forget_cached(self) -> int:
        """Free every cached block and return how many there were. Blocks in use stay findable."""
        count = len(self._cached)
        for block_id in self._cached:
            self._forget(block_id)
        self._free.extend(self._cached)
        self._cached.clear()
        return count

    def forget(self, block_ids: Iterable[int]) -> None:
        """These blocks do not hold what their hashes say: nobody finds them any more, and their readers keep them."""
        for block_id in block_ids:
            self._forget(block_id)
            if block_id in self._cached:
                del self._cached[block_id]
                self._free.append(block_id)

    def check_integrity(self, tables: Iterable[Sequence[int]]) -> None:
        """Compare the books with all block tables there are; O(num_blocks). Raises `CacheIntegrityError` with numbers."""
        readers = [0] * self.num_blocks
        for table in tables:
            for block_id in table:
                readers[block_id] += 1
        self._check_places(sum(1 for count in readers if count))
        self._check_readers(readers)
        self._check_hashes()

    def _check_places(self, num_used: int) -> None:
        places = f"{self.num_free} free + {self.num_cached} cached + {num_used} used"
        if self.num_free + self.num_cached + num_used != self.num_blocks:
            raise CacheIntegrityError(f"{places} is not the total of {self.num_blocks} blocks")
        if len({*self._free, *self._cached}) != self.num_available:
            raise CacheIntegrityError(f"a block is listed twice among {places}")

    def _check_readers(self, readers: list[int]) -> None:
        for block_id, (found, counted) in enumerate(zip(readers, self._references, strict=True)):
            if found != counted:
                raise CacheIntegrityError(
                    f"block {block_id} is in {found} tables but counts {counted} references"
                )

    def _check_hashes(self) -> None:
        for block_hash, block_id in self._block_with.items():
            if self._hash_of[block_id] != block_hash:
                raise CacheIntegrityError(f"block {block_id} is findable by a hash that is not its own")
        hashed = sum(1 for block_hash in self._hash_of if block_hash is not None)
        if hashed != len(self._block_with):
            raise CacheIntegrityError(f"{hashed} blocks have a hash, {len(self._block_with)} are findable")
        if any(self._hash_of[block_id] is not None for block_id in self._free):
            raise CacheIntegrityError("a free block has a hash")
