"""Llama (2, 3, 3.1, 3.2) and Mistral: the same layer; Mistral's sliding window is part of the shape."""

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape


class LlamaForCausalLM(DecoderLM):
    """Biases are off in all published checkpoints, and allowed by the configuration."""

    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        form = AttentionForm(qkv_bias=shape.attention_bias, output_bias=shape.attention_bias)
        attention = SelfAttention(shape, layer, place, form)
        return DecoderLayer(shape, place, attention, GatedMLP(shape, place, bias=shape.mlp_bias))
