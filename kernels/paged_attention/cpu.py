"""Paged attention on the compiled kernel."""

import torch

from paddock.kernels import native
from paddock.kernels.attention_metadata import AttentionMetadata

MAX_HEAD_DIM = 256
MAX_GROUP = 32


def handles(query: torch.Tensor, key_cache: torch.Tensor) -> bool:
    """Whether the compiled kernel takes these shapes; others go to the PyTorch definition."""
    head_dim = query.shape[2]
    return (
        native.handles(query)
        and head_dim % 16 == 0
        and head_dim <= MAX_HEAD_DIM
        and query.shape[1] <= MAX_GROUP * key_cache.shape[1]
        and key_cache.dtype == query.dtype
    )


def paged_attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    metadata: AttentionMetadata,
    scale: float,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """See `paddock.kernels.paged_attention`. A row's bits depend on its own sequence's first positions alone."""
    assert native.library is not None
    assert query.stride(2) == 1
    assert query.stride(1) == query.shape[2]
    assert key_cache[0].is_contiguous()
    assert key_cache.stride() == value_cache.stride()
    block_table = metadata.block_table
    assert block_table.dtype == metadata.seq_lens.dtype == metadata.cu_seqlens.dtype == torch.int32
    assert block_table.stride(1) == 1
    if out is None:
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
    assert out.is_contiguous()
    assert out.shape == query.shape
    assert out.dtype == query.dtype
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
        metadata.seq_lens.shape[0],
        block_table.stride(0),
        query.stride(0),
        query.shape[1],
        key_cache.shape[1],
        query.shape[2],
        key_cache.shape[2],
        key_cache.stride(0),
        metadata.sliding_window or 0,
        scale,
    )
    return out
