"""The pre-norm decoder layer that the Llama-like families share."""

from collections.abc import Iterator

import torch
from torch import nn

from paddock.engine.layers.attention import AttentionStep, SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.norm import RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget


class DecoderLayer(nn.Module):
    """norm, attention, add, norm, feed-forward, add: the additions are folded into the norm that follows."""

    def __init__(self, shape: ModelShape, place: Placement, attention: SelfAttention, mlp: GatedMLP) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps, place)
        self.self_attn = attention
        self.post_attention_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps, place)
        self.mlp = mlp

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.input_layernorm.weight_targets(f"{prefix}.input_layernorm")
        yield from self.self_attn.weight_targets(f"{prefix}.self_attn")
        yield from self.post_attention_layernorm.weight_targets(f"{prefix}.post_attention_layernorm")
        yield from self.mlp.weight_targets(f"{prefix}.mlp")

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
