"""Paged attention on the compiled kernel."""

import torch

from paddock.kernels import native
from paddock.kernels.attention_metadata import AttentionMetadata
from paddock.kernels.cache_scales import FLOAT8, UNSCALED, CacheScales

MAX_HEAD_DIM = 640


def handles(query: torch.Tensor, key_cache: torch.Tensor) -> bool:
    """Whether the compiled kernel takes these shapes; others go to the PyTorch definition."""
    head_dim = query.shape[2]
    return native.handles_cache(query, key_cache) and head_dim % 16 == 0 and head_dim <= MAX_HEAD_DIM


def paged_attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    metadata: AttentionMetadata,
    scale: float,
    out: torch.Tensor | None = None,
    *,
    softcap: float = 0.0,
    sinks: torch.Tensor | None = None,
    scales: CacheScales = UNSCALED,
) -> torch.Tensor:
    """See `paddock.kernels.paged_attention`. A row's bits depend on its own sequence's first positions alone."""
    assert native.library is not None
    _, num_heads, head_dim = query.shape
    _, num_kv_heads, block_size, _ = key_cache.shape
    token_stride, head_stride, element_stride = query.stride()
    assert (head_stride, element_stride) == (head_dim, 1)
    block_stride = key_cache.stride(0)
    assert key_cache.stride() == (block_stride, block_size * head_dim, head_dim, 1) == value_cache.stride()
    block_table = metadata.block_table
    assert block_table.dtype == metadata.seq_lens.dtype == metadata.cu_seqlens.dtype == torch.int32
    table_stride, entry_stride = block_table.stride()
    assert entry_stride == 1
    if out is None:
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
    assert out.is_contiguous()
    assert out.shape == query.shape
    assert out.dtype == query.dtype
    if sinks is not None:
        assert sinks.shape == (num_heads,)
        assert sinks.dtype == torch.float32
        assert sinks.is_contiguous()
    key_scale, value_scale = scales if key_cache.dtype in FLOAT8 else UNSCALED
    native.library.attention(
        native.ELEMENT[query.dtype],
        torch.get_num_threads(),
        query.data_ptr(),
        key_cache.data_ptr(),
        value_cache.data_ptr(),
        out.data_ptr(),
        metadata.cu_seqlens.data_ptr(),
        metadata.seq_lens.data_ptr(),
        block_table.data_ptr(),
        0 if sinks is None else sinks.data_ptr(),
        metadata.seq_lens.shape[0],
        table_stride,
        token_stride,
        num_heads,
        num_kv_heads,
        head_dim,
        block_size,
        block_stride,
        metadata.sliding_window or 0,
        native.cache_element(query, key_cache),
        value_scale,
        scale * key_scale,
        softcap,
    )
    return out
