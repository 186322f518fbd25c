"""Qwen2 and Qwen2.5: biases on the query, key and value projections, and nowhere else."""

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape


class Qwen2ForCausalLM(DecoderLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        attention = SelfAttention(shape, layer, place, AttentionForm(qkv_bias=True))
        return DecoderLayer(shape, place, attention, GatedMLP(shape, place, bias=False))
