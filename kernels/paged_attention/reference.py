"""Definition of paged attention: gather each sequence's cache, mask, softmax in float32, weigh the values."""

import torch

from paddock.kernels.attention_metadata import AttentionMetadata
from paddock.kernels.cache_scales import UNSCALED, CacheScales, from_cache


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
    """See `paddock.kernels.paged_attention`."""
    out = torch.empty_like(query, memory_format=torch.contiguous_format) if out is None else out
    start = 0
    for index, (query_len, seq_len) in enumerate(
        zip(metadata.query_lens_host, metadata.seq_lens_host, strict=True)
    ):
        tokens = slice(start, start + query_len)
        key = gather_sequence(key_cache, metadata.block_table[index], seq_len)
        value = gather_sequence(value_cache, metadata.block_table[index], seq_len)
        key, value = from_cache(key, scales.key), from_cache(value, scales.value)
        out[tokens] = attend(query[tokens], key, value, scale, metadata.sliding_window, softcap, sinks).to(
            out.dtype
        )
        start += query_len
    return out


def gather_sequence(cache: torch.Tensor, block_row: torch.Tensor, seq_len: int) -> torch.Tensor:
    """The first `seq_len` positions of one sequence, `[num_kv_heads, seq_len, head_dim]`."""
    num_kv_heads, block_size, head_dim = cache.shape[1:]
    blocks = block_row[: -(-seq_len // block_size)].long()
    # [n, heads, block, dim] -> [heads, n, block, dim] -> [heads, n * block, dim]
    gathered = cache.view(torch.uint8)[blocks].view(cache.dtype) if cache.itemsize == 1 else cache[blocks]
    return gathered.transpose(0, 1).reshape(num_kv_heads, -1, head_dim)[:, :seq_len]


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    sliding_window: int | None,
    softcap: float = 0.0,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Causal attention of one sequence: query `[q, heads, dim]`, key and value `[kv_heads, k, dim]`."""
    query_len, num_heads, head_dim = query.shape
    num_kv_heads, seq_len = key.shape[:2]
    grouped = query.float().view(query_len, num_kv_heads, num_heads // num_kv_heads, head_dim)
    scores = torch.einsum("qhgd,hkd->hgqk", grouped, key.float()) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    distance = torch.arange(seq_len - query_len, seq_len, device=query.device)[:, None] - torch.arange(
        seq_len, device=query.device
    )
    hidden = distance < 0
    if sliding_window is not None:
        hidden |= distance >= sliding_window
    scores = scores.masked_fill(hidden, float("-inf"))
    if sinks is not None:
        sink = sinks.float().view(num_kv_heads, -1, 1, 1).expand(-1, -1, query_len, 1)
        scores = torch.cat((scores, sink), dim=-1)
    weights = scores.softmax(dim=-1)[..., :seq_len]
    return torch.einsum("hgqk,hkd->qhgd", weights, value.float()).reshape(query_len, num_heads, head_dim)
