"""Everything between the QKV projection and attention in one pass: head norms, rotary embedding, cache write."""

import torch

from paddock.kernels import native
from paddock.kernels.cache_scales import UNSCALED, CacheScales
from paddock.kernels.rotary_cache_write import cpu, reference


def rotary_cache_write(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slot_mapping: torch.Tensor,
    q_norm: torch.Tensor | None = None,
    k_norm: torch.Tensor | None = None,
    eps: float = 1e-6,
    scales: CacheScales = UNSCALED,
) -> torch.Tensor:
    """Split `qkv` `[tokens, (num_heads + 2 * num_kv_heads) * head_dim]` and return the rotated queries.

    Queries and keys get the per-head RMSNorm of Qwen3 where `q_norm`, `k_norm` (`[head_dim]`) are given, then
    the rotary embedding; keys and values go to the cache (shapes and `scales` as in `cache_write`, `rotary`). Returns
    `[tokens, num_heads, head_dim]`; `qkv` is not changed.
    """
    if qkv.is_cuda:
        from paddock.kernels.rotary_cache_write import triton_kernel

        return triton_kernel.rotary_cache_write(
            qkv, cos, sin, key_cache, value_cache, slot_mapping, q_norm, k_norm, eps, scales
        )
    run = cpu.rotary_cache_write if native.handles_cache(qkv, key_cache) else reference.rotary_cache_write
    return run(qkv, cos, sin, key_cache, value_cache, slot_mapping, q_norm, k_norm, eps, scales)
