"""Linear layers whose output or input features are split over the tensor-parallel ranks.

A layer allocates its rank's shard, says which part of which checkpoint tensor fills it (`weight_targets`), and after
loading turns the weight into what the kernels multiply by fastest (`pack`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from paddock.engine.layers.placement import Placement
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import PackedLinear, pack_linear


@dataclass(frozen=True)
class OutputPart:
    """One checkpoint tensor among the fused outputs of a layer, in features."""

    name: str
    full: int
    start: int
    """First feature of this rank's slice of the checkpoint tensor."""
    size: int


class PackableLinear(nn.Module):
    """Holds one weight `[out_features, in_features]` and perhaps a bias until they are packed."""

    def __init__(self, in_features: int, out_features: int, bias: bool, place: Placement) -> None:
        super().__init__()
        self.place = place
        self.weight: torch.Tensor | None = place.empty(out_features, in_features)
        self.bias: torch.Tensor | None = place.empty(out_features) if bias else None
        self.multiply: PackedLinear | None = None

    def pack(self) -> None:
        """Call once, after loading. The plain weight is let go: the packed form may be a rearranged copy."""
        assert self.weight is not None
        self.multiply = pack_linear(self.weight, self.bias)
        self.weight = self.bias = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.multiply is not None
        return self.multiply(x)


class ColumnParallelLinear(PackableLinear):
    """Outputs split over the ranks; several checkpoint tensors may lie fused, one after the other."""

    def __init__(self, in_features: int, parts: Sequence[OutputPart], bias: bool, place: Placement) -> None:
        super().__init__(in_features, sum(part.size for part in parts), bias, place)
        self.in_features = in_features
        self.parts = parts

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        """`prefix` is the parent's name in the checkpoint; each part adds its own."""
        assert self.weight is not None
        row = 0
        for part in self.parts:
            rows, source = slice(row, row + part.size), (slice(part.start, part.start + part.size),)
            yield WeightTarget(
                f"{prefix}.{part.name}.weight", (part.full, self.in_features), self.weight[rows], source
            )
            if self.bias is not None:
                yield WeightTarget(f"{prefix}.{part.name}.bias", (part.full,), self.bias[rows], source)
            row += part.size


class RowParallelLinear(PackableLinear):
    """Inputs split over the ranks; the ranks' results are summed. The first rank alone adds the bias."""

    def __init__(self, in_features: int, out_features: int, bias: bool, place: Placement, what: str) -> None:
        share = place.share(in_features, what)
        super().__init__(share, out_features, bias, place)
        self.full_shape = (out_features, in_features)
        self.columns = slice(place.rank * share, (place.rank + 1) * share)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        assert self.weight is not None
        yield WeightTarget(
            f"{prefix}.weight", self.full_shape, self.weight, (slice(0, self.full_shape[0]), self.columns)
        )
        if self.bias is not None:
            yield WeightTarget(f"{prefix}.bias", self.full_shape[:1], self.bias)

    def pack(self) -> None:
        if self.place.rank > 0:
            self.bias = None
        super().pack()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.place.all_reduce(super().forward(x))


def even_part(name: str, features: int, place: Placement, what: str) -> OutputPart:
    """A checkpoint tensor whose output features are cut into equal slices."""
    share = place.share(features, what)
    return OutputPart(name, features, place.rank * share, share)


def qkv_parts(num_heads: int, num_kv_heads: int, head_dim: int, place: Placement) -> list[OutputPart]:
    """Query heads are cut evenly; with fewer KV heads than ranks, neighbouring ranks keep the same KV head."""
    query_heads = place.share(num_heads, "attention heads")
    if num_kv_heads >= place.size:
        kv_heads = place.share(num_kv_heads, "KV heads")
        first_kv_head = place.rank * kv_heads
    else:
        if place.size % num_kv_heads:
            raise ValueError(
                f"tensor_parallel_size {place.size} is not a multiple of the model's {num_kv_heads} KV heads; "
                f"use a divisor or a multiple of {num_kv_heads}."
            )
        kv_heads, first_kv_head = 1, place.rank * num_kv_heads // place.size
    query = OutputPart(
        "q_proj", num_heads * head_dim, place.rank * query_heads * head_dim, query_heads * head_dim
    )
    return [
        query,
        *(
            OutputPart(name, num_kv_heads * head_dim, first_kv_head * head_dim, kv_heads * head_dim)
            for name in ("k_proj", "v_proj")
        ),
    ]
