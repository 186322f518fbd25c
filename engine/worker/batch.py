"""A step's inputs, from its plan and the rows: array operations only, nothing per token in Python."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.executor.plan import ScheduledRow
from paddock.engine.worker.rows import RowTable
from paddock.kernels import AttentionMetadata

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StepBatch:
    """Scheduled tokens of all rows back to back. Rows with one token come first, as attention wants them."""

    token_ids: torch.Tensor
    """int32 `[tokens]`."""
    positions: torch.Tensor
    """int64 `[tokens]`."""
    metadata: AttentionMetadata
    sampled_rows: Ints
    """Rows that get a token, in plan order."""
    sampled_tokens: Ints
    """For each of them the index of its last token in the batch."""
    first_tokens: Ints
    """For each scheduled row, in plan order, the index of its first token in the batch."""

    def to(self, device: torch.device) -> "StepBatch":
        """With the model's inputs there."""
        if device == self.token_ids.device:
            return self
        there = partial(torch.Tensor.to, device=device, non_blocking=True)
        metadata = self.metadata
        return replace(
            self,
            token_ids=there(self.token_ids),
            positions=there(self.positions),
            metadata=replace(
                metadata,
                cu_seqlens=there(metadata.cu_seqlens),
                seq_lens=there(metadata.seq_lens),
                block_table=there(metadata.block_table),
                slot_mapping=there(metadata.slot_mapping),
            ),
        )


def build_batch(scheduled: Sequence[ScheduledRow], table: RowTable, device: torch.device) -> StepBatch:
    """`table` already holds the plan's new rows and blocks."""
    fields = np.array(
        [(s.row, s.num_computed_tokens, s.num_scheduled_tokens, s.samples) for s in scheduled], np.int64
    )
    is_chunk = fields[:, 2] > 1
    num_chunks = int(np.count_nonzero(is_chunk))
    order = np.argsort(is_chunk, kind="stable") if num_chunks else np.arange(len(fields))
    rows, computed, counts, _ = fields[order].T
    ends = counts.cumsum()
    starts = ends - counts
    if num_chunks:
        # Token t of the batch belongs to sequence row_of[t], at position t - start of its sequence + computed.
        positions = np.arange(ends[-1]) + np.repeat(computed - starts, counts)
        row_of = np.repeat(rows, counts)
    else:
        positions, row_of = computed.copy(), rows
    blocks = table.block_table[row_of, positions // table.block_size].astype(np.int64)
    slots = blocks * table.block_size + positions % table.block_size
    first_tokens = np.empty_like(starts)
    first_tokens[order] = starts
    samples = fields[:, 3].nonzero()[0]
    return StepBatch(
        token_ids=_to(device, table.token_ids[row_of, positions]),
        positions=_to(device, positions),
        metadata=_metadata(
            rows, counts, computed + counts, ends, slots, len(order) - num_chunks, table, device
        ),
        sampled_rows=fields[samples, 0],
        sampled_tokens=first_tokens[samples] + fields[samples, 2] - 1,
        first_tokens=first_tokens,
    )


def _metadata(
    rows: Ints,
    counts: Ints,
    lengths: Ints,
    ends: Ints,
    slots: Ints,
    decodes: int,
    table: RowTable,
    device: torch.device,
) -> AttentionMetadata:
    longest = int(lengths.max())
    cu_seqlens = np.zeros(len(rows) + 1, np.int32)
    cu_seqlens[1:] = ends
    return AttentionMetadata(
        cu_seqlens=_to(device, cu_seqlens),
        seq_lens=_to(device, lengths.astype(np.int32)),
        block_table=_to(device, table.block_table[rows, : -(-longest // table.block_size)]),
        slot_mapping=_to(device, slots),
        max_query_len=int(counts.max()),
        num_decodes=decodes,
        query_lens_host=counts.tolist(),
        seq_lens_host=lengths.tolist(),
    )


def _to(device: torch.device, values: npt.NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)
