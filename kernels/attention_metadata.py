"""The batch that one step's attention runs over: which tokens belong to which sequence, and where its cache lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch


@dataclass(frozen=True, slots=True)
class AttentionMetadata:
    """Lengths and block tables of `B` sequences whose scheduled tokens lie back to back in one flat batch.

    The keys and values of this step are in the cache before attention reads it. Query `i` of a sequence sees
    the positions `<= seq_len - query_len + i`, and only the last `sliding_window` of those when that is set.
    All tensors are on the device of the query.
    """

    cu_seqlens: torch.Tensor
    """int32 `[B + 1]`: the sequence `b` owns the tokens `[cu_seqlens[b], cu_seqlens[b + 1])`."""

    seq_lens: torch.Tensor
    """int32 `[B]`: context length, this step's tokens included."""

    block_table: torch.Tensor
    """int32 `[B, max_blocks]`: block ids in order of position; entries past a sequence's length are never read."""

    slot_mapping: torch.Tensor
    """int64 `[tokens]`: `block_id * block_size + offset` of each token, -1 for one that is not kept."""

    max_query_len: int

    num_decodes: int
    """The first `num_decodes` sequences have exactly one query."""

    query_lens_host: Sequence[int]
    seq_lens_host: Sequence[int]
    """Both empty in a step that is recorded: the tensors alone tell, and another time they tell something else."""

    sliding_window: int | None = None

    @classmethod
    def build(
        cls,
        query_lens: Sequence[int],
        seq_lens: Sequence[int],
        block_tables: Sequence[Sequence[int]],
        block_size: int,
        *,
        sliding_window: int | None = None,
        device: torch.device | str = "cpu",
    ) -> AttentionMetadata:
        """From plain lists; `block_tables[b]` holds at least `ceil(seq_lens[b] / block_size)` block ids.

        Raises `ValueError` when the lists disagree.
        """
        _check_lengths(query_lens, seq_lens, block_tables, block_size)
        width = max((len(blocks) for blocks in block_tables), default=0)
        padded = [[*blocks, *[0] * (width - len(blocks))] for blocks in block_tables]
        slots = [
            blocks[position // block_size] * block_size + position % block_size
            for query_len, seq_len, blocks in zip(query_lens, seq_lens, block_tables, strict=True)
            for position in range(seq_len - query_len, seq_len)
        ]
        return cls(
            cu_seqlens=torch.tensor([0, *accumulate(query_lens)], dtype=torch.int32, device=device),
            seq_lens=torch.tensor(seq_lens, dtype=torch.int32, device=device),
            block_table=torch.tensor(padded, dtype=torch.int32, device=device).view(len(seq_lens), width),
            slot_mapping=torch.tensor(slots, dtype=torch.int64, device=device),
            max_query_len=max(query_lens, default=0),
            num_decodes=_leading_ones(query_lens),
            query_lens_host=list(query_lens),
            seq_lens_host=list(seq_lens),
            sliding_window=sliding_window,
        )


def _leading_ones(query_lens: Sequence[int]) -> int:
    for index, query_len in enumerate(query_lens):
        if query_len != 1:
            return index
    return len(query_lens)


def _check_lengths(
    query_lens: Sequence[int], seq_lens: Sequence[int], block_tables: Sequence[Sequence[int]], block_size: int
) -> None:
    for index, (query_len, seq_len, blocks) in enumerate(
        zip(query_lens, seq_lens, block_tables, strict=True)
    ):
        if not 0 < query_len <= seq_len:
            raise ValueError(
                f"query_lens[{index}] is {query_len}; it must be 1 to seq_lens[{index}] = {seq_len}"
            )
        if len(blocks) * block_size < seq_len:
            raise ValueError(
                f"block_tables[{index}] has {len(blocks)} blocks of {block_size}, too few for {seq_len} positions"
            )
