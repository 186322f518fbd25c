"""Decoder layers that families share: norm before each part, and Gemma's norm around each."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import nn

from paddock.engine.layers.attention import AttentionStep
from paddock.engine.layers.norm import Norm, OffsetRMSNorm, RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget


class CachedAttention(Protocol):
    """Attention of one layer over the paged cache."""

    num_kv_heads: int
    head_dim: int

    def __call__(self, x: torch.Tensor, step: AttentionStep) -> torch.Tensor: ...

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]: ...

    def bind_cache(self, key_cache: torch.Tensor, value_cache: torch.Tensor) -> None: ...


class FeedForward(Protocol):
    """`[tokens, hidden]` to the same: an MLP or experts."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]: ...


class CachedLayer(Protocol):
    """What `DecoderLM` asks of a layer."""

    self_attn: CachedAttention

    def __call__(
        self, hidden: torch.Tensor, residual: torch.Tensor | None, step: AttentionStep
    ) -> tuple[torch.Tensor, torch.Tensor]: ...

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]: ...

    def modules(self) -> Iterator[nn.Module]: ...


class DecoderLayer(nn.Module):
    """norm, attention, add, norm, feed-forward, add: the additions are folded into the norm that follows."""

    attention_norm_name = "input_layernorm"
    attention_name = "self_attn"
    mlp_norm_name = "post_attention_layernorm"
    mlp_name = "mlp"
    """Where the checkpoint keeps them."""

    def __init__(
        self, shape: ModelShape, place: Placement, attention: CachedAttention, mlp: FeedForward
    ) -> None:
        super().__init__()
        self.input_layernorm = self.make_norm(shape, place)
        self.self_attn = attention
        self.post_attention_layernorm = self.make_norm(shape, place)
        self.mlp = mlp

    def make_norm(self, shape: ModelShape, place: Placement) -> Norm:
        return RMSNorm(shape.hidden_size, shape.rms_norm_eps, place)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.input_layernorm.weight_targets(f"{prefix}.{self.attention_norm_name}")
        yield from self.self_attn.weight_targets(f"{prefix}.{self.attention_name}")
        yield from self.post_attention_layernorm.weight_targets(f"{prefix}.{self.mlp_norm_name}")
        yield from self.mlp.weight_targets(self.mlp_prefix(prefix))

    def mlp_prefix(self, prefix: str) -> str:
        """Of the feed-forward layer, in the layer `prefix`."""
        return f"{prefix}.{self.mlp_name}"

    def forward(
        self, hidden: torch.Tensor, residual: torch.Tensor | None, step: AttentionStep
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`hidden` is the last layer's output, not yet added to `residual`; both come back in the same relation."""
        if residual is None:
            normed, residual = self.input_layernorm(hidden), hidden
        else:
            normed, residual = self.input_layernorm.add(hidden, residual)
        normed, residual = self.post_attention_layernorm.add(self.self_attn(normed, step), residual)
        return self.mlp(normed), residual


class SandwichLayer(nn.Module):
    """Gemma 2 and 3: a norm before and after each part; the sum is of the normed results."""

    def __init__(
        self, shape: ModelShape, place: Placement, attention: CachedAttention, mlp: FeedForward
    ) -> None:
        super().__init__()
        norms = [OffsetRMSNorm(shape.hidden_size, shape.rms_norm_eps, place) for _ in range(4)]
        self.input_layernorm, self.post_attention_layernorm = norms[:2]
        self.pre_feedforward_layernorm, self.post_feedforward_layernorm = norms[2:]
        self.self_attn = attention
        self.mlp = mlp

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        for name in (
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ):
            yield from getattr(self, name).weight_targets(f"{prefix}.{name}")
        yield from self.self_attn.weight_targets(f"{prefix}.self_attn")
        yield from self.mlp.weight_targets(f"{prefix}.mlp")

    def forward(
        self, hidden: torch.Tensor, residual: torch.Tensor | None, step: AttentionStep
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `DecoderLayer.forward`."""
        if residual is None:
            normed, residual = self.input_layernorm(hidden), hidden
        else:
            normed, residual = self.input_layernorm.add(hidden, residual)
        attended = self.post_attention_layernorm(self.self_attn(normed, step))
        normed, residual = self.pre_feedforward_layernorm.add(attended, residual)
        return self.post_feedforward_layernorm(self.mlp(normed)), residual
