"""Gemma 2 and the text part of Gemma 3: norms around each part, windows on most layers, capped scores (2)."""

from math import sqrt

import torch

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.norm import Norm, OffsetRMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.rotary import RotaryTable
from paddock.engine.models.decoder import SandwichLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.rope import RopeShape
from paddock.engine.models.shape import ModelShape


class Gemma2ForCausalLM(DecoderLM):
    def __init__(self, shape: ModelShape, place: Placement, max_positions: int) -> None:
        super().__init__(shape, place, max_positions)
        # Rounded to the weights' type first, as the checkpoints were trained.
        self.embedding_scale = torch.tensor(sqrt(shape.hidden_size), dtype=place.dtype).item()
        self.logit_cap = _softcap(shape, "final_logit_softcapping")

    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> SandwichLayer:
        attention = SelfAttention(shape, layer, place, self.attention_form(shape, layer))
        return SandwichLayer(shape, place, attention, GatedMLP(shape, place, bias=False))

    def attention_form(self, shape: ModelShape, layer: int) -> AttentionForm:
        return AttentionForm(
            qkv_bias=shape.attention_bias,
            output_bias=shape.attention_bias,
            scale=shape.fields.number("query_pre_attn_scalar", 256) ** -0.5,
            softcap=_softcap(shape, "attn_logit_softcapping"),
        )

    def final_norm(self, shape: ModelShape, place: Placement) -> Norm:
        return OffsetRMSNorm(shape.hidden_size, shape.rms_norm_eps, place)

    def embed(self, token_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return super().embed(token_ids, positions) * self.embedding_scale

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        scores = super().logits(hidden)
        return self.logit_cap * torch.tanh(scores / self.logit_cap) if self.logit_cap else scores


class Gemma3ForCausalLM(Gemma2ForCausalLM):
    """Heads are normed, and the layers with a window turn by their own rotary table."""

    def attention_form(self, shape: ModelShape, layer: int) -> AttentionForm:
        return AttentionForm(
            qkv_bias=shape.attention_bias,
            output_bias=shape.attention_bias,
            scale=shape.fields.number("query_pre_attn_scalar", 256) ** -0.5,
            rotary=0 if shape.layer_windows[layer] is None else 1,
            head_norm=OffsetRMSNorm,
        )

    def rotary_tables(self, shape: ModelShape, max_positions: int, place: Placement) -> list[RotaryTable]:
        local = RotaryTable(_local_rope(shape), shape.head_dim, max_positions, place.device)
        return [*super().rotary_tables(shape, max_positions, place), local]


def _softcap(shape: ModelShape, name: str) -> float:
    """0 where there is none."""
    return 0.0 if shape.fields.get(name) is None else shape.fields.number(name)


def _local_rope(shape: ModelShape) -> RopeShape:
    """Stated beside the other (transformers 5), or by its base alone (before)."""
    fields = shape.fields
    nested = (fields.get("rope_parameters") or {}).get("sliding_attention")
    if nested is None:
        return RopeShape(fields.number("rope_local_base_freq", 10_000.0))
    if not isinstance(nested, dict):
        raise CheckpointError(
            f"{fields.source}: rope_parameters.sliding_attention is {nested!r}; expected an object."
        )
    return RopeShape.read({"rope_theta": 10_000.0, "rope_parameters": nested}, fields.source)
