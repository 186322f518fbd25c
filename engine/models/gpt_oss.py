"""GPT-OSS: attention with sinks and windows on every second layer, experts with biases, perhaps in MXFP4."""

from collections.abc import Iterator

import torch

from paddock.engine.layers.attention import AttentionForm, SelfAttention
from paddock.engine.layers.mlp import FEATURES
from paddock.engine.layers.moe import GroupedExperts, Router, SparseMLP, top_k_softmax
from paddock.engine.layers.mxfp4 import GROUP, dequantize
from paddock.engine.layers.placement import Placement
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import PackedLinear, pack_linear


class GptOssForCausalLM(DecoderLM):
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        form = AttentionForm(qkv_bias=shape.attention_bias, output_bias=shape.attention_bias, sinks=True)
        fields = shape.fields
        num_experts = fields.count("num_local_experts", 128)
        choose = top_k_softmax(fields.count("num_experts_per_tok", 4, maximum=num_experts))
        router = Router(shape.hidden_size, num_experts, choose, place, bias=True)
        kind = PackedExperts if fields.get("quantization_config") else PlainExperts
        mlp = SparseMLP(router, kind(shape, num_experts, place), place, router_name="router")
        return DecoderLayer(shape, place, SelfAttention(shape, layer, place, form), mlp)


class ClampedExperts(GroupedExperts):
    """down((up(x) + 1) * gate(x) * sigmoid(alpha * gate(x))), gate and up clamped; rows of gate and up alternate."""

    def __init__(self, shape: ModelShape, num_experts: int, place: Placement) -> None:
        super().__init__()
        self.num_experts, self.place = num_experts, place
        self.hidden_size, self.size = shape.hidden_size, shape.intermediate_size
        self.share = place.share(self.size, FEATURES)
        self.features = slice(place.rank * self.share, (place.rank + 1) * self.share)
        self.rows = slice(2 * self.features.start, 2 * self.features.stop)
        self.all_experts = slice(0, num_experts)
        self.alpha = shape.fields.number("swiglu_alpha", 1.702)
        self.limit = shape.fields.number("swiglu_limit", 7.0)
        self.gate_up_bias = place.empty(num_experts, 2 * self.share)
        self.down_bias = place.empty(num_experts, shape.hidden_size)
        self.multiply: list[tuple[PackedLinear, PackedLinear]] = []

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield WeightTarget(
            f"{prefix}.gate_up_proj_bias",
            (self.num_experts, 2 * self.size),
            self.gate_up_bias,
            (self.all_experts, self.rows),
        )
        yield WeightTarget(f"{prefix}.down_proj_bias", (self.num_experts, self.hidden_size), self.down_bias)

    def pack_expert(self, expert: int, gate_up: torch.Tensor, down: torch.Tensor) -> None:
        """Gate rows first, then up rows. The first rank alone adds the output's bias."""
        gate_up_bias = self.gate_up_bias[expert].view(-1, 2).t().flatten()
        gate_up = gate_up.view(-1, 2, self.hidden_size).transpose(0, 1).reshape(-1, self.hidden_size)
        down_bias = self.down_bias[expert] if self.place.rank == 0 else None
        self.multiply.append((pack_linear(gate_up, gate_up_bias), pack_linear(down, down_bias)))

    def run_expert(self, expert: int, x: torch.Tensor) -> torch.Tensor:
        gate_up, down = self.multiply[expert]
        gate, up = gate_up(x).chunk(2, dim=-1)
        gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return down((up + 1) * (gate * torch.sigmoid(gate * self.alpha)))


class PlainExperts(ClampedExperts):
    """Stored as inputs x outputs."""

    def __init__(self, shape: ModelShape, num_experts: int, place: Placement) -> None:
        super().__init__(shape, num_experts, place)
        self.gate_up: torch.Tensor | None = place.empty(num_experts, 2 * self.share, shape.hidden_size)
        self.down: torch.Tensor | None = place.empty(num_experts, shape.hidden_size, self.share)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        assert self.gate_up is not None
        assert self.down is not None
        yield from super().weight_targets(prefix)
        yield WeightTarget(
            f"{prefix}.gate_up_proj",
            (self.num_experts, self.hidden_size, 2 * self.size),
            self.gate_up.mT,
            (self.all_experts, slice(0, self.hidden_size), self.rows),
        )
        yield WeightTarget(
            f"{prefix}.down_proj",
            (self.num_experts, self.size, self.hidden_size),
            self.down.mT,
            (self.all_experts, self.features),
        )

    def pack(self) -> None:
        """Call once, after loading."""
        assert self.gate_up is not None
        assert self.down is not None
        for expert, weights in enumerate(zip(self.gate_up, self.down, strict=True)):
            self.pack_expert(expert, *weights)
        self.gate_up = self.down = None


class PackedExperts(ClampedExperts):
    """Stored in MXFP4, and multiplied in the type of the computation."""

    def __init__(self, shape: ModelShape, num_experts: int, place: Placement) -> None:
        super().__init__(shape, num_experts, place)
        for name, size in (("hidden_size", shape.hidden_size), ("intermediate_size", self.share)):
            if size % GROUP:
                raise CheckpointError(
                    f"{shape.fields.source}: {name} / tensor_parallel_size is {size}, no multiple of the {GROUP} values "
                    "that share a scale in MXFP4; use a smaller --tensor-parallel-size."
                )
        self.packed: dict[str, torch.Tensor] = {}
        for name, outputs, inputs in (
            ("gate_up_proj", 2 * self.share, shape.hidden_size),
            ("down_proj", shape.hidden_size, self.share),
        ):
            groups = inputs // GROUP
            self.packed[f"{name}_blocks"] = self._bytes(num_experts, outputs, groups, GROUP // 2)
            self.packed[f"{name}_scales"] = self._bytes(num_experts, outputs, groups)

    def _bytes(self, *size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, device=self.place.device)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from super().weight_targets(prefix)
        groups = slice(self.features.start // GROUP, self.features.stop // GROUP)
        own: dict[str, tuple[slice, ...]] = {
            "gate_up_proj": (self.all_experts, self.rows),
            "down_proj": (self.all_experts, slice(0, self.hidden_size), groups),
        }
        for name, destination in self.packed.items():
            full = list(destination.shape)
            if name.startswith("gate_up"):
                full[1] = 2 * self.size
            else:
                full[2] = self.size // GROUP
            yield WeightTarget(f"{prefix}.{name}", tuple(full), destination, own[name.rpartition("_")[0]])

    def pack(self) -> None:
        """Call once, after loading: an expert at a time."""
        dtype = self.place.dtype
        for expert in range(self.num_experts):
            gate_up, down = (
                dequantize(
                    self.packed[f"{name}_blocks"][expert], self.packed[f"{name}_scales"][expert], dtype
                )
                for name in ("gate_up_proj", "down_proj")
            )
            self.pack_expert(expert, gate_up, down)
        self.packed.clear()
