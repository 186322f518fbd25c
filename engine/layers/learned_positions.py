"""A learned vector for each position, added to the token's."""

from collections.abc import Iterator

import torch
from torch import nn

from paddock.engine.layers.placement import Placement
from paddock.engine.weights.target import WeightTarget


class LearnedPositions(nn.Module):
    """`[rows, hidden]`, replicated on every rank; position p has the row p + `offset`."""

    def __init__(self, rows: int, hidden_size: int, place: Placement, offset: int = 0) -> None:
        super().__init__()
        self.weight = place.empty(rows, hidden_size)
        self.offset = offset

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield WeightTarget(f"{prefix}.weight", tuple(self.weight.shape), self.weight)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """`[tokens]` to `[tokens, hidden]`."""
        return self.weight.index_select(0, positions + self.offset)
