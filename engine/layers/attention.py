"""Self-attention over the paged cache."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from paddock.engine.layers.linear import ColumnParallelLinear, RowParallelLinear, qkv_parts
from paddock.engine.layers.norm import RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import AttentionMetadata, paged_attention, rotary_cache_write


@dataclass(frozen=True, slots=True)
class AttentionStep:
    """What every layer's attention needs of one step."""

    cos: torch.Tensor
    sin: torch.Tensor
    """float32 `[tokens, head_dim / 2]`."""
    metadata: Mapping[int | None, AttentionMetadata]
    """By sliding window; the same batch otherwise."""


class SelfAttention(nn.Module):
    """Grouped-query attention of one layer. Holds the layer's cache once `bind_cache` has given it."""

    key_cache: torch.Tensor
    value_cache: torch.Tensor

    def __init__(
        self,
        shape: ModelShape,
        layer: int,
        place: Placement,
        *,
        qkv_bias: bool,
        output_bias: bool,
        head_norm: bool = False,
    ) -> None:
        super().__init__()
        parts = qkv_parts(shape.num_heads, shape.num_kv_heads, shape.head_dim, place)
        self.num_kv_heads = parts[1].size // shape.head_dim
        self.window = shape.layer_windows[layer]
        self.scale = shape.head_dim**-0.5
        self.eps = shape.rms_norm_eps
        self.qkv_proj = ColumnParallelLinear(shape.hidden_size, parts, qkv_bias, place)
        self.o_proj = RowParallelLinear(
            shape.num_heads * shape.head_dim, shape.hidden_size, output_bias, place, "attention features"
        )
        self.q_norm = RMSNorm(shape.head_dim, shape.rms_norm_eps, place) if head_norm else None
        self.k_norm = RMSNorm(shape.head_dim, shape.rms_norm_eps, place) if head_norm else None

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.qkv_proj.weight_targets(prefix)
        yield from self.o_proj.weight_targets(f"{prefix}.o_proj")
        if self.q_norm is not None and self.k_norm is not None:
            yield from self.q_norm.weight_targets(f"{prefix}.q_norm")
            yield from self.k_norm.weight_targets(f"{prefix}.k_norm")

    def bind_cache(self, key_cache: torch.Tensor, value_cache: torch.Tensor) -> None:
        """`[num_blocks, num_kv_heads, block_size, head_dim]` each."""
        self.key_cache, self.value_cache = key_cache, value_cache

    def forward(self, x: torch.Tensor, step: AttentionStep) -> torch.Tensor:
        """`[tokens, hidden]` to the same; writes this step's keys and values to the cache first."""
        metadata = step.metadata[self.window]
        query = rotary_cache_write(
            self.qkv_proj(x),
            step.cos,
            step.sin,
            self.key_cache,
            self.value_cache,
            metadata.slot_mapping,
            None if self.q_norm is None else self.q_norm.weight,
            None if self.k_norm is None else self.k_norm.weight,
            self.eps,
        )
        out = paged_attention(query, self.key_cache, self.value_cache, metadata, self.scale)
        output: torch.Tensor = self.o_proj(out.flatten(1))
        return output
