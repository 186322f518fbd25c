"""Attention of a mixed batch (decodes and prompt chunks) over the paged cache."""

import torch

from paddock.kernels.attention_metadata import AttentionMetadata
from paddock.kernels.paged_attention import cpu, reference


def paged_attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    metadata: AttentionMetadata,
    scale: float,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Causal, grouped attention of `query` `[tokens, num_heads, head_dim]`; returns the same shape and dtype.

    The caches are `[num_blocks, num_kv_heads, block_size, head_dim]` and already hold this step's tokens.
    Query head `h` reads KV head `h // (num_heads // num_kv_heads)`. Softmax and sums are in float32.
    """
    if query.is_cuda:
        from paddock.kernels.paged_attention import triton_kernel

        return triton_kernel.paged_attention(query, key_cache, value_cache, metadata, scale, out)
    run = cpu.paged_attention if cpu.handles(query, key_cache) else reference.paged_attention
    return run(query, key_cache, value_cache, metadata, scale, out)
