"""Mixture of experts: a router picks a few gated feed-forward layers for each token (Shazeer et al. 2017).

Every rank holds a slice of every expert's features, as of any other feed-forward layer.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from paddock.engine.layers.activation import Activation
from paddock.engine.layers.mlp import FEATURES, GatedMLP
from paddock.engine.layers.placement import Placement
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import PackedLinear, pack_linear

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


class GroupedExperts(nn.Module):
    """Feed-forward layers side by side, each applied to the tokens that were routed to it."""

    num_experts: int

    @abstractmethod
    def run_expert(self, expert: int, x: torch.Tensor) -> torch.Tensor:
        """This rank's part of what one expert makes of `[rows, hidden]`."""

    def forward(self, x: torch.Tensor, routing: Routing) -> torch.Tensor:
        """This rank's part of the weighted sum, `[tokens, hidden]`.

        The rows of an expert lie together, so each expert multiplies once. A token's results are added in the order
        of its routing, whatever the batch.
        """
        experts, weights = routing
        top_k = experts.shape[1]
        order = experts.flatten().argsort(stable=True)
        counts = experts.flatten().bincount(minlength=self.num_experts).tolist()
        rows = torch.split(x.index_select(0, order // top_k), counts)
        results = torch.cat([self.run_expert(i, part) for i, part in enumerate(rows) if part.shape[0]])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        each = results.index_select(0, back).view(-1, top_k, x.shape[1])
        return (each.float() * weights[..., None]).sum(dim=1).to(x.dtype)


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
        super().__init__()
        self.num_experts = num_experts
        self.size, self.share = size, place.share(size, FEATURES)
        self.features = slice(place.rank * self.share, (place.rank + 1) * self.share)
        self.activation, self.names = activation, names
        self.gate_up: torch.Tensor | None = place.empty(num_experts, 2 * self.share, hidden_size)
        self.down: torch.Tensor | None = place.empty(num_experts, hidden_size, self.share)
        self.multiply: list[tuple[PackedLinear, PackedLinear]] = []

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        """`prefix` is that of the experts; each is called by its number."""
        assert self.gate_up is not None
        assert self.down is not None
        hidden_size = self.down.shape[1]
        gate, up, down = self.names
        for expert, (gate_up_weight, down_weight) in enumerate(zip(self.gate_up, self.down, strict=True)):
            for name, part in ((gate, gate_up_weight[: self.share]), (up, gate_up_weight[self.share :])):
                yield WeightTarget(
                    f"{prefix}.{expert}.{name}.weight", (self.size, hidden_size), part, (self.features,)
                )
            yield WeightTarget(
                f"{prefix}.{expert}.{down}.weight",
                (hidden_size, self.size),
                down_weight,
                (slice(0, hidden_size), self.features),
            )

    def pack(self) -> None:
        """Call once, after loading."""
        assert self.gate_up is not None
        assert self.down is not None
        self.multiply = [
            (pack_linear(gate_up), pack_linear(down))
            for gate_up, down in zip(self.gate_up, self.down, strict=True)
        ]
        self.gate_up = self.down = None

    def run_expert(self, expert: int, x: torch.Tensor) -> torch.Tensor:
        gate_up, down = self.multiply[expert]
        return down(self.activation(gate_up(x)))


class RoutedExperts(Protocol):
    def __call__(self, x: torch.Tensor, routing: Routing) -> torch.Tensor: ...

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]: ...


class SparseMLP(nn.Module):
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
        routed = self.place.all_reduce(self.experts(x, self.router(x)))
        return routed if self.shared is None else routed + self.shared(x)
