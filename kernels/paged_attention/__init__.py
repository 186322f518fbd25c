"""Attention of a mixed batch (decodes and prompt chunks) over the paged cache."""

import torch

from paddock.kernels.attention_metadata import AttentionMetadata
from paddock.kernels.cache_scales import UNSCALED, CacheScales
from paddock.kernels.paged_attention import cpu, reference

MAX_TRITON_DIM = 256


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
    """Causal, grouped attention of `query` `[tokens, num_heads, head_dim]`; returns the same shape and dtype.

    The caches are `[num_blocks, num_kv_heads, block_size, head_dim]` and already hold this step's tokens.
    Query head `h` reads KV head `h // (num_heads // num_kv_heads)`. Softmax and sums are in float32.

    `softcap` over 0 bounds the scaled scores to `softcap * tanh(score / softcap)` (Gemma 2). `sinks`, float32
    `[num_heads]`, is one more score per head that takes weight and has no value (GPT-OSS). The caches may be of
    another element type than `query`; `scales` are those of 8-bit ones.
    """
    if _is_for_triton(query):
        from paddock.kernels.paged_attention import triton_kernel

        return triton_kernel.paged_attention(
            query, key_cache, value_cache, metadata, scale, out, softcap=softcap, sinks=sinks, scales=scales
        )
    attend = cpu.paged_attention if cpu.handles(query, key_cache) else reference.paged_attention
    return attend(
        query, key_cache, value_cache, metadata, scale, out, softcap=softcap, sinks=sinks, scales=scales
    )


def reads_lengths_on_host(query: torch.Tensor, key_cache: torch.Tensor) -> bool:
    """Whether tensors like these have no kernel that takes all lengths of a step of decodes from `metadata`'s tensors."""
    return not (_is_for_triton(query) or cpu.handles(query, key_cache))


def _is_for_triton(query: torch.Tensor) -> bool:
    """Latent attention's vectors are wider than the kernel's tiles."""
    return query.is_cuda and query.shape[2] <= MAX_TRITON_DIM
