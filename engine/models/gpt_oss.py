"""GPT-OSS: attention with sinks and windows on every second layer, experts with biases, perhaps in MXFP4."""

from collections.abc import Iterator
from itertools import count

import torch

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.expert_share import ExpertShare
from paddock.engine.layers.moe import ExpertWeights, GroupedExperts, Router, SparseMLP, top_k_softmax
from paddock.engine.layers.mxfp4 import GROUP, dequantize
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget


class GptOssForCausalLM(DecoderLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        form = AttentionForm(qkv_bias=shape.attention_bias, output_bias=shape.attention_bias, sinks=True)
        fields = shape.fields
        num_experts = fields.count("num_local_experts")
        choose = top_k_softmax(fields.count("num_experts_per_tok", 4, maximum=num_experts))
        router = Router(shape.hidden_size, num_experts, choose, place, bias=True)
        kind = PackedExperts if fields.get("quantization_config") else PlainExperts
        mlp = SparseMLP(router, kind(shape, num_experts, place), place, router_name="router")
        return DecoderLayer(shape, place, SelfAttention(shape, layer, place, form), mlp)


class ClampedExperts(GroupedExperts):
    """down((up(x) + 1) * gate(x) * sigmoid(alpha * gate(x))), gate and up clamped; rows of gate and up alternate."""

    def __init__(self, shape: ModelShape, num_experts: int, place: Placement) -> None:
        share = ExpertShare.of(num_experts, shape.intermediate_size, place)
        super().__init__(share, shape.hidden_size, place, bias=True)
        self.rows = slice(2 * share.features.start, 2 * share.features.stop)
        self.alpha = shape.fields.number("swiglu_alpha", 1.702)
        self.limit = shape.fields.number("swiglu_limit", 7.0)
        self.gate_up_bias = place.empty(len(share.experts), 2 * share.width)
        self.down_bias = place.empty(len(share.experts), shape.hidden_size)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        share = self.share
        for slots, experts in share.runs():
            yield WeightTarget(
                f"{prefix}.gate_up_proj_bias",
                (share.num_experts, 2 * share.size),
                self.gate_up_bias[slots],
                (experts, self.rows),
            )
            full = (share.num_experts, self.hidden_size)
            yield WeightTarget(f"{prefix}.down_proj_bias", full, self.down_bias[slots], (experts,))

    def with_biases(self, slot: int, gate_up: torch.Tensor, down: torch.Tensor) -> ExpertWeights:
        """Gate rows first, then up rows. Of ranks that share an expert the first alone adds the output's bias."""
        gate_up_bias = self.gate_up_bias[slot].view(-1, 2).t().flatten()
        gate_up = gate_up.view(-1, 2, self.hidden_size).transpose(0, 1).reshape(-1, self.hidden_size)
        adds = self.share.is_whole or self.place.rank == 0
        return ExpertWeights(gate_up, down, gate_up_bias, self.down_bias[slot] if adds else None)

    def activate(self, gate_up: torch.Tensor) -> torch.Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return (up + 1) * (gate * torch.sigmoid(gate * self.alpha))


class PlainExperts(ClampedExperts):
    """Stored as inputs x outputs."""

    def __init__(self, shape: ModelShape, num_experts: int, place: Placement) -> None:
        super().__init__(shape, num_experts, place)
        held, width = len(self.share.experts), self.share.width
        self.gate_up: torch.Tensor | None = place.empty(held, 2 * width, shape.hidden_size)
        self.down: torch.Tensor | None = place.empty(held, shape.hidden_size, width)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        assert self.gate_up is not None
        assert self.down is not None
        yield from super().weight_targets(prefix)
        share, hidden_size = self.share, self.hidden_size
        for slots, experts in share.runs():
            yield WeightTarget(
                f"{prefix}.gate_up_proj",
                (share.num_experts, hidden_size, 2 * share.size),
                self.gate_up[slots].mT,
                (experts, slice(0, hidden_size), self.rows),
            )
            yield WeightTarget(
                f"{prefix}.down_proj",
                (share.num_experts, share.size, hidden_size),
                self.down[slots].mT,
                (experts, share.features),
            )

    def pack(self) -> None:
        """Call once, after loading."""
        assert self.gate_up is not None
        assert self.down is not None
        self.pack_experts(map(self.with_biases, count(), self.gate_up, self.down))
        self.gate_up = self.down = None


class PackedExperts(ClampedExperts):
    """Stored in MXFP4, and multiplied in the type of the computation."""

    def __init__(self, shape: ModelShape, num_experts: int, place: Placement) -> None:
        super().__init__(shape, num_experts, place)
        width = self.share.width
        for name, size in (("hidden_size", shape.hidden_size), ("intermediate_size", width)):
            if size % GROUP:
                raise CheckpointError(
                    f"{shape.fields.source}: {name} / tensor_parallel_size is {size}, no multiple of the {GROUP} values "
                    "that share a scale in MXFP4; use a smaller --tensor-parallel-size, or --enable-expert-parallel."
                )
        self.packed: dict[str, torch.Tensor] = {}
        for name, outputs, inputs in (
            ("gate_up_proj", 2 * width, shape.hidden_size),
            ("down_proj", shape.hidden_size, width),
        ):
            groups, held = inputs // GROUP, len(self.share.experts)
            self.packed[f"{name}_blocks"] = self._bytes(held, outputs, groups, GROUP // 2)
            self.packed[f"{name}_scales"] = self._bytes(held, outputs, groups)

    def _bytes(self, *size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, device=self.place.device)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from super().weight_targets(prefix)
        share = self.share
        groups = slice(share.features.start // GROUP, share.features.stop // GROUP)
        own: dict[str, tuple[slice, ...]] = {
            "gate_up_proj": (self.rows,),
            "down_proj": (slice(0, self.hidden_size), groups),
        }
        for name, destination in self.packed.items():
            full = [share.num_experts, *destination.shape[1:]]
            if name.startswith("gate_up"):
                full[1] = 2 * share.size
            else:
                full[2] = share.size // GROUP
            part = own[name.rpartition("_")[0]]
            for slots, experts in share.runs():
                yield WeightTarget(f"{prefix}.{name}", tuple(full), destination[slots], (experts, *part))

    def pack(self) -> None:
        """Call once, after loading: an expert at a time."""
        self.pack_experts(map(self._dequantized, range(len(self.share.experts))))
        self.packed.clear()

    def _dequantized(self, slot: int) -> ExpertWeights:
        gate_up, down = (
            dequantize(
                self.packed[f"{name}_blocks"][slot], self.packed[f"{name}_scales"][slot], self.place.dtype
            )
            for name in ("gate_up_proj", "down_proj")
        )
        return self.with_biases(slot, gate_up, down)
