"""Mixtral: Llama's attention, and experts in place of the feed-forward layer."""

from paddock.engine.layers.activation import gated
from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.moe import Experts, Router, SparseMLP, softmax_top_k
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape


class MixtralLayer(DecoderLayer):
    mlp_name = "block_sparse_moe"


class MixtralForCausalLM(DecoderLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        num_experts = shape.fields.count("num_local_experts")
        choose = softmax_top_k(
            shape.fields.count("num_experts_per_tok", 2, maximum=num_experts), renormalize=True
        )
        router = Router(shape.hidden_size, num_experts, choose, place)
        experts = Experts(
            shape.hidden_size,
            shape.intermediate_size,
            num_experts,
            place,
            gated(shape.activation),
            names=("w1", "w3", "w2"),
        )
        attention = SelfAttention(shape, layer, place, AttentionForm())
        return MixtralLayer(shape, place, attention, SparseMLP(router, experts, place))
