"""Qwen3: each query and key head is normalised before the rotary embedding; no biases unless configured."""

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.norm import RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape


def qwen3_attention(shape: ModelShape, layer: int, place: Placement) -> SelfAttention:
    bias = shape.attention_bias
    form = AttentionForm(qkv_bias=bias, output_bias=bias, head_norm=RMSNorm)
    return SelfAttention(shape, layer, place, form)


class Qwen3ForCausalLM(DecoderLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        attention = qwen3_attention(shape, layer, place)
        return DecoderLayer(shape, place, attention, GatedMLP(shape, place, bias=False))
