"""Store a step's keys and values in the paged cache."""

import torch

from paddock.kernels.cache_scales import UNSCALED, CacheScales
from paddock.kernels.cache_write import reference


def cache_write(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slot_mapping: torch.Tensor,
    scales: CacheScales = UNSCALED,
) -> None:
    """Write `key`, `value` `[tokens, num_kv_heads, head_dim]` into the caches, in place.

    The caches are `[num_blocks, num_kv_heads, block_size, head_dim]`; `slot_mapping` (int64 `[tokens]`) holds
    `block_id * block_size + offset`, or -1 for a token to skip. No two tokens share a slot. The caches may be of
    another element type; `scales` are those of 8-bit ones.
    """
    if key.is_cuda:
        from paddock.kernels.cache_write import triton_kernel

        triton_kernel.cache_write(key, value, key_cache, value_cache, slot_mapping, scales)
    else:
        reference.cache_write(key, value, key_cache, value_cache, slot_mapping, scales)
