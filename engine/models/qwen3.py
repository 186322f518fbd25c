"""Qwen3: each query and key head is normalised before the rotary embedding; no biases unless configured."""

from paddock.engine.layers.attention import SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.shape import ModelShape


class Qwen3ForCausalLM(CausalLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        bias = shape.attention_bias
        attention = SelfAttention(shape, layer, place, qkv_bias=bias, output_bias=bias, head_norm=True)
        return DecoderLayer(shape, place, attention, GatedMLP(shape, place, bias=False))
