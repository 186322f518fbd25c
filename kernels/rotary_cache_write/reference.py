"""Definition of the step between the QKV projection and attention, from the single operations."""

import torch

from paddock.kernels.cache_scales import UNSCALED, CacheScales
from paddock.kernels.cache_write import cache_write
from paddock.kernels.rms_norm.reference import normalize
from paddock.kernels.rotary.reference import rotate_in_place


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
    """See `paddock.kernels.rotary_cache_write`."""
    num_kv_heads, head_dim = key_cache.shape[1], key_cache.shape[3]
    heads = qkv.view(qkv.shape[0], -1, head_dim)
    query, key, value = heads.tensor_split((heads.shape[1] - 2 * num_kv_heads, -num_kv_heads), dim=1)
    query = query.clone() if q_norm is None else normalize(query, q_norm, eps)
    key = key.clone() if k_norm is None else normalize(key, k_norm, eps)
    rotate_in_place(query, cos, sin)
    rotate_in_place(key, cos, sin)
    cache_write(key, value, key_cache, value_cache, slot_mapping, scales)
    return query
