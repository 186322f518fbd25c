"""Head norms, rotary embedding and cache write in one pass of the compiled kernel."""

import torch

from paddock.kernels import native
from paddock.kernels.cache_scales import UNSCALED, CacheScales


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
    assert native.library is not None
    assert qkv.stride(1) == 1
    assert key_cache.dtype == value_cache.dtype
    assert slot_mapping.dtype == torch.int64
    assert slot_mapping.is_contiguous()
    cos, sin = cos.float().contiguous(), sin.float().contiguous()
    tokens, width = qkv.shape
    _, num_kv_heads, block_size, head_dim = key_cache.shape
    block_stride = key_cache.stride(0)
    assert key_cache.stride() == (block_stride, block_size * head_dim, head_dim, 1) == value_cache.stride()
    num_heads = width // head_dim - 2 * num_kv_heads
    query = qkv.new_empty(tokens, num_heads, head_dim)
    native.library.rotary(
        native.ELEMENT[qkv.dtype],
        torch.get_num_threads(),
        qkv.data_ptr(),
        cos.data_ptr(),
        sin.data_ptr(),
        0 if q_norm is None else q_norm.data_ptr(),
        0 if k_norm is None else k_norm.data_ptr(),
        query.data_ptr(),
        key_cache.data_ptr(),
        value_cache.data_ptr(),
        slot_mapping.data_ptr(),
        tokens,
        qkv.stride(0),
        num_heads,
        num_kv_heads,
        head_dim,
        cos.shape[1],
        block_size,
        block_stride,
        native.cache_element(qkv, key_cache),
        scales.key,
        scales.value,
        eps,
    )
    return query
