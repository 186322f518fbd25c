"""Random batches over a paged cache in which every slot that no sequence owns holds NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from paddock.kernels import AttentionMetadata


@dataclass(frozen=True)
class Heads:
    query: int
    kv: int
    dim: int


@dataclass(frozen=True)
class PagedBatch:
    query: torch.Tensor
    key_cache: torch.Tensor
    value_cache: torch.Tensor
    metadata: AttentionMetadata
    block_tables: list[list[int]]

    @property
    def scale(self) -> float:
        return self.query.shape[-1] ** -0.5


def random_batch(
    query_lens: Sequence[int],
    seq_lens: Sequence[int],
    heads: Heads,
    block_size: int = 16,
    dtype: torch.dtype = torch.float32,
    sliding_window: int | None = None,
    seed: int = 0,
) -> PagedBatch:
    random = torch.Generator().manual_seed(seed)
    counts = [-(-seq_len // block_size) for seq_len in seq_lens]
    num_blocks = sum(counts) + 3
    shuffled = torch.randperm(num_blocks, generator=random).tolist()
    tables = [shuffled[sum(counts[:index]) :][:count] for index, count in enumerate(counts)]
    key_cache = torch.full((num_blocks, heads.kv, block_size, heads.dim), float("nan"), dtype=dtype)
    value_cache = key_cache.clone()
    for seq_len, table in zip(seq_lens, tables, strict=True):
        for cache in (key_cache, value_cache):
            rows = torch.randn(seq_len, heads.kv, heads.dim, generator=random).to(dtype)
            for position in range(seq_len):
                cache[table[position // block_size], :, position % block_size] = rows[position]
    query = torch.randn(sum(query_lens), heads.query, heads.dim, generator=random).to(dtype)
    metadata = AttentionMetadata.build(
        query_lens, seq_lens, tables, block_size, sliding_window=sliding_window
    )
    return PagedBatch(query, key_cache, value_cache, metadata, tables)
