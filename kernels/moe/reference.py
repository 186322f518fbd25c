"""Definition of the operations on experts."""

from itertools import pairwise

import torch
from torch.nn import functional

from paddock.kernels.moe.sorted_tokens import SortedTokens


def sort_by_expert(experts: torch.Tensor, num_experts: int) -> SortedTokens:
    """See `paddock.kernels.moe`. No step of it waits for a GPU."""
    top_k = experts.shape[1]
    keys = experts.masked_fill(experts < 0, num_experts).flatten()
    keys, order = keys.sort(stable=True)
    numbers = torch.arange(len(order), device=order.device)
    offsets = torch.searchsorted(keys, torch.arange(num_experts + 1, device=keys.device))
    places = torch.empty_like(order)
    places[order] = numbers.masked_fill(keys == num_experts, -1)
    return SortedTokens(order // top_k, offsets, places.view_as(experts))


def combine(results: torch.Tensor, tokens: SortedTokens, weights: torch.Tensor) -> torch.Tensor:
    """See `paddock.kernels.moe`."""
    each = results[tokens.places.clamp(min=0)].float() * weights[..., None]
    return each.masked_fill_(tokens.places[..., None] < 0, 0.0).sum(dim=1).to(results.dtype)


class PlainExperts:
    """One product after the other."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def fill(self, expert: int, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self.weight[expert] = weight
        if self.bias is not None:
            self.bias[expert] = 0.0 if bias is None else bias

    def __call__(self, x: torch.Tensor, tokens: SortedTokens, *, sorted_x: bool = False) -> torch.Tensor:
        out = x.new_empty(len(tokens.rows), self.weight.shape[1])
        ends = tokens.offsets.tolist()
        for expert, (first, last) in enumerate(pairwise(ends)):
            rows = x[first:last] if sorted_x else x[tokens.rows[first:last]]
            bias = None if self.bias is None else self.bias[expert]
            out[first:last] = functional.linear(rows, self.weight[expert], bias)
        return out
