"""Linear layers whose output or input features are split over the tensor-parallel ranks.

A layer allocates its rank's shard, says which part of which checkpoint tensor fills it (`weight_targets`), and after
loading turns the weight into what the kernels multiply by fastest (`pack`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from paddock.engine.layers.placement import Placement
from paddock.engine.layers.reordered import ReorderedLinear
from paddock.engine.layers.rounded import pack, saved_bytes, scale_group
from paddock.engine.layers.stored_codes import StoredCodes
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import PackedLinear, pack_quantized


@runtime_checkable
class Packable(Protocol):
    """A module that has work to do once its weights are loaded."""

    def pack(self) -> None: ...


@dataclass(frozen=True)
class OutputPart:
    """A run of a checkpoint tensor's output features among the fused outputs of a layer."""

    name: str
    full: int
    """Features of the checkpoint tensor: it may hold several parts."""
    start: int
    """First feature of this rank's slice of the checkpoint tensor."""
    size: int


class PackableLinear(nn.Module):
    """Holds one weight `[out_features, in_features]` and perhaps a bias until they are packed.

    `transposed` says that the checkpoint keeps it as `[in_features, out_features]` (GPT-2's Conv1D).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool,
        place: Placement,
        transposed: bool = False,
        all_inputs: int | None = None,
    ) -> None:
        """`all_inputs` are those of all ranks, where they split them."""
        super().__init__()
        self.scale_group = scale_group(all_inputs or in_features, place, in_features)
        self.place = place
        self.transposed = transposed
        self.weight: torch.Tensor | None = place.empty(out_features, in_features)
        self.bias: torch.Tensor | None = place.empty(out_features) if bias else None
        self.codes: StoredCodes | None = None
        self.multiply: PackedLinear | None = None
        self.saved_bytes = 0
        """How much less the packed weight takes than a plain one."""

    def keep_codes(self, bits: int, group: int, order: torch.Tensor | None = None) -> None:
        """Be filled from codes of which `group` neighbouring inputs share a scale. Call before loading.

        `order` int64 `[inputs]` says which input stands at each place of the codes; None is each at its own.
        """
        assert self.weight is not None
        outputs, inputs = self.weight.shape
        self.codes = StoredCodes(outputs, inputs, bits, group, order)

    @property
    def packs_into_codes(self) -> bool:
        return self.codes is not None or self.scale_group is not None

    def tensors_to_fill(self) -> list[torch.Tensor]:
        weight = self.weight if self.codes is None else None
        kept = () if self.codes is None else (self.codes.codes, self.codes.scales, self.codes.zeros)
        return [tensor for tensor in (weight, *kept, self.bias) if tensor is not None]

    def targets(
        self, name: str, full: tuple[int, int], rows: slice, source: tuple[slice, slice]
    ) -> Iterator[WeightTarget]:
        """The part `source` of the checkpoint's matrix of shape `full` (outputs, inputs) for these rows."""
        assert self.weight is not None
        if self.codes is not None:
            yield from self.codes.targets(name, full, rows, source)
        elif self.transposed:
            yield WeightTarget(name, full[::-1], self.weight[rows].t(), source[::-1])
        else:
            yield WeightTarget(name, full, self.weight[rows], source)

    def pack(self) -> None:
        """Call after loading; a second call does nothing.

        The plain weight is let go: the packed form may be a rearranged copy.
        """
        if self.multiply is not None:
            return
        assert self.weight is not None
        if self.codes is not None:
            packed = pack_quantized(self.codes.weight(), self.bias, dtype=self.place.dtype)
            order = self.codes.order
            self.multiply = packed if order is None else ReorderedLinear(packed, order)
        else:
            self.multiply = pack(self.weight, self.bias, self.place.rounded_bits, self.scale_group)
        self.saved_bytes = saved_bytes(self.weight, self.multiply)
        self.weight = self.bias = self.codes = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.multiply is not None
        return self.multiply(x)


class ColumnParallelLinear(PackableLinear):
    """Outputs split over the ranks; several checkpoint tensors may lie fused, one after the other."""

    def __init__(
        self,
        in_features: int,
        parts: Sequence[OutputPart],
        bias: bool,
        place: Placement,
        transposed: bool = False,
    ) -> None:
        super().__init__(in_features, sum(part.size for part in parts), bias, place, transposed)
        self.in_features = in_features
        self.parts = parts

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        """`prefix` is the parent's name in the checkpoint; each part adds its own."""
        row, inputs = 0, slice(0, self.in_features)
        for part in self.parts:
            rows, source = slice(row, row + part.size), slice(part.start, part.start + part.size)
            yield from self.targets(
                f"{prefix}.{part.name}.weight", (part.full, self.in_features), rows, (source, inputs)
            )
            if self.bias is not None:
                yield WeightTarget(f"{prefix}.{part.name}.bias", (part.full,), self.bias[rows], (source,))
            row += part.size


class RowParallelLinear(PackableLinear):
    """Inputs split over the ranks; the ranks' results are summed. The first rank alone adds the bias."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool,
        place: Placement,
        what: str,
        transposed: bool = False,
    ) -> None:
        share = place.share(in_features, what)
        super().__init__(share, out_features, bias, place, transposed, all_inputs=in_features)
        self.full_shape = (out_features, in_features)
        self.columns = slice(place.rank * share, (place.rank + 1) * share)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        outputs = slice(0, self.full_shape[0])
        yield from self.targets(f"{prefix}.weight", self.full_shape, outputs, (outputs, self.columns))
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


def qkv_parts(
    num_heads: int, num_kv_heads: int, head_dim: int, place: Placement, packed: str | None = None
) -> list[OutputPart]:
    """Query heads are cut evenly; with fewer KV heads than ranks, neighbouring ranks keep the same KV head.

    `packed` names the one checkpoint tensor that holds queries, keys and values in this order.
    """
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
    parts = [
        OutputPart(name, count * head_dim, first * head_dim, size * head_dim)
        for name, count, first, size in (
            ("q_proj", num_heads, place.rank * query_heads, query_heads),
            ("k_proj", num_kv_heads, first_kv_head, kv_heads),
            ("v_proj", num_kv_heads, first_kv_head, kv_heads),
        )
    ]
    return parts if packed is None else packed_parts(packed, parts)


def packed_parts(name: str, parts: Sequence[OutputPart]) -> list[OutputPart]:
    """The same parts, their checkpoint tensors lying one after the other in a single one called `name`."""
    full = sum(part.full for part in parts)
    ends = accumulate(part.full for part in parts)
    return [
        OutputPart(name, full, end - part.full + part.start, part.size)
        for part, end in zip(parts, ends, strict=True)
    ]
