"""After a row failed: which requests have built on blocks that were never written."""

from collections.abc import Collection, Iterable

from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.scheduler.request import Request


def builders_on(void: Collection[int], running: Iterable[Request], cache: KVCache) -> list[Request]:
    """Running requests that hold a block of `void`, or one that was computed after such a block: each has to compute
    its tokens again. None of these blocks is found by its hash any more."""
    tainted = set(void)
    cache.forget(tainted)
    builders: list[Request] = []
    unsuspected = list(running)
    while True:
        found = [request for request in unsuspected if not tainted.isdisjoint(request.table.block_ids)]
        if not found:
            return builders
        unsuspected = [request for request in unsuspected if request not in found]
        builders += found
        for request in found:
            block_ids = request.table.block_ids
            first = next(index for index, block_id in enumerate(block_ids) if block_id in tainted)
            cache.forget(block_ids[first:])
            tainted.update(block_ids[first:])
