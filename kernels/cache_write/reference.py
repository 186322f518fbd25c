"""Definition of the cache write: the row of a token goes to the slot that the scheduler gave it."""

import torch

from paddock.kernels.cache_scales import UNSCALED, CacheScales, to_cache


def cache_write(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slot_mapping: torch.Tensor,
    scales: CacheScales = UNSCALED,
) -> None:
    """See `paddock.kernels.cache_write`."""
    block_size = key_cache.shape[2]
    kept = slot_mapping >= 0
    slots = slot_mapping[kept]
    blocks, offsets = slots // block_size, slots % block_size
    for cache, new, scale in ((key_cache, key, scales.key), (value_cache, value, scales.value)):
        rows = to_cache(new[kept], scale, cache.dtype)
        if cache.itemsize == 1:  # as bytes: torch places no 8-bit floats by index
            cache.view(torch.uint8)[blocks, :, offsets] = rows.view(torch.uint8)
        else:
            cache[blocks, :, offsets] = rows
