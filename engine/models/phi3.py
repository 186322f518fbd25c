"""Phi-3, Phi-3.5 and Phi-4: Llama with packed projections, and perhaps a part of each head left unrotated."""

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape


class Phi3ForCausalLM(DecoderLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        attention = SelfAttention(shape, layer, place, AttentionForm(packed="qkv_proj"))
        mlp = GatedMLP(shape, place, bias=False, packed="gate_up_proj")
        return DecoderLayer(shape, place, attention, mlp)
