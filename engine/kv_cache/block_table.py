"""The blocks of one sequence, in order: token i lives in block i // block_size at offset i % block_size."""

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class BlockTable:
    """What the cache keeps for one request. The scheduler reads `capacity` and `next_full`, and hands the table back.

    `hashes` outlives a release: they depend on the tokens alone, and a preempted request comes back with the same.
    """

    extra: tuple[str, ...] = ()
    """What else than its tokens decides who may share this sequence's blocks (the cache salt, the adapter)."""

    block_ids: list[int] = field(default_factory=list)
    capacity: int = 0
    """Tokens that fit the blocks held."""

    hashes: list[bytes] = field(default_factory=list)
    """Of the full blocks from the first on, as many as were needed so far."""

    swapped: list[int] = field(default_factory=list)
    """Places in the swap space that hold the request's blocks while it has none in the cache."""

    num_swapped_tokens: int = 0
    """Computed tokens that they hold."""

    num_registered: int = 0
    """Leading blocks that are findable, or were already found, by their hash."""

    next_full: int = 0
    """Once this many tokens are computed, `KVCache.register_full_blocks` has something to do."""
