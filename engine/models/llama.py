"""Llama (2, 3, 3.1, 3.2) and Mistral: the same layer; Mistral's sliding window is part of the shape."""

from paddock.engine.layers.attention import SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.shape import ModelShape


class LlamaForCausalLM(CausalLM):
    """Biases are off in all published checkpoints, and allowed by the configuration."""

    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        bias = shape.attention_bias
        attention = SelfAttention(shape, layer, place, qkv_bias=bias, output_bias=bias)
        return DecoderLayer(shape, place, attention, GatedMLP(shape, place, bias=shape.mlp_bias))
