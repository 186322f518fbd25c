"""Where the blocks of preempted requests wait in host memory, and which copies that takes.

The books only: a step's plan carries the copies to the workers, which make them before they compute, those out of the
cache first. A block of the cache may therefore be given away, and a place here be freed, as soon as its copy is noted.
"""

from collections.abc import Iterable, Sequence

from paddock.engine.kv_cache.block_pool import CacheIntegrityError

BlockCopy = tuple[int, int]
"""From a block to a block; one of the two is a place in the swap space."""


class SwapSpace:
    """Places 0 to num_blocks - 1, each of the size of a block of the cache; 0 of them where nothing is swapped."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.num_holders = 0
        """Requests whose blocks are here."""
        # The lowest first: the workers allocate a place when it is used for the first time.
        self._free = list(range(num_blocks - 1, -1, -1))
        self._leaving: dict[int, int] = {}
        """Blocks of the cache that no plan has brought to their places yet, by place."""
        self._coming: list[BlockCopy] = []

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_used(self) -> int:
        return self.num_blocks - len(self._free)

    @property
    def usage(self) -> float:
        """Share of the places in use, 0 to 1; 0 where there are none."""
        return self.num_used / max(1, self.num_blocks)

    def take(self, block_ids: Sequence[int]) -> list[int]:
        """Places for one request's blocks, which the next plan copies there; of `num_free` at most."""
        assert not self._coming, "a place that is read in this step would be written before"
        places = [self._free.pop() for _ in block_ids]
        self._leaving.update(zip(places, block_ids, strict=True))
        self.num_holders += 1
        return places

    def bring_back(self, places: Sequence[int], block_ids: Sequence[int], first: int) -> None:
        """Copy what is from the place number `first` on to the same of `block_ids`; all places become free."""
        self._coming += zip(places[first:], block_ids[first:], strict=False)
        self._let_go(places)

    def discard(self, places: Sequence[int]) -> None:
        """Free one request's places; nobody needs what they hold."""
        for place in places:
            self._leaving.pop(place, None)
        self._let_go(places)

    def _let_go(self, places: Sequence[int]) -> None:
        self._free.extend(reversed(places))
        self.num_holders -= 1

    def take_copies(self) -> tuple[list[BlockCopy], list[BlockCopy]]:
        """For the plan that is being made: (block, place) out of the cache and then (place, block) into it."""
        leaving = [(block, place) for place, block in self._leaving.items()]
        coming, self._coming = self._coming, []
        self._leaving.clear()
        return leaving, coming

    def check_integrity(self, held: Iterable[Sequence[int]]) -> None:
        """Compare the books with the places of all requests. Raises `CacheIntegrityError` with numbers."""
        holders = [places for places in held if places]
        places = [*self._free, *(place for each in holders for place in each)]
        if sorted(places) != list(range(self.num_blocks)) or len(holders) != self.num_holders:
            raise CacheIntegrityError(
                f"{self.num_free} free places and {len(places) - self.num_free} of {len(holders)} requests "
                f"({self.num_holders} counted) are not the {self.num_blocks} of the swap space"
            )
