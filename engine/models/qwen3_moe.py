"""Qwen3-MoE: Qwen3's attention; most layers have experts in place of the feed-forward layer."""

from paddock.engine.layers.activation import gated
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.moe import Experts, Router, SparseMLP, softmax_top_k
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer, FeedForward
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.qwen3 import qwen3_attention
from paddock.engine.models.shape import ModelShape


class Qwen3MoeForCausalLM(DecoderLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        return DecoderLayer(
            shape, place, qwen3_attention(shape, layer, place), _feed_forward(shape, layer, place)
        )


def _feed_forward(shape: ModelShape, layer: int, place: Placement) -> FeedForward:
    """Each `decoder_sparse_step`-th layer has experts, except those in `mlp_only_layers`."""
    fields = shape.fields
    step = fields.count("decoder_sparse_step", 1)
    if layer in fields.indices("mlp_only_layers") or (layer + 1) % step:
        return GatedMLP(shape, place, bias=False)
    num_experts = fields.count("num_experts")
    choose = softmax_top_k(
        fields.count("num_experts_per_tok", 8, maximum=num_experts), renormalize=fields.flag("norm_topk_prob")
    )
    router = Router(shape.hidden_size, num_experts, choose, place)
    size = fields.count("moe_intermediate_size", 768)
    experts = Experts(shape.hidden_size, size, num_experts, place, gated(shape.activation))
    return SparseMLP(router, experts, place)
