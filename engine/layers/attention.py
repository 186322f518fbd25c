"""Self-attention over the paged cache."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from paddock.engine.layers.linear import ColumnParallelLinear, RowParallelLinear, qkv_parts
from paddock.engine.layers.norm import OffsetRMSNorm, RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import (
    UNSCALED,
    AttentionMetadata,
    CacheScales,
    cache_write,
    paged_attention,
    rotary_cache_write,
)


@dataclass(frozen=True, slots=True)
class AttentionStep:
    """What every layer's attention needs of one step."""

    rotary: Sequence[tuple[torch.Tensor, torch.Tensor]]
    """Cosines and sines of the tokens, float32 `[tokens, rotary_dim / 2]`, for each of the model's tables."""
    metadata: Mapping[int | None, AttentionMetadata]
    """By sliding window; the same batch otherwise."""


@dataclass(frozen=True)
class AttentionForm:
    """How a family's attention differs from the plain one. Names are those of the checkpoint."""

    qkv_bias: bool = False
    output_bias: bool = False
    packed: str | None = None
    """The one tensor that holds queries, keys and values."""
    output: str = "o_proj"
    transposed: bool = False
    scale: float | None = None
    """On the scores; head_dim ** -0.5 when not given."""
    softcap: float = 0.0
    sinks: bool = False
    rotary: int | None = 0
    """Which of the model's rotary tables; None for a model with learned positions."""
    head_norm: type[RMSNorm] | None = None
    """Over each query and key head, before the rotary embedding."""


class SelfAttention(nn.Module):
    """Grouped-query attention of one layer. Holds the layer's cache once `bind_cache` has given it."""

    key_cache: torch.Tensor
    value_cache: torch.Tensor

    def __init__(self, shape: ModelShape, layer: int, place: Placement, form: AttentionForm) -> None:
        super().__init__()
        parts = qkv_parts(shape.num_heads, shape.num_kv_heads, shape.head_dim, place, form.packed)
        self.form = form
        self.num_kv_heads = parts[1].size // shape.head_dim
        self.head_dim = shape.head_dim
        self.window = shape.layer_windows[layer]
        self.scale = shape.head_dim**-0.5 if form.scale is None else form.scale
        self.eps = shape.rms_norm_eps
        self.qkv_proj = ColumnParallelLinear(shape.hidden_size, parts, form.qkv_bias, place, form.transposed)
        self.o_proj = RowParallelLinear(
            shape.num_heads * shape.head_dim,
            shape.hidden_size,
            form.output_bias,
            place,
            "attention features",
            form.transposed,
        )
        self.dtype = place.attention_dtype or place.dtype
        norm, inner = form.head_norm, replace(place, dtype=self.dtype)
        self.q_norm = None if norm is None else norm(shape.head_dim, shape.rms_norm_eps, inner)
        self.k_norm = None if norm is None else norm(shape.head_dim, shape.rms_norm_eps, inner)
        heads = place.share(shape.num_heads, "attention heads")
        self.first_head, self.all_heads = place.rank * heads, shape.num_heads
        self.cache_scales: CacheScales = UNSCALED
        self.sinks = torch.empty(heads, device=place.device) if form.sinks else None

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.qkv_proj.weight_targets(prefix)
        yield from self.o_proj.weight_targets(f"{prefix}.{self.form.output}")
        if self.q_norm is not None and self.k_norm is not None:
            yield from self.q_norm.weight_targets(f"{prefix}.q_norm")
            yield from self.k_norm.weight_targets(f"{prefix}.k_norm")
        if self.sinks is not None:
            own = slice(self.first_head, self.first_head + len(self.sinks))
            yield WeightTarget(f"{prefix}.sinks", (self.all_heads,), self.sinks, (own,))

    def bind_cache(self, key_cache: torch.Tensor, value_cache: torch.Tensor) -> None:
        """`[num_blocks, num_kv_heads, block_size, head_dim]` each."""
        self.key_cache, self.value_cache = key_cache, value_cache

    def forward(self, x: torch.Tensor, step: AttentionStep) -> torch.Tensor:
        """`[tokens, hidden]` to the same; writes this step's keys and values to the cache first."""
        metadata = step.metadata[self.window]
        query = self._place(self.qkv_proj(x).to(self.dtype), step, metadata.slot_mapping)
        out = paged_attention(
            query,
            self.key_cache,
            self.value_cache,
            metadata,
            self.scale,
            softcap=self.form.softcap,
            sinks=self.sinks,
            scales=self.cache_scales,
        )
        output: torch.Tensor = self.o_proj(out.flatten(1).to(x.dtype))
        return output

    def _place(self, qkv: torch.Tensor, step: AttentionStep, slot_mapping: torch.Tensor) -> torch.Tensor:
        """Queries `[tokens, heads, head_dim]` with their positions in; keys and values go to the cache."""
        if self.form.rotary is None:
            heads = qkv.view(qkv.shape[0], -1, self.head_dim)
            query, key, value = heads.tensor_split(
                (heads.shape[1] - 2 * self.num_kv_heads, -self.num_kv_heads), dim=1
            )
            cache_write(key, value, self.key_cache, self.value_cache, slot_mapping, self.cache_scales)
            return query
        q_norm, k_norm = self.q_norm, self.k_norm
        if isinstance(q_norm, OffsetRMSNorm) and isinstance(k_norm, OffsetRMSNorm):
            qkv, q_norm, k_norm = self._offset_normed(qkv, q_norm, k_norm), None, None
        return rotary_cache_write(
            qkv,
            *step.rotary[self.form.rotary],
            self.key_cache,
            self.value_cache,
            slot_mapping,
            None if q_norm is None else q_norm.weight,
            None if k_norm is None else k_norm.weight,
            self.eps,
            self.cache_scales,
        )

    def _offset_normed(self, qkv: torch.Tensor, q_norm: OffsetRMSNorm, k_norm: OffsetRMSNorm) -> torch.Tensor:
        heads = qkv.view(qkv.shape[0], -1, self.head_dim)
        query, key, value = heads.tensor_split(
            (heads.shape[1] - 2 * self.num_kv_heads, -self.num_kv_heads), dim=1
        )
        return torch.cat((q_norm(query), k_norm(key), value), dim=1).flatten(1)
