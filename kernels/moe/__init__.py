"""Mixture of experts: tokens sorted by expert, all experts' products at once, and the weighted sums of the results.

tokens = sort_by_expert(experts, num_experts)
hidden = activation(gate_up(x, tokens))
out = combine(down(hidden, tokens, sorted_x=True), tokens, weights)
"""

from typing import Protocol

import torch

from paddock.kernels import native
from paddock.kernels.moe import cpu, reference
from paddock.kernels.moe.sorted_tokens import SortedTokens

__all__ = ["ExpertLinear", "SortedTokens", "combine", "expert_linear", "sort_by_expert"]


class ExpertLinear(Protocol):
    """A linear layer of each expert."""

    def fill(self, expert: int, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        """Take over the plain weight `[out_features, in_features]` of one expert; without a bias it adds none."""

    def __call__(self, x: torch.Tensor, tokens: SortedTokens, *, sorted_x: bool = False) -> torch.Tensor:
        """Each sorted row by its expert's weight: `[sorted rows, out_features]`.

        `x` is `[tokens, in_features]`, or `[sorted rows, in_features]` with `sorted_x`.
        """


def expert_linear(
    num_experts: int,
    in_features: int,
    out_features: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    bias: bool = False,
) -> ExpertLinear:
    """Not filled yet. On CPU, in float32 and bfloat16, weights are kept packed as by `pack_linear`."""
    if native.library is not None and device.type == "cpu" and dtype in native.ELEMENT:
        return cpu.CpuExperts(num_experts, in_features, out_features, dtype, bias=bias)
    weight = torch.empty(num_experts, out_features, in_features, dtype=dtype, device=device)
    biases = torch.empty(num_experts, out_features, dtype=dtype, device=device) if bias else None
    if device.type == "cuda":
        from paddock.kernels.moe.gpu import GpuExperts

        return GpuExperts(weight, biases)
    return reference.PlainExperts(weight, biases)


def sort_by_expert(experts: torch.Tensor, num_experts: int) -> SortedTokens:
    """`experts` is int64 `[tokens, top_k]`, each below `num_experts`, or -1 for one that another rank has.

    Rows of an expert stay in the order of their tokens.
    """
    if native.library is not None and experts.is_cpu:
        return cpu.sort_by_expert(experts, num_experts)
    return reference.sort_by_expert(experts, num_experts)


def combine(results: torch.Tensor, tokens: SortedTokens, weights: torch.Tensor) -> torch.Tensor:
    """`[tokens, dim]`: the sum of each token's results `[sorted rows, dim]` by `weights` `[tokens, top_k]`, in float32
    and in the order of its choices. An expert that is not here adds nothing."""
    if native.handles(results):
        return cpu.combine(results, tokens, weights)
    return reference.combine(results, tokens, weights)
