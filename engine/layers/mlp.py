"""Feed-forward layers: gated (SwiGLU, Shazeer 2020) and plain."""

from collections.abc import Iterator

import torch
from torch import nn

from paddock.engine.layers.activation import PLAIN, gated
from paddock.engine.layers.linear import ColumnParallelLinear, RowParallelLinear, even_part, packed_parts
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget

FEATURES = "feed-forward features"


class GatedMLP(nn.Module):
    """down(act(gate(x)) * up(x)), gate and up in one multiplication.

    `packed` names a checkpoint tensor that holds gate and up one after the other; `size` is another width than the
    model's own.
    """

    def __init__(
        self,
        shape: ModelShape,
        place: Placement,
        *,
        bias: bool,
        packed: str | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__()
        size = shape.intermediate_size if size is None else size
        parts = [even_part(name, size, place, FEATURES) for name in ("gate_proj", "up_proj")]
        parts = parts if packed is None else packed_parts(packed, parts)
        self.gate_up_proj = ColumnParallelLinear(shape.hidden_size, parts, bias, place)
        self.down_proj = RowParallelLinear(size, shape.hidden_size, bias, place, FEATURES)
        self.activation = gated(shape.activation)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.gate_up_proj.weight_targets(prefix)
        yield from self.down_proj.weight_targets(f"{prefix}.down_proj")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.down_proj(self.activation(self.gate_up_proj(x)))
        return output


class PlainMLP(nn.Module):
    """down(act(up(x))); `names` are the two layers' in the checkpoint."""

    def __init__(
        self,
        shape: ModelShape,
        place: Placement,
        names: tuple[str, str],
        *,
        bias: bool,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        part = even_part(names[0], shape.intermediate_size, place, FEATURES)
        self.down_name = names[1]
        self.up = ColumnParallelLinear(shape.hidden_size, [part], bias, place, transposed)
        self.down = RowParallelLinear(
            shape.intermediate_size, shape.hidden_size, bias, place, FEATURES, transposed
        )
        self.activation = PLAIN[shape.activation]

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.up.weight_targets(prefix)
        yield from self.down.weight_targets(f"{prefix}.{self.down_name}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.down(self.activation(self.up(x)))
        return output
