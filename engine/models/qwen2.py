"""Qwen2 and Qwen2.5: biases on the query, key and value projections, and nowhere else."""

from paddock.engine.layers.attention import SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.shape import ModelShape


class Qwen2ForCausalLM(CausalLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        attention = SelfAttention(shape, layer, place, qkv_bias=True, output_bias=False)
        return DecoderLayer(shape, place, attention, GatedMLP(shape, place, bias=False))
