"""The gated feed-forward layer (SwiGLU, Shazeer 2020)."""

from collections.abc import Iterator

import torch
from torch import nn

from paddock.engine.layers.linear import ColumnParallelLinear, RowParallelLinear, even_part
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import silu_and_mul


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x)), gate and up in one multiplication."""

    def __init__(self, shape: ModelShape, place: Placement, *, bias: bool) -> None:
        super().__init__()
        what = "feed-forward features"
        parts = [even_part(name, shape.intermediate_size, place, what) for name in ("gate_proj", "up_proj")]
        self.gate_up_proj = ColumnParallelLinear(shape.hidden_size, parts, bias, place)
        self.down_proj = RowParallelLinear(shape.intermediate_size, shape.hidden_size, bias, place, what)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.gate_up_proj.weight_targets(prefix)
        yield from self.down_proj.weight_targets(f"{prefix}.down_proj")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.down_proj(silu_and_mul(self.gate_up_proj(x)))
        return output
