"""Mixture of experts: a router picks a few gated feed-forward layers for each token (Shazeer et al. 2017).

Every rank holds a slice of every expert's features, as of any other feed-forward layer; with `--enable-expert-parallel`
some experts whole. Either way every rank has all tokens, and the ranks' results are summed; where replicas share the
experts, these are the tokens of all replicas.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from paddock.engine.layers.activation import Activation
from paddock.engine.layers.expert_exchange import SharedExpertsLayer
from paddock.engine.layers.expert_share import ExpertShare
from paddock.engine.layers.mlp import GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.weights.target import WeightTarget
from paddock.kernels.moe import ExpertLinear, combine, expert_linear, sort_by_expert

Routing = tuple[torch.Tensor, torch.Tensor]
"""Experts (int64) and their weights (float32) for each token, `[tokens, top_k]` both."""

Choose = Callable[[torch.Tensor], Routing]
"""From float32 router logits `[tokens, experts]`."""


@dataclass(frozen=True)
class Grouping:
    """DeepSeek's experts lie in groups; only those of a token's best groups are open to it."""

    num_groups: int = 1
    top_groups: int = 1

    def closed(self, scores: torch.Tensor, best_of_group: int) -> torch.Tensor:
        """True `[tokens, experts]` for experts outside of the `top_groups`, by the sum of a group's best scores."""
        groups = scores.view(scores.shape[0], self.num_groups, -1)
        ranking = groups.topk(best_of_group, dim=-1).values.sum(dim=-1)
        closed = torch.ones_like(ranking, dtype=torch.bool)
        closed.scatter_(1, ranking.topk(self.top_groups, dim=-1).indices, False)
        return closed[..., None].expand_as(groups).reshape_as(scores)


def softmax_top_k(top_k: int, *, renormalize: bool) -> Choose:
    """The most likely experts; `renormalize` lets their weights sum to one."""

    def choose(logits: torch.Tensor) -> Routing:
        weights, experts = logits.softmax(dim=-1).topk(top_k, dim=-1)
        return experts, weights / weights.sum(dim=-1, keepdim=True) if renormalize else weights

    return choose


def top_k_softmax(top_k: int) -> Choose:
    """The best experts, their weights a softmax over them alone (GPT-OSS)."""

    def choose(logits: torch.Tensor) -> Routing:
        best, experts = logits.topk(top_k, dim=-1)
        return experts, best.softmax(dim=-1)

    return choose


class Router(nn.Module):
    """Scores in float32: in 16 bits two experts are often a tie, and which one wins would be chance."""

    def __init__(
        self, hidden_size: int, num_experts: int, choose: Choose, place: Placement, *, bias: bool = False
    ) -> None:
        super().__init__()
        self.weight = torch.empty(num_experts, hidden_size, device=place.device)
        self.bias = torch.empty(num_experts, device=place.device) if bias else None
        self.choose = choose

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield WeightTarget(f"{prefix}.weight", tuple(self.weight.shape), self.weight)
        if self.bias is not None:
            yield WeightTarget(f"{prefix}.bias", tuple(self.bias.shape), self.bias)

    def forward(self, x: torch.Tensor) -> Routing:
        return self.choose(functional.linear(x.float(), self.weight, self.bias))


@dataclass(frozen=True)
class ExpertWeights:
    gate_up: torch.Tensor
    down: torch.Tensor
    gate_up_bias: torch.Tensor | None = None
    down_bias: torch.Tensor | None = None


class GroupedExperts(nn.Module):
    """Two linear layers of each expert with an activation between them, each applied to the tokens routed to it."""

    def __init__(self, share: ExpertShare, hidden_size: int, place: Placement, *, bias: bool = False) -> None:
        super().__init__()
        self.share, self.place, self.hidden_size, self.bias = share, place, hidden_size, bias
        self.gate_up_linear: ExpertLinear | None = None
        self.down_linear: ExpertLinear | None = None
        self.slots = share.slots(place.device)

    def pack_experts(self, weights: Iterable[ExpertWeights]) -> None:
        """Take over gate and up `[2 * features, hidden]`, gates first, and down `[hidden, features]` of each expert."""
        place, held, width = self.place, len(self.share.experts), self.share.width
        gate_up_linear, down_linear = (
            expert_linear(held, inputs, outputs, place.dtype, place.device, bias=self.bias)
            for inputs, outputs in ((self.hidden_size, 2 * width), (width, self.hidden_size))
        )
        for slot, expert in enumerate(weights):
            gate_up_linear.fill(slot, expert.gate_up, expert.gate_up_bias)
            down_linear.fill(slot, expert.down, expert.down_bias)
        self.gate_up_linear, self.down_linear = gate_up_linear, down_linear

    @abstractmethod
    def activate(self, gate_up: torch.Tensor) -> torch.Tensor:
        """`[rows, 2 * features]`, gates first, to `[rows, features]`."""

    def forward(self, x: torch.Tensor, routing: Routing) -> torch.Tensor:
        """This rank's part of the weighted sum, `[tokens, hidden]`."""
        experts, weights = routing
        if self.slots is not None:
            experts = self.slots[experts]
        assert self.gate_up_linear is not None
        assert self.down_linear is not None
        tokens = sort_by_expert(experts, len(self.share.experts))
        hidden = self.activate(self.gate_up_linear(x, tokens))
        return combine(self.down_linear(hidden, tokens, sorted_x=True), tokens, weights)


class Experts(GroupedExperts):
    """Gated layers. `names` are gate, up and down as the checkpoint calls them."""

    def __init__(
        self,
        hidden_size: int,
        size: int,
        num_experts: int,
        place: Placement,
        activation: Activation,
        names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
    ) -> None:
        share = ExpertShare.of(num_experts, size, place)
        super().__init__(share, hidden_size, place)
        self.activation, self.names = activation, names
        self.gate_up: torch.Tensor | None = place.empty(len(share.experts), 2 * share.width, hidden_size)
        self.down: torch.Tensor | None = place.empty(len(share.experts), hidden_size, share.width)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        """`prefix` is that of the experts; each is called by its number."""
        assert self.gate_up is not None
        assert self.down is not None
        share, hidden_size = self.share, self.hidden_size
        gate, up, down = self.names
        for expert, gate_up_weight, down_weight in zip(share.experts, self.gate_up, self.down, strict=True):
            for name, part in ((gate, gate_up_weight[: share.width]), (up, gate_up_weight[share.width :])):
                full = (share.size, hidden_size)
                yield WeightTarget(f"{prefix}.{expert}.{name}.weight", full, part, (share.features,))
            yield WeightTarget(
                f"{prefix}.{expert}.{down}.weight",
                (hidden_size, share.size),
                down_weight,
                (slice(0, hidden_size), share.features),
            )

    def pack(self) -> None:
        """Call once, after loading."""
        assert self.gate_up is not None
        assert self.down is not None
        self.pack_experts(map(ExpertWeights, self.gate_up, self.down))
        self.gate_up = self.down = None

    def activate(self, gate_up: torch.Tensor) -> torch.Tensor:
        return self.activation(gate_up)


class RoutedExperts(Protocol):
    def __call__(self, x: torch.Tensor, routing: Routing) -> torch.Tensor: ...

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]: ...


class SparseMLP(SharedExpertsLayer):
    """Router and experts, and perhaps a layer that every token takes."""

    def __init__(
        self,
        router: Router,
        experts: RoutedExperts,
        place: Placement,
        *,
        router_name: str = "gate",
        shared: GatedMLP | None = None,
    ) -> None:
        super().__init__()
        self.router, self.experts, self.shared, self.place = router, experts, shared, place
        self.router_name = router_name

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.router.weight_targets(f"{prefix}.{self.router_name}")
        yield from self.experts.weight_targets(f"{prefix}.experts")
        if self.shared is not None:
            yield from self.shared.weight_targets(f"{prefix}.shared_experts")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        routed = self._routed(x, self.router(x))
        return routed if self.shared is None else routed + self.shared(x)

    def take_part(self) -> None:
        x = torch.zeros(1, self.router.weight.shape[1], dtype=self.place.dtype, device=self.place.device)
        # A row of zeros shows how many experts a token has, which every rank must know.
        experts, weights = self.router(x)
        self._routed(x[:0], (experts[:0], weights[:0]))

    def _routed(self, x: torch.Tensor, routing: Routing) -> torch.Tensor:
        exchange = self.place.experts
        if exchange is None:
            return self.place.all_reduce(self.experts(x, routing))
        x, experts, weights = exchange.gather(x, *routing)
        return exchange.sum_of_own(self.experts(x, (experts, weights)))
