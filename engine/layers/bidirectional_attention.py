"""Self-attention in which every token of a sequence sees all others of it; nothing is cached."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from paddock.engine.layers.linear import ColumnParallelLinear, RowParallelLinear, even_part
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget

PADDING_STEP = 32
"""Sequences are padded to a multiple of this many tokens, so that few calls serve a batch and little is wasted."""


@dataclass(frozen=True, slots=True)
class SequenceGroup:
    """Sequences of about one length, side by side."""

    index: torch.Tensor
    """int64 `[sequences, longest]`: tokens of the batch; padded places repeat a sequence's last."""

    is_token: torch.Tensor | None
    """bool `[sequences, longest]`; None where nothing is padded."""


def group_sequences(lengths: Sequence[int], device: torch.device) -> list[SequenceGroup]:
    """Of sequences that lie back to back, `lengths` in their order."""
    counts = np.asarray(lengths, np.int64)
    starts = np.cumsum(counts) - counts
    padded = -(-counts // PADDING_STEP)
    return [_group(starts[padded == size], counts[padded == size], device) for size in np.unique(padded)]


def _group(
    starts: np.ndarray[tuple[int], np.dtype[np.int64]],
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
    device: torch.device,
) -> SequenceGroup:
    places = np.arange(counts.max())
    index = starts[:, None] + np.minimum(places, counts[:, None] - 1)
    is_token = places < counts[:, None]
    return SequenceGroup(
        torch.from_numpy(index).to(device), None if is_token.all() else torch.from_numpy(is_token).to(device)
    )


@dataclass(frozen=True)
class ProjectionNames:
    """Where the checkpoint keeps the four projections of a layer."""

    query: str
    key: str
    value: str
    output: str


class BidirectionalAttention(nn.Module):
    """Multi-head attention of one layer, with biases."""

    def __init__(self, shape: ModelShape, place: Placement, names: ProjectionNames) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.output_name = names.output
        parts = [
            even_part(name, shape.hidden_size, place, "attention features")
            for name in (names.query, names.key, names.value)
        ]
        place.share(shape.num_heads, "attention heads")
        self.qkv = ColumnParallelLinear(shape.hidden_size, parts, True, place)
        self.output = RowParallelLinear(
            shape.hidden_size, shape.hidden_size, True, place, "attention features"
        )

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.qkv.weight_targets(prefix)
        yield from self.output.weight_targets(f"{prefix}.{self.output_name}")

    def forward(self, x: torch.Tensor, groups: Sequence[SequenceGroup]) -> torch.Tensor:
        """`[tokens, hidden]` to the same."""
        qkv: torch.Tensor = self.qkv(x)
        heads = qkv.view(x.shape[0], 3, -1, self.head_dim)
        mixed = torch.empty_like(heads[:, 0])
        for group in groups:
            # [sequences, longest, 3, heads, dim] to three of [sequences, heads, longest, dim]
            query, key, value = heads[group.index].permute(2, 0, 3, 1, 4)
            mask = None if group.is_token is None else group.is_token[:, None, None, :]
            out = functional.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2)
            if group.is_token is None:
                mixed[group.index] = out
            else:
                mixed[group.index[group.is_token]] = out[group.is_token]
        output: torch.Tensor = self.output(mixed.flatten(1))
        return output
