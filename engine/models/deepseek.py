"""DeepSeek-V2 and V3 (and R1): latent attention, experts in groups beside shared ones, dense layers first."""

import math
from collections.abc import Iterator

import torch

from paddock.engine.layers.activation import gated
from paddock.engine.layers.latent_attention import LatentAttention, LatentSizes
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.moe import Choose, Experts, Grouping, Router, Routing, SparseMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.rotary import RotaryTable
from paddock.engine.models.decoder import DecoderLayer, FeedForward
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget


class DeepseekV2ForCausalLM(DecoderLM):
    keeps_values = False

    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        attention = LatentAttention(shape, place, _sizes(shape), _scale(shape), bias=shape.attention_bias)
        return DecoderLayer(shape, place, attention, self.feed_forward(shape, layer, place))

    def rotary_tables(self, shape: ModelShape, max_positions: int, place: Placement) -> list[RotaryTable]:
        return [RotaryTable(shape.rope, _sizes(shape).rotated, max_positions, place.device)]

    def feed_forward(self, shape: ModelShape, layer: int, place: Placement) -> FeedForward:
        fields = shape.fields
        if layer < fields.count("first_k_dense_replace", minimum=0):
            return GatedMLP(shape, place, bias=shape.mlp_bias)
        size = fields.count("moe_intermediate_size")
        num_experts = fields.count("n_routed_experts")
        shared = GatedMLP(shape, place, bias=shape.mlp_bias, size=size * fields.count("n_shared_experts"))
        experts = Experts(shape.hidden_size, size, num_experts, place, gated(shape.activation))
        return SparseMLP(self.router(shape, num_experts, place), experts, place, shared=shared)

    def router(self, shape: ModelShape, num_experts: int, place: Placement) -> Router:
        fields = shape.fields
        method = fields.one_of("topk_method", ("greedy", "group_limited_greedy"), "greedy")
        choose = _softmax_in_groups(
            fields.count("num_experts_per_tok", maximum=num_experts),
            fields.number("routed_scaling_factor", 1.0),
            _grouping(shape, num_experts) if method == "group_limited_greedy" else None,
        )
        return Router(shape.hidden_size, num_experts, choose, place)


class DeepseekV3ForCausalLM(DeepseekV2ForCausalLM):
    def router(self, shape: ModelShape, num_experts: int, place: Placement) -> Router:
        fields = shape.fields
        return BalancedRouter(
            shape.hidden_size,
            num_experts,
            place,
            _grouping(shape, num_experts),
            fields.count("num_experts_per_tok", maximum=num_experts),
            fields.number("routed_scaling_factor", 2.5),
            renormalize=fields.flag("norm_topk_prob", True),
        )


class BalancedRouter(Router):
    """V3: sigmoid scores; a bias learned for balance takes part in the choice, and not in the weights."""

    def __init__(
        self,
        hidden_size: int,
        num_experts: int,
        place: Placement,
        grouping: Grouping,
        top_k: int,
        scale: float,
        *,
        renormalize: bool,
    ) -> None:
        super().__init__(hidden_size, num_experts, self._choose, place)
        self.correction = torch.empty(num_experts, device=place.device)
        self.grouping, self.top_k, self.scale, self.renormalize = grouping, top_k, scale, renormalize

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from super().weight_targets(prefix)
        shape = tuple(self.correction.shape)
        yield WeightTarget(f"{prefix}.e_score_correction_bias", shape, self.correction)

    def _choose(self, logits: torch.Tensor) -> Routing:
        scores = logits.sigmoid()
        ranking = scores + self.correction
        ranking = ranking.masked_fill(self.grouping.closed(ranking, best_of_group=2), -math.inf)
        experts = ranking.topk(self.top_k, dim=-1).indices
        weights = scores.gather(1, experts)
        if self.renormalize:
            weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
        return experts, weights * self.scale


def _softmax_in_groups(top_k: int, scale: float, grouping: Grouping | None) -> Choose:
    """V2."""

    def choose(logits: torch.Tensor) -> Routing:
        scores = logits.softmax(dim=-1)
        if grouping is not None:
            scores = scores.masked_fill(grouping.closed(scores, best_of_group=1), 0.0)
        weights, experts = scores.topk(top_k, dim=-1)
        return experts, weights * scale

    return choose


def _grouping(shape: ModelShape, num_experts: int) -> Grouping:
    groups = shape.fields.divisor_of("n_routed_experts", num_experts, "n_group", 8)
    return Grouping(groups, shape.fields.count("topk_group", 4, maximum=groups))


def _sizes(shape: ModelShape) -> LatentSizes:
    fields = shape.fields
    return LatentSizes(
        query_rank=None if fields.get("q_lora_rank") is None else fields.count("q_lora_rank"),
        latent=fields.count("kv_lora_rank", 512),
        unrotated=fields.count("qk_nope_head_dim", 128),
        rotated=fields.count("qk_rope_head_dim", 64),
        value=fields.count("v_head_dim", 128),
        interleaved=fields.flag("rope_interleave", True),
    )


def _scale(shape: ModelShape) -> float:
    """Stretched contexts sharpen attention again, beyond what the rotary tables carry."""
    sizes = _sizes(shape)
    scale = (sizes.unrotated + sizes.rotated) ** -0.5
    rope = shape.fields.get("rope_parameters") or shape.fields.get("rope_scaling") or {}
    weight = float(rope.get("mscale_all_dim") or 0.0)
    if shape.rope.kind == "default" or not weight or shape.rope.factor <= 1:
        return float(scale)
    return float(scale * (0.1 * weight * math.log(shape.rope.factor) + 1.0) ** 2)
